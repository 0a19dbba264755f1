"""The demo's main job after set-up, with and without synthesis."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.row import Row, ridgeline

COMMAND = ("build", "examples/digits/digits.onnx", "--data", "examples/digits/test.npz", "--device", "ulx3s-85f")


def measure() -> list[Row]:
    return [_row("demo without synthesis", "--no-synth", 60.0), _row("demo with synthesis", "--synth", 300.0)]


def _row(figure: str, synthesis: str, limit_s: float) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        summary = ridgeline(*COMMAND, synthesis, "--out", str(Path(folder) / "digits"))
        elapsed = time.perf_counter() - start
    fmax = summary["fmax_mhz"]
    worst = f"bit exact: {summary['bit_exact']}, {summary['images']} images" + (f", Fmax {fmax:.1f} MHz" if fmax else "")
    return Row(
        figure=figure, value=f"{elapsed:.0f} s", target=f"< {limit_s:.0f} s", worst=worst, holds=elapsed < limit_s and summary["bit_exact"]
    )
