"""The report is one deterministic, self-contained page that shows every figure of the summary."""

import re
from html.parser import HTMLParser

import pytest

from ridgeline.report import Bar, DesignPoint, LayerDot, Report, render
from ridgeline.report.figures import BARS_SHOWN, merged
from ridgeline.report.page import number, percent, resource_rows


def summary(**changes):
    layers = [
        {"name": f"conv{i}", "operator": "Conv", "macs": 1000 * (i + 1), "predicted_cycles": 50 + i, "simulated_cycles": 51 + i}
        | {"utilization": 0.5, "bound": "compute"}
        for i in range(3)
    ]
    return {
        "network": "tiny", "device": "bench-128B", "bit_exact": True, "images": 2, "values_compared": 4321, "sqnr_db": {"logits": 33.25},
        "accuracy": {"float": 0.5, "golden": 0.5, "hardware": 0.5}, "engine": {"lanes_out": 8, "lanes_in": 8, "taps": 3, "bus_bytes": 8},
        "copies": 1, "throughput_images_per_s": 641025.6,
        "host": [{"node": "softmax", "reason": "at the end </script>"}], "clock_mhz": 100.0,
        "cycles": {"predicted": 153, "simulated": 156, "error": -0.02}, "layers": layers, "utilization": 0.6,
        "explored": {"legal": 7, "evaluated": 99, "pruned": 1, "time_s": 0.5}, "fmax_mhz": None,
        "resources": {"predicted": {"dsp": 80, "lut": 900}, "synthesized": {"dsp": 80, "lut": 1000}},
        "files": {"golden": "golden.onnx", "report": "report.html"},
    } | changes  # fmt: skip


def report(**changes):
    return Report(
        summary=summary(**changes), peak_macs_per_cycle=64, bytes_per_cycle=2.5,
        layers=tuple(LayerDot(name=f"conv{i}", operator="Conv", macs=1000, dram_bytes=100 + i, cycles=51) for i in range(3)),
        points=(DesignPoint(cycles=156, bytes_per_cycle=1.5, parameters={"lanes_out": 8}, pareto=True, chosen=True),),
        timeline=(Bar(unit="load", layer="conv0", start=0, stop=20), Bar(unit="compute", layer="conv0", start=10, stop=50)),
        available={"dsp": 156, "lut": 84000},
    )  # fmt: skip


class Ids(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.sources = set(), []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        if tag in ("script", "link", "img"):
            self.sources.append(attributes.get("src") or attributes.get("href"))


def test_page_is_self_contained_and_the_same_each_time():
    page = render(report())
    assert page == render(report())
    parsed = Ids()
    parsed.feed(page)
    assert {"roofline", "space", "cycles", "timeline"} <= parsed.ids
    assert not any(parsed.sources)


def test_page_shows_the_summary():
    page = render(report())
    for text in ("bit for bit", "4,321 values", "33.25 dB", "-2.00 %", "conv2", "tiny on bench-128B"):
        assert text in page
    assert "at the end &lt;/script&gt;" in page


@pytest.mark.parametrize(("bit_exact", "text"), [(None, "not simulated"), (False, '<b class="bad">no</b>')])
def test_page_says_when_it_is_not_exact(bit_exact, text):
    assert text in render(report(bit_exact=bit_exact))


def test_what_was_not_measured_is_a_dash():
    assert (number(None), percent(None), number(1234), percent(0.5)) == ("–", "–", "1,234", "50.00 %")
    rows = resource_rows({"predicted": {"dsp": 3}, "synthesized": None}, {"dsp": 12}, copies=2)
    assert rows == [{"name": "dsp", "predicted": 3, "synthesized": None, "error": None, "available": 12, "share": 0.5}]


def test_a_long_timeline_is_merged_but_keeps_its_ends_and_layers():
    bars = [Bar(unit="load", layer=f"l{i // 5000}", start=10 * i, stop=10 * i + 9) for i in range(20000)]
    short = merged(bars)
    assert len(short) < 2 * BARS_SHOWN
    assert short[0].start == 0
    assert short[-1].stop == bars[-1].stop
    assert [bar.layer for bar in short] == sorted(bar.layer for bar in short)
    assert {bar.layer for bar in short} == {"l0", "l1", "l2", "l3"}


def test_scripts_of_figures_cannot_end_their_element():
    page = render(report())
    inline = re.findall(r"const figure = (.*?); Plotly", page, flags=re.S)
    assert len(inline) == 4
    assert not any("</" in text for text in inline)
