"""The harness and its memory, with a stand-in for the engine that copies a burst (copier.v)."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ridgeline.errors import ToolError
from ridgeline.mapping.schedule import DramTiming, Tier
from ridgeline.tools.simulator import Event, Job, Region, Simulation, Simulator, Stalls, build, simulate

COPIER = Path(__file__).with_name("copier.v").read_text()
SOURCE, TARGET = Region(name="in", address=4096, bytes=4096), Region(name="out", address=8192, bytes=4096)
VALUES = np.random.default_rng(0).integers(0, 256, (3, 4096), dtype=np.uint8)
BEATS = 256
ERROR, WRONG_WLAST = 1 << 8, 1 << 9  # bits of `entry`


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    return build({"rtl/copier.v": COPIER}, 16, tmp_path_factory.mktemp("copier"))


def job(rate: str = "16", latency: int = 10, **changes: object) -> Job:
    whole = Job(
        image=bytes(64),
        entry=BEATS - 1,
        memory_bytes=12288,
        inputs={SOURCE: VALUES},
        dumps=(TARGET,),
        dram=DramTiming(bytes_per_cycle=Fraction(rate), read_latency_cycles=latency, write_latency_cycles=latency),
        limit_cycles=100_000,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def cycles(simulation: Simulation) -> Sequence[int]:
    return [run.cycles for run in simulation.runs]


def test_every_image_arrives_and_events_are_recorded(simulator: Simulator, tmp_path: Path) -> None:
    found = simulate(simulator, job(), tmp_path)
    assert found.violations == ()
    assert np.array_equal(found.dumps["out"], VALUES)
    for run in found.runs:
        assert run.done
        assert (run.read_bytes, run.write_bytes) == (4096, 4096)
        assert run.events[Event.LOAD_START].tolist() == [0]
        assert run.events[Event.STORE_DONE].tolist() == [run.cycles - 1]
        assert run.events[Event.MAC_START].size == 0


@pytest.mark.parametrize("rate", ["2", "25/2", "16", "24", "32"])
@pytest.mark.parametrize("latency", [1, 64])
def test_bandwidth_and_latency(simulator: Simulator, tmp_path: Path, rate: str, latency: int) -> None:
    """8192 bytes move at `rate`, at most a beat a cycle each way; two latencies pass, of the first beat and of the acknowledgement.
    The credit that is there at the start is worth a beat."""
    found = simulate(simulator, job(rate, latency), tmp_path)
    moving = max(8192 / Fraction(rate), BEATS)
    for measured in cycles(found):
        assert -16 / Fraction(rate) - 1 <= measured - moving - 2 * latency <= 2 * 16 / Fraction(rate) + 4


@pytest.mark.parametrize("beats", [1, 4, 5, 40, 256])
def test_a_beat_costs_what_its_position_says(simulator: Simulator, tmp_path: Path, beats: int) -> None:
    """One stretch each way; what the last beat costs need not be paid before the end."""
    rates = {64: 1, 600: 20, 2048: 5}
    tiers = tuple(Tier(bytes=end, bytes_per_cycle=Fraction(rate)) for end, rate in rates.items())
    dram = DramTiming(bytes_per_cycle=Fraction(8), read_latency_cycles=10, write_latency_cycles=10, tiers=tiers)
    last = dram.cycles(16 * beats) - dram.cycles(16 * (beats - 1))
    for measured in cycles(simulate(simulator, job(dram=dram, entry=beats - 1), tmp_path)):
        assert -3 <= measured - (2 * dram.cycles(16 * beats) - last) - 20 <= 8


def test_stalls_change_the_cycles_and_nothing_else(simulator: Simulator, tmp_path: Path) -> None:
    calm = simulate(simulator, job("32"), tmp_path)
    stalled = simulate(simulator, job("32", stalls=Stalls(share=0.5, seed=3)), tmp_path)
    again = simulate(simulator, job("32", stalls=Stalls(share=0.5, seed=3)), tmp_path)
    assert np.array_equal(stalled.dumps["out"], VALUES)
    assert min(cycles(stalled)) > 1.5 * max(cycles(calm))
    assert cycles(stalled) == cycles(again)
    assert stalled.violations == ()


def test_the_memory_may_begin_anywhere(simulator: Simulator, tmp_path: Path) -> None:
    found = simulate(simulator, job(base_address=3 << 32), tmp_path)
    assert np.array_equal(found.dumps["out"], VALUES)
    assert found.violations == ()


def test_a_broken_rule_is_reported(simulator: Simulator, tmp_path: Path) -> None:
    crossing = simulate(simulator, job(entry=(16 << 12) + BEATS - 1), tmp_path)
    assert crossing.violations[0].endswith("a read burst of 4096 bytes at 0x1010 crosses a 4096-byte boundary")
    small = simulate(simulator, job(memory_bytes=8192, dumps=()), tmp_path)
    assert small.violations[0].endswith("a write burst of 4096 bytes at 0x2000 leaves the memory of 8192")
    program = simulate(simulator, job(image=bytes(8200)), tmp_path)
    assert program.violations[0].endswith("a write burst at 0x2000 hits the program, which ends at 0x2008")


def test_a_run_ends_at_its_limit(simulator: Simulator, tmp_path: Path) -> None:
    found = simulate(simulator, job(limit_cycles=50), tmp_path)
    assert [(run.done, run.cycles) for run in found.runs] == [(False, 50)] * 3


def test_what_cannot_be_dumped_is_an_error(simulator: Simulator, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="the simulator failed with status 3: a region to dump lies outside the memory"):
        simulate(simulator, job(dumps=(Region(name="far", address=12000, bytes=4096),)), tmp_path)


def test_a_wrong_wlast_is_reported(simulator: Simulator, tmp_path: Path) -> None:
    found = simulate(simulator, job(entry=WRONG_WLAST + BEATS - 1), tmp_path)
    assert found.violations[0].endswith("wlast is 1 with 251 beats left")


def test_an_error_of_the_engine_is_reported(simulator: Simulator, tmp_path: Path) -> None:
    found = simulate(simulator, job(entry=ERROR + BEATS - 1), tmp_path)
    assert "the engine raises `error`" in found.violations[0]


@pytest.mark.parametrize("bus", [4, 128])
def test_the_bus_may_have_any_width(tmp_path: Path, bus: int) -> None:
    narrow = build({"rtl/copier.v": COPIER.replace("BUS = 16", f"BUS = {bus}")}, bus, tmp_path)
    found = simulate(narrow, job(str(bus), entry=31), tmp_path / "run")
    assert found.violations == ()
    assert np.array_equal(found.dumps["out"][:, : 32 * bus], VALUES[:, : 32 * bus])


def test_a_design_that_does_not_compile_says_so(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="verilator failed with status"):
        build({"rtl/copier.v": "module ridgeline_engine(input clk; endmodule"}, 16, tmp_path)


def test_a_waveform_is_of_the_first_image(tmp_path: Path) -> None:
    traced = build({"rtl/copier.v": COPIER}, 16, tmp_path, trace=True)
    found = simulate(traced, job(wave=tmp_path / "run.vcd"), tmp_path / "run")
    wave = (tmp_path / "run.vcd").read_text()
    assert wave.startswith("$version")
    times = [int(line[1:]) for line in wave.splitlines() if line.startswith("#")]
    assert 10 * found.runs[0].cycles <= times[-1] <= 10 * (found.runs[0].cycles + 20)


def test_a_cache_that_cannot_be_written_is_no_obstacle(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Path:
        raise OSError(30, "Read-only file system")

    def compiled(files: object, top: str, main: str, out: Path, **_: object) -> Path:
        return Path(shutil.copy2(simulator.executable, out / top))

    monkeypatch.setattr("ridgeline.tools.simulator.cache_folder", refuse)
    monkeypatch.setattr("ridgeline.tools.simulator.verilator.build", compiled)
    made = build({"rtl/copier.v": COPIER}, 16, tmp_path)
    assert made.executable.parent == tmp_path
    assert simulate(made, job(), tmp_path / "run").runs[0].done
