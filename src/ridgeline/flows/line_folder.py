"""The output folder of boards in a line: a design for each board, which `ridgeline verify` takes, and what belongs to all of them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ridgeline.errors import CheckFailedError
from ridgeline.flows import design as files
from ridgeline.flows.progress import Progress

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.explore.choose import Choice
    from ridgeline.explore.line import Line
    from ridgeline.hardware.device import Device
    from ridgeline.report.line import StageBar
    from ridgeline.report.trace import Span
    from ridgeline.system.pipeline import Run, Stage

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
LINE, SUMMARY, TIMELINE, REPORT = "line.json", "summary.json", "timeline.json", "report.html"


def board_folder(number: int) -> str:
    """Boards count from 1."""
    return f"board-{number}"


def write_line(
    folder: Path, graph: Graph, line: Line[Choice], devices: Sequence[Device], *, codes: Mapping[str, Array], summary: Mapping[str, Any],
    stages: Sequence[Stage], run: Run, progress: Progress,
) -> None:  # fmt: skip
    """`codes` are images of the network's inputs, which go through the golden networks of all boards. Raises CheckFailedError when that gives other
    bytes than the whole golden network."""
    from ridgeline.backends.rtl import emit
    from ridgeline.report.line import LineReport, render_line
    from ridgeline.report.trace import trace

    tensors = {port.tensor: port.to_tensor(codes[port.name], graph.tensors[port.tensor]) for port in graph.inputs}
    verilog = cache(emit)  # boards may have the same engine
    for number, (piece, choice, device) in enumerate(zip(line.graphs, line.designs, devices, strict=True), start=1):
        progress.step(f"writing board {number} of {len(devices)}")
        inputs = {port.name: port.to_array(tensors[port.tensor]) for port in piece.inputs}
        outputs = _write_board(folder / board_folder(number), piece, choice, device, inputs, verilog=verilog(choice.engine, choice.copies))
        tensors |= {port.tensor: port.to_tensor(outputs[port.name], graph.tensors[port.tensor]) for port in piece.outputs}
    progress.step("comparing the line with the whole golden network")
    _check(graph, codes, {port.name: port.to_array(tensors[port.tensor]) for port in graph.outputs})
    spans = tuple(_spans(run))
    files.write_json(description(graph, line, devices, summary), folder / LINE)
    files.write_json(summary, folder / SUMMARY)
    files.write_json(trace(spans), folder / TIMELINE)
    report = LineReport(summary=summary, stages=tuple(_bars(stages, str(summary["bottleneck"]))), spans=spans, ends_s=run.ends_s)
    (folder / REPORT).write_text(render_line(report), encoding="utf-8")


def _write_board(
    folder: Path, piece: Graph, choice: Choice, device: Device, inputs: Mapping[str, Array], *, verilog: Mapping[str, str]
) -> dict[str, Array]:  # fmt: skip
    """What the board's golden network gives for `inputs`, by port."""
    from ridgeline.algorithm.onnx.golden import boundary_names, golden
    from ridgeline.algorithm.onnx.runtime import run
    from ridgeline.explore.space import device_timing
    from ridgeline.mapping.lower import lower

    folder.mkdir()
    program, timing = lower(piece, choice.engine, choice.tilings), device_timing(device, choice.copies)
    model = golden(piece)
    (folder / files.GOLDEN).write_bytes(model)
    (folder / files.PROGRAM).write_bytes(program.image())
    files.write_json(files.describe(program, piece, boundary_names(piece), timing, device.name), folder / files.DESIGN)
    files.write_json(files.predicted(choice.prediction), folder / files.PREDICTION)
    for path, text in verilog.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    outputs = run(model, inputs)
    with zipfile.ZipFile(folder / files.OUTPUTS, "w") as archive:
        for name, array in {**inputs, **outputs}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as sink:
                np.lib.format.write_array(sink, np.ascontiguousarray(array), allow_pickle=False)
    return outputs


def _check(graph: Graph, codes: Mapping[str, Array], found: Mapping[str, Array]) -> None:
    from ridgeline.algorithm.onnx.golden import golden
    from ridgeline.algorithm.onnx.runtime import run

    for name, expected in run(golden(graph), codes).items():
        if not np.array_equal(found[name], expected):
            wrong = int(np.count_nonzero(found[name] != expected))
            raise CheckFailedError(f"output '{name}' of the boards' golden networks has {wrong:,} other values than that of the whole network")


def description(graph: Graph, line: Line[Choice], devices: Sequence[Device], summary: Mapping[str, Any]) -> dict[str, Any]:
    """line.json: which board holds which design, and which tensors each link carries; those that a board only passes on are its `relays`."""
    from ridgeline.algorithm.cut import alive

    made = {name: number for number, piece in enumerate(line.graphs, start=1) for name in (node.output for node in piece.nodes)}
    crossing = [alive(graph, stop) for stop in line.partition.stops[:-1]]
    arriving, leaving = [(), *crossing], [*crossing, tuple(port.tensor for port in graph.outputs)]
    boards = [
        {
            "board": number,
            "folder": board_folder(number),
            "device": device.name,
            "part": device.part,
            "clock_mhz": device.clock_mhz,
            "copies": choice.copies,
            "layers": [node.name for node in piece.nodes],
            "reads": [port.tensor for port in piece.inputs],
            "writes": [port.tensor for port in piece.outputs],
            "relays": [name for name in arriving[number - 1] if name in leaving[number - 1]],
        }
        for number, (piece, choice, device) in enumerate(zip(line.graphs, line.designs, devices, strict=True), start=1)
    ]
    links = [
        {
            "from": number,
            "to": number + 1,
            "gb_per_s": summary["link_gb_per_s"],
            "bytes": line.link_bytes[number - 1],
            "tensors": [
                {"name": name, "shape": list(graph.tensors[name].shape), "bytes": graph.tensors[name].elements, "made_on": made.get(name)}
                for name in names
            ],
        }
        for number, names in enumerate(crossing, start=1)
    ]
    return {
        "network": graph.name,
        "objective": summary["objective"],
        "inputs": [port.tensor for port in graph.inputs],
        "outputs": [port.tensor for port in graph.outputs],
        "boards": boards,
        "links": links,
    }


def _spans(run: Run) -> Iterator[Span]:
    """In the order of the line, so that the timeline's rows are."""
    from ridgeline.report.trace import Span

    several = {job.board for job in run.jobs if job.engine}
    for job in run.jobs:
        link = job.engine is None
        yield Span(
            group=f"{'link' if link else 'board'} {job.board + 1}",
            row="" if link or job.board not in several else f"engine {job.engine + 1}" if job.engine is not None else "",
            name=f"image {job.image + 1}",
            start_s=job.start_s,
            stop_s=job.stop_s,
        )


def _bars(stages: Sequence[Stage], slowest: str) -> Iterator[StageBar]:
    from ridgeline.report.line import StageBar

    for number, stage in enumerate(stages, start=1):
        yield StageBar(name=f"board {number}", period_s=stage.period_s, slowest=slowest == f"board {number}")
        if number < len(stages):
            yield StageBar(name=f"link {number}", period_s=stage.link_s, slowest=slowest == f"link {number}")
