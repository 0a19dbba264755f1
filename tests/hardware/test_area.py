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
    assert list(area.by_part) == ["mac", *(level.name for level in chip.levels[1:])]
    assert area.mm2 == pytest.approx(sum(area.by_part.values()))
    assert min(area.by_part.values()) > 0


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
