"""The emitted engine against the interpreter: random programs, every byte of DRAM, with and without stalls of the port."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.backends.rtl.engines import ENGINES, SMALL
from tests.backends.rtl.programs import random_program

from ridgeline.backends.rtl import emit
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping import interpreter
from ridgeline.mapping.program import Opcode, Program
from ridgeline.mapping.schedule import DramTiming
from ridgeline.testing import hardware
from ridgeline.tools import simulator as tools
from ridgeline.tools import verilator
from ridgeline.tools.simulator import Event, Job, Region, Simulator, Stalls, build, simulate
from ridgeline.tools.verilator import lint

LATENCIES = (1, 7, 64)


def meaning(program: Program, inputs: np.ndarray | None = None) -> np.ndarray:
    """DRAM after the program, by the interpreter; `inputs` lie at its start."""
    image = program.image()
    memory = np.full(program.memory_bytes, 0xA5, np.uint8)
    memory[: len(image)] = np.frombuffer(image, np.uint8)
    if inputs is not None:
        memory[: inputs.size] = inputs
    return interpreter.run(program, memory)


def whole_job(program: Program, latency: int) -> Job:
    """Runs the program and dumps all of DRAM."""
    return Job(
        image=program.image(),
        entry=program.entry,
        memory_bytes=program.memory_bytes,
        inputs={},
        dumps=(Region(name="all", address=0, bytes=program.memory_bytes),),
        dram=DramTiming(bytes_per_cycle=Fraction(program.engine.bus_bytes), read_latency_cycles=latency, write_latency_cycles=latency),
        limit_cycles=200_000,
    )


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.fixture(scope="module")
def simulator(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    return build(hardware.verilog(engine), engine.bus_bytes, tmp_path_factory.mktemp("engine"))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1 << 30),
    stalls=st.sampled_from([0.0, 0.1, 0.5]),
    latency=st.sampled_from(LATENCIES),
    base=st.sampled_from([0, 3 << 33]),
)
def test_every_byte_of_dram_is_the_interpreters(
    engine: Engine, simulator: Simulator, tmp_path: Path, seed: int, stalls: float, latency: int, base: int
) -> None:
    program = random_program(engine, np.random.default_rng(seed), steps=5)
    expected = meaning(program)
    job = replace(whole_job(program, latency), stalls=Stalls(share=stalls, seed=seed & 0xFFFF), base_address=base)
    found = simulate(simulator, job, tmp_path)
    assert found.runs[0].done
    assert found.violations == ()
    assert np.flatnonzero(found.dumps["all"][0] != expected).tolist() == []
    written = expected[1 << 20 :]
    assert np.unique(written[written != 0xA5]).size > 16  # the outputs are no constants
    counts = {kind: sum(item.opcode is kind for item in program.instructions) for kind in Opcode}
    events = found.runs[0].events
    assert events[Event.LOAD_START].size == events[Event.LOAD_DONE].size == counts[Opcode.LOAD]
    assert events[Event.MAC_START].size == events[Event.MAC_DONE].size == counts[Opcode.COMPUTE]
    assert events[Event.DRAIN_START].size == events[Event.DRAIN_DONE].size
    assert events[Event.STORE_START].size == events[Event.STORE_DONE].size == counts[Opcode.STORE]


def test_a_second_start_needs_no_reset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images one after another, with a reset before the first only: nothing of the first run is left."""

    def harness(bus_bytes: int) -> dict[str, str]:
        files = whole(bus_bytes)
        main = files["main.cpp"].replace("top_.rst = 1;", "top_.rst = cold_, cold_ = false;")
        warm = main.replace("    const Job& job_;", "    bool cold_ = true;\n    const Job& job_;")
        assert warm.count("cold_") == 3
        return {**files, "main.cpp": warm}

    whole = tools._harness  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(tools, "_harness", harness)
    monkeypatch.setattr(verilator, "build", partial(verilator.build, opt="-O0"))  # it runs for thousands of cycles, not millions
    program = random_program(SMALL, np.random.default_rng(3), steps=5)
    inputs = np.random.default_rng(4).integers(0, 256, (3, 1024), dtype=np.uint8)
    job = replace(whole_job(program, 7), inputs={Region(name="in", address=0, bytes=1024): inputs})
    found = simulate(build(hardware.verilog(SMALL), SMALL.bus_bytes, tmp_path / "build"), job, tmp_path)
    assert [run.done for run in found.runs] == [True] * 3
    assert found.violations == ()
    for values, dram in zip(inputs, found.dumps["all"], strict=True):
        assert np.flatnonzero(dram != meaning(program, values)).tolist() == []


def test_the_same_engine_gives_the_same_bytes() -> None:
    assert emit(SMALL) == hardware.verilog(SMALL)


def test_the_text_names_modules_and_signals_and_no_path() -> None:
    (path, text), *rest = hardware.verilog(SMALL).items()
    assert (path, rest) == ("rtl/ridgeline_engine.v", [])
    assert re.search(r"^module ridgeline_engine\(", text, re.MULTILINE)
    for unit in ("fetch", "loader", "weights", "mac", "activations", "array", "drain", "storer", "dispatch"):
        assert re.search(rf"^module \\ridgeline_engine\.{unit} ", text, re.MULTILINE)
    assert "accumulator_depth = 64" in text
    assert "/src/" not in text
    assert "site-packages" not in text
    assert "$signal" not in text


def test_lint_finds_nothing(engine: Engine, tmp_path: Path) -> None:
    assert lint(hardware.verilog(engine), "ridgeline_engine", tmp_path) == ()


def test_several_engines_side_by_side(tmp_path: Path) -> None:
    files = emit(SMALL, 3)
    assert sorted(files) == ["rtl/ridgeline_engine.v", "rtl/ridgeline_engines.v"]
    assert files["rtl/ridgeline_engine.v"] == hardware.verilog(SMALL)["rtl/ridgeline_engine.v"]
    assert lint(files, "ridgeline_engines", tmp_path) == ()
    assert f"input [COPIES*{8 * SMALL.bus_bytes}-1:0] m_axi_rdata" in files["rtl/ridgeline_engines.v"]
