"""The line's report and its timeline file."""

import json
import re
from itertools import pairwise

from ridgeline.report.line import BARS_SHOWN, LineReport, StageBar, first_images, render_line
from ridgeline.report.trace import Span, trace

BOARD = {
    "device": "vc709", "layers": ["conv1", "<pool>"], "engine": {"lanes_out": 16, "lanes_in": 8}, "copies": 2, "cycles": 1234567, "time_s": 0.0123,
    "clock_mhz": 100.0, "resources": {"predicted": {"dsp": 544, "bram": 100, "lut": 1, "ff": 1}}, "link_bytes": 4096, "link_time_s": 0.001,
}  # fmt: skip
SUMMARY = {
    "network": "alexnet", "objective": "throughput", "link_gb_per_s": 1.25, "boards": [BOARD, BOARD | {"link_bytes": None, "link_time_s": None}],
    "throughput_images_per_s": 784.4, "latency_s": 0.03, "macs": 1, "gops": 1136.0, "bottleneck": "board 2",
    "pipeline": {"images": 3, "fill_s": 0.03, "period_s": 0.001, "time_s": 0.1},
    "explored": {"sections": 60, "searched": 7, "pruned": 53, "time_s": 1.0},
}  # fmt: skip


def spans(images: int) -> tuple[Span, ...]:
    return tuple(
        Span(group=group, row=row, name=f"image {image + 1}", start_s=image + start, stop_s=image + start + 0.5)
        for image in range(images)
        for group, row, start in (("board 1", f"engine {image % 2 + 1}", 0.0), ("link 1", "", 0.5), ("board 2", "", 1.0))
    )


def test_the_page_holds_all_it_needs() -> None:
    stages = (StageBar(name="board 1", period_s=0.5, slowest=False), StageBar(name="board 2", period_s=1, slowest=True))
    page = render_line(LineReport(summary=SUMMARY, stages=stages, spans=spans(3), ends_s=(1.5, 2.5, 3.5)))
    assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc=|<link\s[^>]*href=", page)
    assert "&lt;pool&gt;" in page
    assert "<pool>" not in page
    for text in ("784.4", "1,136 GOPS", "board 2", "1,234,567", "board 2 (slowest)", "board 1 engine 2", '"filled"'):
        assert text in page, text


def test_few_enough_bars() -> None:
    assert first_images(spans(2)) == list(spans(2))
    shown = first_images(spans(BARS_SHOWN))
    assert len(shown) == BARS_SHOWN
    assert len({span.name for span in shown}) == BARS_SHOWN // 3


def test_the_trace() -> None:
    found = json.loads(json.dumps(trace(spans(4))))
    events = [event for event in found["traceEvents"] if event["ph"] == "X"]
    names = {(event["pid"], event["name"]): event["args"] for event in found["traceEvents"] if event["ph"] == "M"}
    assert [(event["name"], event["ts"], event["dur"]) for event in events[:2]] == [("image 1", 0.0, 5e5), ("image 1", 5e5, 5e5)]
    assert [names[pid, "process_name"]["name"] for pid in (1, 2, 3)] == ["board 1", "link 1", "board 2"]
    threads = [event["args"]["name"] for event in found["traceEvents"] if event["name"] == "thread_name"]
    assert threads == ["engine 1", "link 1", "board 2", "engine 2"]
    rows = {(event["pid"], event["tid"]) for event in events}
    assert len(rows) == 4
    for row in rows:
        own = [event for event in events if (event["pid"], event["tid"]) == row]
        assert all(first["ts"] + first["dur"] <= second["ts"] for first, second in pairwise(own))
    assert rows == {(event["pid"], event["tid"]) for event in found["traceEvents"] if event["name"] == "thread_name"}
