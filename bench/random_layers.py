"""Predicted against simulated cycles of random layers, on engines and memories that nothing else in the code uses.

BENCH_LAYERS says how many (200). Every layer's values are held against onnxruntime's too: a wrong layer has no cycles.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, cycle, islice
from pathlib import Path

import numpy as np

from bench.row import Row, percent
from ridgeline.algorithm.graph import Graph
from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.schedule import DramTiming, predict
from ridgeline.testing.graphs import LAYER_KINDS, random_codes, random_layer_graph
from ridgeline.testing.hardware import run

LAYERS = int(os.environ.get("BENCH_LAYERS", "200"))
TARGET = 0.02  # of the median
CYCLES = range(4_000, 120_000)  # predicted ones, of a layer of realistic size
CHANNELS, SIZE = 192, 56  # the largest that are drawn
SEED = 20_231
ENGINES = tuple(
    Engine(
        lanes_out=lanes_out, lanes_in=lanes_in, taps=taps, bus_bytes=bus, activation_bytes=activation << 10, weight_bytes=weight << 10,
        output_bytes=output << 10, accumulator_depth=depth,
    )
    for lanes_out, lanes_in, taps, bus, activation, weight, output, depth in (
        (4, 8, 2, 8, 32, 8, 4, 64),
        (8, 8, 4, 32, 64, 16, 8, 256),
        (16, 4, 4, 16, 32, 16, 8, 128),
        (8, 16, 3, 8, 64, 32, 8, 128),
        (16, 16, 3, 32, 128, 64, 16, 256),
    )
)  # fmt: skip
MEMORIES = ((13, Fraction(1)), (37, Fraction(3, 4)), (151, Fraction(1, 2)))  # read latency in cycles, bus words a cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    kind: str
    number: int
    engine: Engine
    dram: DramTiming
    predicted: int
    simulated: int

    @property
    def error(self) -> float:
        return self.predicted / self.simulated - 1

    def __str__(self) -> str:
        lanes = f"{self.engine.lanes_out} x {self.engine.lanes_in}, bus {self.engine.bus_bytes}, latency {self.dram.read_latency_cycles}"
        return f"{self.kind} {self.number} ({lanes}): {self.predicted:,} against {self.simulated:,} ({100 * self.error:+.2f} %)"


def measure() -> list[Row]:
    found: list[Measured] = []
    for number, kind in enumerate(islice(cycle(LAYER_KINDS), LAYERS)):
        found.append(_measured(number, kind))
        if os.environ.get("BENCH_VERBOSE"):
            print(found[-1], file=sys.stderr, flush=True)
    return _rows(found)


def setting(number: int) -> tuple[Engine, DramTiming]:
    """The engine and the memory of a layer; a write is acknowledged after half of a read's latency."""
    engine = ENGINES[number % len(ENGINES)]
    latency, words = MEMORIES[number // len(ENGINES) % len(MEMORIES)]
    return engine, DramTiming(bytes_per_cycle=words * engine.bus_bytes, read_latency_cycles=latency, write_latency_cycles=latency // 2)


def _measured(number: int, kind: str) -> Measured:
    """The layer of that number. Raises RuntimeError if it computes anything wrong."""
    engine, timing = setting(number)
    graph, seed = next(_graphs(number, kind, engine, timing))
    codes = random_codes(np.random.default_rng(seed), graph)
    with tempfile.TemporaryDirectory() as folder:
        checked = run(graph, engine, codes, Path(folder), dram=timing)
    if checked.mismatch is not None:
        raise RuntimeError(f"layer {number} ({kind}, seed {seed}): {checked.mismatch}")
    predicted = predict(lower(graph, engine), timing).cycles
    return Measured(kind=kind, number=number, engine=engine, dram=timing, predicted=predicted, simulated=checked.cycles)


def _graphs(number: int, kind: str, engine: Engine, timing: DramTiming) -> Iterator[tuple[Graph, int]]:
    """Layers of that kind that last as long as real ones do, with their seeds."""
    for attempt in count():
        seed = SEED + 1_000 * number + attempt
        graph = random_layer_graph(np.random.default_rng(seed), kind, largest_channels=CHANNELS, largest_size=SIZE)
        try:
            cycles = predict(lower(graph, engine), timing).cycles
        except DoesNotFitError:
            continue
        if cycles in CYCLES:
            yield graph, seed


def _rows(found: Sequence[Measured]) -> list[Row]:
    errors = [abs(layer.error) for layer in found]
    median = statistics.median(errors)
    worst = max(found, key=lambda layer: abs(layer.error))
    within = sum(error <= TARGET for error in errors) / len(errors)
    what = f"{len(found)} random layers, {len(ENGINES)} engines, {len(MEMORIES)} latencies: cycles, median error"
    return [
        Row(figure=what, value=percent(median), target=f"<= {TARGET:.0%}", worst=str(worst), holds=median <= TARGET, peer="FPGA'15: 7.2 %"),
        Row(figure="the same, layers within 2 %", value=f"{within:.0%}", target="-", worst=_by_kind(found), holds=None),
    ]


def _by_kind(found: Sequence[Measured]) -> str:
    """The kinds whose median is the worst."""
    medians = {
        kind: statistics.median(abs(layer.error) for layer in found if layer.kind == kind) for kind in {layer.kind for layer in found}
    }
    worst = sorted(medians.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
    return "medians: " + ", ".join(f"{kind} {percent(median)}" for kind, median in worst)
