"""Convolutions, and the attributes that all sliding windows share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.axes import Axis, coordinates, whole
from ridgeline.algorithm.onnx.lowering import Constant, Lowering, Value, channel_order
from ridgeline.algorithm.onnx.step import RefusedError, Step
from ridgeline.algorithm.operators import Conv, ConvTranspose

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """An operand of a windowed operator: `places` tells which stored axis ("h" or "w") each of its spatial axes is."""

    value: Value
    places: tuple[str, ...]
    extents: tuple[int, ...]

    def pair(self, numbers: tuple[int, ...], default: int) -> Pair:
        """Numbers of the file's spatial axes as (height, width)."""
        by_place = dict(zip(self.places, numbers, strict=True))
        return by_place.get("h", default), by_place.get("w", default)

    def pads(self, numbers: tuple[int, ...]) -> Pads:
        count = len(self.places)
        (top, left), (bottom, right) = self.pair(numbers[:count], 0), self.pair(numbers[count:], 0)
        return top, left, bottom, right

    def result(self, low: Lowering, tensor: str, channels: Axis) -> Value:
        """The operator's output, its axes as the operand's."""
        _, height, width = low.shapes[tensor]
        spatial = (whole(place, height if place == "h" else width) for place in self.places)
        return Value(tensor=tensor, view=(self.value.view[0], channels, *spatial), codes=self.value.codes)


def plane(low: Lowering, step: Step, *, codes: bool = False) -> Plane:
    """The first input as (batch, channels, spatial axes), each spatial axis a whole stored axis."""
    value = low.operand(step, 0, codes=codes)
    rank = len(value.view)
    if rank not in (3, 4):
        raise RefusedError(f"its input has {rank} axes", "the engine slides windows in one or two dimensions")
    value = low.bind(value, [1], [2] if rank == 4 else [], [rank - 1])
    channels, height, width = low.shape(value)
    places = _places(value, {"h": height, "w": width})
    if places is None or channel_order(value, 1, channels) is None or len(value.view[0]) != 1:
        raise RefusedError(
            f"its input's axes are not the engine's channels, height and width (stored as {channels}, {height}, {width})",
            "keep one order of axes between convolutions",
        )
    return Plane(value=value, places=places, extents=value.shape[2:])


def _places(value: Value, sizes: dict[str, int]) -> tuple[str, ...] | None:
    spatial = value.view[2:]
    choices = [("w",), ("h",)] if len(spatial) == 1 else [("h", "w"), ("w", "h")]
    for choice in choices:
        unused = prod_of(sizes[name] for name in "hw" if name not in choice)
        if unused == 1 and all(axis == whole(name, sizes[name]) for axis, name in zip(spatial, choice, strict=True)):
            return choice
    return None


def prod_of(numbers: Any) -> int:
    result = 1
    for number in numbers:
        result *= int(number)
    return result


def conv(low: Lowering, step: Step) -> None:
    constant = low.weight(step, 1, "weight")
    weight, groups = constant.array, step.integer("group", 1)
    bias = low.weight(step, 2, "bias").array if step.has(2) else np.zeros(weight.shape[0])
    if bias.shape != weight.shape[:1]:
        raise RefusedError(f"its bias of shape {bias.shape} does not fit its weight of shape {weight.shape}", "check the file's constants")
    if weight.ndim < 3 or groups < 1 or weight.shape[0] % groups:
        raise RefusedError(f"its weight of shape {weight.shape} does not form {groups} groups", "check the file's constants")
    scale = output_scale(constant)
    if _is_pointwise(step, weight, groups) and not _is_plane(low, step):
        low.put(step.outputs[0], _pointwise(low, step, weight, bias, scale))
        return
    operand = plane(low, step)
    kernel = window_of(step, operand, weight.shape[2:])
    value = operand.value
    if weight.shape[1] * groups != value.shape[1]:
        raise RefusedError(
            f"its weight of shape {weight.shape} in {groups} groups does not fit {value.shape[1]} channels", "check the shapes"
        )
    stored = weight if operand.places != ("w", "h") else np.swapaxes(weight, 2, 3)
    stored = stored.reshape(*weight.shape[:2], *operand.pair(weight.shape[2:], 1))
    order = coordinates(value.view[1], "c")
    channels = whole("c", weight.shape[0])
    if not np.array_equal(order, np.arange(len(order))):
        if groups == 1:
            stored = stored[:, np.argsort(order)]
        elif groups == weight.shape[0] == len(order):
            inverse = np.argsort(order)
            stored, bias, channels = stored[inverse], bias[inverse], value.view[1]
            scale = None if scale is None else scale[inverse]
        else:
            value = low.straighten(step, value)
    operator = Conv(strides=kernel.strides, pads=kernel.pads, dilations=kernel.dilations, groups=groups)
    parts: dict[str, Any] = {"weight": _float32(stored), "bias": _float32(bias), "weight_scale": scale}
    tensor = low.emit(step, operator, [value], **parts)
    low.put(step.outputs[0], replace(operand, value=value).result(low, tensor, channels))


