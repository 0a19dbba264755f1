"""Maximum over a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.algorithm.operators.operator import Array, Shape, integers
from ridgeline.algorithm.operators.window import fold, padded, window_count

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool:
    """Padding never wins: it counts as the smallest code. ceil_mode is resolved into `pads` by the reader. The output keeps the input's scale."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    dilations: tuple[int, int] = (1, 1)

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        (channels, height, width) = shapes[0]
        top, left, bottom, right = self.pads
        rows = window_count(height + top + bottom, self.kernel[0], self.strides[0], self.dilations[0])
        columns = window_count(width + left + right, self.kernel[1], self.strides[1], self.dilations[1])
        return channels, rows, columns

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        channels, rows, columns = self.output_shape(node, *shapes)
        axes = {"n": 1, "c": channels, "y": rows, "x": columns, "r": self.kernel[0], "q": self.kernel[1]}
        factors = {"s": self.strides[0], "t": self.strides[1], "d": self.dilations[0], "e": self.dilations[1]}
        return parse("n c (y*s+r*d) (x*t+q*e) -> n c y x", axes=axes, factors=factors)

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        values = inputs[0]
        smallest = -128 if np.issubdtype(values.dtype, np.integer) else -np.inf
        return integers(fold(np.maximum, padded(values, self.pads, smallest), self.kernel, self.strides, self.dilations))
