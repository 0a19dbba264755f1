"""What was emitted is simulated: the Verilog by Verilator, the C++ by C simulation, or both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ridgeline.flows import check as rtl
from ridgeline.flows import csim
from ridgeline.flows.check import Checked, Settings
from ridgeline.flows.design import DESIGN, Design, read_json
from ridgeline.flows.progress import Progress

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def simulate(folder: Path, inputs: Mapping[str, Array], work: Path, settings: Settings, progress: Progress) -> dict[str, Checked]:
    """By back end, all images of `inputs`, (images, *shape) by golden.onnx's input names. Writes what the C++'s own test bench reads.

    Raises CheckFailedError for a design that does not compile or does not run to its end.
    """
    backend = read_json(Design, folder / DESIGN).backend
    found: dict[str, Checked] = {}
    if backend != "hls":
        found["rtl"] = rtl.check(folder, inputs, work, settings, progress)
    if backend != "rtl":
        found["hls"] = csim.check(folder, inputs, work, progress)
    return found


def main_check(checks: Mapping[str, Checked]) -> Checked:
    """The one with cycles, if any."""
    return next(iter(checks.values()))


def failure(checks: Mapping[str, Checked]) -> str | None:
    """The first wrong value of the first back end that has one."""
    for name, checked in checks.items():
        if checked.mismatch is not None:
            return f"{name}: {checked.mismatch}" if len(checks) > 1 else str(checked.mismatch)
    return None
