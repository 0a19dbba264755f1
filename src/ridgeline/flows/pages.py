"""report.html: the values of a build, put in the form that the report shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.flows.summary import Results
from ridgeline.tools.simulator import Event

if TYPE_CHECKING:
    from ridgeline.explore.choose import Choice
    from ridgeline.hardware.device import Device
    from ridgeline.mapping.program import Program
    from ridgeline.report.values import Bar, LayerDot


def write_report(path: Path, found: Mapping[str, Any], results: Results, program: Program, choice: Choice, device: Device) -> None:
    from ridgeline.explore.space import device_timing
    from ridgeline.report import DesignPoint, Report, render

    bars = tuple(_bars(results, program))
    report = Report(
        summary=found,
        peak_macs_per_cycle=results.design.array_macs,
        bytes_per_cycle=float(device_timing(device, choice.copies).bytes_per_cycle),
        layers=tuple(_dots(found, results, bars)),
        points=tuple(
            DesignPoint(
                cycles=point.cycles, bytes_per_cycle=point.bytes_per_cycle, parameters=point.parameters, pareto=point.pareto, chosen=point.chosen
            )
            for point in choice.points
        ),
        timeline=bars,
        available=available(device),
    )
    path.write_text(render(report), encoding="utf-8")


def available(device: Device) -> dict[str, int]:
    """The device's resources, by the names of summary.json."""
    return {"dsp": device.resources.dsp, "bram": device.resources.bram_18kb, "lut": device.resources.lut, "ff": device.resources.ff}


def _dots(found: Mapping[str, Any], results: Results, bars: Sequence[Bar]) -> Iterator[LayerDot]:
    """A layer's time on the roofline is from its first load to its last store, in which all its traffic lies: neighbours overlap in it."""
    from ridgeline.report.values import LayerDot

    for layer, predicted in zip(found["layers"], results.predicted.layers, strict=True):
        own = [bar for bar in bars if bar.layer == layer["name"]]
        yield LayerDot(
            name=layer["name"],
            operator=layer["operator"],
            macs=layer["macs"],
            dram_bytes=predicted.read_bytes + predicted.write_bytes,
            cycles=max(bar.stop for bar in own) - min(bar.start for bar in own) if own else layer["predicted_cycles"],
        )


def _bars(results: Results, program: Program) -> Iterator[Bar]:
    """Every instruction of each unit, from the simulation's events: units take their instructions in the program's order."""
    from ridgeline.mapping.program import Opcode
    from ridgeline.report.values import Bar

    if results.checked is None or not results.checked.events:
        return
    events = results.checked.events
    units = (
        ("load", Opcode.LOAD, Event.LOAD_START, Event.LOAD_DONE),
        ("compute", Opcode.COMPUTE, Event.MAC_START, Event.MAC_DONE),
        ("drain", Opcode.COMPUTE, Event.DRAIN_START, Event.DRAIN_DONE),
        ("store", Opcode.STORE, Event.STORE_START, Event.STORE_DONE),
    )
    for unit, opcode, start, stop in units:
        names = [
            span.node
            for span in program.spans
            for item in program.instructions[span.start : span.stop]
            if item.opcode == opcode and (unit != "drain" or getattr(item, "last", 0))
        ]
        for name, begin, end in zip(names, events[start].tolist(), events[stop].tolist(), strict=False):
            yield Bar(unit=unit, layer=name, start=begin, stop=end + 1)
