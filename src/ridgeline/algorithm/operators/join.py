"""Concatenation of any number of tensors along height or width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ridgeline.algorithm.nest import Nest
from ridgeline.algorithm.operators.operator import Array, Shape, elementwise, integers
from ridgeline.errors import UnsupportedError

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """accumulator = the inputs, one after another along `axis`. They all have one scale, and the output keeps it."""

    axis: Literal["y", "x"]

    @property
    def position(self) -> int:
        """Of the axis in (channels, height, width)."""
        return 1 if self.axis == "y" else 2

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        if len({tuple(np.delete(shape, self.position)) for shape in shapes}) != 1:
            others = "channels and width" if self.axis == "y" else "channels and height"
            raise UnsupportedError(f"node '{node.name}': concatenates shapes {shapes} along {self.axis}; {others} must be equal")
        total = sum(shape[self.position] for shape in shapes)
        channels, height, width = shapes[0]
        return (channels, total, width) if self.axis == "y" else (channels, height, total)

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        return elementwise("n c y x -> n c y x", self.output_shape(node, *shapes))

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        return np.concatenate([integers(values) for values in inputs], axis=1 + self.position)
