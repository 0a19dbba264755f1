"""summary.json: what was predicted, what was measured, and null for what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, TypeAlias

import numpy as np

from ridgeline.flows.check import Checked
from ridgeline.flows.design import GOLDEN, OUTPUTS, PROGRAM, Design, Layer, Predicted, PredictedLayer

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
RESOURCES = ("dsp", "bram", "lut", "ff")
SIMULATORS = {"rtl": "Verilator", "hls": "C simulation"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Shares of the labelled images, of those simulated, whose largest output is at the label."""

    real: float | None = None  # of the float network
    golden: float | None = None
    hardware: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Results:
    """All that a summary is made from; what is None was not measured."""

    design: Design
    predicted: Predicted
    checked: Checked | None
    sqnr_db: Mapping[str, float]
    accuracy: Accuracy
    host: Sequence[tuple[str, str]]  # node, reason
    clock_mhz: float
    copies: int  # of the engine
    explored: Mapping[str, Any]
    resources: Mapping[str, int] | None  # predicted
    synthesized: Mapping[str, int] | None
    fmax_mhz: float | None
    rtl: str | None  # the Verilog file
    report: str | None
    hls: str | None = None  # the C++ file
    checks: Mapping[str, Checked] = field(default_factory=dict[str, Checked])  # by the back end that was simulated


def summary(results: Results) -> dict[str, Any]:
    """The content of summary.json. `cycles` are of one image on one engine, `resources` of one engine."""
    design, checked = results.design, results.checked
    measured = None if checked is None else checked.cycles
    return {
        "network": design.network,
        "device": design.device,
        "backend": design.backend,
        "format": design.format,
        **agreement(design, results.checks),
        "images": 0 if checked is None else checked.images,
        "sqnr_db": {name: finite(value) for name, value in results.sqnr_db.items()},
        "accuracy": {"float": results.accuracy.real, "golden": results.accuracy.golden, "hardware": results.accuracy.hardware},
        "engine": {**design.engine, **design.stored},
        "copies": results.copies,
        "engine_macs_share": 1.0,  # what may run on the host (Softmax, Resize, casts, layout) multiplies nothing
        "host": [{"node": node, "reason": reason} for node, reason in results.host],
        "clock_mhz": results.clock_mhz,
        "cycles": {
            "predicted": results.predicted.cycles,
            "simulated": measured,
            "error": None if measured is None else results.predicted.cycles / measured - 1,
        },
        "throughput_images_per_s": images_per_s(results.copies, results.clock_mhz, measured or results.predicted.cycles),
        "layers": layers(design, results.predicted, checked),
        "utilization": utilization(sum(layer.macs for layer in design.layers), measured or results.predicted.cycles, design),
        "explored": dict(results.explored),
        "resources": {"predicted": _resources(results.resources), "synthesized": _resources(results.synthesized)},
        "fmax_mhz": results.fmax_mhz,
        "files": {
            "golden": GOLDEN,
            "rtl": results.rtl,
            "hls": results.hls,
            "program": PROGRAM,
            "outputs": OUTPUTS,
            "report": results.report,
        },
    }


def agreement(design: Design, checks: Mapping[str, Checked]) -> dict[str, Any]:
    """What was held against golden.onnx, of each back end and of all; real values agree within a tolerance, not bit for bit."""
    each = {
        name: {
            "simulator": SIMULATORS[name],
            "bit_exact": None if design.format == "float32" else checked.mismatch is None,
            "largest_error": None if checked.largest_error is None else finite(checked.largest_error),
            "values_compared": checked.values_compared,
            "cycles": checked.cycles,
        }
        for name, checked in checks.items()
    }
    exact = [item["bit_exact"] for item in each.values()]
    return {
        "bit_exact": None if not exact or None in exact else all(exact),
        "within_tolerance": all(checked.mismatch is None for checked in checks.values()) if checks else None,
        "values_compared": sum(checked.values_compared for checked in checks.values()),
        "simulated": each,
    }


def layers(design: Design, predicted: Predicted, checked: Checked | None) -> list[dict[str, Any]]:
    measured: Sequence[int | None] = [None] * len(design.layers) if checked is None else checked.layer_cycles
    known = {layer.name: layer for layer in predicted.layers}
    return [_layer(layer, known[layer.name], cycles, design) for layer, cycles in zip(design.layers, measured, strict=True)]


def _layer(layer: Layer, predicted: PredictedLayer, measured: int | None, design: Design) -> dict[str, Any]:
    return {
        "name": layer.name,
        "operator": layer.operator,
        "macs": layer.macs,
        "predicted_cycles": predicted.cycles,
        "simulated_cycles": measured,
        "utilization": utilization(layer.macs, predicted.cycles if measured is None else measured, design),
        "bound": predicted.bound,
    }


def images_per_s(copies: int, clock_mhz: float, cycles: int) -> float:
    """Of all engines together, each at its own image."""
    return copies * clock_mhz * 1e6 / max(1, cycles)


def utilization(macs: int, cycles: int, design: Design) -> float:
    """Share of the array's multiply-accumulates that were of use."""
    return macs / (max(1, cycles) * design.array_macs)


def accuracy(outputs: Array, labels: Array) -> float:
    """`outputs` is (images, ...); the largest of an image's values must be at its label."""
    return int(np.count_nonzero(outputs.reshape(len(outputs), -1).argmax(axis=1) == labels)) / len(labels)


def finite(value: float) -> float | None:
    """JSON knows no infinity: the SQNR of outputs without any difference is null."""
    return float(value) if isfinite(value) else None


def _resources(found: Mapping[str, int] | None) -> dict[str, int | None]:
    return {name: None if found is None else found.get(name) for name in RESOURCES}
