"""Nodes that move or rename elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm import axes as layout
from ridgeline.algorithm.axes import Atom, Axis, Shape, View, coordinates, whole
from ridgeline.algorithm.onnx.lowering import Lowering, Value, check_size
from ridgeline.algorithm.onnx.step import RefusedError, Step
from ridgeline.algorithm.operators import Conv, Select, Take
from ridgeline.algorithm.operators.take import stretches
from ridgeline.algorithm.passes.fold import BEYOND

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

FLOAT32 = 1  # onnx.TensorProto.FLOAT
_MOST_PIECES = 1024  # of a Take: each is a part of the program


def identity(low: Lowering, step: Step) -> None:
    if step.operator == "Dropout" and step.has(2) and bool(low.constant(step, 2, "training mode").array.any()):
        raise RefusedError("it is in training mode", "export the network for inference (model.eval())")
    low.put(step.outputs[0], low.value(step, 0))


def cast(low: Lowering, step: Step) -> None:
    if step.integer("to", FLOAT32) != FLOAT32:
        raise RefusedError(f"it casts to ONNX's type {step.integer('to', 0)}", "cast at an end of the network only")
    low.put(step.outputs[0], low.value(step, 0))


def transpose(low: Lowering, step: Step) -> None:
    value = low.value(step, 0)
    rank = len(value.view)
    permutation = step.integers("perm") or tuple(reversed(range(rank)))
    if sorted(permutation) != list(range(rank)):
        raise RefusedError(f"its permutation {permutation} does not fit {rank} axes", "check the file's attributes")
    low.put(step.outputs[0], replace(value, view=layout.transpose(value.view, permutation)))


def reshape(low: Lowering, step: Step) -> None:
    value = low.value(step, 0)
    wanted = [int(extent) for extent in low.constant(step, 1, "shape").array.reshape(-1)]
    if not step.integer("allowzero", 0):
        if any(extent == 0 and axis >= len(value.shape) for axis, extent in enumerate(wanted)):
            raise RefusedError(f"its shape {wanted} copies an axis that its input does not have", "check the file's constants")
        wanted = [value.shape[axis] if extent == 0 else extent for axis, extent in enumerate(wanted)]
    if wanted.count(-1) == 1:
        known = prod(extent for extent in wanted if extent != -1)
        wanted[wanted.index(-1)] = prod(value.shape) // known if known > 0 else 0
    _reshaped(low, step, value, wanted)


def flatten(low: Lowering, step: Step) -> None:
    value = low.value(step, 0)
    axis = step.integer("axis", 1)
    axis = axis + len(value.shape) if axis < 0 else axis
    _reshaped(low, step, value, [prod(value.shape[:axis]), prod(value.shape[axis:])])


def squeeze(low: Lowering, step: Step) -> None:
    value = low.value(step, 0)
    axes = _axes(low, step, len(value.shape))
    if axes is None:
        axes = tuple(axis for axis, extent in enumerate(value.shape) if extent == 1)
    if 0 in axes:
        raise RefusedError("it drops the batch axis", "squeeze the axes after the first only", final=True)
    _reshaped(low, step, value, [extent for axis, extent in enumerate(value.shape) if axis not in axes])


def unsqueeze(low: Lowering, step: Step) -> None:
    value = low.value(step, 0)
    given = _axes(low, step, None)
    if given is None:
        raise RefusedError("it names no axes", "check the file's attributes")
    rank = len(value.shape) + len(given)
    axes = {axis % rank for axis in given}
    extents = iter(value.shape)
    _reshaped(low, step, value, [1 if axis in axes else next(extents, 1) for axis in range(rank)])


def _axes(low: Lowering, step: Step, rank: int | None) -> tuple[int, ...] | None:
    """The axes of a node, an attribute before opset 13 and an input since, counted from the front if `rank` is given."""
    axes = step.integers("axes")
    if axes is None and step.has(1):
        axes = tuple(int(axis) for axis in low.constant(step, 1, "axes").array.reshape(-1))
    return axes if axes is None or rank is None else tuple(axis % rank for axis in axes)


def _reshaped(low: Lowering, step: Step, value: Value, shape: Sequence[int]) -> None:
    if min(shape, default=1) < 1 or prod(shape) != prod(value.shape):
        raise RefusedError(f"it reshapes {value.shape} to {tuple(shape)}", "check the network's shapes")
    view = layout.reshape(value.view, shape)
    if view is None:
        keeps = shape[0] % low.batch == 0
        why = f"it reshapes {value.shape} to {tuple(shape)}, {'across stored axes' if keeps else 'which cuts the batch'}"
        raise RefusedError(why, "reshape along whole axes, the batch in front", final=not keeps)
    low.put(step.outputs[0], replace(value, view=view))


def slice_(low: Lowering, step: Step) -> None:
    value = low.operand(step, 0, codes=True)
    rank = len(value.view)
    starts, ends = (_integers(low, step, index) for index in (1, 2))
    axes = _integers(low, step, 3) if step.has(3) else list(range(len(starts)))
    steps = _integers(low, step, 4) if step.has(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise RefusedError("its starts, ends, axes and steps do not fit", "check the file's constants")
    for start, end, axis, stride in zip(starts, ends, axes, steps, strict=True):
        value = taken(low, step, value, axis % rank, range(value.shape[axis % rank])[slice(start, end, stride)], step.outputs[0])
    low.put(step.outputs[0], value)


def _integers(low: Lowering, step: Step, index: int) -> list[int]:
    return [int(number) for number in low.constant(step, index, "bound").array.reshape(-1)]


def split(low: Lowering, step: Step) -> None:
    value = low.operand(step, 0, codes=True)
    axis = step.integer("axis", 0) % len(value.view)
    extent, count = value.shape[axis], len(step.outputs)
    sizes = list(step.integers("split") or ())
    if not sizes and step.has(1):
        sizes = _integers(low, step, 1)
    if not sizes:
        part = -(-extent // count)
        sizes = [min(part, extent - part * index) for index in range(count)]
    if sum(sizes) != extent or len(sizes) != count or min(sizes) < 1:
        raise RefusedError(f"it splits {extent} into {sizes}", "check the file's constants")
    start = 0
    for output, size in zip(step.outputs, sizes, strict=True):
        if output:
            low.put(output, taken(low, step, value, axis, range(start, start + size), output))
        start += size


def taken(low: Lowering, step: Step, value: Value, axis: int, indices: Sequence[int], output: str) -> Value:
    """The value with some indices of one axis: channels, rows or columns, in any order and any number of times."""
    if list(indices) == list(range(value.shape[axis])):
        return value
    if axis == 0 or not len(indices):
        raise RefusedError(f"it takes {len(indices)} of {value.shape[axis]} along axis {axis}", "cut along channels, height or width")
    value = low.bind_default(value)
    channels, height, width = low.shape(value)
    atoms = value.view[axis]
    if atoms and all(atom.axis == "c" for atom in atoms):
        order, view = _channels_taken(value.view, axis, indices)
        operator = Select(channels=order, size=(height, width))
        return replace(value, tensor=low.emit_as(step, output, operator, [value]), view=view)
    place = atoms[0].axis if atoms else empty_place(value, (height, width))
    if atoms != whole(place, height if place == "h" else width):
        raise RefusedError(f"it cuts axis {axis}, which is not all of one stored axis", "cut along channels, height or width")
    tensor = low.emit_as(step, output, _taking((channels, height, width), place, indices), [value])
    view = tuple(whole(place, len(indices)) if index == axis else each for index, each in enumerate(value.view))
    return replace(value, tensor=tensor, view=view)


def _taking(shape: Shape, place: str, indices: Sequence[int]) -> Select | Take:
    """The operator that takes rows ("h") or columns ("w"): a Select where they are evenly spaced."""
    channels, height, width = shape
    (_, spaced), *more = stretches(indices)
    if more:
        rows, columns = (indices, range(width)) if place == "h" else (range(height), indices)
        take = Take(rows=tuple(rows), columns=tuple(columns))
        if take.pieces > _MOST_PIECES:
            raise RefusedError(
                f"it puts {take.pieces:,} pieces together", f"take rows or columns that form at most {_MOST_PIECES:,} evenly spaced runs"
            )
        return take
    start, count, stride = spaced.start, len(spaced), spaced.step
    everything = tuple(range(channels))
    if place == "h":
        return Select(channels=everything, origin=(start, 0), size=(count, width), steps=(stride, 1))
    return Select(channels=everything, origin=(0, start), size=(height, count), steps=(1, stride))


def _channels_taken(view: View, axis: int, indices: Sequence[int]) -> tuple[tuple[int, ...], View]:
    """The stored channels that remain, in the order of the axes, and the view of them."""
    order = np.zeros(1, dtype=np.int64)
    left = prod(atom.size for index, each in enumerate(view) for atom in each if atom.axis == "c" and index != axis) * len(indices)
    result: list[Axis] = []
    for index, each in enumerate(view):
        if index == axis:
            order = (order[:, None] + coordinates(each, "c")[np.asarray(indices)][None, :]).reshape(-1)
            left //= len(indices)
            result.append((Atom(axis="c", size=len(indices), stride=left),) if len(indices) > 1 else ())
            continue
        atoms: list[Atom] = []
        for atom in each:
            if atom.axis != "c":
                atoms.append(atom)
                continue
            order = (order[:, None] + coordinates([atom], "c")[None, :]).reshape(-1)
            left //= atom.size
            atoms.append(replace(atom, stride=left))
        result.append(tuple(atoms))
    return tuple(order.tolist()), tuple(layout.atoms_of([each]) for each in result)


def pad(low: Lowering, step: Step) -> None:
    value = low.operand(step, 0)
    rank = len(value.view)
    mode = step.text("mode", "constant")
    pads = _integers(low, step, 1)
    axes = [axis % rank for axis in _integers(low, step, 3)] if step.has(3) else list(range(rank))
    if len(pads) != 2 * len(axes):
        raise RefusedError(f"its {len(pads)} pads do not fit {len(axes)} axes", "check the file's constants")
    edges = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes) if pads[i] or pads[i + len(axes)]}
    if 0 in edges:
        raise RefusedError("it pads the batch", "pad channels, height or width")
    fill = float(low.constant(step, 2, "value").array.reshape(-1)[0]) if step.has(2) and mode == "constant" else 0.0
    if fill > BEYOND or np.isnan(fill):
        raise RefusedError(f"it pads with {fill:g}", "pad with a number that the network's values can have")
    if rank in (3, 4):
        value = low.bind(value, [1], [2] if rank == 4 else [], [rank - 1])
    for axis, (before, after) in edges.items():
        value = low.bind_default(value)
        if mode == "constant":
            value = _padded(low, step, value, axis, before, after, fill)
        else:
            value = taken(low, step, value, axis, _repeated(value.shape[axis], before, after, mode), step.outputs[0])
    low.put(step.outputs[0], value)


def _repeated(extent: int, before: int, after: int, mode: str) -> list[int]:
    """The indices of an axis with a border of its own elements around it; a negative border cuts."""
    inside = np.arange(extent)[max(0, -before) : extent - max(0, -after)]
    border = max(0, before), max(0, after)
    longest = {"edge": extent, "wrap": extent, "reflect": extent - 1}.get(mode)
    if longest is None or not len(inside):
        raise RefusedError(f"it pads {extent} elements by mode '{mode}'", "use 'constant', 'edge', 'reflect' or 'wrap'")
    if mode != "edge" and max(border) > longest:
        raise RefusedError(f"it pads {extent} elements by {border} in mode '{mode}'", f"pad by at most {longest}")
    modes: dict[str, Any] = {"mode": mode}
    return np.pad(inside, border, **modes).tolist()


def _padded(low: Lowering, step: Step, value: Value, axis: int, before: int, after: int, fill: float) -> Value:
    channels, height, width = low.shape(value)
    atoms, extent = value.view[axis], value.shape[axis]
    size = extent + before + after
    place = atoms[0].axis if atoms else empty_place(value, (height, width))
    if place == "c" or size < 1:
        return _padded_channels(low, step, low.straighten(step, value), axis, before, size, fill)
    if atoms != whole(place, extent) or extent != (height if place == "h" else width):
        raise RefusedError(f"it pads axis {axis}, which is not all of one stored axis", "pad height or width")
    along_height = place == "h"
    operator = Select(
        channels=tuple(range(channels)),
        origin=(-before, 0) if along_height else (0, -before),
        size=(size, width) if along_height else (height, size),
        border=fill if fill != 0.0 else None,
    )
    tensor = low.emit_as(step, step.outputs[0], operator, [value])
    return replace(value, tensor=tensor, view=tuple(whole(place, size) if i == axis else each for i, each in enumerate(value.view)))


def empty_place(value: Value, extents: tuple[int, int]) -> str:
    """Where a new axis of more than one element can lie: a stored axis of extent 1 that no other axis is."""
    if len(value.view) == 4 and extents[0] == 1:
        return "h"
    if extents[1] == 1:
        return "w"
    raise RefusedError("it pads an axis of extent 1", "pad height or width")


def _padded_channels(low: Lowering, step: Step, value: Value, axis: int, before: int, size: int, fill: float) -> Value:
    """Channels of one number around the given ones: a 1x1 convolution with ones on a diagonal, the number as bias where there is none."""
    channels = low.shape(value)[0]
    if value.shape[axis] != channels or size < 1 or any(atom.axis != "c" for atom in value.view[axis]):
        raise RefusedError(f"it pads axis {axis}, which is not all channels", "pad height or width")
    if fill < -BEYOND:
        raise RefusedError(f"it pads channels with {fill:g}", "pad with a number that the network's values can have")
    check_size((size, channels, 1))
    weight = np.eye(size, channels, k=-before, dtype=np.float32)
    bias = np.where(weight.any(axis=1), 0.0, fill).astype(np.float32)
    tensor = low.emit(step, Conv(), [value], weight=weight.reshape(size, channels, 1, 1), bias=bias)
    return replace(value, tensor=tensor, view=tuple(whole("c", size) if i == axis else each for i, each in enumerate(value.view)))