def _is_pointwise(step: Step, weight: Array, groups: int) -> bool:
    moving = [*(step.integers("pads") or ()), *(stride - 1 for stride in step.integers("strides") or ())]
    return groups == 1 and prod_of(weight.shape[2:]) == 1 and not any(moving)


def _is_plane(low: Lowering, step: Step) -> bool:
    try:
        plane(low, step)
    except RefusedError:
        return False
    return True


def _pointwise(low: Lowering, step: Step, weight: Array, bias: Array, scale: Array | None) -> Value:
    """A 1x1 convolution does not mind how the pixels lie."""
    from ridgeline.algorithm.onnx.convert.products import contract

    value = low.operand(step, 0)
    if len(value.view) != weight.ndim:
        raise RefusedError(f"its weight of shape {weight.shape} does not fit an input of shape {value.shape}", "check the shapes")
    return contract(low, step, value, axis=1, matrix=weight.reshape(weight.shape[0], -1).T, bias=bias, scale=scale)


def conv_transpose(low: Lowering, step: Step) -> None:
    constant = low.weight(step, 1, "weight")
    weight, groups = constant.array, step.integer("group", 1)
    operand = plane(low, step)
    value = low.straighten(step, operand.value)
    operand = replace(operand, value=value)
    if weight.ndim != len(value.view) or weight.shape[0] != value.shape[1] or weight.shape[0] % max(groups, 1):
        raise RefusedError(f"its weight of shape {weight.shape} does not fit an input of shape {value.shape}", "check the shapes")
    outputs = weight.shape[1] * groups
    bias = low.weight(step, 2, "bias").array if step.has(2) else np.zeros(outputs)
    if operand.places == ("w", "h"):
        weight = np.swapaxes(weight, 2, 3)
    stored = weight.reshape(*weight.shape[:2], *operand.pair(constant.array.shape[2:], 1))
    operator = _transposed_window(step, operand, constant.array.shape[2:], groups)
    scale = None if constant.scale is None or constant.scale.size > 1 else np.full(outputs, constant.scale.reshape(-1)[0], dtype=np.float64)
    parts: dict[str, Any] = {"weight": _float32(stored), "bias": _float32(bias), "weight_scale": scale}
    tensor = low.emit(step, operator, [value], **parts)
    low.put(step.outputs[0], operand.result(low, tensor, whole("c", outputs)))


