"""Fused chains against their own stages costed again, all cuts of a chain, and what must not leave the chip."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from math import prod

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.layers import Layer, Link
from ridgeline.algorithm.nest import parse
from ridgeline.errors import InputError
from ridgeline.hardware.chip import TENSORS, Chip, Level, Mac, Widths, read_chip
from ridgeline.mapping import fuse as module
from ridgeline.mapping.estimate import Estimate, estimate
from ridgeline.mapping.fuse import Fused, FuseOptions, Segment, Stage, fuse, saved, shared_level
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.mapping.search.network import NetworkFound, map_nests, read_objective

EDP = read_objective("edp")


def chip(capacity: int, *, weights: bool = True) -> Chip:
    keeps = TENSORS if weights else ("input", "output")
    return Chip(
        name="small", description="small", clock_mhz=100, node_nm=45, array={"rows": 2, "columns": 2}, mac=Mac(pj=1, source="test"),
        widths=Widths(input=8, weight=8, output=8, partial=8), source="test",
        levels=(
            Level(
                name="dram", serves=("rows", "columns"), read_pj_per_bit=20, write_pj_per_bit=20, read_bits_per_cycle=16, one_port=True,
                source="test",
            ),
            Level(
                name="buffer", keeps=keeps, serves=("rows", "columns"), capacity_bytes=capacity, read_pj_per_bit=1, write_pj_per_bit=1,
                read_bits_per_cycle=128, write_bits_per_cycle=128, source="test",
            ),
            Level(name="register", keeps=("output",), must_keep=("output",), serves=(), capacity_bytes=4, read_pj_per_bit=0.01, write_pj_per_bit=0.01,
                  source="test"),
        ),
    )  # fmt: skip


def products(rows: int, widths: list[int]) -> list[Layer]:
    """A chain of matrix products."""
    return [
        Layer(name=f"layer{n}", operator="MatMul", nest=parse("y c, c m -> y m", axes={"y": rows, "c": c, "m": m}, multiplies=True),
              inputs=(f"t{n}", f"w{n}"), output=f"t{n + 1}")
        for n, (c, m) in enumerate(pairwise(widths))
    ]  # fmt: skip


def convolutions(rows: int, channels: list[int], taps: int) -> list[Layer]:
    """A chain of convolutions, padded so that rows stay."""
    layers: list[Layer] = []
    for n, (c, m) in enumerate(pairwise(channels)):
        nest = parse("n c (y+r) x, m c r -> n m y x", axes={"n": 1, "c": c, "m": m, "y": rows, "x": 3, "r": taps}, multiplies=True)
        operand = replace(nest.inputs[0], present=(1, c, rows, 3))
        nest = replace(nest, inputs=(operand, nest.inputs[1]))
        layers.append(Layer(name=f"layer{n}", operator="Conv", nest=nest, inputs=(f"t{n}", f"w{n}"), output=f"t{n + 1}"))
    return layers


def links(layers: list[Layer]) -> list[Link]:
    return [Link(source=a.name, target=b.name, operand="input") for a, b in pairwise(layers)]


def both(layers: list[Layer], on: Chip) -> tuple[NetworkFound, Fused]:
    alone = map_nests([layer.nest for layer in layers], on, EDP)
    return alone, fuse(layers, links(layers), on, alone, FuseOptions(objective=EDP))


@settings(max_examples=6, deadline=None)
@given(
    rows=st.sampled_from([4, 6]), widths=st.lists(st.integers(2, 6), min_size=3, max_size=4), capacity=st.sampled_from([30, 60, 400]),
    taps=st.sampled_from([0, 1, 3]),
)  # fmt: skip
def test_segments_hold_together(rows: int, widths: list[int], capacity: int, taps: int) -> None:
    layers = convolutions(rows, widths, taps) if taps else products(rows, widths)
    on = chip(capacity)
    alone, fused = both(layers, on)
    assert EDP.worth(fused.energy_pj, fused.cycles) <= EDP.worth(alone.energy_pj, alone.cycles) * (1 + 1e-12)
    assert sorted(stage.number for segment in fused.segments for stage in segment.stages) == list(range(len(layers)))
    for segment in fused.segments:
        for place, stage in enumerate(segment.stages):
            check_stage(segment, place, stage, layers, on)


def check_stage(segment: Segment, place: int, stage: Stage, layers: list[Layer], on: Chip) -> None:
    """Costs one tile again; nothing between the stages is in DRAM, and the buffer holds all that it should at once."""
    again = estimate(stage.mapping, stage.nest, stage.chip)
    weight = prod(next(operand for operand in stage.nest.operands if operand.name == "weight").extents(stage.nest.axes))
    load = weight * 8 * (20 + 1) if segment.resident else 0
    assert stage.estimate.energy_pj == pytest.approx(again.energy_pj * segment.tiles + load)
    assert stage.estimate.macs == again.macs * segment.tiles == layers[stage.number].nest.iterations
    dram = stage.estimate.traffic_bytes["dram"]
    assert ("input" in dram) == (place == 0)
    assert ("output" in dram) == (place + 1 == len(segment.stages))
    if segment.resident:
        assert dram["weight"] == weight
    if len(segment.stages) > 1:
        others = [other.nest for number, other in enumerate(segment.stages) if number not in (place, place + 1) and number]
        held = sum(prod(nest.operands[0].extents(nest.axes)) for nest in others)
        if segment.resident:
            mine = [other.nest for number, other in enumerate(segment.stages) if number != place]
            held += sum(prod(nest.operands[1].extents(nest.axes)) for nest in mine)
        assert again.occupied_bytes["buffer"] + held <= on.levels[1].usable_bytes  # type: ignore[operator]


def test_a_large_buffer_keeps_everything_between() -> None:
    layers = products(4, [6, 6, 6])
    alone, fused = both(layers, chip(1000))
    assert [len(segment.stages) for segment in fused.segments] == [2]
    less = 2 * 4 * 6 * 8 * 20  # the tensor's one way out and one way back
    assert fused.energy_pj <= alone.energy_pj - less
    assert saved(fused, alone)["energy"] == pytest.approx(1 - fused.energy_pj / alone.energy_pj)


def test_a_small_buffer_takes_tiles_of_rows() -> None:
    """64 rows of 8 do not fit 300 bytes, some of them do."""
    layers = products(64, [4, 8, 4])
    alone, fused = both(layers, chip(300))
    (segment,) = fused.segments
    assert segment.tiles > 1
    assert fused.energy_pj < alone.energy_pj


def test_a_layer_that_several_read_is_on_its_own() -> None:
    layers = products(4, [6, 6, 6])
    alone = map_nests([layer.nest for layer in layers], chip(1000), EDP)
    fused = fuse(layers, [], chip(1000), alone, FuseOptions(objective=EDP))
    assert fused.energy_pj == alone.energy_pj
    assert [len(segment.stages) for segment in fused.segments] == [1, 1]


def test_chips_without_a_level_for_it() -> None:
    assert shared_level(read_chip("tpu-like")).name == "sram_2mb"
    with pytest.raises(InputError, match="no level on it serves the whole array and keeps inputs and outputs"):
        shared_level(read_chip("systolic-32"))
    with pytest.raises(InputError, match="its homes already say that the weight stays"):
        shared_level(msgspec.structs.replace(chip(100), homes={"weight": "buffer"}))


class Priced:
    """A price for every segment, drawn."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.known: dict[tuple[int, ...], list[Segment]] = {}

    def segments(self, numbers: list[int]) -> list[Segment]:
        key = tuple(numbers)
        if key not in self.known:
            self.known[key] = [drawn(key, self.rng) for _ in range(int(self.rng.integers(0, 3)))]
        return self.known[key]


