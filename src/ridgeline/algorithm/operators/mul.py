"""Product of two tensors of one shape, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.operators.operator import Shape
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