def _transposed_window(step: Step, operand: Plane, kernel: tuple[int, ...], groups: int) -> ConvTranspose:
    """ONNX's rules for ConvTranspose: output_shape or auto_pad decide the pads, the odd one at the end (SAME_UPPER) or the start."""
    count = len(operand.places)
    strides = _numbers(step, "strides", count, 1)
    dilations = _numbers(step, "dilations", count, 1)
    extra = _numbers(step, "output_padding", count, 0)
    mode = step.text("auto_pad", "NOTSET")
    wanted = step.integers("output_shape")
    if wanted is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(extent * stride for extent, stride in zip(operand.extents, strides, strict=True))
    pads = _numbers(step, "pads", 2 * count, 0) if mode == "NOTSET" else (0,) * (2 * count)
    if wanted is not None:
        wanted = wanted[-count:]
        spans = zip(operand.extents, strides, dilations, kernel, extra, wanted, strict=True)
        totals = [stride * (n - 1) + more + dilation * (size - 1) + 1 - want for n, stride, dilation, size, more, want in spans]
        if min(totals) < 0:
            extra = tuple(more - min(total, 0) for more, total in zip(extra, totals, strict=True))
            totals = [max(total, 0) for total in totals]
        small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
        pads = (*small, *large) if mode == "SAME_UPPER" else (*large, *small)
    return ConvTranspose(
        strides=operand.pair(strides, 1),
        pads=operand.pads(pads),
        dilations=operand.pair(dilations, 1),
        output_padding=operand.pair(extra, 0),
        groups=groups,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A sliding window as (height, width), its padding resolved. `overhang` is what ceil_mode adds at the bottom and right."""

    kernel: Pair
    strides: Pair
    pads: Pads
    dilations: Pair
    overhang: Pair = (0, 0)


def window_of(step: Step, operand: Plane, kernel: tuple[int, ...]) -> Window:
    """The window of a node that slides one over `operand`."""
    count = len(operand.places)
    given = step.integers("kernel_shape", kernel)
    if given is None or len(given) != count or (kernel and given != tuple(kernel)) or min(given) < 1:
        raise RefusedError(f"its kernel {given} does not fit an input of shape {operand.value.shape}", "check the file's attributes")
    strides, dilations = _numbers(step, "strides", count, 1), _numbers(step, "dilations", count, 1)
    if min(*strides, *dilations) < 1:
        raise RefusedError(f"its strides are {strides} and its dilations {dilations}", "both must be 1 or more")
    pads = _pads(step, operand.extents, given, strides, dilations)
    overhang = (0,) * count
    if step.integer("ceil_mode", 0):
        overhang = tuple(
            _overhang(extent, pads[axis], pads[axis + count], dilations[axis] * (given[axis] - 1) + 1, strides[axis])
            for axis, extent in enumerate(operand.extents)
        )
    return Window(
        kernel=operand.pair(given, 1),
        strides=operand.pair(strides, 1),
        pads=operand.pads(pads),
        dilations=operand.pair(dilations, 1),
        overhang=operand.pair(overhang, 0),
    )


def _overhang(extent: int, before: int, after: int, span: int, stride: int) -> int:
    """How far the last window of ceil_mode reaches beyond the padded input; it must start within the input or the padding before it."""
    room = extent + before + after - span
    count = -(-room // stride)
    if count * stride >= extent + before:
        count -= 1
    return max(0, count * stride - room)


def _pads(
    step: Step, inputs: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> tuple[int, ...]:
    mode = step.text("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = _numbers(step, "pads", 2 * len(kernel), 0)
        if min(pads) < 0:
            raise RefusedError(f"its pads {pads} are negative", "cut the input with a Slice")
        return pads
    if mode == "VALID":
        return (0,) * (2 * len(kernel))
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise RefusedError(f"its auto_pad is {mode!r}", "use NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    totals: list[int] = []
    for extent, size, stride, dilation in zip(inputs, kernel, strides, dilations, strict=True):
        outputs = -(-extent // stride)
        totals.append(max(0, (outputs - 1) * stride + dilation * (size - 1) + 1 - extent))
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (*small, *large) if mode == "SAME_UPPER" else (*large, *small)


def _numbers(step: Step, name: str, count: int, default: int) -> tuple[int, ...]:
    numbers = step.integers(name) or (default,) * count
    if len(numbers) != count:
        raise RefusedError(f"its {name} {list(numbers)} should be {count} numbers", "check the file's attributes")
    return numbers


def output_scale(constant: Constant) -> Array | None:
    """The scales of a dequantised weight, one an output channel (axis 0), or None."""
    if constant.scale is None or (constant.scale.size > 1 and constant.axis != 0):
        return None
    return np.broadcast_to(constant.scale.reshape(-1), constant.array.shape[:1]).astype(np.float64)


def _float32(array: Array) -> Array:
    return np.ascontiguousarray(array, dtype=np.float32)
