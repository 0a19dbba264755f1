"""How long the package takes to import and the command line to answer: the median of several whole processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from bench.row import Row

RUNS = 9


def measure() -> list[Row]:
    return [
        _row("import ridgeline", 0.2, [sys.executable, "-c", "import ridgeline"], base=[sys.executable, "-c", "pass"]),
        _row("ridgeline --help", 0.4, [sys.executable, "-m", "ridgeline", "--help"], base=None),
    ]


def _row(figure: str, limit_s: float, command: list[str], *, base: list[str] | None) -> Row:
    times = _times(command)
    value = statistics.median(times) - (statistics.median(_times(base)) if base else 0.0)
    return Row(
        figure=figure, value=f"{value:.3f} s", target=f"< {limit_s} s", worst=f"{max(times):.3f} s whole process", holds=value < limit_s
    )


def _times(command: list[str]) -> list[float]:
    times: list[float] = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times
