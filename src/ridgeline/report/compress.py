"""The report of `compress`: one HTML file that opens from disk and needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from typing import Any, TypeAlias

from ridgeline.report.figures import BLUE, GREY, RED
from ridgeline.report.page import number, percent

Figure: TypeAlias = Any  # plotly ships no types
COSTS = {"latency": ("time, µs", 1e6), "energy": ("energy, µJ", 1e-6), "size": ("weights, kB", 1 / 8e3)}
LEAST_LOSS = 1e-6  # that an axis shows


def render_compress(summary: Mapping[str, Any]) -> str:
    """The whole page as HTML, of what `compress --json` prints, with its script and figures inside."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.filters["percent"] = percent
    template = environment.from_string((files("ridgeline.report") / "compress.html.j2").read_text(encoding="utf-8"))
    return template.render(
        summary=summary,
        charts={
            "front": front(summary).to_json().replace("</", "<\\/"),
            "layers": layers(summary).to_json().replace("</", "<\\/"),
        },
        plotly=import_module("plotly.offline").get_plotlyjs(),
    )


def front(summary: Mapping[str, Any]) -> Figure:
    """Loss against cost of all that was measured."""
    figure = import_module("plotly.graph_objects").Figure()
    title, factor = COSTS[summary["objective"]]
    points: Sequence[Mapping[str, Any]] = summary["points"]
    kinds = (
        ("mixed, beaten", GREY, 7, [point for point in points if not point["pareto"] and point["choice"] == "mixed"]),
        ("one choice for all", "#8a6d3b", 10, [point for point in points if point["choice"] != "mixed" and not point["best"]]),
        ("Pareto set", BLUE, 10, [point for point in points if point["pareto"] and not point["best"] and point["choice"] == "mixed"]),
        ("chosen", RED, 16, [point for point in points if point["best"]]),
    )
    for name, colour, size, chosen in kinds:
        figure.add_scatter(
            x=[point["cost"] * factor for point in chosen], y=[max(LEAST_LOSS, point["loss"]) for point in chosen], mode="markers", name=name,
            marker={"color": colour, "size": size, "symbol": "star" if name == "chosen" else "circle"}, hoverinfo="text",
            text=[f"{point['choice']}<br>{title}: {number(point['cost'] * factor)}<br>loss: {point['loss']:.3g}" for point in chosen],
        )  # fmt: skip
    figure.add_hline(y=max(LEAST_LOSS, summary["limit"]), line={"color": RED, "dash": "dot"})
    figure.update_yaxes(title=f"loss ({summary['metric']}) on the calibration data", type="log")
    figure.update_xaxes(title=title, rangemode="tozero")
    return _laid_out(figure)


def layers(summary: Mapping[str, Any]) -> Figure:
    """Bits an element of each weight, by its choice."""
    figure = import_module("plotly.graph_objects").Figure()
    names = [layer["layers"][0] for layer in summary["layers"]]
    for kind in dict.fromkeys(_choice(layer) for layer in summary["layers"]):
        chosen = [place for place, layer in enumerate(summary["layers"]) if _choice(layer) == kind]
        bits = [summary["layers"][place]["bits_per_element"] for place in chosen]
        figure.add_bar(x=chosen, y=bits, name=kind, hovertext=[names[place] for place in chosen])
    figure.update_xaxes(title="weight, in the network's order")
    figure.update_yaxes(title="bits an element, scales counted")
    return _laid_out(figure)


def _choice(layer: Mapping[str, Any]) -> str:
    parts = (layer["format"], layer["pattern"], layer["activations"])
    return parts[0] + f" {parts[1]}" * (parts[1] != "none") + f" x {parts[2]}" * (parts[2] != "none")


def _laid_out(figure: Figure) -> Figure:
    figure.update_layout(
        template="plotly_white", height=420, margin={"l": 70, "r": 20, "t": 20, "b": 60}, hoverlabel={"align": "left"},
        font={"family": "system-ui, sans-serif", "size": 13}, legend={"orientation": "h", "y": 1.1, "x": 0},
    )  # fmt: skip
    return figure
