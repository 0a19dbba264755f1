"""The closed form against the tilings' own geometry and against the schedule."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from tests.mapping.cases import random_engine

from ridgeline.explore import kernel
from ridgeline.explore.choose import best_tilings
from ridgeline.explore.space import BUFFERS, device_timing
from ridgeline.hardware.device import read_device
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping import cost
from ridgeline.mapping.layer import Work, weight_words
from ridgeline.mapping.lower import lower
from ridgeline.mapping.parts import works
from ridgeline.mapping.schedule import DramTiming, Tier, predict
from ridgeline.mapping.tiling import clipped, need
from ridgeline.testing.graphs import LAYER_KINDS, random_layer_graph, random_network
from ridgeline.testing.mappings import random_tilings

DRAM = DramTiming(bytes_per_cycle=Fraction(8), read_latency_cycles=30, write_latency_cycles=30)
RATES = {64: Fraction(1), 256: Fraction(2), 2048: Fraction(12)}
CURVED = replace(DRAM, tiers=tuple(Tier(bytes=end, bytes_per_cycle=rate) for end, rate in RATES.items()))
BOARD = device_timing(read_device("ku060"), 6)  # an engine that has a sixth of the board's memory


@pytest.mark.parametrize("seed", range(40))
def test_needs_are_those_of_the_lowering(seed: int) -> None:
    rng = np.random.default_rng(seed)
    engine, graph = random_engine(rng), random_layer_graph(rng, LAYER_KINDS[seed % len(LAYER_KINDS)])
    tilings = random_tilings(rng, graph, engine)
    for node, made in works(graph, engine).items():
        for work in made:
            record = cost.layer_record(work, engine)[0]
            assert cost.weight_words(record, work.blocks) == work.blocks * weight_words(work, engine)
            if node in tilings:
                tiling = clipped(tilings[node], work, engine)
                wanted = need(tiling, work, engine)
                assert cost.tile_words(record, tiling.y, tiling.x) * engine.bus_bytes == wanted.activation_bytes
                blocks = tiling.m // engine.lanes_out
                words = cost.piece_words(record, tiling.c) if tiling.c else cost.weight_words(record, blocks)
                assert words == wanted.weight_words


@pytest.mark.parametrize(("total", "tile", "group"), [(56, 14, 14), (56, 20, 7), (7, 7, 3), (13, 4, 3), (5, 5, 5), (1, 1, 1)])
def test_groups_cover_each_row_once(total: int, tile: int, group: int) -> None:
    kinds = cost.rows_of_groups(total, tile, group)
    cut = [
        min(group, stop - y) for start in range(0, total, tile) for stop in [min(start + tile, total)] for y in range(start, stop, group)
    ]
    assert sorted(np.repeat(kinds[:, 0], kinds[:, 1])) == sorted(cut)


@pytest.mark.parametrize("length", [1, 8, 64, 65, 300, 4096, 100_000])
def test_a_stretch_is_as_slow_as_its_tiers(length: int) -> None:
    record = cost.memory_record(CURVED, 8)[0]
    assert cost.slowdown(record, 1, length) == pytest.approx(max(1, float(CURVED.cycles(length)) * 8 / length))
    assert cost.slowdown(cost.memory_record(DRAM, 8)[0], 1, length) == 1


def closed_form(work: Work, engine: Engine, dram: DramTiming) -> float:
    cells, choice = np.full((3, 1, 1, 1, 1), kernel.INFINITE), np.zeros((0, 0, 0, 0, 0), np.int64)
    sizes = np.array([getattr(engine, name) for name in BUFFERS])
    kernel.search_layer(cost.layer_record(work, engine)[0], cost.memory_record(dram, engine.bus_bytes)[0], sizes, cells, choice)
    return float(cells[0, 0, 0, 0, 0])


@pytest.mark.parametrize("dram", [DRAM, CURVED, BOARD], ids=["flat", "curved", "board"])
def test_networks_cost_what_the_schedule_says(dram: DramTiming) -> None:
    """The best tiling of every layer, summed: the layers' ends overlap, so whole networks are compared."""
    engine = Engine(
        lanes_out=8, lanes_in=8, bus_bytes=16, activation_bytes=1 << 15, weight_bytes=1 << 14, output_bytes=1 << 13, accumulator_depth=256
    )
    errors: list[float] = []
    for seed in range(12):
        graph = random_network(np.random.default_rng(seed), blocks=6, largest_channels=64, largest_size=32)
        cycles = predict(lower(graph, engine, best_tilings(graph, engine, dram)), dram).cycles
        errors.append(sum(closed_form(work, engine, dram) for made in works(graph, engine).values() for work in made) / cycles - 1)
    assert np.median(np.abs(errors)) < 0.03, errors
    assert np.max(np.abs(errors)) < 0.15, errors
