"""Mean over a window; also GlobalAveragePool and ReduceMean over height and width (a kernel as large as the input)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.operators.operator import Shape
from ridgeline.algorithm.operators.window import window_count

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePool:
    """accumulate is the *sum* over the window; the division is part of the output stage's multiplier, which is (1, H, W) when padding is not counted."""

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
