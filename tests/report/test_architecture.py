"""The report of a chip's designs: its order, what it draws where areas are unknown, and that it needs nothing else."""

import re
from itertools import pairwise

import pytest

from ridgeline.report.architecture import SPAN, front, render_architecture, rows


def design(energy_pj: float | None, time_s: float | None, area_mm2: float | None, *, number: int) -> dict[str, object]:
    mapped = energy_pj is not None
    return {
        "parameters": {"glb.capacity_bytes": number},
        "status": "mapped" if mapped else "no mapping",
        "area_mm2": area_mm2,
        "energy_pj": energy_pj,
        "cycles": int(time_s * 1e9) if time_s is not None else None,
        "time_s": time_s,
        "edp_pj_s": energy_pj * time_s if energy_pj is not None and time_s is not None else None,
        "gap": 0.25 if mapped else None,
        "reason": None if mapped else "level 'glb' <too small>",
    }


DESIGNS = [
    design(9e6, 2e-3, 3.0, number=1),  # beaten
    design(8e6, 2e-3, 3.0, number=2),
    design(None, None, 1.0, number=3),
    design(5e6, 3e-3, 2.0, number=4),
    design(9e6, 1e-3, 9.0, number=5),
    design(7e6, 4e-3, 2.5, number=6),  # beaten
]
AREA = {"mm2": 2.0, "by_part": {"mac": 0.5, "glb": 1.5}, "estimated": ["glb"], "missing": ["decoders"]}
SUMMARY = {
    "networks": ["a", "<b>"], "chip": "small", "vary": {"glb.capacity_bytes": [1, 2, 3, 4, 5, 6]}, "objective": "edp", "space": "full", "macs": 1000,
    "count": {"asked": 6, "mapped": 5, "no mapping": 1}, "certificate": {"optimal": False, "gap": 0.25}, "best": DESIGNS[4],
    "pareto": [DESIGNS[1], DESIGNS[3], DESIGNS[4]], "area": AREA, "designs": DESIGNS,
    "best_layers": [{"name": "b: conv<1>", "shape": "m 4", "cycles": 5, "energy_pj": 2e6, "macs": 1000, "utilization": 0.5, "bound": "dram"}],
}  # fmt: skip


def test_the_page_holds_all_it_needs() -> None:
    page = render_architecture(SUMMARY)
    assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc=|<link\s[^>]*href=", page)
    assert "<too small>" not in page
    for text in ("a, &lt;b&gt;: designs of small", "within 25.00 % of the best", "1 no mapping", "&lt;too small&gt;", "b: conv&lt;1&gt;"):
        assert text in page, text
    assert page.count("published areas of its kind") == page.count("the chip&#39;s description") + page.count("the chip's description") == 1


def test_the_pareto_set_comes_first_and_what_is_not_mapped_last() -> None:
    found = rows(SUMMARY)
    assert len(found) == len(DESIGNS)
    marks = [(not row["pareto"], row["status"] != "mapped") for row in found]
    assert marks == sorted(marks)
    assert [row["best"] for row in found].count(True) == 1
    assert all(one["energy_pj"] <= other["energy_pj"] for one, other in pairwise(row for row in found if row["pareto"]))


@pytest.mark.parametrize(("x", "y"), [("time", "energy"), ("area", "energy"), ("area", "time")])
def test_every_mapped_design_is_drawn_once(x: str, y: str) -> None:
    keys = {"energy": ("energy_pj", 1e-6), "time": ("time_s", 1e3), "area": ("area_mm2", 1.0)}
    drawn = [pair for trace in front(SUMMARY, x, y).data for pair in zip(trace.x, trace.y, strict=True)]
    wanted = [(point[keys[x][0]] * keys[x][1], point[keys[y][0]] * keys[y][1]) for point in DESIGNS if point["status"] == "mapped"]
    assert sorted(drawn) == [pytest.approx(pair) for pair in sorted(wanted)]


def test_an_axis_of_wide_span_is_logarithmic() -> None:
    assert front(SUMMARY, "time", "energy").layout.xaxis.type == "linear"
    wide = [dict(point) | {"time_s": point["time_s"] * (2 * SPAN if number == 0 else 1)} for number, point in enumerate(SUMMARY["pareto"])]
    assert front(SUMMARY | {"designs": wide, "pareto": wide}, "time", "energy").layout.xaxis.type == "log"


def test_without_areas_there_is_one_plot() -> None:
    bare = [dict(point) | {"area_mm2": None} for point in DESIGNS]
    page = render_architecture(SUMMARY | {"area": None, "designs": bare, "pareto": bare[3:5], "best": bare[4]})
    assert 'id="time-energy"' in page
    assert 'id="area-' not in page
    assert "Area of the best design" not in page


def test_equal_designs_stand_in_the_middle_of_an_axis() -> None:
    same = [design(9e6, 2e-3, 3.0, number=1), design(8e6, 2e-3, 2.0, number=2)]
    axis = front(SUMMARY | {"designs": same, "pareto": same[1:], "best": same[1]}, "time", "energy").layout.xaxis
    assert tuple(axis.range) == pytest.approx((1.0, 3.0)), "ms"
