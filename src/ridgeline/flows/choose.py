"""The engine and the tilings: what the exploration picks for the network and the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ridgeline.errors import InputError
from ridgeline.flows.options import Options
from ridgeline.hardware.device import Device, read_device

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.explore.choose import Choice


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


def choose(graph: Graph, device: Device, options: Options, caps: Mapping[str, int] | None = None) -> Choice:
    """`caps` take the place of those of the options. Raises InputError for pins that the Verilog cannot have."""
    from ridgeline.explore.choose import choose as explore

    if options.backend != "hls":
        _require_powers_of_two(options.pins)
    return explore(graph, device, objective=options.objective, pins=options.pins, caps=options.caps if caps is None else caps)


def _require_powers_of_two(pins: Mapping[str, int]) -> None:
    from ridgeline.hardware.engine.engine import Engine
    from ridgeline.hardware.engine.storage import INT8, NONE

    smallest = {
        "lanes_out": 4, "lanes_in": 4, "bus_bytes": 4, "activation_bytes": 1024, "weight_bytes": 1024, "output_bytes": 1024,
        "accumulator_depth": 32,
    }  # fmt: skip
    sizes = {name: pins.get(name, least) for name, least in smallest.items()}
    Engine(**sizes, taps=1, weight_format=INT8, sparsity=NONE).require_powers_of_two()


def explored(choice: Choice) -> dict[str, Any]:
    """By the names of summary.json."""
    found = choice.explored
    return {"legal": found.legal, "evaluated": found.evaluated, "pruned": found.pruned, "time_s": round(found.time_s, 6)}


def resources(choice: Choice) -> dict[str, int]:
    """What the chosen engine is predicted to need, by the names of summary.json."""
    need = choice.resources
    return {"dsp": need.dsp, "bram": need.bram_18kb, "lut": need.lut, "ff": need.ff}
