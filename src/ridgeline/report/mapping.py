"""The report of mappings on a chip: one HTML file that opens from disk and needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from typing import Any, TypeAlias

from ridgeline.report.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED
from ridgeline.report.page import number, percent

Figure: TypeAlias = Any  # plotly ships no types
COLOURS = (GREY, BLUE, ORANGE, GREEN, PURPLE, RED, "#56b4e9", "#f0e442")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """A memory's bandwidth, all instances, in bytes a cycle; None where unlimited."""

    level: str
    bytes_per_cycle: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingReport:
    """summary: what `map --json` prints."""

    summary: Mapping[str, Any]
    macs_per_cycle: int
    roofs: tuple[Roof, ...]


def render_mapping(report: MappingReport) -> str:
    """The whole page as HTML, with its script and figures inside."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.filters["percent"] = percent
    template = environment.from_string((files("ridgeline.report") / "mapping.html.j2").read_text(encoding="utf-8"))
    layers = report.summary["layers"]
    charts = {
        "energy": stacked(layers, "energy_by_level", "pJ"),
        "cycles": grouped(layers),
        "roofline": rooflines(report),
    }
    return template.render(
        summary=report.summary,
        charts={name: figure.to_json().replace("</", "<\\/") for name, figure in charts.items()},
        plotly=import_module("plotly.offline").get_plotlyjs(),
    )


def stacked(layers: Sequence[Mapping[str, Any]], key: str, unit: str) -> Figure:
    """A bar a layer, its levels on top of each other."""
    figure = _figure()
    names = [layer["name"] for layer in layers]
    for level, colour in zip(layers[0][key], COLOURS, strict=False):
        figure.add_bar(x=names, y=[layer[key][level] for layer in layers], name=level, marker={"color": colour})
    figure.update_layout(barmode="stack")
    figure.update_yaxes(title=unit)
    return _dressed(figure)


def grouped(layers: Sequence[Mapping[str, Any]]) -> Figure:
    """What the array and each level would need alone: the longest is the layer's time."""
    figure = _figure()
    names = [layer["name"] for layer in layers]
    for level, colour in zip(layers[0]["cycles_by_level"], COLOURS, strict=False):
        values = [layer["cycles_by_level"][level] for layer in layers]
        if any(values):
            figure.add_bar(x=names, y=values, name=level, marker={"color": colour})
    figure.update_layout(barmode="group")
    figure.update_yaxes(title="cycles")
    return _dressed(figure)


def rooflines(report: MappingReport) -> Figure:
    """MACs a cycle over MACs a byte of each level's traffic, under the array's roof and each level's own."""
    figure = _figure()
    peak = report.macs_per_cycle
    for roof, colour in zip(report.roofs, COLOURS[1:], strict=False):
        dots = [layer for layer in report.summary["layers"] if layer["traffic_bytes"].get(roof.level)]
        if not dots:
            continue
        intensity = [layer["macs"] / sum(layer["traffic_bytes"][roof.level].values()) for layer in dots]
        figure.add_scatter(
            x=intensity, y=[layer["macs"] / layer["cycles"] for layer in dots], mode="markers", name=roof.level,
            marker={"color": colour, "size": 9, "opacity": 0.85}, text=[f"{layer['name']}, {roof.level}" for layer in dots], hoverinfo="text+x+y",
        )  # fmt: skip
        if roof.bytes_per_cycle is not None:
            low = min([*intensity, peak / roof.bytes_per_cycle]) / 2
            ridge = peak / roof.bytes_per_cycle
            figure.add_scatter(
                x=[low, ridge, max([*intensity, ridge]) * 2], y=[low * roof.bytes_per_cycle, peak, peak], mode="lines", showlegend=False,
                line={"color": colour, "width": 1}, hovertext=f"{roof.level}: {roof.bytes_per_cycle:.4g} bytes a cycle", hoverinfo="text",
            )  # fmt: skip
    figure.update_xaxes(type="log", title="MACs a byte of the level's traffic")
    figure.update_yaxes(type="log", title="MACs a cycle")
    return _dressed(figure)


def _figure() -> Figure:
    return import_module("plotly.graph_objects").Figure()


def _dressed(figure: Figure) -> Figure:
    figure.update_layout(
        template="plotly_white", height=420, margin={"l": 70, "r": 20, "t": 20, "b": 90}, hoverlabel={"align": "left"},
        font={"family": "system-ui, sans-serif", "size": 13}, legend={"orientation": "h", "y": 1.08, "x": 0},
    )  # fmt: skip
    return figure
