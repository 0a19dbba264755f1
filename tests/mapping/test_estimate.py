"""Cycles and energy against a published run of Timeloop, and the refusals."""

from __future__ import annotations

import msgspec
import pytest

from ridgeline.algorithm.nest import parse
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.hardware.chip import Systolic, read_chip
from ridgeline.mapping.count import count
from ridgeline.mapping.estimate import estimate
from ridgeline.mapping.loops import TIMELOOP, Loop, LoopMapping
from ridgeline.mapping.text import nest_text

CHIP = read_chip("eyeriss-256")
NEST = parse("n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 64, "c": 64, "y": 56, "x": 56, "r": 3, "q": 3}, multiplies=True)
# Timeloop 4cf6d4c on this chip and layer, its best mapping: the totals of one run.
PUBLISHED = {"sum_register": 236_027_904, "weight_register": 117_669_888, "input_register": 118_099_968, "glb": 4_136_960, "dram": 585_728}
PUBLISHED_PJ_A_MAC = {
    "mac": 1.0, "sum_register": 1.99357, "weight_register": 1.01146, "input_register": 0.99711, "glb": 0.26506, "dram": 1.01332
}  # fmt: skip
LOOPS = (
    ("x", 4, None), ("c", 4, None), ("m", 4, None), ("y", 56, None), ("x", 14, "columns"), ("c", 4, "rows"), ("q", 3, "rows"), ("r", 3, None),
    ("c", 4, None), ("m", 16, None),
)  # fmt: skip
MAPPING = LoopMapping(
    loops=tuple(Loop(axis=axis, size=size, array=array) for axis, size, array in LOOPS),
    positions={
        "input": {"dram": 0, "glb": 2, "input_register": 7},
        "weight": {"dram": 0, "weight_register": 7},
        "output": {"dram": 0, "glb": 2, "sum_register": 9},
    },
)


def test_access_counts_equal_timeloops() -> None:
    totals = dict.fromkeys(PUBLISHED, 0)
    for (level, _), access in count(MAPPING, NEST, CHIP, TIMELOOP).accesses.items():
        totals[level] += access.reads + access.writes + access.partial_reads + access.partial_writes
    assert totals == PUBLISHED


def test_energy_and_cycles_equal_timeloops() -> None:
    found = estimate(MAPPING, NEST, CHIP, TIMELOOP)
    assert found.cycles == found.steps == 688_128
    assert found.energy_pj / NEST.iterations == pytest.approx(6.28053, rel=1e-5)
    for level, energy in PUBLISHED_PJ_A_MAC.items():
        assert found.energy_by_level[level] / NEST.iterations == pytest.approx(energy, rel=2e-5)
    assert found.utilization == pytest.approx(0.65625)
    assert found.bound == "compute"
    assert found.occupied_bytes["weight_register"] == 2 * 192


def test_a_systolic_array_pays_for_each_set_of_weights() -> None:
    systolic = Systolic(fill_cycles=10, last_cycles=-1, source="test")
    plain, filled = (estimate(MAPPING, NEST, chip, TIMELOOP) for chip in (CHIP, msgspec.structs.replace(CHIP, systolic=systolic)))
    visits = 4 * 4 * 4  # x, c and m outside the weights' registers; y reuses them
    assert filled.steps == plain.steps + 10 * visits - 1


def test_a_tile_that_does_not_fit_names_its_level() -> None:
    levels = tuple(msgspec.structs.replace(level, capacity_bytes=100_000) if level.name == "glb" else level for level in CHIP.levels)
    with pytest.raises(DoesNotFitError, match=r"tiles of 130,048 bytes at level 'glb' of chip 'eyeriss-256', which holds 100,000; shrink"):
        estimate(MAPPING, NEST, msgspec.structs.replace(CHIP, levels=levels), TIMELOOP)


@pytest.mark.parametrize(
    ("loops", "message"),
    [
        (LOOPS[1:], "the loops over 'x' cover 14 of 56"),
        ((("x", 5, None), *LOOPS[1:]), "loop 0 over 'x' has iterations beyond its end of 56"),
        ((("m", 2, "rows"), ("x", 4, None), *LOOPS[1:2], ("m", 2, None), *LOOPS[3:]), "24 multipliers along 'rows' of chip .*, which has 16"),
    ],
)
def test_mappings_that_are_none(loops: tuple[tuple[str, int, str | None], ...], message: str) -> None:
    mapping = LoopMapping(loops=tuple(Loop(axis=axis, size=size, array=array) for axis, size, array in loops), positions=MAPPING.positions)
    with pytest.raises(InputError, match=message):
        estimate(mapping, NEST, CHIP)


def test_the_nest_as_text() -> None:
    text = nest_text(MAPPING, CHIP).splitlines()
    assert text[0] == "[dram: input, weight, output]"
    assert text[1] == "for x in 4"
    assert "    [glb: input, output]" in text
    assert "        par x in 14 on columns" in text
    assert text[-1].strip() == "multiply-accumulate"
