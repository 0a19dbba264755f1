"""The output stage in standard operators: int32 accumulator to int8 code, exactly as `Requantise` says.

onnxruntime's traps that decide the form: BitShift takes unsigned types only and Div truncates toward zero, so the shift is a Div of a number made
positive; Clip, Min and Max are exact on int32 only; Cast wraps; Gather takes no int8 index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ridgeline.algorithm.graph import Array, Graph, Node, Requantise
from ridgeline.algorithm.onnx.golden_sheet import Sheet
from ridgeline.algorithm.passes.overflow import accumulator_bounds

# |t * multiplier| < 2**48, so from here on a larger shift gives 0 as this one does, and 2**62 is a multiple of 2**49.
_LONGEST_SHIFT = 49
_OFFSET = 1 << 62
# A rescaled number as large as this saturates, whatever the zero point.
_BEYOND = 300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accumulator:
    """A value of the file: int8 codes, or int32 sums that still lack `bias` (the stage's own, where the zero point is taken off by the operator)."""

    name: str
    is_code: bool
    bias: Array


def output_stage(sheet: Sheet, graph: Graph, node: Node, source: Accumulator, *, result: str) -> None:
    """Writes the node's output under the name `result`."""
    stage = node.stage
    assert stage is not None
    steps = _Chain(sheet=sheet, node=node.name, result=result)
    if source.is_code and _unchanged(stage):
        steps.finish(source.name, stage, is_code=True)
        return
    sums = sheet.cast(source.name, np.int32, name=f"{node.name}/sums") if source.is_code else source.name
    if np.any(source.bias):
        sums = sheet.node("Add", [sums, sheet.constant(f"{node.name}/bias", _channels(source.bias))], f"{node.name}/biased")
    sums = _saturated(sheet, graph, node, sums)
    steps.finish(_shifted(sheet, node.name, stage, sums), stage, is_code=False)


def _unchanged(stage: Requantise) -> bool:
    """The stage gives the code back, but for limits and table: multiplier 2**shift, and the bias takes off what the zero point puts on."""
    unit = np.all(stage.multiplier.astype(np.int64) == np.int64(1) << stage.shift.astype(np.int64))
    return bool(unit and np.all(stage.bias == -stage.zero_point))


def _saturated(sheet: Sheet, graph: Graph, node: Node, sums: str) -> str:
    """Where the rescaled number could leave int32, the sum is limited first, far enough out that the code saturates all the same."""
    stage = node.stage
    assert stage is not None
    bounds = accumulator_bounds(graph, node)
    factor, shift = stage.multiplier.astype(np.int64), stage.shift.astype(np.int64)
    reach = np.maximum(np.abs(bounds.low + stage.bias), np.abs(bounds.high + stage.bias)).reshape(-1, 1, 1)
    if np.all((reach * factor) >> shift < 2**30):
        return sums
    limit = np.minimum((np.int64(_BEYOND) << np.minimum(shift, _LONGEST_SHIFT)) // np.maximum(factor, 1) + 1, 2**31 - 1)
    high = sheet.constant(f"{node.name}/highest", limit[None].astype(np.int32))
    low = sheet.constant(f"{node.name}/lowest", (-limit - 1)[None].astype(np.int32))
    capped = sheet.node("Min", [sums, high], f"{node.name}/capped")
    return sheet.node("Max", [capped, low], f"{node.name}/limited")


def _shifted(sheet: Sheet, name: str, stage: Requantise, sums: str) -> str:
    """int32 ((t * multiplier + 2**(shift - 1)) >> shift) + zero_point, through int64: plus 2**62 it is positive, and Div is a shift."""
    shift = np.minimum(stage.shift.astype(np.int64), _LONGEST_SHIFT)[None]
    offset = (np.int64(1) << (shift - 1)) + np.int64(_OFFSET)
    wide = sheet.cast(sums, np.int64, name=f"{name}/wide")
    scaled = sheet.node("Mul", [wide, sheet.constant(f"{name}/multiplier", stage.multiplier.astype(np.int64)[None])], f"{name}/scaled")
    rounded = sheet.node("Add", [scaled, sheet.constant(f"{name}/rounding", offset)], f"{name}/rounded")
    divided = sheet.node("Div", [rounded, sheet.constant(f"{name}/divisor", np.int64(1) << shift)], f"{name}/divided")
    origin = (np.int64(_OFFSET) >> shift) - stage.zero_point
    centred = sheet.node("Sub", [divided, sheet.constant(f"{name}/origin", origin)], f"{name}/centred")
    return sheet.cast(centred, np.int32, name=f"{name}/narrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """The end of a stage: limits, table, int8."""

    sheet: Sheet
    node: str
    result: str

    def finish(self, source: str, stage: Requantise, *, is_code: bool) -> None:
        limited = (stage.low, stage.high) != (-128, 127) or not is_code
        if not limited and stage.table is None:
            self.sheet.node("Identity", [source], f"{self.node}/output", result=self.result)
            return
        if is_code:
            source = self.sheet.cast(source, np.int32, name=f"{self.node}/code")
        if limited:
            source = self._write("Clip", [source, *self._ends(stage)], "limits")
        if stage.table is None:
            self.sheet.cast(source, np.int8, name=f"{self.node}/output", result=self.result)
            return
        entries = np.roll(stage.table, -128)  # Gather counts a negative index from the end: entry k at k mod 256
        table = self.sheet.constant(f"{self.node}/table", entries)
        self.sheet.node("Gather", [table, source], f"{self.node}/output", result=self.result, attributes={"axis": 0})

    def _ends(self, stage: Requantise) -> list[str]:
        ends = {"low": stage.low, "high": stage.high}
        return [self.sheet.constant(f"{self.node}/{end}", np.array(code, np.int32)) for end, code in ends.items()]

    def _write(self, operator: str, inputs: Sequence[str], what: str) -> str:
        return self.sheet.node(operator, inputs, f"{self.node}/{what}")


def _channels(values: Array) -> Array:
    return values.astype(np.int32).reshape(1, -1, 1, 1)
