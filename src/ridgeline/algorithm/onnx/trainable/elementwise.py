"""Operators on each element alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from ridgeline.algorithm.onnx.trainable.call import Call, Tensor

# ONNX's numbers of types, and torch's names; whatever is a float is computed in float32.
TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float32", 11: "float32", 16: "float32"}


def named(name: str) -> Callable[[Call], Tensor]:
    """torch's function of that name, of all inputs."""
    return lambda call: getattr(call.torch, name)(*call.inputs)


def activation(name: str) -> Callable[[Call], Tensor]:
    """That of torch.nn.functional, without options."""
    return lambda call: getattr(call.functions, name)(call.first)


def folded(name: str) -> Callable[[Call], Tensor]:
    """torch's function of two, over any number of inputs."""
    return lambda call: reduce(getattr(call.torch, name), call.inputs)


def same(call: Call) -> Tensor:
    return call.first


def divide(call: Call) -> Tensor:
    left, right = call.first, call.inputs[1]
    return call.torch.div(left, right, rounding_mode=None if left.is_floating_point() else "trunc")


def power(call: Call) -> Tensor:
    left, right = call.first, call.inputs[1]
    return call.torch.pow(left, right).to(left.dtype)


def clip(call: Call) -> Tensor:
    least, most = call.input(1), call.input(2)
    return call.first if least is None and most is None else call.torch.clamp(call.first, least, most)


def cast(call: Call) -> Tensor:
    kind = call.attribute("to", 1)
    if kind not in TYPES:
        call.refuse_unless("to", 1)
    return call.first.to(getattr(call.torch, TYPES[kind]))


def gelu(call: Call) -> Tensor:
    return call.functions.gelu(call.first, approximate=call.attribute("approximate", "none"))


def leaky_relu(call: Call) -> Tensor:
    return call.functions.leaky_relu(call.first, call.attribute("alpha", 0.01))


def elu(call: Call) -> Tensor:
    return call.functions.elu(call.first, call.attribute("alpha", 1.0))


def prelu(call: Call) -> Tensor:
    x, slope = call.first, call.inputs[1]
    return call.torch.where(x >= 0, x, slope * x)


def hard_sigmoid(call: Call) -> Tensor:
    return call.torch.clamp(call.attribute("alpha", 0.2) * call.first + call.attribute("beta", 0.5), 0, 1)


def softmax(call: Call) -> Tensor:
    return call.torch.softmax(call.first, call.attribute("axis", -1))


def log_softmax(call: Call) -> Tensor:
    return call.torch.log_softmax(call.first, call.attribute("axis", -1))


def quantise(call: Call) -> Tensor:
    """The nearest codes as float32; the gradient passes to what lies in their range (straight-through estimator)."""
    x, scale, zero = call.first, _along(call, call.inputs[1]), call.input(2)
    kind = call.torch.uint8 if zero is None else zero.dtype
    offset: Any = 0 if zero is None else _along(call, zero.to(call.torch.float32))
    bounds = call.torch.finfo(kind) if kind.is_floating_point else call.torch.iinfo(kind)
    quotients = x / scale
    wanted = quotients if kind.is_floating_point else quotients.round() + offset
    codes = call.torch.clamp(wanted, bounds.min, bounds.max).to(kind).to(call.torch.float32).detach()
    passing = call.torch.clamp(quotients + offset, bounds.min, bounds.max)
    return passing + (codes - passing).detach()


def dequantise(call: Call) -> Tensor:
    zero = call.input(2)
    offset: Any = 0 if zero is None else _along(call, zero.to(call.torch.float32))
    return (call.first.to(call.torch.float32) - offset) * _along(call, call.inputs[1])


def _along(call: Call, scale: Tensor) -> Tensor:
    """A scale of each index of `axis`, in a shape that multiplies."""
    call.refuse_unless("block_size", 0)
    if scale.ndim == 0 or scale.numel() == 1:
        return scale.reshape(())
    shape = [1] * call.first.ndim
    shape[call.attribute("axis", 1)] = -1
    return scale.reshape(shape)
