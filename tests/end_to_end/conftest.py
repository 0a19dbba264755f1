"""One engine for all tests of this folder: its simulator is compiled once, whichever process comes first."""

from __future__ import annotations

import fcntl
from fractions import Fraction

import pytest

from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.schedule import DramTiming
from ridgeline.testing import hardware
from ridgeline.tools import simulator

DRAM = DramTiming(bytes_per_cycle=Fraction(12), read_latency_cycles=21, write_latency_cycles=9)
# Buffers so small that most layers of the reduced networks are cut into tiles.
ENGINE = Engine(
    lanes_out=8,
    lanes_in=8,
    taps=3,
    bus_bytes=16,
    activation_bytes=1 << 14,
    weight_bytes=1 << 13,
    output_bytes=1 << 11,
    accumulator_depth=64,
)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    with (tmp_path_factory.getbasetemp().parent / "engine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        simulator.build(hardware.verilog(ENGINE), ENGINE.bus_bytes, tmp_path_factory.mktemp("simulator"))
    return ENGINE
