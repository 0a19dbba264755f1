"""The demo's main job after set-up, with and without synthesis, beside hls4ml from the same network to its C simulation."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.peers import ran
from bench.row import Row, ridgeline

COMMAND = ("build", "examples/digits/digits.onnx", "--data", "examples/digits/test.npz", "--device", "ulx3s-85f")
PEER = (
    "hls4ml {version}: {wide[wall_s]:.0f} s to the C simulation (no RTL), {wide[agree]} of {images} decisions the float network's with "
    "{wide[precision]}, {default[agree]} with its default {default[precision]}"
)


def measure() -> list[Row]:
    without = _row("demo without synthesis", "--no-synth", 60.0)
    return [replace(without, peer=ran("hls4ml").cell(PEER)), _row("demo with synthesis", "--synth", 300.0)]


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
