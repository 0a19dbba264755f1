"""The report of boards in a line: one HTML file that opens from disk and needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from itertools import groupby
from typing import Any, TypeAlias

from ridgeline.report.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED
from ridgeline.report.page import number
from ridgeline.report.trace import Span

Figure: TypeAlias = Any  # plotly ships no types
BARS_SHOWN = 3000
IMAGE_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)  # in turn


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBar:
    """A board or a link, and the seconds between two images that it needs at least."""

    name: str
    period_s: float
    slowest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReport:
    summary: Mapping[str, Any]  # what `explore --json` prints
    stages: tuple[StageBar, ...]
    spans: tuple[Span, ...]  # of the batch, an image's name each
    ends_s: tuple[float, ...]  # when each image left the line


def render_line(report: LineReport) -> str:
    """The whole page as HTML, with its script and figures inside."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    template = environment.from_string((files("ridgeline.report") / "line.html.j2").read_text(encoding="utf-8"))
    shown = first_images(report.spans)
    charts = {"stages": stage_periods(report.stages), "timeline": timeline(shown, report)}
    return template.render(
        summary=report.summary,
        images_shown=len({span.name for span in shown}),
        charts={name: figure.to_json().replace("</", "<\\/") for name, figure in charts.items()},
        plotly=import_module("plotly.offline").get_plotlyjs(),
    )


def first_images(spans: Sequence[Span]) -> list[Span]:
    """Whole images, at most about BARS_SHOWN bars, and one image at least."""
    shown: list[Span] = []
    for _, image in groupby(spans, key=lambda span: span.name):
        bars = list(image)
        if shown and len(shown) + len(bars) > BARS_SHOWN:
            break
        shown += bars
    return shown


def stage_periods(stages: Sequence[StageBar]) -> Figure:
    """Milliseconds between two images of each board and link."""
    figure = _figure()
    figure.add_bar(
        x=[stage.name for stage in stages],
        y=[1e3 * stage.period_s for stage in stages],
        marker={"color": [RED if stage.slowest else GREY if "link" in stage.name else BLUE for stage in stages]},
        hovertext=[f"{stage.name}: {1e3 * stage.period_s:.4g} ms{', the slowest' if stage.slowest else ''}" for stage in stages],
        hoverinfo="text",
    )
    figure.update_yaxes(title="ms between two images")
    return _dressed(figure, height=320)


def timeline(spans: Sequence[Span], report: LineReport) -> Figure:
    """What works on which image when; the line fills until the first image has left."""
    rows = list(dict.fromkeys((span.group, span.row) for span in report.spans))
    slowest = {stage.name for stage in report.stages if stage.slowest}
    names = {key: f"{key[0]} {key[1]}".strip() + (" (slowest)" if key[0] in slowest else "") for key in rows}
    colours = {name: IMAGE_COLOURS[index % len(IMAGE_COLOURS)] for index, name in enumerate(dict.fromkeys(span.name for span in spans))}
    figure = _figure()
    figure.add_bar(
        y=[names[span.group, span.row] for span in spans],
        base=[1e3 * span.start_s for span in spans],
        x=[1e3 * (span.stop_s - span.start_s) for span in spans],
        orientation="h",
        marker={"color": [colours[span.name] for span in spans], "line": {"width": 0.5, "color": "white"}},
        text=[f"{names[span.group, span.row]}, {span.name}: {1e3 * span.start_s:.4g} to {1e3 * span.stop_s:.4g} ms" for span in spans],
        textposition="none",
        hoverinfo="text",
    )
    figure.add_vline(x=1e3 * report.ends_s[0], line={"color": RED, "dash": "dot"}, annotation_text="filled")
    figure.update_layout(barmode="overlay", showlegend=False)
    figure.update_xaxes(title="ms")
    figure.update_yaxes(categoryorder="array", categoryarray=[names[key] for key in reversed(rows)])
    return _dressed(figure, height=140 + 22 * len(rows))


def _figure() -> Figure:
    return import_module("plotly.graph_objects").Figure()


def _dressed(figure: Figure, *, height: int) -> Figure:
    figure.update_layout(
        template="plotly_white", height=height, margin={"l": 60, "r": 20, "t": 30, "b": 60}, hoverlabel={"align": "left"},
        font={"family": "system-ui, sans-serif", "size": 13},
    )  # fmt: skip
    return figure
