"""The engine and the tilings: what the exploration picks for the network and the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from ridgeline.errors import InputError
from ridgeline.flows.options import Options
from ridgeline.hardware.device import Device, read_device

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.hardware.engine.engine import Engine
    from ridgeline.mapping.schedule import DramTiming


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """`choice` is the exploration's own value, for the report."""

    engine: Engine
    tilings: Any
    explored: Mapping[str, Any]
    resources: Mapping[str, int] | None = None
    points: tuple[Any, ...] = field(default=())


def read_target(options: Options) -> Device:
    """The device, at the clock that was asked for: its memory's latency in nanoseconds stays."""
    device = read_device(options.device)
    if options.clock_mhz is None:
        return device
    if not 1 <= options.clock_mhz <= 2000:
        raise InputError(f"--clock-mhz is {options.clock_mhz:g}; it must be in 1..2000")
    latency = math.ceil(device.dram.read_latency_cycles * options.clock_mhz / device.clock_mhz)
    dram = msgspec.structs.replace(device.dram, read_latency_cycles=latency)
    return msgspec.structs.replace(device, clock_mhz=options.clock_mhz, dram=dram)


def dram_timing(device: Device) -> DramTiming:
    """The device's memory: a write is acknowledged as late as a read arrives."""
    from ridgeline.mapping.schedule import DramTiming

    rate = Fraction(device.dram.bytes_per_s) / Fraction(str(device.clock_mhz)) / 10**6
    latency = device.dram.read_latency_cycles
    return DramTiming(bytes_per_cycle=rate, read_latency_cycles=latency, write_latency_cycles=latency)


def choose(graph: Graph, device: Device, options: Options) -> Chosen:
    from ridgeline.hardware.engine.engine import Engine

    sizes = {
        "lanes_out": 8, "lanes_in": 8, "taps": 3, "bus_bytes": 16, "activation_bytes": 1 << 15, "weight_bytes": 1 << 15, "output_bytes": 1 << 14,
        "accumulator_depth": 256,
    }  # fmt: skip
    return Chosen(engine=Engine(**{**sizes, **options.pins}), tilings=None, explored={"legal": 1, "evaluated": 1, "pruned": 0, "time_s": 0.0})
