"""The pictures of a report, as plotly figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import groupby
from typing import Any, TypeAlias

from ridgeline.report.values import Bar, DesignPoint, LayerDot, Report

Figure: TypeAlias = Any  # plotly ships no types

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#9aa0a6"
LANES = (("load", BLUE), ("compute", ORANGE), ("drain", PURPLE), ("store", GREEN))
LINEAR_SPAN = 8
BARS_SHOWN = 3000  # a unit; more are merged with their neighbours


def roofline(report: Report) -> Figure:
    """Attained operations a second over operations a byte, under the two roofs; one dot a layer."""
    hertz = report.summary["clock_mhz"] * 1e6
    peak = 2 * report.peak_macs_per_cycle * hertz / 1e9
    bandwidth = report.bytes_per_cycle * hertz / 1e9
    dots = [dot for dot in report.layers if dot.macs and dot.dram_bytes and dot.cycles]
    intensities = [2 * dot.macs / dot.dram_bytes for dot in dots]
    ridge = peak / bandwidth
    low, high = min([*intensities, ridge]) / 2, max([*intensities, ridge]) * 2
    figure = _figure()
    figure.add_scatter(
        x=[low, ridge, high], y=[low * bandwidth, peak, peak], mode="lines", line={"color": GREY, "width": 2}, name="roof",
        hovertext=[f"memory roof: {bandwidth:.3g} GB/s", f"ridge: {ridge:.3g} operations a byte", f"compute roof: {peak:.4g} GOPS"],
        hoverinfo="text",
    )  # fmt: skip
    for operator, colour in zip(sorted({dot.operator for dot in dots}), _cycle(dots), strict=False):
        of_kind = [dot for dot in dots if dot.operator == operator]
        figure.add_scatter(
            x=[2 * dot.macs / dot.dram_bytes for dot in of_kind], y=[_gops(dot, hertz) for dot in of_kind], mode="markers", name=operator,
            marker={"color": colour, "size": 10, "opacity": 0.85, "line": {"color": "white", "width": 1}},
            text=[f"{dot.name}<br>{_gops(dot, hertz):.4g} GOPS<br>{2 * dot.macs / dot.dram_bytes:.3g} operations a byte" for dot in of_kind],
            hoverinfo="text",
        )  # fmt: skip
    figure.update_xaxes(type="log", dtick="D2", title="operations a byte of DRAM traffic")
    figure.update_yaxes(type="log", dtick="D2", title="GOPS")
    return _dressed(figure)


def _figure() -> Figure:
    return import_module("plotly.graph_objects").Figure()


def _cycle(dots: Sequence[LayerDot]) -> list[str]:
    colours = [BLUE, ORANGE, GREEN, RED, PURPLE]
    return colours * (1 + len(dots) // len(colours))


def _gops(dot: LayerDot, hertz: float) -> float:
    return 2 * dot.macs * hertz / dot.cycles / 1e9


def design_space(report: Report) -> Figure:
    """Cycles an image over the DRAM bytes a cycle that a design needs."""
    figure = _figure()
    rest = [point for point in report.points if not point.pareto and not point.chosen]
    front = sorted((point for point in report.points if point.pareto), key=lambda point: point.bytes_per_cycle)
    chosen = [point for point in report.points if point.chosen]
    _add_points(figure, rest, "legal designs", {"color": GREY, "size": 6, "opacity": 0.5}, "markers")
    _add_points(figure, front, "Pareto set", {"color": BLUE, "size": 9}, "lines+markers")
    _add_points(figure, chosen, "chosen", {"color": RED, "size": 15, "symbol": "star"}, "markers")
    figure.update_xaxes(**_scale([point.bytes_per_cycle for point in report.points]), title="DRAM bytes a cycle, mean over the network")
    figure.update_yaxes(**_scale([point.cycles for point in report.points]), title="cycles an image")
    return _dressed(figure)


def _scale(values: Sequence[float]) -> dict[str, str]:
    """Logarithmic when the values span decades; within one, a linear axis has the labels that a reader needs."""
    return {"type": "log", "dtick": "D2"} if values and max(values) > LINEAR_SPAN * min(values) else {"type": "linear"}


def _add_points(figure: Figure, points: Sequence[DesignPoint], name: str, marker: Mapping[str, Any], mode: str) -> None:
    texts = [
        f"{point.cycles:,.0f} cycles, {point.bytes_per_cycle:.3g} bytes a cycle<br>"
        + "<br>".join(f"{k} = {v}" for k, v in point.parameters.items())
        for point in points
    ]
    figure.add_scatter(
        x=[point.bytes_per_cycle for point in points], y=[point.cycles for point in points], mode=mode, name=name, marker=dict(marker),
        line={"width": 1}, text=texts, hoverinfo="text",
    )  # fmt: skip


def cycles(report: Report) -> Figure:
    """Predicted and simulated cycles of each layer."""
    rows = report.summary["layers"]
    names = [row["name"] for row in rows]
    figure = _figure()
    for key, colour in (("predicted_cycles", GREY), ("simulated_cycles", BLUE)):
        values = [row[key] for row in rows]
        if any(value is not None for value in values):
            figure.add_bar(x=names, y=values, name=key.removesuffix("_cycles"), marker={"color": colour})
    figure.update_layout(barmode="group")
    figure.update_yaxes(title="cycles")
    return _dressed(figure)


def timeline(report: Report) -> Figure:
    """Which unit worked when."""
    figure = _figure()
    units = [(unit, colour) for unit, colour in LANES if any(bar.unit == unit for bar in report.timeline)]
    for unit, colour in reversed(units):
        bars = merged([bar for bar in report.timeline if bar.unit == unit])
        figure.add_bar(
            y=[unit] * len(bars), base=[bar.start for bar in bars], x=[bar.stop - bar.start for bar in bars], orientation="h", name=unit,
            marker={"color": colour, "line": {"width": 0}},
            text=[f"{bar.layer}: {bar.start:,} to {bar.stop:,}" for bar in bars], textposition="none", hoverinfo="text",
        )  # fmt: skip
    figure.update_layout(barmode="overlay", showlegend=False)
    figure.update_xaxes(title="cycle")
    return _dressed(figure, height=260)


def merged(bars: Sequence[Bar]) -> list[Bar]:
    """At most about BARS_SHOWN bars: those of one layer whose gap is shorter than a pixel's worth of cycles become one."""
    if not bars:
        return []
    ordered = sorted(bars, key=lambda bar: bar.start)
    gap = 0 if len(ordered) <= BARS_SHOWN else (ordered[-1].stop - ordered[0].start) // BARS_SHOWN
    result: list[Bar] = []
    for layer, run in groupby(ordered, key=lambda bar: bar.layer):
        for bar in run:
            if gap and result and result[-1].layer == layer and bar.start - result[-1].stop <= gap:
                last = result.pop()
                bar = Bar(unit=bar.unit, layer=layer, start=last.start, stop=max(last.stop, bar.stop))
            result.append(bar)
    return result


def _dressed(figure: Figure, *, height: int = 420) -> Figure:
    figure.update_layout(
        template="plotly_white", height=height, margin={"l": 60, "r": 20, "t": 20, "b": 60}, hoverlabel={"align": "left"},
        font={"family": "system-ui, sans-serif", "size": 13}, legend={"orientation": "h", "y": 1.08, "x": 0},
    )  # fmt: skip
    return figure
