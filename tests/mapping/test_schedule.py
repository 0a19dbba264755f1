"""The predicted schedule: its own rules, and cycle for cycle against the emitted engine."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.mapping.cases import random_engine

from ridgeline.backends.rtl import emit
from ridgeline.errors import InputError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.program import Compute, End, Load, Mode, Opcode, Program, Span, Store, Target
from ridgeline.mapping.schedule import DramTiming, Tier, layer_bytes, predict
from ridgeline.testing.graphs import random_network
from ridgeline.testing.mappings import random_tilings
from ridgeline.tools.simulator import Event, Job, Simulator, build, simulate

ENGINE = Engine(
    lanes_out=4, lanes_in=4, bus_bytes=8, activation_bytes=1 << 13, weight_bytes=1 << 12, output_bytes=1 << 11, accumulator_depth=64
)
SLOW = DramTiming(bytes_per_cycle=Fraction(8, 3), read_latency_cycles=37, write_latency_cycles=37)
FAST = DramTiming(bytes_per_cycle=Fraction(16), read_latency_cycles=5, write_latency_cycles=9)
CURVED = DramTiming(
    bytes_per_cycle=Fraction(16), read_latency_cycles=20, write_latency_cycles=20, tiers=(
        Tier(bytes=64, bytes_per_cycle=Fraction(2)), Tier(bytes=256, bytes_per_cycle=Fraction(4)),
        Tier(bytes=1023, bytes_per_cycle=Fraction(24)), Tier(bytes=2000, bytes_per_cycle=Fraction(12)),
    ),
)  # fmt: skip


def small_program(**changes: int) -> Program:
    """One tile of 32 pixels, 9 runs, one store."""
    compute = Compute(
        mode=Mode.MATRIX, address=0, row_bytes=256, rows=8, ky_count=3, kx_count=3, y_count=4, x_count=8, output_rows=4, output_columns=8,
        weight_wait=1, activation_wait=1, output_commit=1,
    )  # fmt: skip
    instructions = (
        Load(target=Target.WEIGHT, signal_ready=1, dram_address=0, buffer_address=0, beats=22),
        Load(target=Target.ACTIVATION, signal_ready=1, dram_address=8192, buffer_address=0, beats=200),
        replace(compute, **changes),
        Store(wait_ready=1, dram_address=16384, buffer_address=0, vectors=32),
        End(),
    )
    return Program(
        engine=ENGINE, network="small", instructions=instructions, constants=bytes(4096), entry=4096, memory_bytes=32768, placements={}, inputs=(),
        outputs=(), spans=(Span(node="conv", operator="Conv", macs=32 * 9 * 16, start=0, stop=5, output="y"),),
    )  # fmt: skip


def random_program(seed: int, engine: Engine | None = None) -> Program:
    rng = np.random.default_rng(seed)
    engine = engine or random_engine(rng)
    graph = random_network(rng)
    return lower(graph, engine, random_tilings(rng, graph, engine))


def test_a_run_lasts_as_long_as_its_pixels() -> None:
    events = predict(small_program(), FAST).events[2]
    assert events["stop"] - events["start"] == 9 * 32 - 1
    assert events["drain_stop"] > events["drain_start"] + 32 > events["stop"]


def test_short_runs_wait_for_the_accumulators_and_the_blocks() -> None:
    # 2 words of 8 bytes a block; a sum in memory takes 4 cycles.
    added = predict(small_program(y_count=1, x_count=1, output_rows=1, output_columns=1), FAST).events[2]
    kept = predict(small_program(y_count=1, x_count=1, output_rows=1, output_columns=1, in_place=1), FAST).events[2]
    assert added["stop"] - added["start"] == 8 * 4
    assert kept["stop"] - kept["start"] == 8 * 2


def test_a_layer_takes_all_the_time_when_alone() -> None:
    prediction = predict(small_program(), SLOW)
    (layer,) = prediction.layers
    assert prediction.cycles == layer.stop_cycle
    assert layer.array_cycles == 9 * 32
    assert layer.write_bytes == 32 * 4
    assert layer.read_bytes == (222 + 5 * 8) * 8
    assert layer.bound == "memory"
    assert layer.utilisation == pytest.approx(32 * 9 * 16 / (layer.cycles * 16))


def test_what_never_comes_is_told() -> None:
    program = small_program()
    load = replace(program.instructions[1], signal_ready=0)  # type: ignore[call-arg]
    stuck = replace(program, instructions=(program.instructions[0], load, *program.instructions[2:]))
    with pytest.raises(
        InputError, match="program of 'small' never ends: load is done, compute waits at instruction 2, store waits at instruction 3"
    ):
        predict(stuck, FAST)


def test_a_memory_without_bandwidth_is_refused() -> None:
    with pytest.raises(InputError, match="bytes_per_cycle is 0"):
        DramTiming(bytes_per_cycle=Fraction(0), read_latency_cycles=1, write_latency_cycles=1)


@pytest.mark.parametrize(
    ("ends", "rate", "message"),
    [
        ((64, 64), Fraction(1), "a tier from 64 to 64 at 1 bytes a cycle; its length and rate must be above 0"),
        ((64,), Fraction(0), "a tier from 0 to 64 at 0 bytes a cycle"),
        (range(1, 18), Fraction(1), "17 tiers; there may be 16"),
        ((64,), Fraction(32), "64 bytes on end take 2 cycles, less than at 16 bytes a cycle"),
    ],
)
def test_tiers_that_are_none_are_refused(ends: tuple[int, ...], rate: Fraction, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(FAST, tiers=tuple(Tier(bytes=end, bytes_per_cycle=rate) for end in ends))


def test_a_stretch_goes_on_until_the_address_jumps() -> None:
    """8 rows of 64 bytes on end, or apart; or 8 loads of one each."""
    program, tail = small_program(), small_program().instructions[2:]
    dram = replace(SLOW, tiers=(Tier(bytes=64, bytes_per_cycle=Fraction(1, 2)), Tier(bytes=256, bytes_per_cycle=Fraction(2))))

    def cycles(*loads: Load) -> int:
        weights = replace(program.instructions[0], beats=8)  # type: ignore[call-arg]
        return predict(replace(program, instructions=(weights, *loads, *tail), spans=()), dram).cycles

    load = Load(target=Target.ACTIVATION, signal_ready=1, dram_address=8192, dram_pitch=64, buffer_address=0, buffer_pitch=8, rows=8, beats=8)
    together, apart = cycles(load), cycles(replace(load, dram_pitch=72))
    one_by_one = [replace(load, dram_address=8192 + 64 * i, rows=1, dram_pitch=0, signal_ready=int(i == 7)) for i in range(8)]
    assert apart - together == pytest.approx(float(8 * dram.cycles(64) - dram.cycles(512)), abs=16)  # the last beat's debt
    assert cycles(*one_by_one) == pytest.approx(together + 2 * float(dram.cycles(256)), abs=16)  # two more bursts of instructions, in between


def test_a_layer_of_short_stretches_is_bound_by_the_memory() -> None:
    """Its 32 pixels of 4 bytes are stored each at a place of its own."""
    program = small_program(rows=1)
    store = replace(program.instructions[3], vectors=1, rows=8, pixels=4, dram_row=64, dram_pixel=16)  # type: ignore[call-arg]
    scattered = replace(program, instructions=(*program.instructions[:3], store, program.instructions[4]))
    slow = replace(FAST, tiers=(Tier(bytes=64, bytes_per_cycle=Fraction(1, 4)),))
    assert predict(scattered, FAST).layers[0].bound == "latency"
    assert predict(scattered, slow).layers[0].bound == "memory"
    assert predict(scattered, slow).cycles > 32 * 8 * 4


@pytest.mark.parametrize("seed", range(20))
def test_events_keep_their_order(seed: int) -> None:
    program = random_program(seed)
    for dram in (SLOW, FAST, CURVED):
        prediction = predict(program, dram)
        events = prediction.events
        for opcode in (Opcode.LOAD, Opcode.COMPUTE, Opcode.STORE):
            places = [i for i, item in enumerate(program.instructions) if item.opcode == opcode]
            assert np.all(np.diff(events["start"][places]) > 0)
            assert np.all(events["stop"][places] >= events["start"][places])
            assert np.all(events["start"][places] > prediction.dispatched[places])
        assert sum(layer.cycles for layer in prediction.layers) == prediction.cycles
        assert sum(layer.array_cycles for layer in prediction.layers) <= prediction.cycles
        moved = layer_bytes(program.instructions, program.engine)
        assert prediction.write_bytes == moved[1]
        assert prediction.cycles >= (prediction.read_bytes + prediction.write_bytes) / dram.bytes_per_cycle


@pytest.mark.parametrize("seed", range(20))
def test_a_faster_memory_is_no_slower(seed: int) -> None:
    program = random_program(seed)
    slow = predict(program, SLOW).cycles
    for dram in (replace(SLOW, bytes_per_cycle=Fraction(16)), replace(SLOW, read_latency_cycles=5, write_latency_cycles=5)):
        assert predict(program, dram).cycles <= slow * 1.01  # turns on the bus may fall a little otherwise


def test_a_prediction_needs_no_constants() -> None:
    rng = np.random.default_rng(8)
    graph, engine = random_network(rng), random_engine(rng)
    packed, bare = lower(graph, engine), lower(graph, engine, pack=False)
    assert bare.instructions == packed.instructions
    assert (bare.entry, bare.memory_bytes, bare.placements) == (packed.entry, packed.memory_bytes, packed.placements)
    assert bare.constants == b""


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    return build(emit(ENGINE), ENGINE.bus_bytes, tmp_path_factory.mktemp("engine"))


@pytest.mark.parametrize("seed", range(16))
def test_the_emitted_engine_takes_the_predicted_cycles(seed: int, simulator: Simulator, tmp_path: Path) -> None:
    """Every layer: nothing is fitted, so what differs is a cycle here and there where reads and writes meet."""
    program = random_program(seed, ENGINE)
    dram = (SLOW, FAST, replace(SLOW, bytes_per_cycle=Fraction(8), read_latency_cycles=120), CURVED)[seed % 4]
    prediction = predict(program, dram)
    limit = 2 * prediction.cycles + 1000
    job = Job(
        image=program.image(), entry=program.entry, memory_bytes=program.memory_bytes, inputs={}, dumps=(), dram=dram, limit_cycles=limit
    )
    run = simulate(simulator, job, tmp_path).runs[0]
    assert run.done
    assert prediction.cycles == pytest.approx(run.cycles, rel=0.005)
    kinds = {Opcode.COMPUTE: Event.MAC_DONE, Opcode.STORE: Event.STORE_DONE}
    done: dict[int, int] = {}
    for opcode, event in kinds.items():
        places = [i for i, item in enumerate(program.instructions) if item.opcode == opcode]
        done.update(zip(places, run.events[event].tolist(), strict=True))
    previous = 0
    for span, layer in zip(program.spans, prediction.layers, strict=True):
        opcode = Opcode.STORE if span is program.spans[-1] else Opcode.COMPUTE
        stop = 1 + max(done[i] for i in range(span.start, span.stop) if program.instructions[i].opcode == opcode)
        if stop - previous > run.cycles / 100:
            assert layer.cycles == pytest.approx(stop - previous, rel=0.03, abs=8)
        previous = stop