def drawn(numbers: tuple[int, ...], rng: np.random.Generator) -> Segment:
    stages = [
        Stage(
            number=number, nest=products(2, [2, 2])[0].nest, chip=chip(10), mapping=LoopMapping(loops=(), positions={}),
            estimate=Estimate(
                cycles=int(rng.integers(1, 50)), energy_pj=float(rng.integers(1, 50)), macs=1, steps=1, energy_by_level={}, cycles_by_level={},
                traffic_bytes={}, occupied_bytes={}, utilization=1.0, bound="compute",
            ),
        )
        for number in numbers
    ]  # fmt: skip
    return Segment(stages=tuple(stages))


@pytest.mark.parametrize("seed", range(20))
def test_cuts_equal_all_cuts(seed: int) -> None:
    """The Pareto set of a chain of six against every way to cut it and every choice of segments."""
    priced, rng = Priced(seed), np.random.default_rng(seed + 100)
    chain = list(range(6))
    single = [drawn((number,), rng) for number in chain]
    front = module._chain_front(chain, single, priced)  # type: ignore[arg-type]
    points: set[tuple[float, int]] = set()
    for count in range(6):
        for cuts in combinations(range(1, 6), count):
            sums = {(0.0, 0)}
            for begin, end in pairwise((0, *cuts, 6)):
                choices = [single[begin]] if end - begin == 1 else priced.segments(chain[begin:end]) if end - begin <= module.MOST_FUSED else []
                sums = {(e + choice.energy_pj, c + choice.cycles) for e, c in sums for choice in choices}
            points |= sums
    unbeaten = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    assert {(label.energy, label.cycles) for label in front} == unbeaten


def test_homes_are_whole_tensors() -> None:
    on = msgspec.structs.replace(chip(100), homes={"input": "buffer"})
    nest = products(4, [6, 6])[0].nest
    found = map_nests([nest], on, EDP, conventions=Conventions())
    assert "input" not in found.layers[0].estimate.traffic_bytes["dram"]
    assert found.layers[0].estimate.occupied_bytes["buffer"] >= 24
