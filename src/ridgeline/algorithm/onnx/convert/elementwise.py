"""Unary functions, and sums and products of two values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, sqrt
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.axes import is_complete
from ridgeline.algorithm.function import Expression, Function, compose
from ridgeline.algorithm.onnx.lowering import Constant, Lowering, Value
from ridgeline.algorithm.onnx.step import RefusedError, Step
from ridgeline.algorithm.operators import Add, Conv, Expand, Mul, Select

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def _clip(low: Lowering, step: Step) -> Expression:
    bounds = [_scalar(low.constant(step, index, "bound")) if step.has(index) else default for index, default in ((1, -inf), (2, inf))]
    if None in bounds:
        raise RefusedError("its bounds are not scalars", "clip with one minimum and one maximum")
    return ("clip", "x", *bounds)


def _gelu(_: Lowering, step: Step) -> Expression:
    if step.text("approximate", "none") == "tanh":
        inner = ("mul", sqrt(2 / np.pi), ("add", "x", ("mul", 0.044715, ("pow", "x", 3.0))))
        return ("mul", ("mul", 0.5, "x"), ("add", 1.0, ("tanh", inner)))
    return ("mul", ("mul", 0.5, "x"), ("add", 1.0, ("erf", ("div", "x", sqrt(2.0)))))


def _hard_sigmoid(slope: float, offset: float) -> Expression:
    return ("clip", ("add", ("mul", "x", slope), offset), 0.0, 1.0)


def _elu(alpha: float, scale: float = 1.0, stretch: float = 1.0) -> Expression:
    """scale * (max(x, 0) + alpha * (exp(min(x, 0) / stretch) - 1))."""
    below = ("mul", alpha, ("sub", ("exp", ("div", ("min", "x", 0.0), stretch)), 1.0))
    return ("mul", scale, ("add", ("max", "x", 0.0), below))


# The functions as ONNX's operator reference defines them.
UNARY: dict[str, Callable[[Lowering, Step], Expression]] = {
    "Relu": lambda low, step: ("clip", "x", 0.0, inf),
    "Clip": _clip,
    "LeakyRelu": lambda low, step: ("leaky_relu", "x", step.number("alpha", 0.01)),
    "Sigmoid": lambda low, step: ("sigmoid", "x"),
    "Tanh": lambda low, step: ("tanh", "x"),
    "HardSigmoid": lambda low, step: _hard_sigmoid(step.number("alpha", 0.2), step.number("beta", 0.5)),
    "HardSwish": lambda low, step: ("mul", "x", _hard_sigmoid(1 / 6, 0.5)),
    "Gelu": _gelu,
    "com.microsoft.Gelu": lambda low, step: _gelu(low, replace(step, attributes={})),
    "Erf": lambda low, step: ("erf", "x"),
    "Mish": lambda low, step: ("mul", "x", ("tanh", ("softplus", "x"))),
    "Softplus": lambda low, step: ("softplus", "x"),
    "Softsign": lambda low, step: ("div", "x", ("add", 1.0, ("abs", "x"))),
    "Swish": lambda low, step: ("mul", "x", ("sigmoid", ("mul", "x", step.number("alpha", 1.0)))),
    "com.microsoft.QuickGelu": lambda low, step: ("mul", "x", ("sigmoid", ("mul", "x", step.number("alpha", 1.702)))),
    "Elu": lambda low, step: _elu(step.number("alpha", 1.0)),
    "Selu": lambda low, step: _elu(step.number("alpha", 1.67326319217681884765625), step.number("gamma", 1.05070102214813232421875)),
    "Celu": lambda low, step: _elu(step.number("alpha", 1.0), 1.0, step.number("alpha", 1.0)),
    "Abs": lambda low, step: ("abs", "x"),
    "Neg": lambda low, step: ("neg", "x"),
    "Exp": lambda low, step: ("exp", "x"),
    "Log": lambda low, step: ("log", "x"),
    "Sqrt": lambda low, step: ("sqrt", "x"),
    "Reciprocal": lambda low, step: ("div", 1.0, "x"),
}
"""Operator -> its expression of "x"."""

_BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow", "Min": "min", "Max": "max"}


def unary(low: Lowering, step: Step) -> None:
    low.put(step.outputs[0], _applied(_float_value(low, step, 0), UNARY[step.key](low, step)))


def binary(low: Lowering, step: Step) -> None:
    """Two inputs: with a constant, of one value with itself, or of two values."""
    if len(step.inputs) != 2:
        raise RefusedError(f"it has {len(step.inputs)} inputs", "write it as a chain of nodes with two inputs each")
    first, second = (low.any_value(step, index) for index in (0, 1))
    operation = _BINARY[step.operator]
    if isinstance(first, Value) and isinstance(second, Value):
        low.put(step.outputs[0], _two_values(low, step, operation))
        return
    constant = first if isinstance(first, Constant) else second
    assert isinstance(constant, Constant)
    value = _float_value(low, step, 1 if isinstance(first, Constant) else 0)
    scalar = _scalar(constant)
    if scalar is None:
        low.put(step.outputs[0], _with_channels(low, step, operation, constant.array, constant_first=isinstance(first, Constant)))
        return
    if constant.array.ndim > len(value.view):
        raise RefusedError("its constant has more axes than its input", "reshape the constant to a scalar")
    if (operation == "div" and scalar == 0 and isinstance(second, Constant)) or (np.isinf(scalar) and operation not in ("min", "max")):
        raise RefusedError(f"its constant is {scalar:g}", "repair the file's constants")
    ordered = (operation, scalar, "x") if isinstance(first, Constant) else (operation, "x", scalar)
    low.put(step.outputs[0], _applied(value, ordered))


def prelu(low: Lowering, step: Step) -> None:
    slope = low.weight(step, 1, "slope").array
    value = _float_value(low, step, 0)
    if slope.size == 1:
        low.put(step.outputs[0], _applied(value, ("leaky_relu", "x", float(slope.reshape(-1)[0]))))
        return
    value = _bind_constant(low, low.operand(step, 0), slope)
    slopes = _per_channel(low, value, slope)
    above = low.realise(replace(value, expression=("max", "x", 0.0)), f"{step.outputs[0]}_above")
    below = low.realise(replace(value, expression=("min", "x", 0.0)), f"{step.outputs[0]}_below")
    weight = np.stack([np.ones_like(slopes), slopes]).astype(np.float32)
    tensor = low.emit(step, Add(), [above, below], weight=weight)
    low.put(step.outputs[0], replace(value, tensor=tensor))


def affine(low: Lowering, step: Step, value: Value, *, scale: Array, offset: Array) -> Value:
    """scale * x + offset, both (channels,), as a depthwise 1x1 convolution; it joins the convolution before it where it can."""
    weight = scale.astype(np.float32).reshape(-1, 1, 1, 1)
    operator = Conv(groups=len(scale))
    return replace(value, tensor=low.emit(step, operator, [value], weight=weight, bias=offset.astype(np.float32)))


def _float_value(low: Lowering, step: Step, index: int) -> Value:
    value = low.value(step, index)
    if value.codes is not None:
        raise RefusedError("it computes with integer codes", "put a DequantizeLinear before it")
    return value


def _applied(value: Value, expression: Expression) -> Value:
    inner, outer = Function(expression=value.expression), Function(expression=expression)
    return replace(value, expression=compose(outer, inner).expression)


def _scalar(constant: Constant) -> float | None:
    array = constant.array
    if array.size == 0 or array.dtype.kind not in "fiu":
        raise RefusedError(f"its constant has type {array.dtype} and shape {array.shape}", "use a float32 constant")
    first = float(array.reshape(-1)[0])
    if np.isnan(array).any():
        raise RefusedError("its constant is not a number", "repair the file's constants")
    return first if array.size == 1 else None


def _with_channels(low: Lowering, step: Step, operation: str, array: Array, *, constant_first: bool) -> Value:
    """A sum or product with a constant that differs from channel to channel."""
    if operation not in ("add", "sub", "mul", "div") or (operation == "div" and constant_first):
        raise RefusedError("it takes a constant for each channel", "only sums, products and quotients by constants can differ by channel")
    if not np.isfinite(array).all():
        raise RefusedError("its constant holds NaN or infinity", "repair the file's constants")
    value = _bind_constant(low, low.operand(step, 1 if constant_first else 0), array)
    stored = low.storage_of(value, array.astype(np.float64))
    if np.ptp(stored, axis=(1, 2)).any():
        return _with_pixels(low, step, operation, stored, value, constant_first=constant_first)
    numbers = stored[:, 0, 0]
    ones, zeros = np.ones_like(numbers), np.zeros_like(numbers)
    scale, offset = {
        "add": (ones, numbers),
        "sub": (-ones, numbers) if constant_first else (ones, -numbers),
        "mul": (numbers, zeros),
        "div": (1 / np.where(numbers == 0, np.nan, numbers), zeros),
    }[operation]
    if not np.isfinite(scale).all():
        raise RefusedError("it divides by zero", "repair the file's constants")
    return affine(low, step, value, scale=scale, offset=offset)


def _with_pixels(low: Lowering, step: Step, operation: str, stored: Array, value: Value, *, constant_first: bool) -> Value:
    """A sum or product with a constant (C, H, W) that differs from pixel to pixel, which becomes a tensor."""
    if operation == "div":
        if not stored.all():
            raise RefusedError("it divides by zero", "repair the file's constants")
        stored = 1 / stored
    name = step.inputs[0 if constant_first else 1]
    constant = low.fixed(name, stored[None], low.canonical_of(stored.shape), stored.shape)
    if operation in ("mul", "div"):
        return replace(value, tensor=low.emit(step, Mul(), [value, constant]))
    signs = (-1.0, 1.0) if constant_first else (1.0, -1.0)
    weight = np.repeat(np.array(signs, np.float32)[:, None], len(stored), axis=1) if operation == "sub" else None
    return replace(value, tensor=low.emit(step, Add(), [value, constant], weight=weight))


def _bind_constant(low: Lowering, value: Value, array: Array) -> Value:
    """Where the storage is still open: the axes along which the constant differs are the channels."""
    rank = len(value.view)
    if array.ndim > rank:
        raise RefusedError(f"its constant of shape {array.shape} has more axes than its input", "remove the constant's leading axes")
    aligned = (1,) * (rank - array.ndim) + array.shape
    for extent, size in zip(value.shape, aligned, strict=True):
        if size not in (1, extent):
            raise RefusedError(f"its constant of shape {array.shape} does not fit an input of {value.shape}", "check the constant's shape")
    channels = [axis for axis in range(1, rank) if aligned[axis] > 1]
    others = [axis for axis in range(1, rank) if axis not in channels]
    return low.bind(value, channels, others[:-1], others[-1:])


def _per_channel(low: Lowering, value: Value, array: Array) -> Array:
    stored = low.storage_of(value, array)
    numbers = stored[:, :1, :1]
    if not np.array_equal(np.broadcast_to(numbers, stored.shape), stored):
        raise RefusedError("its constant differs along height or width", "the engine applies one constant a channel")
    return numbers.reshape(-1)


def _two_values(low: Lowering, step: Step, operation: str) -> Value:
    first, second = _float_value(low, step, 0), _float_value(low, step, 1)
    if first.tensor == second.tensor and first.view == second.view:
        return replace(first, expression=(operation, first.expression, second.expression))
    if operation not in ("add", "sub", "mul"):
        raise RefusedError(
            "both of its inputs are computed while the network runs", "the engine adds, subtracts and multiplies two tensors only"
        )
    first, second = low.operand(step, 0), low.operand(step, 1)
    first, second = _alike(low, step, first, second)
    channels = low.shape(first)[0]
    if operation == "mul":
        return replace(first, tensor=low.emit(step, Mul(), [first, second]))
    weight = np.stack([np.ones(channels), np.full(channels, -1.0)]).astype(np.float32) if operation == "sub" else None
    return replace(first, tensor=low.emit(step, Add(), [first, second], weight=weight))


def _alike(low: Lowering, step: Step, first: Value, second: Value) -> tuple[Value, Value]:
    """Two operands of one shape and one layout: broadcast and put in order where they are not."""
    if len(first.view) != len(second.view):
        raise RefusedError(f"its inputs have {len(first.view)} and {len(second.view)} axes", "give both the same number of axes")
    for left, right in zip(first.shape, second.shape, strict=True):
        if left != right and 1 not in (left, right):
            raise RefusedError(f"its inputs of shapes {first.shape} and {second.shape} do not fit", "check the network's shapes")
    first = _bind_like(low, first, second)
    second = _bind_like(low, second, first)
    first, second = low.current(first), low.current(second)
    if first.view != second.view:
        first, second = low.straighten(step, first), low.straighten(step, second)
        first, second = _broadcast(low, step, first, second), _broadcast(low, step, second, first)
    if first.view != second.view or low.shape(first) != low.shape(second):
        raise RefusedError(
            f"its inputs lie differently in memory ({low.shape(first)} and {low.shape(second)} as channels, height, width)",
            "make both of one layout",
        )
    return first, second


def _bind_like(low: Lowering, value: Value, other: Value) -> Value:
    """Gives a value of open storage the other's, where each of the other's axes lies on one axis of storage."""
    if not low.is_open(value):
        return low.current(value)
    if low.is_open(other) or value.shape != other.shape:
        return low.bind_default(value)
    axes: dict[str, list[int]] = {"c": [], "h": [], "w": []}
    for axis, atoms in enumerate(other.view[1:], 1):
        kinds = {atom.axis for atom in atoms}
        if len(kinds) > 1:
            return low.bind_default(value)
        axes[next(iter(kinds), "w")].append(axis)
    return low.bind(value, axes["c"], axes["h"], axes["w"])


def _broadcast(low: Lowering, step: Step, value: Value, other: Value) -> Value:
    """The value with its axes of extent 1 repeated as often as the other has them."""
    shape, target = low.shape(value), low.shape(other)
    if value.shape == other.shape or not all(size == 1 or size == full for size, full in zip(value.shape, other.shape, strict=True)):
        return value
    result = value
    if shape[1:] == (1, 1) and target[1:] != (1, 1):
        tensor = low.emit_as(step, f"{value.tensor}_expanded", Expand(size=target[1:]), [value])
        result = replace(value, tensor=tensor)
    elif shape[1:] != target[1:]:
        return value
    if shape[0] == 1 and target[0] > 1:
        operator = Select(channels=(0,) * target[0], size=target[1:])
        result = replace(result, tensor=low.emit_as(step, f"{value.tensor}_repeated", operator, [result]))
    view = tuple(
        axis if size == full else other_axis
        for axis, other_axis, size, full in zip(value.view, other.view, value.shape, other.shape, strict=True)
    )
    return replace(result, view=view) if is_complete([a for axis in view for a in axis if a.axis == "c"], "c", target[0]) else value
