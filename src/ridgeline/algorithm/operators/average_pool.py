"""Mean over a window; also GlobalAveragePool and ReduceMean over height and width (a kernel as large as the input)."""

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
class AveragePool:
    """accumulate is the *sum* over the window; the division is part of the output stage's multiplier, which is (1, H, W) when padding is not
    counted.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    count_include_pad: bool = False

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        (channels, height, width) = shapes[0]
        top, left, bottom, right = self.pads
        rows = window_count(height + top + bottom, self.kernel[0], self.strides[0], 1)
        columns = window_count(width + left + right, self.kernel[1], self.strides[1], 1)
        return channels, rows, columns

    def counted(self, shape: Shape) -> Array:
        """int64 (H, W), or (1, 1) where every window counts the same: how many elements each mean is over."""
        area = self.kernel[0] * self.kernel[1]
        if self.count_include_pad or self.pads == (0, 0, 0, 0):
            return np.full((1, 1), area, np.int64)
        inside = padded(np.ones((1, 1, *shape[1:]), np.int64), self.pads, 0)
        return fold(np.add, inside, self.kernel, self.strides, (1, 1))[0, 0]

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        channels, rows, columns = self.output_shape(node, *shapes)
        axes = {"n": 1, "c": channels, "y": rows, "x": columns, "r": self.kernel[0], "q": self.kernel[1]}
        return parse("n c (y*s+r) (x*t+q) -> n c y x", axes=axes, factors={"s": self.strides[0], "t": self.strides[1]})

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        return fold(np.add, padded(integers(inputs[0]), self.pads, zero_points[0]), self.kernel, self.strides, (1, 1))
