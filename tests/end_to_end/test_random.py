"""Random layers of every kind and random networks through the emitted Verilog, with random tilings, memories and stalls of the port."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.reference import run_integer
from ridgeline.flows.check import Settings
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.schedule import DramTiming, Tier
from ridgeline.testing.graphs import LAYER_KINDS, informative, random_codes, random_layer_graph, random_network
from ridgeline.testing.hardware import run
from ridgeline.testing.mappings import random_tilings
from ridgeline.tools.simulator import Stalls


def assert_equal(graph: Graph, engine: Engine, rng: np.random.Generator, folder: Path) -> None:
    """On two images, with a memory, tilings and stalls drawn."""
    rate = Fraction(int(rng.integers(1, 2 * engine.bus_bytes)), int(rng.integers(1, 4)))
    tiers = tuple(Tier(bytes=end, bytes_per_cycle=rate / factor) for end, factor in ((32, 4), (500, 2)) if rng.random() < 0.5)
    read, write = (int(rng.integers(1, 60)) for _ in range(2))
    dram = DramTiming(bytes_per_cycle=rate, read_latency_cycles=read, write_latency_cycles=write, tiers=tiers)
    stalls = Stalls(share=float(rng.choice([0, 0.1, 0.5])), seed=int(rng.integers(1, 1000)))
    codes = random_codes(rng, graph, images=2)
    settings = Settings(stalls=stalls)
    checked = run(graph, engine, codes, folder, dram=dram, settings=settings, tilings=random_tilings(rng, graph, engine))
    assert checked.mismatch is None
    expected = run_integer(graph, codes)
    for port in graph.outputs:
        assert np.array_equal(checked.outputs[port.name], port.to_array(expected[port.tensor]))


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_layer(kind: str, engine: Engine, tmp_path: Path) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        graph = random_layer_graph(rng, kind, largest_channels=24, largest_size=14)
        assert_equal(graph, engine, rng, tmp_path / str(seed))


@pytest.mark.parametrize("seed", range(8))
def test_network(seed: int, engine: Engine, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    graph = random_network(rng, blocks=6, largest_channels=24, largest_size=14)
    while not _says_something(graph):
        graph = random_network(rng, blocks=6, largest_channels=24, largest_size=14)
    assert_equal(graph, engine, rng, tmp_path)


def _says_something(graph: Graph) -> bool:
    tensors = run_integer(graph, random_codes(np.random.default_rng(0), graph, images=2))
    return all(informative(tensors[port.tensor]) for port in graph.outputs)
