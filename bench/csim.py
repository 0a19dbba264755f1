"""The C++ by C simulation: whole networks at full size in every format, and random layers on random lanes and tiles, each value compared.

BENCH_CSIM names the networks (alexnet vgg16 resnet18), BENCH_LAYERS how many random layers a format gets (100).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.algorithm.real_graphs import real_graph, real_inputs
from tests.backends.hls.engines import random_engine

from bench.row import Row, ridgeline
from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.passes.fixed import codes, fixed
from ridgeline.flows.check import Checked
from ridgeline.hardware.engine.engine import Engine
from ridgeline.testing import csim
from ridgeline.testing.graphs import LAYER_KINDS, random_codes, random_layer_graph
from ridgeline.testing.mappings import random_tilings

NETWORKS = os.environ.get("BENCH_CSIM", "alexnet resnet18 vgg16").split()
LAYERS = int(os.environ.get("BENCH_LAYERS", "100"))
FORMATS = ("int8", "fixed16", "float32")
DEVICE = "zcu102"
Run = Callable[[np.random.Generator, Graph, Engine, Path], Checked]


def measure() -> list[Row]:
    return [*(_layers(name) for name in FORMATS), *(_network(network, name) for name in FORMATS for network in NETWORKS)]


def _network(network: str, name: str) -> Row:
    """One image at full size. The time is of the whole command: reading, quantising, choosing, compiling and running the C++, and comparing."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        out = ("--images", "1", "--out", f"{folder}/out")
        found = ridgeline("build", network, "--device", DEVICE, "--backend", "hls", "--format", name, *out)
        seconds = time.perf_counter() - started
    holds = found["within_tolerance"]
    print(f"bench: csim: {network} {name} {seconds:.0f} s", file=sys.stderr, flush=True)
    return Row(
        figure=f"C simulation of {network}, {name}, one image at full size",
        value="0 wrong" if holds else "WRONG",
        target="0 wrong",
        worst=f"{found['values_compared']:,} values; {seconds:.0f} s in all, {found['engine']['lanes_out']} x {found['engine']['lanes_in']} lanes",
        holds=holds,
    )


def _layers(name: str) -> Row:
    wrong: list[str] = []
    values = 0
    started = time.perf_counter()
    for number in range(LAYERS):
        rng = np.random.default_rng(number)
        kind = LAYER_KINDS[number % len(LAYER_KINDS)]
        with tempfile.TemporaryDirectory() as folder:
            checked = RUNS[name](rng, random_layer_graph(rng, kind), _engine(rng), Path(folder))
        values += checked.values_compared
        if checked.mismatch is not None:
            wrong.append(f"{kind} {number}: {checked.mismatch}")
    seconds = (time.perf_counter() - started) / LAYERS
    worst = wrong[0] if wrong else f"{values:,} values, {seconds:.1f} s a layer with its compilation"
    return Row(figure=f"{LAYERS} random layers in C++, {name}: wrong layers", value=f"{len(wrong)}", target="0", worst=worst, holds=not wrong)


def _engine(rng: np.random.Generator) -> Engine:
    return random_engine(rng, tm=int(rng.integers(1, 49)), tn=int(rng.integers(2, 49)), pixels=int(rng.integers(1, 80)))


def _int8(rng: np.random.Generator, graph: Graph, engine: Engine, folder: Path) -> Checked:
    return csim.run(csim.int8(graph), engine, random_codes(rng, graph), folder, tilings=random_tilings(rng, graph, engine))


def _float32(rng: np.random.Generator, graph: Graph, engine: Engine, folder: Path) -> Checked:
    real = real_graph(rng, graph)
    network = csim.float32(real)
    return csim.run(network, engine, real_inputs(rng, real), folder, tilings=random_tilings(rng, network.graph, engine))


def _fixed16(rng: np.random.Generator, graph: Graph, engine: Engine, folder: Path) -> Checked:
    real = real_graph(rng, graph)
    inputs = real_inputs(rng, real, images=1)
    found = fixed(real, inputs)
    coded = {port.name: codes(inputs[port.name], found.fractions[port.tensor]) for port in real.inputs}
    return csim.run(csim.fixed16(found), engine, coded, folder, tilings=random_tilings(rng, found.graph, engine))


RUNS: dict[str, Run] = {"int8": _int8, "fixed16": _fixed16, "float32": _float32}
