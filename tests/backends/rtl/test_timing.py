"""The constants of hardware/engine/timing.py against what the emitted engine does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.backends.rtl.engines import ENGINES

from ridgeline.hardware.engine import timing
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.program import Compute, End, Load, Mode, Program, Store, Target
from ridgeline.mapping.schedule import DramTiming
from ridgeline.testing import hardware
from ridgeline.tools.simulator import Event, Job, Simulator, build, simulate

ENTRY = 1 << 16
OUTPUT = 1 << 20


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.fixture(scope="module")
def simulator(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    return build(hardware.verilog(engine), engine.bus_bytes, tmp_path_factory.mktemp("engine"))


@dataclass(frozen=True, kw_only=True)
class Times:
    """Cycles of the computes' events."""

    start: list[int]
    stop: list[int]
    drain_start: list[int]
    drain_stop: list[int]


def times(simulator: Simulator, engine: Engine, folder: Path, computes: Sequence[Compute]) -> Times:
    """Of computes that wait for nothing but the array: the tile and the weights are loaded before."""
    size = min(engine.activation_bytes, engine.weight_bytes) // 2
    load = Load(target=Target.WEIGHT, signal_ready=1, dram_address=0, buffer_address=0, beats=size // engine.bus_bytes)
    first, *middle = computes
    program = Program(
        engine=engine,
        network="timing",
        instructions=(
            replace(load, target=Target.ACTIVATION),
            load,
            replace(first, activation_wait=1, weight_wait=1),
            *middle[:-1],
            replace(middle[-1], output_commit=1),
            Store(wait_ready=1, dram_address=OUTPUT, buffer_address=0, vectors=1),
            End(),
        ),
        constants=bytes(ENTRY),
        entry=ENTRY,
        memory_bytes=OUTPUT + 4096,
        placements={},
        inputs=(),
        outputs=(),
        spans=(),
    )
    dram = DramTiming(bytes_per_cycle=Fraction(2 * engine.bus_bytes), read_latency_cycles=4, write_latency_cycles=4)
    job = Job(image=program.image(), entry=ENTRY, memory_bytes=program.memory_bytes, inputs={}, dumps=(), dram=dram, limit_cycles=100_000)
    run = simulate(simulator, job, folder).runs[0]
    assert run.done
    kinds = (Event.MAC_START, Event.MAC_DONE, Event.DRAIN_START, Event.DRAIN_DONE)
    start, stop, drain_start, drain_stop = (run.events[kind].tolist() for kind in kinds)
    return Times(start=start, stop=stop, drain_start=drain_start, drain_stop=drain_stop)


def compute(mode: Mode = Mode.MATRIX, **changes: int) -> Compute:
    return replace(Compute(mode=mode, address=0, row_bytes=2048, rows=64, tap_mask=1), **changes)


def steady(values: Sequence[int]) -> set[int]:
    """Without the first ones, which wait for the loads."""
    return set(values[2:])


def test_runs_follow_without_a_gap(simulator: Simulator, engine: Engine, tmp_path: Path) -> None:
    reads = 24
    found = times(simulator, engine, tmp_path, [compute(x_count=reads, chunk_count=4, output_columns=reads)] * 8)
    assert [stop - start for start, stop in zip(found.start, found.stop, strict=True)] == [4 * reads - 1] * 8
    assert steady(np.diff(found.start).tolist()) == {4 * reads}
    assert [begin - stop for begin, stop in zip(found.drain_start, found.stop, strict=True)] == [timing.accumulate_latency(engine)] * 8
    lengths = {stop - start for start, stop in zip(found.drain_start, found.drain_stop, strict=True)}
    assert lengths == {timing.DRAIN_START + reads - 1 + timing.DRAIN_LATENCY}


def test_short_runs_last_as_long_as_their_blocks(simulator: Simulator, engine: Engine, tmp_path: Path) -> None:
    found = times(simulator, engine, tmp_path, [compute(chunk_count=5, in_place=1, output_columns=1, last=0)] * 8)
    run = max(engine.block_words, timing.RUN_PERIOD)
    assert steady([stop - start for start, stop in zip(found.start, found.stop, strict=True)]) == {4 * run}
    adding = times(simulator, engine, tmp_path, [compute(chunk_count=5, output_columns=1, last=0)] * 8)
    run = max(engine.block_words, timing.RUN_MINIMUM)
    assert steady([stop - start for start, stop in zip(adding.start, adding.stop, strict=True)]) == {4 * run}


def test_short_runs_without_blocks(simulator: Simulator, engine: Engine, tmp_path: Path) -> None:
    cases = ({"hold": 0}, timing.RUN_MINIMUM), ({"hold": 1}, timing.RUN_PERIOD), ({"in_place": 1}, timing.RUN_PERIOD)
    for changes, period in cases:
        found = times(simulator, engine, tmp_path, [compute(Mode.MAXIMUM, kx_count=6, last=0, **changes)] * 6)
        assert steady([stop - start for start, stop in zip(found.start, found.stop, strict=True)]) == {5 * period}


def test_computes_follow_each_other(simulator: Simulator, engine: Engine, tmp_path: Path) -> None:
    short = times(simulator, engine, tmp_path, [compute(Mode.MAXIMUM, hold=1, last=0)] * 8)
    assert steady(np.diff(short.start).tolist()) == {timing.MAC_GAP}
    going_on = times(simulator, engine, tmp_path, [compute(Mode.MAXIMUM, x_count=16, first=int(k == 0), last=0) for k in range(8)])
    gaps = [begin - stop for begin, stop in zip(going_on.start[1:], going_on.stop, strict=False)]
    assert steady(gaps) == {timing.RUN_MINIMUM}


def test_drains_follow_each_other(simulator: Simulator, engine: Engine, tmp_path: Path) -> None:
    """Two halves: while one is drained the other fills, and a half is free again in the cycle after its last read."""
    reads = 28
    found = times(simulator, engine, tmp_path, [compute(Mode.MAXIMUM, x_count=reads, output_columns=reads)] * 8)
    assert min(np.diff(found.drain_start)) == timing.DRAIN_START + reads - 1 + timing.DRAIN_GAP
    small = times(simulator, engine, tmp_path, [compute(Mode.MAXIMUM)] * 8)
    apart = max(timing.DRAIN_MINIMUM, timing.PARAMETER_FREE + engine.parameter_words - 1 + timing.weight_latency(engine))
    assert steady(np.diff(small.drain_start).tolist()) == {apart}
