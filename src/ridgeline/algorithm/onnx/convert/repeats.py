"""Tile and Expand: axes repeated as a whole, or their elements one by one through an axis of extent 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ridgeline.algorithm.axes import Atom, Axis, atoms_of
from ridgeline.algorithm.onnx.convert.moves import taken
from ridgeline.algorithm.onnx.lowering import Lowering, Value
from ridgeline.algorithm.onnx.step import RefusedError, Step
from ridgeline.algorithm.operators import Resize, Select


def tile(low: Lowering, step: Step) -> None:
    value = low.operand(step, 0, codes=True)
    counts = [int(count) for count in low.constant(step, 1, "repeats").array.reshape(-1)]
    if len(counts) != len(value.view) or min(counts, default=1) < 1:
        raise RefusedError(f"its repeats {counts} do not fit {len(value.view)} axes", "check the file's constants")
    low.put(step.outputs[0], _repeated(low, step, value, counts))


def expand(low: Lowering, step: Step) -> None:
    value = low.operand(step, 0, codes=True)
    wanted = [int(extent) for extent in low.constant(step, 1, "shape").array.reshape(-1)]
    wanted = [1] * (len(value.view) - len(wanted)) + wanted
    fits = all(1 in (size, extent) or size == extent for size, extent in zip(wanted, value.shape, strict=False))
    if len(wanted) != len(value.view) or not fits or min(wanted) < 1:
        raise RefusedError(f"its shape {wanted} does not fit an input of shape {value.shape}", "check the file's constants")
    counts = [size if extent == 1 else 1 for size, extent in zip(wanted, value.shape, strict=True)]
    low.put(step.outputs[0], _repeated(low, step, value, counts))


def _repeated(low: Lowering, step: Step, value: Value, counts: list[int]) -> Value:
    if counts[0] != 1:
        raise RefusedError(f"it repeats the batch {counts[0]} times", "repeat along channels, height or width")
    for axis, count in enumerate(counts):
        if count > 1 and value.shape[axis] == 1:
            value = _spread(low, step, low.bind_default(value), axis, count)
        elif count > 1:
            value = taken(low, step, value, axis, list(range(value.shape[axis])) * count, step.outputs[0])
    return value


def _spread(low: Lowering, step: Step, value: Value, axis: int, count: int) -> Value:
    """An axis of extent 1 repeated: along a stored axis of extent 1, or each element of the axis before it `count` times in a row."""
    shape = low.shape(value)
    place = _place(value, axis, shape[1:])
    if place == "c":
        operator = Select(channels=tuple(np.repeat(np.arange(shape[0]), count).tolist()), size=shape[1:])
    else:
        operator = Resize(factors=(count, 1) if place == "h" else (1, count))
    tensor = low.emit_as(step, step.outputs[0], operator, [value])
    spaced: list[Axis] = [
        tuple(replace(atom, stride=atom.stride * count) if atom.axis == place else atom for atom in atoms) for atoms in value.view
    ]
    spaced[axis] = (Atom(axis=place, size=count),)
    return replace(value, tensor=tensor, view=tuple(atoms_of([atoms]) for atoms in spaced))


def _place(value: Value, axis: int, size: tuple[int, int]) -> str:
    """The stored axis that takes the repetitions: an empty one if height then still comes before width, else that of the nearest axis before."""
    before = [atom.axis for atoms in value.view[1:axis] for atom in atoms]
    if size[0] == 1 and "w" not in before:
        return "h"
    if size[1] == 1:
        return "w"
    return before[-1] if before else "c"
