"""The seven networks of the zoo at full size on one 16 x 16 engine at bench-128B: exactness, quality, utilisation, prediction."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.row import Row, percent, ridgeline

CALIBRATION_IMAGES = 9  # the first of them is simulated
SQNR_DB = 20.0
NETWORK_ERROR, LAYER_ERROR, LAYER_SHARE = 0.02, 0.05, 0.01
UTILISATION = {"vgg16": 0.95, "resnet18": 0.88, "mobilenetv2": 0.45}
# One engine for all: the emitted Verilog must be the same file for every network.
ENGINE = ("--lanes", "16x16", "--taps", "3", "--bus-bytes", "128", "--activation-bytes", "262144", "--weight-bytes", "524288")
ENGINE += ("--output-bytes", "131072", "--accumulator-depth", "512")


def measure() -> list[Row]:
    from ridgeline.algorithm import zoo

    names = os.environ.get("BENCH_ZOO", "").split() or [row.name for row in zoo.describe() if row.engine]
    with tempfile.TemporaryDirectory() as folder:
        built = {name: _build(name, Path(folder)) for name in names}
    summaries = {name: summary for name, (summary, _) in built.items()}
    return [
        _exact(summaries),
        _same_verilog({name: verilog for name, (_, verilog) in built.items()}),
        _quality(summaries),
        *(_utilisation(name, summary) for name, summary in summaries.items()),
        *_prediction(summaries),
    ]


def _build(name: str, folder: Path) -> tuple[dict[str, Any], bytes]:
    from ridgeline.algorithm import zoo
    from ridgeline.algorithm.zoo import samples

    shape = tuple(int(size) for size in zoo.entry(name).input.split(" x "))
    data, out = folder / f"{name}.npy", folder / name
    np.save(data, samples.images(CALIBRATION_IMAGES, shape, seed=1))
    summary = ridgeline("build", name, "--data", str(data), "--device", "bench-128B", *ENGINE, "--images", "1", "--out", str(out))
    return summary, b"".join(path.read_bytes() for path in sorted((out / "rtl").glob("*.v")))


def _exact(summaries: Mapping[str, Any]) -> Row:
    wrong = [name for name, summary in summaries.items() if not summary["bit_exact"]]
    values = sum(summary["values_compared"] for summary in summaries.values())
    return Row(
        figure="zoo, full size: networks bit-exact", value=f"{len(summaries) - len(wrong)} of {len(summaries)}", target="all",
        worst=", ".join(wrong) or f"{values:,} values compared", holds=not wrong, peer="none proves it",
    )  # fmt: skip


def _same_verilog(verilog: Mapping[str, bytes]) -> Row:
    count = len(set(verilog.values()))
    return Row(figure="zoo: different Verilog files", value=str(count), target="1", worst=f"{len(verilog)} networks", holds=count == 1)


def _quality(summaries: Mapping[str, Any]) -> Row:
    worst, value = min(((name, min(s["sqnr_db"].values())) for name, s in summaries.items()), key=lambda pair: pair[1])
    return Row(
        figure="zoo: SQNR of golden against float",
        value=f"{value:.1f} dB",
        target=f">= {SQNR_DB:.0f} dB",
        worst=worst,
        holds=value >= SQNR_DB,
    )


def _utilisation(name: str, summary: Mapping[str, Any]) -> Row:
    """VGG16 is judged on its convolutions; the others from the program's start to its last write."""
    value, what = summary["utilization"], "whole network"
    if name == "vgg16":
        layers = [layer for layer in summary["layers"] if layer["name"].startswith("conv") or layer["name"].startswith("features")]
        array = summary["engine"]["lanes_out"] * summary["engine"]["lanes_in"]
        value = sum(layer["macs"] for layer in layers) / array / sum(layer["simulated_cycles"] for layer in layers)
        what = f"{len(layers)} layers; whole network {percent(summary['utilization'])}"
    target = UTILISATION.get(name)
    return Row(
        figure=f"{name}: MACs / (simulated cycles x array MACs)", value=percent(value), target=f">= {percent(target)}" if target else "-",
        worst=what, holds=None if target is None else value >= target, peer="DPU 64 %" if name == "resnet18" else "",
    )  # fmt: skip


def _prediction(summaries: Mapping[str, Any]) -> list[Row]:
    name, error = max(((n, abs(s["cycles"]["error"])) for n, s in summaries.items()), key=lambda pair: pair[1])
    layers = [
        (f"{network} {layer['name']}", abs(layer["predicted_cycles"] / layer["simulated_cycles"] - 1))
        for network, summary in summaries.items()
        for layer in summary["layers"]
        if layer["simulated_cycles"] > LAYER_SHARE * summary["cycles"]["simulated"]
    ]
    worst, layer_error = max(layers, key=lambda pair: pair[1])
    network = "zoo: predicted against simulated cycles, network"
    layer = "zoo: the same, layers above 1 % of the time"
    return [
        Row(figure=network, value=percent(error), target="<= 2 %", worst=name, holds=error <= NETWORK_ERROR, peer="FPGA'15: 7.2 %"),
        Row(figure=layer, value=percent(layer_error), target="<= 5 %", worst=worst, holds=layer_error <= LAYER_ERROR),
    ]
