"""The report of mappings on a chip: one HTML file that opens from disk and needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from itertools import cycle
from math import prod
from typing import Any, TypeAlias

from ridgeline.report.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED
from ridgeline.report.nest import Memory, nest_svg
from ridgeline.report.page import number, percent

Figure: TypeAlias = Any  # plotly ships no types
COLOURS = (GREY, BLUE, ORANGE, GREEN, PURPLE, RED, "#56b4e9", "#f0e442", "#1d2733", "#8c6d31", "#6b4c9a", "#98df8a")
HEAVIEST = 5  # layers that a button each shows
LONGEST = 24  # letters of a name below a bar
LABELS = 40  # layers whose names stand below a chart's bars; of more, the pointer tells


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingReport:
    """summary: what `map --json` prints; `array` is the chip's, axis -> multipliers."""

    summary: Mapping[str, Any]
    array: Mapping[str, int]
    memories: tuple[Memory, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One mapping, and the layers that have it."""

    svg: str
    text: str
    layers: tuple[str, ...]


def render_mapping(report: MappingReport) -> str:
    """The whole page as HTML, with its script and figures inside."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.filters["percent"] = percent
    environment.filters["tail"] = tail
    template = environment.from_string((files("ridgeline.report") / "mapping.html.j2").read_text(encoding="utf-8"))
    layers = report.summary["layers"]
    charts = {
        "energy": stacked(layers, "energy_by_level", "pJ"),
        "cycles": waited(layers),
        "roofline": rooflines(report),
        **({"pareto": front(report.summary)} if "pareto" in report.summary else {}),
    }
    made = pictures(report)
    return template.render(
        summary=report.summary,
        charts={name: figure.to_json().replace("</", "<\\/") for name, figure in charts.items()},
        pictures=made,
        place={name: place for place, picture in enumerate(made) for name in picture.layers},
        heaviest=heaviest(layers, made),
        plotly=import_module("plotly.offline").get_plotlyjs(),
    )


def front(summary: Mapping[str, Any]) -> Figure:
    """The Pareto set as a staircase, and the point whose mappings the page shows."""
    figure = _figure()
    energy, cycles = ([point[key] * factor for point in summary["pareto"]] for key, factor in (("energy_pj", 1e-6), ("cycles", 1)))
    mark = {"color": BLUE, "size": 7}
    figure.add_scatter(x=energy, y=cycles, mode="lines+markers", line={"shape": "hv", "color": GREY, "width": 1}, marker=mark, name="Pareto set")
    star = {"color": RED, "size": 16, "symbol": "star"}
    chosen = summary["total"]
    figure.add_scatter(x=[chosen["energy_pj"] * 1e-6], y=[chosen["cycles"]], mode="markers", marker=star, name="least energy × delay")
    figure.update_xaxes(title="energy, µJ")
    figure.update_yaxes(title="cycles")
    return _dressed(figure)


def pictures(report: MappingReport) -> list[Picture]:
    """Each different mapping once, as the layers come."""
    found: dict[tuple[str, str], list[str]] = {}
    for layer in report.summary["layers"]:
        drawn = nest_svg({**layer, "name": layer["shape"]}, report.memories, report.array)
        found.setdefault((drawn, layer["mapping"]["text"]), []).append(layer["name"])
    return [Picture(svg=svg, text=text, layers=tuple(names)) for (svg, text), names in found.items()]


def heaviest(layers: Sequence[Mapping[str, Any]], made: Sequence[Picture]) -> list[int]:
    """The places of the pictures whose layers take most: the greater of their shares of all cycles and of all energy."""
    totals = {key: sum(layer[key] for layer in layers) for key in ("cycles", "energy_pj")}

    def weight(place: int) -> float:
        own = [layer for layer in layers if layer["name"] in made[place].layers]
        return max(sum(layer[key] for layer in own) / total for key, total in totals.items())

    return sorted(range(len(made)), key=lambda place: (-weight(place), place))[:HEAVIEST]


def stacked(layers: Sequence[Mapping[str, Any]], key: str, unit: str) -> Figure:
    """A bar a layer, its levels on top of each other."""
    return _bars(layers, {level: [layer[key][level] for layer in layers] for level in layers[0][key]}, unit)


def waited(layers: Sequence[Mapping[str, Any]]) -> Figure:
    """A bar a layer: the array's own cycles, then what each slower level makes it wait for, the fastest first, and what none of them explains."""
    parts: dict[str, list[int]] = {name: [0] * len(layers) for name in (*layers[0]["cycles_by_level"], "fill and drain")}
    for place, layer in enumerate(layers):
        ordered = sorted(layer["cycles_by_level"].items(), key=lambda item: (item[0] != "array", item[1]))
        reached = 0
        for name, value in (*ordered, ("fill and drain", layer["cycles"])):
            parts[name][place] = max(0, value - reached)
            reached = max(reached, value)
    return _bars(layers, {name: values for name, values in parts.items() if any(values)}, "cycles")


def _bars(layers: Sequence[Mapping[str, Any]], parts: Mapping[str, Sequence[float]], unit: str) -> Figure:
    """`parts`: of a bar, from below -> their heights, layer by layer."""
    figure, places = _figure(), list(range(len(layers)))
    names = [layer["name"] for layer in layers]
    for (part, values), colour in zip(parts.items(), cycle(COLOURS), strict=False):
        texts = [f"{name}<br>{part}: {value:,.4g} {unit}" for name, value in zip(names, values, strict=True)]
        figure.add_bar(x=places, y=list(values), name=part, marker={"color": colour}, text=texts, textposition="none", hoverinfo="text")
    figure.update_layout(barmode="stack", bargap=0.15)
    figure.update_yaxes(title=unit)
    few = len(places) <= LABELS
    figure.update_xaxes(tickmode="array", tickvals=places if few else [], ticktext=[tail(name) for name in names], tickangle=-40)
    if not few:
        figure.update_xaxes(title=f"{len(places)} layers, in the network's order")
    return _dressed(figure, below=90 if few else 45)


def tail(name: str) -> str:
    """The end of a long name, which tells layers apart."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def rooflines(report: MappingReport) -> Figure:
    """MACs a cycle over MACs a byte of each level's traffic, under the array's roof and each level's own."""
    figure = _figure()
    peak = prod(report.array.values())
    for roof, colour in zip(report.memories, cycle(COLOURS[1:]), strict=False):
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


def _dressed(figure: Figure, *, below: int = 60) -> Figure:
    figure.update_layout(
        template="plotly_white", height=420, margin={"l": 70, "r": 20, "t": 20, "b": below}, hoverlabel={"align": "left"},
        font={"family": "system-ui, sans-serif", "size": 13}, legend={"orientation": "h", "y": 1.08, "x": 0},
    )  # fmt: skip
    return figure
