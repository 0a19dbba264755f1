"""Pooling, means and maxima over height and width, and nearest-neighbour upsampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.axes import Axis, atoms_of, is_complete
from ridgeline.algorithm.onnx.convert.windows import Plane, Window, plane, window_of
from ridgeline.algorithm.onnx.lowering import Constant, Lowering, Value, check_size
from ridgeline.algorithm.onnx.step import RefusedError, Step
from ridgeline.algorithm.operators import AveragePool, MaxPool, Resize, Select

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def max_pool(low: Lowering, step: Step) -> None:
    if len(step.outputs) > 1 and step.outputs[1]:
        raise RefusedError("it gives the indices of its maxima", "use its first output only")
    operand = plane(low, step, codes=True)
    window = window_of(step, operand, ())
    operator = MaxPool(kernel=window.kernel, strides=window.strides, pads=_with_overhang(window), dilations=window.dilations)
    _put(low, step, operand, low.emit(step, operator, [operand.value]))


def average_pool(low: Lowering, step: Step) -> None:
    operand = plane(low, step)
    window = window_of(step, operand, ())
    if window.dilations != (1, 1):
        raise RefusedError(f"its dilations are {window.dilations}", "use a depthwise Conv with constant weights")
    include = bool(step.integer("count_include_pad", 0)) and any(window.pads)
    if include and any(window.overhang):
        operand, window = _padded(low, step, operand, window), replace(window, pads=(0, 0, 0, 0))
        include = False
    pads = _with_overhang(window)
    operator = AveragePool(kernel=window.kernel, strides=window.strides, pads=pads, count_include_pad=include)
    _put(low, step, operand, low.emit(step, operator, [operand.value]))


def _with_overhang(window: Window) -> tuple[int, int, int, int]:
    top, left, bottom, right = window.pads
    return top, left, bottom + window.overhang[0], right + window.overhang[1]


def _padded(low: Lowering, step: Step, operand: Plane, window: Window) -> Plane:
    """The operand with its counted padding as real zeros: what ceil_mode adds on top is not counted."""
    channels, height, width = low.shape(operand.value)
    top, left, bottom, right = window.pads
    operator = Select(channels=tuple(range(channels)), origin=(-top, -left), size=(height + top + bottom, width + left + right))
    tensor = low.emit_as(step, f"{operand.value.tensor}_padded", operator, [operand.value])
    return replace(operand, value=operand.result(low, tensor, operand.value.view[1]))


def _put(low: Lowering, step: Step, operand: Plane, tensor: str) -> None:
    low.put(step.outputs[0], operand.result(low, tensor, operand.value.view[1]))


def global_average_pool(low: Lowering, step: Step) -> None:
    value = low.operand(step, 0)
    low.put(step.outputs[0], _pooled(low, step, value, tuple(range(2, len(value.view))), keep=True))


def global_max_pool(low: Lowering, step: Step) -> None:
    operand = plane(low, step)
    _, height, width = low.shape(operand.value)
    _put(low, step, operand, low.emit(step, MaxPool(kernel=(height, width)), [operand.value]))


def reduced(low: Lowering, step: Step) -> None:
    """ReduceMean and ReduceMax."""
    value = low.operand(step, 0)
    rank = len(value.view)
    axes = step.integers("axes")
    if axes is None and step.has(1):
        axes = tuple(int(axis) for axis in low.constant(step, 1, "axes").array.reshape(-1))
    if not axes and step.integer("noop_with_empty_axes", 0):
        low.put(step.outputs[0], value)
        return
    resolved = tuple(sorted({axis % rank for axis in axes or range(rank)}))
    low.put(step.outputs[0], _pooled(low, step, value, resolved, keep=bool(step.integer("keepdims", 1))))


def _pooled(low: Lowering, step: Step, value: Value, axes: tuple[int, ...], *, keep: bool) -> Value:
    """Mean or maximum over axes that are all of the stored height, or width, or both."""
    what, pool = ("maximum", MaxPool) if step.operator == "ReduceMax" else ("mean", AveragePool)
    if 0 in axes:
        raise RefusedError(f"it takes the {what} over the batch", "reduce over height and width only")
    rest = [axis for axis in range(1, len(value.view)) if axis not in axes]
    value = low.bind(value, rest[:1], list(axes[:-1]) if len(rest) <= 1 else rest[1:], list(axes[-1:] if len(rest) <= 1 else axes))
    _, height, width = low.shape(value)
    reduced = atoms_of(value.view[axis] for axis in axes)
    kernel = tuple(_covered(reduced, name, extent) for name, extent in (("h", height), ("w", width)))
    if None in kernel or any(atom.axis not in "hw" for atom in reduced):
        raise RefusedError(
            f"it takes the {what} over axes {axes}, which are not height and width", "reduce over whole height and width only"
        )
    result = value
    if kernel != (1, 1):
        tensor = low.emit(step, pool(kernel=(kernel[0] or 1, kernel[1] or 1)), [value])
        result = replace(value, tensor=tensor)
    view: list[Axis] = []
    for axis, atoms in enumerate(value.view):
        if axis not in axes:
            view.append(atoms)
        elif keep:
            view.append(())
    return replace(result, view=tuple(view))


def _covered(atoms: Axis, axis: str, extent: int) -> int | None:
    """The kernel along one stored axis: all of it, 1 if the atoms leave it alone, None if they take a part."""
    part = [atom for atom in atoms if atom.axis == axis]
    if not part:
        return 1
    return extent if is_complete(part, axis, extent) else None


def resize(low: Lowering, step: Step) -> None:
    mode = step.text("mode", "nearest")
    if mode != "nearest":
        raise RefusedError(
            f"its mode is '{mode}'", "the engine resizes by the nearest neighbour; move other modes to an end of the network"
        )
    operand = plane(low, step, codes=True)
    factors = _factors(low, step, operand.value)
    if factors[:2] != (1, 1):
        raise RefusedError(f"it resizes batch or channels by {factors[:2]}", "resize height and width only")
    spatial = factors[2:]
    coordinate = step.text("coordinate_transformation_mode", "half_pixel")
    rounding = step.text("nearest_mode", "round_prefer_floor")
    for extent, factor in zip(operand.extents, spatial, strict=True):
        check_size((1, extent, factor))
        sources = _sources(extent, factor, coordinate, rounding)
        if sources is None or not np.array_equal(sources, np.arange(extent * factor) // factor):
            raise RefusedError(
                f"mode '{coordinate}' with '{rounding}' is not index // {factor}", "use 'asymmetric' with 'floor', or 'half_pixel'"
            )
    operator = Resize(factors=operand.pair(spatial, 1))
    _put(low, step, operand, low.emit(step, operator, [operand.value]))


def _factors(low: Lowering, step: Step, value: Value) -> tuple[int, ...]:
    """The integer factor of each axis of the file's array."""
    rank = len(value.view)
    axes = tuple(axis % rank for axis in step.integers("axes") or range(rank))
    if step.has(3):
        sizes = _numbers(low.constant(step, 3, "sizes"), len(axes))
        given = [size / value.shape[axis] for size, axis in zip(sizes, axes, strict=True)]
        if step.text("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise RefusedError("it keeps the aspect ratio", "give the sizes of all axes")
    elif step.has(2):
        given = _numbers(low.constant(step, 2, "scales"), len(axes))
    else:
        raise RefusedError("it has neither scales nor sizes", "check the file")
    factors = dict.fromkeys(range(rank), 1.0) | dict(zip(axes, given, strict=True))
    if any(factor < 1 or factor != int(factor) for factor in factors.values()):
        raise RefusedError(f"it resizes by {tuple(factors.values())}", "the engine resizes by integer factors only")
    return tuple(int(factors[axis]) for axis in range(rank))


def _numbers(constant: Constant, count: int) -> list[float]:
    numbers = [float(number) for number in constant.array.reshape(-1)]
    if len(numbers) != count:
        raise RefusedError(f"it names {len(numbers)} sizes for {count} axes", "check the file")
    return numbers


def _sources(extent: int, factor: int, coordinate: str, rounding: str) -> Array | None:
    """The input index of each output index by ONNX's definition of Resize; None for a mode that it does not define."""
    index = np.arange(extent * factor, dtype=np.float64)
    length = extent * factor
    half = (index + 0.5) / factor - 0.5
    places = {
        "asymmetric": index / factor,
        "half_pixel": half,
        "half_pixel_symmetric": half,
        "pytorch_half_pixel": half if length > 1 else np.zeros_like(index),
        "tf_half_pixel_for_nn": (index + 0.5) / factor,
        "align_corners": index * (extent - 1) / max(length - 1, 1),
    }.get(coordinate)
    if places is None:
        return None
    rounded = {
        "floor": np.floor(places),
        "ceil": np.ceil(places),
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
    }.get(rounding)
    return None if rounded is None else np.clip(rounded, 0, extent - 1).astype(np.int64)
