"""Areas: the published ones at their own node, between them, and what the table cannot say."""

from __future__ import annotations

from math import sqrt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import UnsupportedError
from ridgeline.hardware.area import chip_area, mac_um2, memory_um2
from ridgeline.hardware.chip import Chip, Widths, chip_names, read_chip
from ridgeline.hardware.decoders import Decoder

# mm2 of dies, and of Eyeriss' core, with all that is not counted here: Chen et al., JSSC 2017; Jouppi et al., ISCA 2017; NVIDIA's whitepapers.
DIES = {"eyeriss-168": 3.5 * 3.5, "tpu-v1": 331, "a100": 826, "h100": 814}


def test_published_points() -> None:
    assert memory_um2(131_072) == pytest.approx(469_412, rel=1e-3)
    assert memory_um2(32_768) == pytest.approx(121_849, rel=1e-3)
    assert memory_um2(16) == pytest.approx(16 * 8 * 4.522)
    assert mac_um2(Widths(input=8, weight=8, output=8, partial=32)) == pytest.approx(282 + 137)
    assert mac_um2(Widths(input=16, weight=16, output=16, partial=16)) == pytest.approx(sqrt(282 * 3495) + 67)


def test_a_memory_that_the_table_was_not_made_from() -> None:
    """EIE's ActRW (Han et al., ISCA 2016, table II): 2 KB of static memory and two register files of 64 words of 16 bits."""
    assert 18_934 / 1.7 < memory_um2(2048) < 18_934 * 1.7


@pytest.mark.parametrize("name", DIES)
def test_no_die_is_smaller_than_what_it_holds(name: str) -> None:
    assert chip_area(read_chip(name)).mm2 < DIES[name]


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_a_larger_memory_is_larger(one: int, other: int) -> None:
    assert (memory_um2(one) < memory_um2(other)) == (one < other)


@pytest.mark.parametrize("name", chip_names())
def test_every_chip_has_an_area_by_part(name: str) -> None:
    chip = read_chip(name)
    area = chip_area(chip)
    assert {*area.by_part, *area.missing} == {"mac", *(level.name for level in chip.levels[1:]), *(item.name for item in chip.decoders)}
    assert set(area.missing) == {item.name for item in chip.decoders if item.um2 is None}
    assert area.mm2 == pytest.approx(sum(area.by_part.values()))
    assert min(area.by_part.values()) > 0


def decoder(chip: Chip, name: str) -> Decoder:
    return next(item for item in chip.decoders if item.name == name)


def test_olives_decoders_on_the_gpus_die() -> None:
    """ISCA 2023: 139,264 decoders of 4 bits are 0.250 % of the 754 mm2 of an RTX 2080 Ti: 68 multiprocessors of 2,048."""
    own = msgspec.structs.replace(decoder(read_chip("olive"), "decoders of 4 bits"), borders=(), each=("sms", "lanes"))
    chip = msgspec.structs.replace(read_chip("olive"), node_nm=12, array={"sms": 68, "lanes": 2048}, decoders=(own,), levels=GPU, unroll={}, runs=())
    assert own.count(chip.array) == 139_264
    assert 100 * chip_area(chip).by_part[own.name] / 754 == pytest.approx(0.250, abs=5e-4)


GPU = tuple(msgspec.structs.replace(level, serves=("sms", "lanes")) for level in read_chip("olive").levels)


def test_decoders_along_the_borders_of_an_array() -> None:
    """OliVe's systolic array: one for a row and one for a column, at 28 nm larger than at 12 as a cell of memory is; they follow a varied array."""
    chip = read_chip("olive")
    own = decoder(chip, "decoders of 4 bits")
    assert (own.count(chip.array), decoder(chip, "decoders of 8 bits").count(chip.array)) == (64 + 64, 32 + 32)
    assert own.count({"rows": 128, "columns": 32}) == 160
    at_12 = 128 * 13.53 / 1e6
    assert 2 * at_12 < chip_area(chip).by_part[own.name] < 3 * at_12
    assert chip_area(msgspec.structs.replace(chip, node_nm=12)).by_part[own.name] == pytest.approx(at_12)
    assert chip_area(chip).missing == ("decoders of 8 bits",)


def test_a_dual_side_core_is_so_much_larger() -> None:
    """ISCA 2021: 1.5 % of the GPU; a V100's die is 815 mm2."""
    chip = read_chip("dstc")
    assert 100 * chip_area(chip).by_part["bitmaps and accumulation"] / 815 == pytest.approx(1.5, abs=5e-3)
    assert decoder(chip, "bitmaps and accumulation").count(chip.array) == 80 * 4


@pytest.mark.parametrize("name", ["ant-os", "ant-ws", "a100", "h100", "h200"])
def test_what_nobody_published_is_not_in_the_area(name: str) -> None:
    chip = read_chip(name)
    without = msgspec.structs.replace(chip, decoders=())
    assert chip_area(chip).mm2 == chip_area(without).mm2
    assert chip_area(chip).missing == tuple(item.name for item in chip.decoders) != ()


def stated(chip: Chip) -> Chip:
    levels = tuple(msgspec.structs.replace(level, area_mm2=0.5) for level in chip.levels)
    return msgspec.structs.replace(chip, mac=msgspec.structs.replace(chip.mac, area_mm2=0.25), levels=levels)


def test_what_a_chip_states_is_taken() -> None:
    chip = stated(read_chip("eyeriss-256"))
    area = chip_area(msgspec.structs.replace(chip, node_nm=350))
    assert area.estimated == ()
    assert area.by_part == {"mac": 64, "dram": 0.5, "glb": 0.5, "input_register": 128, "weight_register": 128, "sum_register": 128}


def test_no_figure() -> None:
    chip = msgspec.structs.replace(read_chip("eyeriss-256"), node_nm=350)
    with pytest.raises(UnsupportedError, match=r"\[mac\] has no area_mm2, and no figure is at hand to estimate it at 350 nm, only to 90$"):
        chip_area(chip)
    levels = tuple(msgspec.structs.replace(level, capacity_bytes=None) for level in chip.levels)
    with pytest.raises(UnsupportedError, match="level 'glb' has neither area_mm2 nor capacity_bytes"):
        chip_area(msgspec.structs.replace(chip, node_nm=45, levels=levels))
