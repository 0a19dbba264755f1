"""The report of the designs of a chip: one HTML file that opens from disk and needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from typing import Any, TypeAlias

from ridgeline.report.figures import BLUE, GREY, RED
from ridgeline.report.page import number, percent

Figure: TypeAlias = Any  # plotly ships no types
Point: TypeAlias = Mapping[str, Any]  # a design as `explore --chip --json` prints it
SPAN = 8  # from which an axis is logarithmic
ROWS = 500  # designs in the table
QUANTITIES = {  # its title, its key and what the key's value is multiplied by
    "energy": ("energy, µJ", "energy_pj", 1e-6),
    "time": ("time, ms", "time_s", 1e3),
    "area": ("area, mm²", "area_mm2", 1.0),
}
PAIRS = (("time", "energy"), ("area", "energy"), ("area", "time"))


def render_architecture(summary: Mapping[str, Any]) -> str:
    """The whole page as HTML, of what `explore --chip --json` prints, with its script and figures inside."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.filters["percent"] = percent
    template = environment.from_string((files("ridgeline.report") / "architecture.html.j2").read_text(encoding="utf-8"))
    pairs = [pair for pair in PAIRS if "area" not in pair or summary["area"] is not None]
    return template.render(
        summary=summary,
        pairs=pairs,
        rows=rows(summary)[:ROWS],
        charts={f"{x}-{y}": front(summary, x, y).to_json().replace("</", "<\\/") for x, y in pairs},
        plotly=import_module("plotly.offline").get_plotlyjs(),
    )


def rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every design: the Pareto set first by energy, then the rest by energy times time, then those that are not mapped."""
    kept = {tuple(point["parameters"].items()) for point in summary["pareto"]}
    best = summary["best"]["parameters"]
    every = [
        dict(point) | {"pareto": tuple(point["parameters"].items()) in kept, "best": point["parameters"] == best}
        for point in summary["designs"]
    ]

    def place(point: Point) -> tuple[int, float]:
        if point["status"] != "mapped":
            return 2, 0.0
        return (0, point["energy_pj"]) if point["pareto"] else (1, point["edp_pj_s"])

    return sorted(every, key=place)


def front(summary: Mapping[str, Any], x: str, y: str) -> Figure:
    """Every mapped design by two of its quantities; those of the Pareto set in all three, and the best one."""
    figure = import_module("plotly.graph_objects").Figure()
    every = [point for point in rows(summary) if point["status"] == "mapped"]
    _add(figure, [point for point in every if not point["pareto"]], (x, y), "beaten", {"color": GREY, "size": 7, "opacity": 0.6})
    _add(figure, [point for point in every if point["pareto"] and not point["best"]], (x, y), "Pareto set", {"color": BLUE, "size": 10})
    _add(figure, [point for point in every if point["best"]], (x, y), "best", {"color": RED, "size": 16, "symbol": "star"})
    for update, name in ((figure.update_xaxes, x), (figure.update_yaxes, y)):
        update(title=QUANTITIES[name][0], **_scale([_value(point, name) for point in every]))
    figure.update_layout(
        template="plotly_white", height=420, margin={"l": 70, "r": 20, "t": 20, "b": 60}, hoverlabel={"align": "left"},
        font={"family": "system-ui, sans-serif", "size": 13}, legend={"orientation": "h", "y": 1.08, "x": 0},
    )  # fmt: skip
    return figure


def _value(point: Point, quantity: str) -> float:
    _, key, factor = QUANTITIES[quantity]
    return point[key] * factor


def _scale(values: Sequence[float]) -> dict[str, Any]:
    """Designs that are equal stand in the middle, and no axis shows what is less than nothing."""
    if values and min(values) > 0 and max(values) > SPAN * min(values):
        return {"type": "log", "dtick": "D2"}
    if values and min(values) == max(values):
        return {"type": "linear", "range": [0.5 * values[0], 1.5 * values[0]]}
    return {"type": "linear", "rangemode": "nonnegative"}


def _add(figure: Figure, points: Sequence[Point], pair: tuple[str, str], name: str, marker: Mapping[str, Any]) -> None:
    texts = [
        "<br>".join(
            [
                *(f"{path} = {number(value)}" for path, value in point["parameters"].items()),
                *(f"{QUANTITIES[name][0]}: {number(_value(point, name))}" for name in QUANTITIES if point[QUANTITIES[name][1]] is not None),
            ]
        )
        for point in points
    ]
    x, y = ([_value(point, quantity) for point in points] for quantity in pair)
    figure.add_scatter(x=x, y=y, mode="markers", name=name, marker=dict(marker), text=texts, hoverinfo="text")
