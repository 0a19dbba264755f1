"""ZigZag's counts against the exact ones, where both must be equal: every factor divides its axis, and nothing slides."""

from __future__ import annotations

from math import prod

import msgspec
import numpy as np
import pytest

from ridgeline.algorithm.nest import Nest
from ridgeline.mapping.count import count
from ridgeline.mapping.estimate import occupied_bytes
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.mapping.nominal import Side, average_lanes, sides, used_lanes
from ridgeline.mapping.nominal import occupied_bytes as nominal_bytes
from ridgeline.mapping.stalls import latency
from ridgeline.testing.loops import random_case

CASES = 600
RULES = Conventions(slide=False, latch=True)


def is_even(mapping: LoopMapping, nest: Nest) -> bool:
    return all(prod(loop.size for loop in mapping.loops if loop.axis == axis) == size for axis, size in nest.axes.items())


def has_taps(nest: Nest) -> bool:
    return any(nest.axes[axis] > 1 for index in nest.inputs[0].indices if len(index) > 1 for axis in index if axis not in nest.output.axes)


def moved(side: Side, number: int, move: str) -> int:
    return sum(flow.elements * flow.times * side.instances[number] for name, flow in side.flows[number].items() if name == move)


def test_equal_to_the_exact_counts() -> None:
    """Of inputs and weights, at every level: an operand stays at its multiplier in both."""
    compared = 0
    for seed in range(CASES):
        nest, chip, mapping, _ = random_case(np.random.default_rng(seed))
        if not is_even(mapping, nest) or has_taps(nest) or any(len(index) > 2 for operand in nest.operands for index in operand.indices):
            continue
        exact = count(mapping, nest, chip, RULES).accesses
        found = sides(mapping, nest, chip, average_lanes(used_lanes(mapping, chip), nest))
        for name, side in [(name, side) for name, side in found.items() if name != "output"]:
            for number, level in enumerate(side.levels):
                access = exact[level.name, name]
                assert moved(side, number, "read") == access.reads, f"seed {seed}: {name} at {level.name}"
                assert moved(side, number, "fill") == access.writes, f"seed {seed}: {name} at {level.name}"
                compared += 1
    assert compared > 200


def test_occupied_as_exactly_where_tiles_are_even() -> None:
    """Whole inputs and weights in their home too."""
    homes = 0
    for seed in range(CASES):
        nest, chip, mapping, _ = random_case(np.random.default_rng(seed))
        if not is_even(mapping, nest) or has_taps(nest) or any(len(index) > 2 for operand in nest.operands for index in operand.indices):
            continue
        chip = msgspec.structs.replace(chip, widths=msgspec.structs.replace(chip.widths, partial=chip.widths.output))
        exact = occupied_bytes(mapping, nest, chip, Conventions())
        found = nominal_bytes(mapping, nest, chip, average_lanes(used_lanes(mapping, chip), nest))
        assert found == pytest.approx(exact), f"seed {seed}"
        homes += bool(chip.homes)
    assert homes > 5


def test_cycles_are_no_fewer_than_the_steps() -> None:
    for seed in range(150):
        nest, chip, mapping, _ = random_case(np.random.default_rng(seed))
        if any(len(index) > 2 for operand in nest.operands for index in operand.indices):
            continue
        lanes = {array: list(factors.items()) for array, factors in used_lanes(mapping, chip).items()}
        found = latency(mapping, nest, chip, average=lanes, whole=lanes)
        assert found.steps == prod(loop.size for loop in mapping.loops if loop.array is None)
        assert found.cycles == found.steps + found.first_fill + found.last_drain, "a chip without bandwidths never stalls"
        levels = tuple(msgspec.structs.replace(level, read_bits_per_cycle=8, write_bits_per_cycle=8) for level in chip.levels)
        slow = msgspec.structs.replace(chip, levels=levels)
        assert latency(mapping, nest, slow, average=lanes, whole=lanes).cycles >= found.cycles
