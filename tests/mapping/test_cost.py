"""The closed form against the tilings' own geometry and against the schedule."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from tests.mapping.cases import random_engine

from ridgeline.explore import kernel
from ridgeline.explore.choose import best_tilings
from ridgeline.explore.space import BUFFERS
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping import cost
from ridgeline.mapping.layer import Work, weight_words
from ridgeline.mapping.lower import lower
from ridgeline.mapping.parts import works
from ridgeline.mapping.schedule import DramTiming, predict
from ridgeline.mapping.tiling import clipped, need
from ridgeline.testing.graphs import LAYER_KINDS, random_layer_graph, random_network
from ridgeline.testing.mappings import random_tilings

DRAM = DramTiming(bytes_per_cycle=Fraction(8), read_latency_cycles=30, write_latency_cycles=30)


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


def closed_form(work: Work, engine: Engine) -> float:
    cells, choice = np.full((3, 1, 1, 1, 1), kernel.INFINITE), np.zeros((0, 0, 0, 0, 0), np.int64)
    sizes = np.array([getattr(engine, name) for name in BUFFERS])
    kernel.search_layer(cost.layer_record(work, engine)[0], cost.memory_record(DRAM, engine.bus_bytes)[0], sizes, cells, choice)
    return float(cells[0, 0, 0, 0, 0])


def test_networks_cost_what_the_schedule_says() -> None:
    """The best tiling of every layer, summed: the layers' ends overlap, so whole networks are compared."""
    engine = Engine(
        lanes_out=8, lanes_in=8, bus_bytes=16, activation_bytes=1 << 15, weight_bytes=1 << 14, output_bytes=1 << 13, accumulator_depth=256
    )
    errors: list[float] = []
    for seed in range(12):
        graph = random_network(np.random.default_rng(seed), blocks=6, largest_channels=64, largest_size=32)
        cycles = predict(lower(graph, engine, best_tilings(graph, engine, DRAM)), DRAM).cycles
        errors.append(sum(closed_form(work, engine) for made in works(graph, engine).values() for work in made) / cycles - 1)
    assert np.median(np.abs(errors)) < 0.03, errors
    assert np.max(np.abs(errors)) < 0.15, errors
