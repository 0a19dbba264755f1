"""A (C, 1, 1) tensor repeated over height and width, before a sum or product that broadcasts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.algorithm.operators.operator import Array, Shape, integers
from ridgeline.errors import UnsupportedError

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Expand:
    """output[c, y, x] = input[c, 0, 0]. The output keeps the input's scale."""

    size: tuple[int, int]

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        if shapes[0][1:] != (1, 1):
            raise UnsupportedError(f"node '{node.name}': expands shape {shapes[0]}; its height and width must be 1")
        return shapes[0][0], *self.size

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        axes = {"n": 1, "c": shapes[0][0], "y": self.size[0], "x": self.size[1]}
        return parse("n c -> n c y x", axes=axes)

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        values = integers(inputs[0])
        return np.broadcast_to(values, (*values.shape[:2], *self.size)).copy()
