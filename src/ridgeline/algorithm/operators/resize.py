"""Nearest-neighbour upsampling by integer factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.operators.operator import Shape

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """output[c, y, x] = input[c, y // factors[0], x // factors[1]]. The output keeps the input's scale."""

    factors: tuple[int, int]

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        (channels, height, width) = shapes[0]
        return channels, height * self.factors[0], width * self.factors[1]
