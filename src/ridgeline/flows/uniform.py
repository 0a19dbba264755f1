"""`ridgeline explore --engine uniform`: the engine of FPGA'15 and Caffeine that suits a network best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import ceil
from typing import TYPE_CHECKING, Any

from ridgeline.errors import InputError
from ridgeline.flows import source
from ridgeline.flows.choose import read_target
from ridgeline.flows.options import Options
from ridgeline.flows.progress import Progress, Silent

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.explore.uniform import Study, UniformChoice, UniformDesign
    from ridgeline.hardware.device import Device
    from ridgeline.mapping.uniform import Memory

MOST_BATCH = 1 << 16
PORT_BYTES = 64  # of an AXI port, a cycle
PINS = {"lanes_out": "tm", "lanes_in": "tn"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExploredUniform:
    choice: UniformChoice
    summary: Mapping[str, Any]


def explore_uniform(options: Options, progress: Progress | None = None) -> ExploredUniform:
    """Fully connected layers are mapped whichever way (Caffeine's two) ends the network first. Raises RidgelineError."""
    from ridgeline.explore.uniform import search

    progress = progress or Silent()
    _check_options(options)
    device = read_target(options)
    progress.step("reading the network")
    network = source.read_model(options.network, batch=options.batch)
    progress.step("exploring")
    spaces = [
        study(network.graph, device, options, weight_major=weight_major, memory=memory)
        for weight_major, memory in product((False, True), memories(device, options.ports))
    ]
    found = [(space, search(space.study)) for space in spaces]
    best, choice = min(found, key=lambda pair: pair[1].chosen.time_s)
    summary = {
        "network": source.network_name(options.network),
        "device": device.name,
        "engine": "uniform",
        "format": options.format,
        "reduction": options.reduction,
        "clock_mhz": device.clock_mhz,
        "batch": options.batch or 1,
        "fully_connected": "weight-major" if best.weight_major else "input-major",
        "ports": _ports(best.study),
        "sharing": _sharing(best.study),
        "chosen": {**_figures(choice.chosen, device), "time_s": choice.chosen.time_s},
        "per_layer": _layers(choice, device),
        "not_counted": list(best.others),
        "pareto": _pareto(choice, best.study, device),
        "explored": {"points": sum(item.points for _, item in found), "seconds": round(sum(item.time_s for _, item in found), 6)},
    }
    return ExploredUniform(choice=choice, summary=summary)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """A study, how its fully connected layers are mapped, and the nodes that multiply nothing."""

    study: Study
    weight_major: bool
    others: tuple[str, ...]


def memories(device: Device, ports: int | None) -> list[Memory]:
    """The board's, and with ports one for each number of them that carry weights."""
    from ridgeline.explore.uniform import memory_of

    memory = memory_of(device)
    if ports is None:
        return [memory]
    rate = PORT_BYTES * device.clock_mhz / 1e3
    return [replace(memory, ports=ports, weight_ports=count, port_gb_per_s=rate) for count in range(1, ports)]


def study(graph: Graph, device: Device, options: Options, *, weight_major: bool, memory: Memory) -> Space:
    from ridgeline.explore.space import limits
    from ridgeline.explore.uniform import Budget, Study, layers_of
    from ridgeline.formats import read_format
    from ridgeline.mapping.uniform import Model, Reduction

    layers, others = layers_of(graph, batch=options.batch or 1, weight_major=weight_major)
    have = limits(device, options.caps)
    budget = Budget(dsp_kind=device.dsp_kind, dsp=have.dsp, bram_18kb=have.bram_18kb, clock_mhz=device.clock_mhz, memory=memory)
    found = Study(
        layers=layers,
        format=read_format(options.format),
        budget=budget,
        model=Model(reduction=Reduction[options.reduction.upper()]),
        pins={PINS[name]: value for name, value in options.pins.items()},
    )
    return Space(study=found, weight_major=weight_major, others=others)


def _sharing(found: Study) -> dict[str, dict[str, str]]:
    """How the Tm and the Tn lanes share each array: the wiring."""
    from ridgeline.mapping.uniform import ARRAYS, sharing

    nest = found.layers[0].nest
    return {array: {lanes: sharing(nest, array, axis).name.lower() for lanes, axis in (("tm", "m"), ("tn", "c"))} for array in ARRAYS}


def _ports(found: Study) -> dict[str, int] | None:
    memory = found.budget.memory
    return {"weights": memory.weight_ports, "maps": memory.ports - memory.weight_ports} if memory.ports else None


def _check_options(options: Options) -> None:
    """Raises InputError for what is of the programmable engine alone."""
    for name in options.pins:
        if name not in PINS:
            raise InputError(f"--{name.replace('_', '-')} pins the programmable engine; a uniform one has --lanes TMxTN")
    for name, value in options.pins.items():
        if value < 1:
            raise InputError(f"--lanes: {PINS[name]} is {value}; it must be 1 or more")
    for name in sorted({"lut", "ff"} & set(options.caps)):
        raise InputError(f"--max-{name}: a uniform engine's {name.upper()}s are not modelled; cap dsp or bram")
    if (options.batch or 1) > MOST_BATCH:
        raise InputError(f"--batch is {options.batch:,}; a uniform engine takes at most {MOST_BATCH:,} images at a time")
    if options.objective != "latency":
        raise InputError("--objective throughput is for the programmable engine; a uniform one ends a batch (--batch) as soon as it can")


def _figures(design: UniformDesign, device: Device) -> dict[str, Any]:
    """tr and tc are those of the largest tile."""
    return {
        "tm": design.engine.tm,
        "tn": design.engine.tn,
        "tr": max(item.tile.y for item in design.layers),
        "tc": max(item.tile.x for item in design.layers),
        "cycles": design.cycles,
        "gops": design.gops,
        "bandwidth_gb_per_s": design.bandwidth_gb_per_s,
        "dsp": design.engine.dsp(device.dsp_kind),
        "bram": design.engine.bram_18kb,
    }


def _layers(choice: UniformChoice, device: Device) -> list[dict[str, Any]]:
    clock = choice.chosen.clock_mhz
    rows: list[dict[str, Any]] = []
    for item, alone in zip(choice.chosen.layers, choice.alone, strict=True):
        cost = item.cost
        rows.append(
            {
                "name": item.layer.name,
                "macs": cost.macs,
                "tm": item.tile.m,
                "tn": choice.chosen.engine.tn,
                "tr": item.tile.y,
                "tc": item.tile.x,
                "order": "".join(item.order),
                "cycles": cost.cycles,
                "gops": cost.gops(clock),
                "operations_per_byte": cost.intensity,
                "bandwidth_gb_per_s": cost.bandwidth_gb_per_s(clock),
                "bytes": {name: round(count) for name, count in cost.bytes.items()},
                "bound": "memory" if cost.memory_s > cost.cycles / (clock * 1e6) else "compute",
                "alone": _figures(alone, device),
            }
        )
    return rows


def _pareto(choice: UniformChoice, study: Study, device: Device) -> list[dict[str, Any]]:
    """The engines that no other one beats in time, multipliers and bytes moved together."""
    from ridgeline.hardware.engine.uniform import mac_dsp

    clock, macs = device.clock_mhz, sum(layer.macs for layer in study.layers)
    each = mac_dsp(study.format, device.dsp_kind)
    return [
        {
            "tm": item.tm,
            "tn": item.tn,
            "cycles": round(item.cycles),
            "gops": 2 * macs / item.cycles * clock / 1e3,
            "bandwidth_gb_per_s": item.bytes / item.cycles * clock / 1e3,
            "dsp": ceil(item.tm * item.tn * each),
            "bram": item.bram_18kb,
        }
        for item in choice.pareto
    ]
