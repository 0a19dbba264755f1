"""Product of two tensors of one shape, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.nest import Nest
from ridgeline.algorithm.operators.operator import Array, Shape, elementwise, integers
from ridgeline.errors import UnsupportedError

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Mul:
    """accumulator = (a - zero_point_a) * (b - zero_point_b). A product with a constant is a depthwise Conv instead, or part of a Function."""

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        if shapes[0] != shapes[1]:
            raise UnsupportedError(f"node '{node.name}': multiplies shapes {shapes[0]} and {shapes[1]}; they must be equal")
        return shapes[0]

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        return elementwise("n c y x, n c y x -> n c y x", shapes[0])

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        first, second = (integers(values) - zero for values, zero in zip(inputs, zero_points, strict=True))
        return first * second
