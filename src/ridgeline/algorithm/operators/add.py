"""Weighted sum of two tensors of one shape: Add, Sub, residual sums, and the two halves of a per-channel PRelu."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.algorithm.nest import Nest
from ridgeline.algorithm.operators.operator import Array, Shape, elementwise, integers
from ridgeline.errors import UnsupportedError

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """weight (2, C) or None (both 1): accumulator = weight[0] * a + weight[1] * b. In an integer graph the weight is int8 (2, C): the pair of
    small integers whose ratio is that of the two scales (times the coefficients), the rest is in the stage's multiplier.
    """

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        if shapes[0] != shapes[1]:
            raise UnsupportedError(f"node '{node.name}': adds shapes {shapes[0]} and {shapes[1]}; they must be equal")
        return shapes[0]

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        return elementwise("n c y x, n c y x -> n c y x", shapes[0])

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        first, second = (integers(values) for values in inputs)
        if node.weight is None:
            return first + second
        weight = node.weight.astype(np.result_type(first.dtype, second.dtype)).reshape(2, 1, -1, 1, 1)
        return weight[0] * first + weight[1] * second
