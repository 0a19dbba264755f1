"""Data movement: channels taken, permuted or repeated, a window cut out, a border added. Slice, Split, Pad, channel shuffles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.algorithm.operators.operator import Array, Shape, integers

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """output[c, y, x] = input[channels[c], origin_y + y * step_y, origin_x + x * step_x], and `border` where that lies outside the input.
    The output keeps the input's scale. `border` None is a real zero (the input's zero point); a number is real in a float graph and a code in an
    integer graph.
    """

    channels: tuple[int, ...]
    origin: tuple[int, int] = (0, 0)  # of the output's first element, in the input; negative for a border
    size: tuple[int, int]  # height, width of the output
    steps: tuple[int, int] = (1, 1)
    border: float | None = None

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        return len(self.channels), *self.size

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        axes = {"n": 1, "c": len(self.channels), "y": self.size[0], "x": self.size[1]}
        return parse("n c (y*s) (x*t) -> n c y x", axes=axes, factors={"s": self.steps[0], "t": self.steps[1]})

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        values = integers(inputs[0])
        rows, row_inside = _positions(self.origin[0], self.size[0], self.steps[0], values.shape[2])
        columns, column_inside = _positions(self.origin[1], self.size[1], self.steps[1], values.shape[3])
        taken = values[:, np.asarray(self.channels)][:, :, rows][:, :, :, columns]
        inside = row_inside[:, None] & column_inside
        border = zero_points[0] if self.border is None else self.border
        return np.where(inside, taken, np.asarray(border, taken.dtype))


def _positions(origin: int, size: int, step: int, extent: int) -> tuple[Array, Array]:
    """Where each output element comes from, kept inside the input, and whether it was inside."""
    wanted = origin + step * np.arange(size)
    return np.clip(wanted, 0, extent - 1), (wanted >= 0) & (wanted < extent)
