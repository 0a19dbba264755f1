"""The page around the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from typing import Any

from ridgeline.report import figures
from ridgeline.report.digits import four_digits
from ridgeline.report.values import Report


def render(report: Report) -> str:
    """The whole page as HTML, with its script and figures inside."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.filters["percent"] = percent
    template = environment.from_string((files("ridgeline.report") / "page.html.j2").read_text(encoding="utf-8"))
    charts = {
        "roofline": figures.roofline(report),
        "space": figures.design_space(report),
        "cycles": figures.cycles(report),
        "timeline": figures.timeline(report),
    }
    return template.render(
        summary=report.summary,
        resources=resource_rows(report.summary["resources"], report.available, report.summary["copies"]),
        charts={name: figure.to_json().replace("</", "<\\/") for name, figure in charts.items()},
        plotly=import_module("plotly.offline").get_plotlyjs(),
    )


def number(value: float | None) -> str:
    """1,234,567 or 12.3; a dash for what was not measured."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else four_digits(value)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def resource_rows(resources: Mapping[str, Any], available: Mapping[str, int], copies: int) -> list[dict[str, Any]]:
    """One row a resource: of an engine predicted and synthesised, what the device has, and the share of it that all engines take."""
    predicted: Mapping[str, int | None] = resources["predicted"]
    synthesised: Mapping[str, int | None] = resources["synthesized"] or {}
    rows: list[dict[str, Any]] = []
    for name in predicted:
        measured, estimate = synthesised.get(name), predicted[name]
        used = estimate if measured is None else measured
        error = None if not measured or estimate is None else estimate / measured - 1
        share = copies * used / available[name] if used is not None and available.get(name) else None
        row = {"name": name, "predicted": estimate, "synthesized": measured, "error": error}
        rows.append(row | {"available": available.get(name), "share": share})
    return rows
