"""Data movement: channels taken, permuted or repeated, a window cut out, a border added. Slice, Split, Pad, channel shuffles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.operators.operator import Shape

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """output[c, y, x] = input[channels[c], origin_y + y * step_y, origin_x + x * step_x], and a real zero (its zero point) where that lies outside the input.
    The output keeps the input's scale. Pads with another value than zero are the reader's business.
    """

    channels: tuple[int, ...]
    origin: tuple[int, int] = (0, 0)  # of the output's first element, in the input; negative for a border
    size: tuple[int, int]  # height, width of the output
    steps: tuple[int, int] = (1, 1)

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        return len(self.channels), *self.size
