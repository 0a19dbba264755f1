"""A chip with other parameters, and what follows from them."""

from __future__ import annotations

from math import sqrt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError, UnknownNameError, UnsupportedError
from ridgeline.hardware.chip import Chip, read_chip
from ridgeline.hardware.node import read_node
from ridgeline.hardware.vary import is_whole, nearest_node, varied

EYERISS = read_chip("eyeriss-256")


def with_area(chip: Chip) -> Chip:
    return msgspec.structs.replace(chip, levels=tuple(msgspec.structs.replace(level, area_mm2=1.0) for level in chip.levels))


@pytest.mark.parametrize("name", ["eyeriss-256", "eyeriss-168", "tpu-like", "simba-like", "h100"])
def test_its_own_values_change_nothing(name: str) -> None:
    chip = read_chip(name)
    values: dict[str, float] = {f"array.{axis}": size for axis, size in chip.array.items()} | {"clock_mhz": chip.clock_mhz}
    values |= {f"{level.name}.capacity_bytes": level.capacity_bytes for level in chip.levels if level.capacity_bytes is not None}
    values |= {f"widths.{width}": getattr(chip.widths, width) for width in ("input", "weight", "output", "partial")}
    assert varied(chip, values) == chip


@given(st.integers(128, 10**8))
def test_energy_follows_the_node(capacity: int) -> None:
    node, old = read_node("45nm"), EYERISS.level("glb")
    new = varied(EYERISS, {"glb.capacity_bytes": capacity}).level("glb")
    assert old.capacity_bytes is not None
    ratio = node.memory_pj_per_bit(capacity) / node.memory_pj_per_bit(old.capacity_bytes)
    assert new.capacity_bytes == capacity
    assert new.read_pj_per_bit == pytest.approx(old.read_pj_per_bit * ratio)
    assert new.write_pj_per_bit == pytest.approx(old.write_pj_per_bit * ratio)


@given(st.integers(32_768, 10**7))
def test_a_stated_area_follows_the_capacity(capacity: int) -> None:
    """Between the table's largest memories a bit takes 0.465 to 0.448 square micrometres: nearly in proportion."""
    made = varied(with_area(EYERISS), {"glb.capacity_bytes": capacity}).level("glb")
    assert made.area_mm2 == pytest.approx(capacity / 131_072, rel=0.04)


def test_a_multiplication_follows_the_widths() -> None:
    made = varied(EYERISS, {"widths.input": 8, "widths.weight": 8, "widths.partial": 32})
    assert made.mac.pj == pytest.approx(EYERISS.mac.pj * (0.2 + 0.1) / (0.787 + 0.05), rel=1e-3)
    uneven = varied(EYERISS, {"widths.input": 8, "widths.weight": 32})
    assert uneven.mac.pj == pytest.approx(EYERISS.mac.pj, rel=1e-9), "as many partial products as 16 x 16"


def test_the_clock_leaves_the_outer_memory_its_bytes_a_second() -> None:
    chip = read_chip("eyeriss-168")
    made = varied(chip, {"clock_mhz": 100.0})
    assert made.levels[0].read_bits_per_cycle == pytest.approx(2 * 28.8)
    assert made.levels[1:] == chip.levels[1:]


def test_what_is_given_is_taken() -> None:
    made = varied(with_area(EYERISS), {"glb.capacity_bytes": 65536, "glb.read_pj_per_bit": 9.0, "mac.pj": 7.0, "widths.input": 8})
    assert (made.level("glb").read_pj_per_bit, made.mac.pj) == (9.0, 7.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clock_mhz": 0}, "clock_mhz=0: Expected `float` >= 1"),
        ({"array.rows": 0}, "unroll.rows: its factors make 1, but the array has 0 along 'rows'"),
        ({"array.rows": 10**7}, "Expected `int` <= 1000000"),
        ({"glb.capacity_bytes": 0}, "Expected `int` >= 1"),
        ({"array.rows": 8, "widths.weight": 2000}, "widths.weight=2000: Expected `int` <= 1024"),
        ({"dram.capacity_bytes": 5}, "the outermost level 'dram' has a capacity_bytes"),
    ],
)
def test_no_valid_chip(values: dict[str, int], message: str) -> None:
    with pytest.raises(UnsupportedError) as error:
        varied(EYERISS, values)
    assert message in str(error.value)


def test_factors_that_do_not_fit_the_array() -> None:
    with pytest.raises(UnsupportedError, match="its factors make 32, but the array has 16 along"):
        varied(read_chip("tpu-like"), {f"array.{axis}": 16 for axis in read_chip("tpu-like").array})


def test_paths() -> None:
    chip = read_chip("eyeriss-168")
    whole = ("array.rows", "glb.capacity_bytes", "widths.partial")
    assert all(is_whole(path, chip) for path in whole)
    assert not any(is_whole(path, chip) for path in ("clock_mhz", "mac.pj", "glb.read_bits_per_cycle", "dram.write_pj_per_bit"))


@pytest.mark.parametrize(
    ("chip", "path", "message"),
    [
        ("eyeriss-168", "array.row", "unknown array axis 'row'; did you mean 'rows'?"),
        ("eyeriss-168", "glbs.capacity_bytes", "unknown level, or array, widths or mac, 'glbs'; did you mean 'glb'?"),
        ("eyeriss-168", "glb.capacity", "unknown field of level 'glb' 'capacity'; did you mean 'capacity_bytes'?"),
        ("eyeriss-168", "widths.inputs", "unknown field of widths 'inputs'; did you mean 'input'?"),
        ("eyeriss-168", "clock", "unknown chip parameter 'clock'; did you mean 'clock_mhz'?"),
        ("eyeriss-168", "dram.capacity_bytes", "the level is unbounded"),
        ("systolic-32", "array.rows", "'array.rows' of chip 'systolic-32' cannot vary: its [systolic] fills are those of this array"),
    ],
)
def test_unknown_paths(chip: str, path: str, message: str) -> None:
    with pytest.raises((UnknownNameError, InputError)) as error:
        is_whole(path, read_chip(chip))
    assert message in str(error.value)


def test_the_nearest_node() -> None:
    assert [nearest_node(nm).name for nm in (90, 65, 40, 22, 12, 7, 4)] == ["45nm", "45nm", "45nm", "28nm", "16nm", "7nm", "7nm"]


def test_the_energies_of_the_node_are_on_the_line() -> None:
    """int16 lies between int8 and int32 in the node's table too."""
    node = read_node("45nm")
    assert node.operation_pj("multiply", "int16") == pytest.approx(sqrt(0.2 * 3.1), rel=1e-3)
