"""`ridgeline explore`: the design space of a network on a device, without building anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.errors import InputError
from ridgeline.flows import floats, source
from ridgeline.flows.boards import is_line
from ridgeline.flows.choose import choose, explored, read_target, resources
from ridgeline.flows.data import noise
from ridgeline.flows.line import Lined, explore_boards
from ridgeline.flows.options import Options, require_storage
from ridgeline.flows.progress import Progress, Silent
from ridgeline.flows.summary import images_per_s
from ridgeline.flows.uniform import ExploredUniform, explore_uniform

if TYPE_CHECKING:
    from ridgeline.explore.choose import Choice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explored:
    choice: Choice
    summary: Mapping[str, Any]


def explore(options: Options, progress: Progress | None = None, *, out: Path | None = None) -> Explored | ExploredUniform | Lined:
    """Only the shapes of the network matter here, so it is quantised on noise. `out` receives the designs of boards in a line. Raises
    RidgelineError."""
    from ridgeline.algorithm.passes.lighten import lightened
    from ridgeline.algorithm.passes.quantise import quantise

    require_storage(options, line=is_line(options))
    if is_line(options):
        return explore_boards(options, progress, out=out)
    if out is not None or options.data is not None:
        name = "--data" if out is None else "--out"
        raise InputError(f"{name} is for boards in a line; `ridgeline build` makes the design of one board")
    if options.engine == "uniform":
        return explore_uniform(options, progress)
    for name, value, own in (("format", options.format, "int8"), ("reduction", options.reduction, "channels")):
        if value != own:
            raise InputError(f"--{name} {value} is for --engine uniform; the programmable engine works in int8, on rows of channels")
    if options.ports is not None:
        raise InputError(f"--ports {options.ports} is for --engine uniform; the programmable engine has one, of --bus-bytes")
    progress = progress or Silent()
    device = read_target(options)
    progress.step("reading the network")
    network = source.read_model(options.network, batch=options.batch)
    network = replace(network, graph=replace(network.graph, name=source.network_name(options.network)))
    data = noise(floats.network_inputs(network), images=1, seed=options.seed)
    light = lightened(network.graph, weights=options.weights, sparsity=options.sparsity)
    integer = quantise(light, floats.engine_inputs(network, data.arrays), activations=options.activations)
    progress.step("exploring")
    choice = choose(integer, device, options)
    summary = {
        "network": network.graph.name,
        "device": device.name,
        "clock_mhz": device.clock_mhz,
        "engine": choice.engine.described(),
        "copies": choice.copies,
        "cycles": {"predicted": choice.cycles},
        "throughput_images_per_s": images_per_s(choice.copies, device.clock_mhz, choice.cycles),
        "resources": {"predicted": resources(choice)},
        "explored": explored(choice),
        "pareto": [
            {"cycles": point.cycles, "bytes_per_cycle": point.bytes_per_cycle, **point.parameters} for point in choice.pareto
        ],
    }
    return Explored(choice=choice, summary=summary)
