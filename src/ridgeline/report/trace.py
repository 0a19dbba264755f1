"""A timeline as a file that Perfetto (ui.perfetto.dev) and chrome://tracing open: Chrome's trace event format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something at work: `group` and `row` are where it is shown; a group of one row needs no name for it."""

    group: str
    row: str
    name: str
    start_s: float
    stop_s: float


def trace(spans: Sequence[Span]) -> dict[str, Any]:
    """The content of the file; groups and rows in the order of their first span. Times are in microseconds there."""
    groups = {name: number for number, name in enumerate(dict.fromkeys(span.group for span in spans), start=1)}
    rows = {key: number for number, key in enumerate(dict.fromkeys((span.group, span.row) for span in spans), start=1)}
    named: list[dict[str, Any]] = [_name("process_name", groups[group], 0, group) for group in groups]
    named += [{"name": "process_sort_index", "ph": "M", "pid": pid, "tid": 0, "args": {"sort_index": pid}} for pid in groups.values()]
    named += [_name("thread_name", groups[group], number, row or group) for (group, row), number in rows.items()]
    events = [
        {
            "name": span.name,
            "ph": "X",
            "ts": span.start_s * 1e6,
            "dur": (span.stop_s - span.start_s) * 1e6,
            "pid": groups[span.group],
            "tid": rows[span.group, span.row],
        }
        for span in spans
    ]
    return {"displayTimeUnit": "ms", "traceEvents": [*named, *events]}


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
