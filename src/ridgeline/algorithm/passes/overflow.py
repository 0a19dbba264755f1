"""The proof that no accumulator overflows: for every possible int8 input, from the actual weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ridgeline.algorithm.graph import Array, Graph, Node
from ridgeline.algorithm.operators import Add, AveragePool, Conv, ConvTranspose, Mul
from ridgeline.errors import UnsupportedError

_LARGEST = 2**31 - 1
_SMALLEST = -(2**31)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """int64 (channels,), each reached by some input codes in [-128, 127] (a window that holds no padding)."""

    low: Array
    high: Array


def accumulator_bounds(graph: Graph, node: Node) -> Bounds:
    channels = graph.tensors[node.output].shape[0]
    match node.operator:
        case Conv() | ConvTranspose():
            return _weighted(filters(node))
        case Add():
            weight = np.ones((2, channels), np.int8) if node.weight is None else node.weight
            return _weighted(np.broadcast_to(weight, (2, channels)).T)
        case AveragePool(kernel=kernel):
            return _weighted(np.ones((channels, kernel[0] * kernel[1]), np.int8))
        case Mul():
            return _products(graph, node, channels)
        case _:
            return _weighted(np.ones((channels, 1), np.int8))


def filters(node: Node) -> Array:
    """The weights of each output channel of a convolution, plain or transposed: (M, products)."""
    assert node.weight is not None
    weight = node.operator.forward(node.weight) if isinstance(node.operator, ConvTranspose) else node.weight
    return weight.reshape(weight.shape[0], -1)


def label(node: Node) -> str:
    """What the user wrote, or the operator's name: for messages."""
    return node.source or type(node.operator).__name__


def prove(graph: Graph) -> None:
    """Raises UnsupportedError, naming the node, if any accumulator, bias, or sum of both can leave int32."""
    for node in graph.nodes:
        assert node.stage is not None
        bounds = accumulator_bounds(graph, node)
        bias = node.stage.bias.astype(np.int64)
        _check(node, "accumulator", bounds.low, bounds.high)
        _check(node, "accumulator and bias", bounds.low + bias, bounds.high + bias)


def _weighted(weight: Array) -> Bounds:
    """Codes at their ends: 127 where the weight is positive and -128 where it is negative, and the other way round."""
    positive = np.asarray(np.sum(weight, axis=1, dtype=np.int64, where=weight > 0))
    negative = np.asarray(np.sum(weight, axis=1, dtype=np.int64, where=weight < 0))
    return Bounds(low=-128 * positive + 127 * negative, high=127 * positive - 128 * negative)


def _products(graph: Graph, node: Node, channels: int) -> Bounds:
    ends: list[tuple[int, int]] = []
    for name in node.inputs:
        quantisation = graph.tensors[name].quantisation
        assert quantisation is not None
        ends.append((-128 - quantisation.zero_point, 127 - quantisation.zero_point))
    corners = [first * second for first in ends[0] for second in ends[1]]
    return Bounds(low=np.full(channels, min(corners), np.int64), high=np.full(channels, max(corners), np.int64))


def _check(node: Node, what: str, low: Array, high: Array) -> None:
    if int(low.min()) >= _SMALLEST and int(high.max()) <= _LARGEST:
        return
    raise UnsupportedError(
        f"node '{node.name}' ({label(node)}): its {what} can reach [{int(low.min()):,}, {int(high.max()):,}], "
        f"beyond 32 bits; split it into layers of fewer inputs"
    )
