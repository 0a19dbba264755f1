"""Random networks, drawn by hypothesis, through onnxruntime and through the emitted Verilog: every value of every layer.

BENCH_NETWORKS says how many (500). A network that fails is left in build/bench/random-networks: `ridgeline verify` shows its first wrong value.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from bench.row import Row
from ridgeline.algorithm.graph import Array, Graph
from ridgeline.algorithm.reference import run_integer
from ridgeline.errors import CheckFailedError, DoesNotFitError
from ridgeline.flows.check import Checked, Settings
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.schedule import DramTiming
from ridgeline.testing.graphs import informative, random_codes, random_network
from ridgeline.testing.hardware import run
from ridgeline.testing.mappings import random_tilings
from ridgeline.tools.simulator import Stalls

NETWORKS = int(os.environ.get("BENCH_NETWORKS", "500"))
FAILED = Path("build/bench/random-networks")
IMAGES = 2
# Buffers so small that most layers are cut into tiles.
ENGINES = tuple(
    Engine(
        lanes_out=lanes_out, lanes_in=lanes_in, taps=taps, bus_bytes=bus, activation_bytes=activation << 10, weight_bytes=weight << 10,
        output_bytes=output << 10, accumulator_depth=depth,
    )
    for lanes_out, lanes_in, taps, bus, activation, weight, output, depth in (
        (4, 4, 2, 8, 8, 2, 1, 32),
        (8, 8, 3, 16, 8, 4, 1, 64),
        (8, 16, 4, 32, 16, 8, 2, 128),
        (16, 8, 3, 64, 16, 8, 4, 64),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What makes one network and its run."""

    seed: int
    blocks: int
    largest_channels: int
    largest_size: int
    engine: int
    random_tilings: bool
    stalls: float
    read_latency_cycles: int
    beat_cycles: int  # between two beats of the memory

    def graph(self) -> tuple[Graph, dict[str, Array]]:
        rng = np.random.default_rng(self.seed)
        graph = random_network(rng, blocks=self.blocks, largest_channels=self.largest_channels, largest_size=self.largest_size)
        return graph, random_codes(rng, graph, images=IMAGES)

    def dram(self) -> DramTiming:
        rate = Fraction(ENGINES[self.engine].bus_bytes, self.beat_cycles)
        return DramTiming(bytes_per_cycle=rate, read_latency_cycles=self.read_latency_cycles, write_latency_cycles=self.read_latency_cycles)


CASES = st.builds(
    Case,
    seed=st.integers(0, 2**32 - 1),
    blocks=st.integers(2, 6),
    largest_channels=st.integers(8, 48),
    largest_size=st.integers(6, 20),
    engine=st.integers(0, len(ENGINES) - 1),
    random_tilings=st.booleans(),
    stalls=st.sampled_from((0.0, 0.0, 0.1, 0.3, 0.6)),
    read_latency_cycles=st.integers(2, 80),
    beat_cycles=st.integers(1, 3),
)


@dataclass(slots=True, kw_only=True)
class Tally:
    """Of all cases so far."""

    networks: int = 0
    layers: int = 0
    values: int = 0
    wrong_values: int = 0
    stalled: int = 0
    failures: list[str] = field(default_factory=list[str])
    replaced: Counter[str] = field(default_factory=Counter[str])


def measure() -> list[Row]:
    shutil.rmtree(FAILED, ignore_errors=True)
    tally = Tally()

    @settings(
        max_examples=NETWORKS,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=CASES)
    def draw(case: Case) -> None:
        assume(_counts(case, tally))

    draw()
    return [_row(tally)]


def _counts(case: Case, tally: Tally) -> bool:
    """Whether the case counts; if so it is run."""
    graph, codes = case.graph()
    tensors = run_integer(graph, codes)
    if not all(informative(tensors[port.tensor]) for port in graph.outputs):
        tally.replaced["say little"] += 1
        return False
    with tempfile.TemporaryDirectory() as name:
        try:
            failure = _run(case, graph, codes, Path(name), tally)
        except DoesNotFitError:
            tally.replaced["too large for the engine"] += 1
            return False
        if failure is not None:
            tally.failures.append(failure)
            _keep(case, codes, Path(name), len(tally.failures))
    tally.networks += 1
    tally.layers += len(graph.nodes)
    tally.stalled += case.stalls > 0
    if tally.networks % 50 == 0:
        print(f"bench: {tally.networks} networks, {len(tally.failures)} failed", file=sys.stderr, flush=True)
    return True


def _run(case: Case, graph: Graph, codes: dict[str, Array], folder: Path, tally: Tally) -> str | None:
    """What is wrong, if anything is."""
    engine = ENGINES[case.engine]
    tilings = random_tilings(np.random.default_rng(case.seed), graph, engine) if case.random_tilings else None
    stalls = Settings(stalls=Stalls(share=case.stalls, seed=1 + case.seed))
    try:
        checked: Checked = run(graph, engine, codes, folder, dram=case.dram(), settings=stalls, tilings=tilings)
    except CheckFailedError as error:
        return f"seed {case.seed}: {error}"
    tally.values += checked.values_compared
    if checked.mismatch is None:
        return None
    tally.wrong_values += checked.mismatch.wrong
    return f"seed {case.seed}: {checked.mismatch}"


def _keep(case: Case, codes: dict[str, Array], folder: Path, number: int) -> None:
    """The design as `ridgeline verify` reads it, with the case that made it."""
    kept = FAILED / str(number)
    shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("work"))
    np.savez(kept / "outputs.npz", **codes)  # pyright: ignore[reportArgumentType]
    (kept / "case.json").write_text(json.dumps(asdict(case), indent=1) + "\n")


def _row(tally: Tally) -> Row:
    replaced = ", ".join(f"{count} {why}" for why, count in tally.replaced.items()) or "none"
    ran = (
        f"{tally.layers:,} layers, {tally.values:,} values, {len(ENGINES)} engines, {tally.stalled} with stalls; draws replaced: {replaced}"
    )
    return Row(
        figure=f"{tally.networks} random networks in Verilog: wrong values",
        value=f"{tally.wrong_values:,} ({len(tally.failures)} networks)" if tally.failures else "0",
        target="0",
        worst=tally.failures[0] if tally.failures else ran,
        holds=not tally.failures and tally.networks >= NETWORKS,
        peer="none proves it",
    )
