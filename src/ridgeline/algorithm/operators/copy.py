"""The identity: a home for a unary function with no operator before it, or for a change of scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.nest import Nest
from ridgeline.algorithm.operators.operator import Array, Shape, elementwise, integers

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """accumulator = x."""

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        return shapes[0]

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        return elementwise("n c y x -> n c y x", shapes[0])

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        return integers(inputs[0])
