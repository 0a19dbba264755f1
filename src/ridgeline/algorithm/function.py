"""Unary functions of a real number, as data: an expression over one variable.

On int8 such a function is a table of 256 entries, so whatever an exporter writes (`HardSwish`, or `x * clip(x + 3, 0, 6) / 6`, or
the Erf form of Gelu) becomes one expression here and one table in the hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
# "x", a number, or (operation, argument, ...)
Expression: TypeAlias = "str | float | tuple[str, *tuple[Any, ...]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """`expression` is "x", a number, or a tuple (operation, argument, ...) whose arguments are expressions; operations are the keys of OPERATIONS."""

    expression: Expression

    def __call__(self, values: Array) -> Array:
        """float64, in the shape of `values`; a constant function too."""
        return np.array(np.broadcast_to(_evaluate(self.expression, values.astype(np.float64)), values.shape))

    @property
    def clip(self) -> tuple[float, float] | None:
        """(low, high) when the function only limits its argument (Relu, Relu6, Clip); such a function needs no table."""
        match self.expression:
            case ("clip", "x", low, high):
                return float(low), float(high)
            case _:
                return None


def clip(low: float, high: float) -> Function:
    return Function(expression=("clip", "x", low, high))


RELU = clip(0.0, float("inf"))


def compose(outer: Function, inner: Function) -> Function:
    """outer(inner(x))."""
    return Function(expression=_substitute(outer.expression, inner.expression))


def _substitute(expression: Expression, value: Expression) -> Expression:
    if expression == "x":
        return value
    if isinstance(expression, tuple):
        return (expression[0], *(_substitute(argument, value) for argument in expression[1:]))
    return expression


def _erf(values: Array) -> Array:
    from math import erf

    return np.vectorize(erf, otypes=[np.float64])(values)


def _sigmoid(values: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def _softplus(values: Array) -> Array:
    return np.logaddexp(0.0, values)


def _leaky_relu(values: Array, slope: float) -> Array:
    return np.where(values < 0, values * slope, values)


OPERATIONS: Mapping[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "pow": np.power,
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "erf": _erf,
    "clip": np.clip,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "leaky_relu": _leaky_relu,
}


def _evaluate(expression: Expression, values: Array) -> Array | float:
    if isinstance(expression, tuple):
        operation, *arguments = expression
        return OPERATIONS[operation](*(_evaluate(argument, values) for argument in arguments))
    return values if isinstance(expression, str) else float(expression)
