"""Random layers whose weights are of 4 bits, sparse, or both, through the emitted Verilog: bit-exact, and predicted against simulated cycles.

BENCH_STORED_LAYERS says how many (500).
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path

import numpy as np

from bench.random_layers import MEMORIES
from bench.row import Row, percent
from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.program import Compute
from ridgeline.mapping.schedule import DramTiming, predict
from ridgeline.testing.graphs import random_codes, random_layer_graph
from ridgeline.testing.hardware import run

LAYERS = int(os.environ.get("BENCH_STORED_LAYERS", "500"))
KINDS = ("conv", "pointwise", "dense")
PACKED_KINDS = (*KINDS, "conv", "grouped", "conv_transpose")  # that only a weight format serves
TARGET = 0.02  # of the median
CHANNELS, SIZE = 96, 20  # the largest that are drawn
SEED = 31_337
ENGINES = tuple(
    Engine(
        lanes_out=lanes_out, lanes_in=lanes_in, taps=2, bus_bytes=bus, activation_bytes=64 << 10, weight_bytes=weight << 10,
        output_bytes=8 << 10, accumulator_depth=128, weight_format=weight_format, sparsity=sparsity,
    )
    for lanes_out, lanes_in, bus, weight, weight_format, sparsity in (
        (4, 4, 8, 8, "flint4", "2:4"),
        (8, 8, 16, 16, "int4", "bank16:50%"),
        (4, 16, 32, 16, "flint4", "none"),
        (8, 4, 4, 16, "int8", "2:4"),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    name: str
    exact: bool
    forms: frozenset[tuple[int, int]]  # packed, sparse: of its COMPUTEs
    predicted: int
    simulated: int

    @property
    def error(self) -> float:
        return self.predicted / self.simulated - 1


def measure() -> list[Row]:
    found = [measured(number) for number in range(LAYERS)]
    wrong = [layer for layer in found if not layer.exact]
    forms = Counter(form for layer in found for form in layer.forms)
    errors = [abs(layer.error) for layer in found]
    worst = max(found, key=lambda layer: abs(layer.error))
    median = statistics.median(errors)
    what = f"{len(found)} random layers of 4-bit and sparse weights, {len(ENGINES)} engines"
    return [
        Row(
            figure=f"{what}: bit-exact",
            value=f"{len(found) - len(wrong)} of {len(found)}",
            target="all",
            worst=wrong[0].name if wrong else f"{forms[1, 0]} of 4 bits, {forms[0, 1]} sparse, {forms[1, 1]} both",
            holds=not wrong,
        ),
        Row(
            figure="the same: cycles, median error",
            value=percent(median),
            target=f"<= {TARGET:.0%}",
            worst=f"{worst.name}: {worst.predicted:,} against {worst.simulated:,} ({100 * worst.error:+.2f} %)",
            holds=median <= TARGET,
        ),
    ]


def measured(number: int) -> Measured:
    """The layer of that number: the first that is drawn whose weights the engine stores so."""
    engine, place = ENGINES[number % len(ENGINES)], number // len(ENGINES)
    kinds = PACKED_KINDS if engine.packs else KINDS
    kind = kinds[place % len(kinds)]
    latency, words = MEMORIES[number % len(MEMORIES)]
    dram = DramTiming(bytes_per_cycle=Fraction(words * engine.bus_bytes), read_latency_cycles=latency, write_latency_cycles=latency // 2)
    for attempt in count():
        rng = np.random.default_rng(SEED + 1_000 * number + attempt)
        graph = random_layer_graph(
            rng, kind, largest_channels=CHANNELS, largest_size=SIZE, weight_format=engine.weight_format, sparsity=engine.sparsity
        )
        try:
            program = lower(graph, engine)
        except DoesNotFitError:
            continue
        forms = {(item.packed, item.sparse) for item in program.instructions if isinstance(item, Compute)}
        if forms != {(0, 0)}:
            break
    with tempfile.TemporaryDirectory() as folder:
        checked = run(graph, engine, random_codes(rng, graph), Path(folder), dram=dram)
    name = f"{kind} {number} ({engine.lanes_out} x {engine.lanes_in}, {engine.weight_format}, {engine.sparsity})"
    return Measured(
        name=name, exact=checked.mismatch is None, forms=frozenset(forms), predicted=predict(program, dram).cycles, simulated=checked.cycles
    )
