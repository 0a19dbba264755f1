"""`ridgeline verify DIR`: simulate whatever Verilog, C++ and program lie in a folder, and hold every value against its golden.onnx."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ridgeline.errors import InputError
from ridgeline.flows.check import Checked, Settings
from ridgeline.flows.data import Input, read_arrays
from ridgeline.flows.design import DESIGN, OUTPUTS, PREDICTION, Design, Predicted, read_json
from ridgeline.flows.progress import Progress, Silent
from ridgeline.flows.simulate import failure, main_check, simulate
from ridgeline.flows.summary import agreement

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verified:
    summary: Mapping[str, Any]
    failure: str | None


def verify(folder: Path, settings: Settings | None = None, *, images: int | None = None, progress: Progress | None = None) -> Verified:
    """Runs the images of outputs.npz (the first `images` of them). Raises CheckFailedError for a design that does not compile or finish."""
    if not folder.is_dir():
        raise InputError(f"'{folder}' is no folder; give one that `ridgeline build` made")
    design, predicted = read_json(Design, folder / DESIGN), read_json(Predicted, folder / PREDICTION)
    inputs = _inputs(folder, design)
    count = len(next(iter(inputs.values())))
    if images is not None and not 1 <= images <= count:
        raise InputError(f"--images is {images}; '{folder / OUTPUTS}' holds {count:,}")
    inputs = {name: array[:images] for name, array in inputs.items()}
    settings = settings or Settings()
    if design.backend == "hls" and (settings.wave is not None or settings.stalls.share > 0):
        raise InputError(f"'{folder}' holds C++ and no Verilog: --wave and --stalls are for the cycles of Verilog")
    with tempfile.TemporaryDirectory(prefix="ridgeline-") as work:
        checks = simulate(folder, inputs, Path(work), settings, progress or Silent())
    return Verified(summary=_summary(design, predicted, checks), failure=failure(checks))


def _inputs(folder: Path, design: Design) -> dict[str, Array]:
    path = folder / OUTPUTS
    wanted = [Input(name=port.name, shape=port.shape) for port in design.inputs]
    found = read_arrays(path, wanted)
    for port in design.inputs:
        array = found.get(port.name)
        if array is None or array.dtype != np.dtype(design.dtype) or array.shape[1:] != port.shape or not len(array):
            raise InputError(
                f"'{path}' must hold '{port.name}', {design.dtype} of shape (images, {', '.join(map(str, port.shape))}): what golden.onnx is fed"
            )
    arrays = {port.name: found[port.name] for port in design.inputs}
    if len({len(array) for array in arrays.values()}) != 1:
        raise InputError(f"'{path}' holds different numbers of images for the inputs {', '.join(arrays)}")
    return arrays


def _summary(design: Design, predicted: Predicted, checks: Mapping[str, Checked]) -> dict[str, Any]:
    checked = main_check(checks)
    mismatch = next((found.mismatch for found in checks.values() if found.mismatch is not None), None)
    return {
        "network": design.network,
        "device": design.device,
        "backend": design.backend,
        "format": design.format,
        **agreement(design, checks),
        "images": checked.images,
        "cycles": {
            "predicted": predicted.cycles,
            "simulated": checked.cycles,
            "error": None if checked.cycles is None else predicted.cycles / checked.cycles - 1,
        },
        "first_wrong": None
        if mismatch is None
        else {
            "layer": mismatch.layer,
            "image": mismatch.image,
            "index": list(mismatch.index),
            "expected": mismatch.expected,
            "found": mismatch.found,
        },
    }
