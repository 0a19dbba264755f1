"""A (C, 1, 1) tensor repeated over height and width, before a sum or product that broadcasts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.operators.operator import Shape

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Expand:
    """output[c, y, x] = input[c, 0, 0]. The output keeps the input's scale."""

    size: tuple[int, int]

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        return shapes[0][0], *self.size
