"""The outline of a mapping against its counts and its estimate, on random mappings."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from ridgeline.algorithm.nest import parse
from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.chip import TENSORS, Level, read_chip
from ridgeline.mapping.estimate import estimate
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping
from ridgeline.mapping.outline import outline
from ridgeline.mapping.text import nest_text
from ridgeline.testing.loops import Case, random_case

CASES = 150


def cases() -> list[Case]:
    return [random_case(np.random.default_rng(seed)) for seed in range(CASES)]


def test_links_and_tiles_add_up_to_the_estimate() -> None:
    for nest, chip, mapping, rules in cases():
        rules = replace(rules, latch=False)
        try:
            made = estimate(mapping, nest, chip, rules)
        except DoesNotFitError:
            continue
        moved: dict[tuple[str, str], float] = defaultdict(float)
        for level in outline(mapping, nest, chip, rules):
            for link in level.links:
                moved[level.level, link.tensor] += link.parent_bytes
                if link.child is not None:
                    moved[link.child, link.tensor] += link.child_bytes
            if level.level != chip.levels[0].name:
                assert sum(tile.bytes for tile in level.tiles.values()) == pytest.approx(made.occupied_bytes[level.level])
        for level, traffic in made.traffic_bytes.items():
            for tensor, size in traffic.items():
                assert moved[level, tensor] == pytest.approx(size)


def test_every_loop_stands_once() -> None:
    for nest, chip, mapping, rules in cases():
        found = [loop for level in outline(mapping, nest, chip, rules) for loop in level.loops]
        assert found == [loop for loop in mapping.loops if loop.size > 1]


def test_tiles_of_a_convolution() -> None:
    """By hand: 4 of 8 channels and 2 of 8 rows in the buffer, kernels of 3 with a stride of 2."""
    nest = parse(
        "c (y*s+r) (x*s+q), m c r q -> m y x", axes={"m": 4, "c": 8, "y": 8, "x": 8, "r": 3, "q": 3}, factors={"s": 2}, multiplies=True
    )
    chip = read_chip("eyeriss-256")
    outer = (Loop(axis="c", size=2), Loop(axis="y", size=4))
    inner = tuple(Loop(axis=axis, size=size) for axis, size in (("m", 4), ("c", 4), ("y", 2), ("x", 8), ("r", 3), ("q", 3)))
    level = chip.levels[1].name
    positions = {tensor: {chip.levels[0].name: 0} for tensor in ("input", "weight", "output")}
    for tensor in chip.levels[1].keeps:
        positions[tensor][level] = 2
    found = outline(LoopMapping(loops=(*outer, *inner), positions=positions), nest, chip, Conventions())[1]
    assert found.level == level
    assert dict(found.tiles["input"].shape) == {"c": 4, "y": 5, "x": 17}
    assert found.tiles["input"].elements == 4 * 5 * 17
    assert found.loops == inner


def test_whole_tensors_stay_where_they_are_at_home() -> None:
    """Inputs and outputs at home in the buffer: the loop over m brings weights to it, and what it holds whole is not moved by it."""
    nest = parse("y c, c m -> y m", axes={"y": 4, "m": 6, "c": 8}, multiplies=True)
    chip = msgspec.structs.replace(read_chip("tpu-like"), homes={"input": "sram_2mb", "output": "sram_2mb"})
    loops = (Loop(axis="m", size=6), Loop(axis="y", size=4), Loop(axis="c", size=8))
    positions = {"input": {"sram_2mb": 0}, "weight": {"dram": 0, "rf_128b": 1}, "output": {"sram_2mb": 0, "rf_2b": 2}}
    mapping = LoopMapping(loops=loops, positions=positions)
    outer, buffer, sums, weights = outline(mapping, nest, chip, Conventions())
    assert (outer.level, dict(outer.tiles["weight"].shape), list(outer.tiles)) == ("dram", {"c": 8, "m": 6}, ["weight"])
    assert [(link.tensor, link.child, link.parent_bytes) for link in outer.links] == [("weight", "rf_128b", 48.0)]
    assert {tensor: dict(tile.shape) for tensor, tile in buffer.tiles.items()} == {"input": {"y": 4, "c": 8}, "output": {"y": 4, "m": 6}}
    assert (outer.loops, buffer.loops, sums.loops, weights.loops) == ((), loops[:1], (), loops[1:])
    assert nest_text(mapping, chip).splitlines()[:3] == ["[dram: weight]", "[sram_2mb: input, output]", "for m in 6"]
    moved = replace(mapping, positions={**positions, "weight": {"dram": 0, "sram_2mb": 1, "rf_128b": 1}})
    chip = msgspec.structs.replace(chip, levels=tuple(_open(level) if level.name == "sram_2mb" else level for level in chip.levels))
    outer, buffer, *_ = outline(moved, nest, chip, Conventions())
    assert (outer.loops, buffer.loops) == (loops[:1], ()), "the loop that brings the weights is outside of the buffer's tile"


def _open(level: Level) -> Level:
    """A level that keeps every tensor."""
    return msgspec.structs.replace(level, keeps=TENSORS, ports=())
