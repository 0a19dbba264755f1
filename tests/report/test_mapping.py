"""The report of mappings, and the picture of one."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ridgeline.flows.map import MapOptions, map_network
from ridgeline.hardware.chip import CHIPS, read_chip
from ridgeline.report.mapping import MappingReport, heaviest, pictures, render_mapping, waited
from ridgeline.report.nest import LANES, Memory, line_width, nest_svg, percent, size

CHIP = read_chip("eyeriss-256")
MEMORIES = tuple(
    Memory(level=level.name, bytes_per_cycle=CHIP.bytes_per_cycle(level), usable_bytes=level.usable_bytes) for level in CHIP.levels
)


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    return dict(map_network(MapOptions(network="resnet8", chip="eyeriss-256", rules="timeloop")))


def report(summary: dict[str, Any]) -> MappingReport:
    return MappingReport(summary=summary, array=CHIP.array, memories=MEMORIES)


def test_the_picture_shows_what_the_json_says(summary: dict[str, Any]) -> None:
    layer = summary["layers"][0]
    root = ElementTree.fromstring(nest_svg(layer, MEMORIES, CHIP.array))
    texts = [item.text for item in root.iter("text")]
    kinds = [item.get("class") for item in root.iter("rect")]
    levels = layer["mapping"]["levels"]
    assert [text for text in texts if text in {level["level"] for level in levels}] == [level["level"] for level in levels]
    assert kinds.count("tile-edge") == sum(len(level["tiles"]) for level in levels)
    assert kinds.count("band bound") == 1
    loops = layer["mapping"]["loops"]
    assert kinds.count("loop") == sum(loop["array"] is None for loop in loops)
    assert kinds.count("spread") == sum(loop["array"] is not None for loop in loops)
    links = [link for level in levels for link in level["links"]]
    assert len(list(root.iter("polygon"))) == len(links)
    for link in links:
        assert any(text and f" {size(link['parent_bytes'])}" in text for text in texts)


def test_tensors_at_home_on_the_chip_have_no_line_from_outside(tmp_path: Path) -> None:
    text = (CHIPS / "eyeriss-256.toml").read_text().replace("[array]", '[homes]\ninput = "glb"\noutput = "glb"\n\n[array]')
    (tmp_path / "inside.toml").write_text(text)
    found = map_network(MapOptions(network="resnet8", chip=str(tmp_path / "inside.toml"), layers="shortcut"))
    for layer in found["layers"]:
        outer, buffer = layer["mapping"]["levels"][:2]
        assert (list(outer["tiles"]), [link["tensor"] for link in outer["links"]]) == (["weight"], ["weight"])
        assert set(buffer["tiles"]) == {"input", "output"}
        root = ElementTree.fromstring(nest_svg(layer, MEMORIES, CHIP.array))
        colours = [item.get("style") for item in root.iter("rect") if item.get("class") == "tile-edge"]
        assert colours[:3] == [f"--colour:{LANES[tensor]}" for tensor in ("weight", "input", "output")]
        assert len(list(root.iter("polygon"))) == sum(len(level["links"]) for level in layer["mapping"]["levels"])


def test_what_is_drawn_lies_within_the_picture(summary: dict[str, Any]) -> None:
    for layer in summary["layers"]:
        root = ElementTree.fromstring(nest_svg(layer, MEMORIES, CHIP.array))
        _, _, width, height = (float(value) for value in root.attrib["viewBox"].split())
        for box in root.iter("rect"):
            x, y, wide, high = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
            assert 0 <= x <= x + wide <= width
            assert 0 <= y <= y + high <= height


def test_the_page_holds_all_it_needs(summary: dict[str, Any]) -> None:
    odd = deepcopy(summary)
    odd["layers"][0]["name"] = "<script>&"
    page = render_mapping(report(odd))
    assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc=|<link\s[^>]*href=", page)
    assert "<script>&" not in page
    assert page.count("<option ") == len(summary["layers"])
    for layer in summary["layers"][1:]:
        assert layer["name"] in page
        assert layer["mapping"]["text"].splitlines()[-1].strip() in page


def test_equal_mappings_are_drawn_once(summary: dict[str, Any]) -> None:
    twice = {**summary, "layers": [*summary["layers"], {**summary["layers"][0], "name": "again"}]}
    made = pictures(report(twice))
    assert sum(len(picture.layers) for picture in made) == len(twice["layers"])
    assert any({"again", summary["layers"][0]["name"]} <= set(picture.layers) for picture in made)
    places = heaviest(twice["layers"], made)
    most = max(twice["layers"], key=lambda layer: layer["energy_pj"])
    assert any(most["name"] in made[place].layers for place in places)


def test_bars_of_cycles_add_up(summary: dict[str, Any]) -> None:
    layers = deepcopy(summary["layers"])
    layers[0]["cycles"] += 1000  # as where the first fill counts
    figure = waited(layers)
    for place, layer in enumerate(layers):
        assert sum(bar.y[place] for bar in figure.data) == layer["cycles"]
    assert "fill and drain" in [bar.name for bar in figure.data]


def test_sizes_shares_and_widths() -> None:
    assert [size(value) for value in (0, 24, 1568, 2_097_152, 131_072, 7.5e10)] == ["0 B", "24 B", "1.57 kB", "2.1 MB", "131 kB", "75 GB"]
    assert [percent(value) for value in (0, 1e-5, 0.0123, 0.5, 1)] == ["0 %", "< 0.1 %", "1.2 %", "50 %", "100 %"]
    widths = [line_width(10.0**power) for power in range(12)]
    assert widths == sorted(widths)
    assert widths[-1] - widths[-2] == pytest.approx(widths[-2] - widths[-3])
    assert set(LANES) == {"input", "weight", "output"}
