"""`ridgeline explore` on several boards in a line: where to cut the network, each board's design, and a batch through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ridgeline.errors import InputError
from ridgeline.flows import floats, source
from ridgeline.flows.boards import read_boards, read_link
from ridgeline.flows.choose import resources
from ridgeline.flows.data import Data, noise, read_data
from ridgeline.flows.folder import output_folder
from ridgeline.flows.line_folder import write_line
from ridgeline.flows.options import Options
from ridgeline.flows.progress import Progress, Silent

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.algorithm.onnx.network import Network
    from ridgeline.explore.choose import Choice
    from ridgeline.explore.line import Line
    from ridgeline.hardware.device import Device
    from ridgeline.system.pipeline import Run, Stage

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
MOST_CALIBRATION_IMAGES = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lined:
    line: Line[Choice]
    run: Run  # a batch
    summary: Mapping[str, Any]


def explore_boards(options: Options, progress: Progress | None = None, *, out: Path | None = None) -> Lined:
    """The best partition of all over the boards of `options`. Into `out` go each board's design, the line's description, and the batch's timeline.

    Without data the network is quantised on noise: only its shapes matter for the search. Raises RidgelineError; then nothing is written.
    """
    progress = progress or Silent()
    devices = read_boards(options)
    link_bytes_per_s = read_link(options, len(devices))
    _check(options, out)
    with ExitStack() as stack:
        folder = None if out is None else stack.enter_context(output_folder(out))
        graph, codes = _quantised(options, len(devices), progress)
        progress.step(f"exploring {len(devices)} boards in a line")
        line = _explored(graph, devices, link_bytes_per_s, options, progress)
        stages, run = _batch(line, devices, link_bytes_per_s)
        found = _summary(graph, line, devices, options, stages=stages, run=run)
        if folder is not None:
            write_line(folder, graph, line, devices, codes=codes, summary=found, stages=stages, run=run, progress=progress)
            if options.data is None:
                progress.note("no --data: calibrated on seeded noise, so the designs say nothing about quality on real inputs")
    return Lined(line=line, run=run, summary=found)


def _check(options: Options, out: Path | None) -> None:
    if options.data is not None and out is None:
        raise InputError("--data calibrates the designs that --out receives; give --out too")
    others = (
        ("engine", options.engine, "programmable"), ("format", options.format, "int8"), ("reduction", options.reduction, "channels"),
        ("ports", options.ports, None),
    )  # fmt: skip
    for name, value, own in others:
        if value != own:
            raise InputError(f"--{name} is {value}, but boards in a line take {own or 'one'} alone; give one board for it")


def _quantised(options: Options, boards: int, progress: Progress) -> tuple[Graph, dict[str, Array]]:
    """The integer graph, and one image's codes by port."""
    from ridgeline.algorithm.passes.quantise import quantise
    from ridgeline.explore.line import require_layers

    progress.step("reading the network")
    network = source.read_model(options.network, batch=options.batch)
    network = replace(network, graph=replace(network.graph, name=source.network_name(options.network)))
    require_layers(network.graph, boards)
    progress.step("quantising")
    reals = floats.engine_inputs(network, _data(options, network).arrays)
    integer = quantise(network.graph, reals)
    return integer, floats.codes(integer, {name: array[:1] for name, array in reals.items()})


def _data(options: Options, network: Network) -> Data:
    inputs = floats.network_inputs(network)
    if options.data is None:
        return noise(inputs, images=1, seed=options.seed)
    return read_data(options.data, inputs).first(MOST_CALIBRATION_IMAGES)


def _explored(graph: Graph, devices: Sequence[Device], link_bytes_per_s: float | None, options: Options, progress: Progress) -> Line[Choice]:
    from ridgeline.explore.board import BoardSearch
    from ridgeline.explore.bound import Bound
    from ridgeline.explore.line import explore_line

    return explore_line(
        graph,
        devices,
        link_bytes_per_s or 1.0,  # of no link
        objective=options.objective,
        search=BoardSearch(objective=options.objective, pins=options.pins, caps=options.caps),
        bound=Bound(options.objective, options.pins, options.caps),
        advance=progress.advance,
    )


def _batch(line: Line[Choice], devices: Sequence[Device], link_bytes_per_s: float | None) -> tuple[tuple[Stage, ...], Run]:
    from ridgeline.system.pipeline import Stage, enough_images, run

    links = [count / (link_bytes_per_s or 1.0) for count in line.link_bytes]
    stages = tuple(
        Stage(time_s=choice.cycles / (device.clock_mhz * 1e6), engines=choice.copies, link_s=link)
        for choice, device, link in zip(line.designs, devices, [*links, 0.0], strict=True)
    )
    return stages, run(stages, enough_images(stages))


def _summary(
    graph: Graph, line: Line[Choice], devices: Sequence[Device], options: Options, *, stages: Sequence[Stage], run: Run
) -> dict[str, Any]:
    """What --json prints. `cycles`, `time_s` and `resources` are of one engine of the board and one image."""
    from ridgeline.system.pipeline import latency, period

    macs = sum(graph.macs(node) for node in graph.nodes)
    per_s = 1 / period(stages)
    boards = [
        {
            "device": device.name,
            "layers": [piece.nodes[0].name, piece.nodes[-1].name],
            "engine": choice.engine.described(),
            "copies": choice.copies,
            "cycles": choice.cycles,
            "time_s": stage.time_s,
            "clock_mhz": device.clock_mhz,
            "resources": {"predicted": resources(choice)},
            "link_bytes": count,
            "link_time_s": None if count is None else stage.link_s,
        }
        for device, piece, choice, stage, count in zip(devices, line.graphs, line.designs, stages, [*line.link_bytes, None], strict=True)
    ]
    explored = line.explored
    return {
        "network": graph.name,
        "objective": options.objective,
        "link_gb_per_s": options.link_gb_per_s,
        "boards": boards,
        "throughput_images_per_s": per_s,
        "latency_s": latency(stages),
        "macs": macs,
        "gops": 2 * macs * per_s / 1e9,
        "bottleneck": bottleneck(stages),
        "pipeline": {"images": len(run.ends_s), "fill_s": run.fill_s, "period_s": run.period_s, "time_s": run.time_s},
        "explored": {
            "sections": explored.sections,
            "searched": explored.searched,
            "pruned": explored.pruned,
            "time_s": round(explored.time_s, 6),
        },
    }


def bottleneck(stages: Sequence[Stage]) -> str:
    """`board 2`, or `link 2` for the one from board 2 to board 3."""
    from ridgeline.system.pipeline import slowest

    board, link = slowest(stages)
    return f"{'link' if link else 'board'} {board + 1}"
