"""Nearest-neighbour upsampling by integer factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.algorithm.operators.operator import Array, Shape, integers

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """output[c, y, x] = input[c, y // factors[0], x // factors[1]]. The output keeps the input's scale."""

    factors: tuple[int, int]

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        (channels, height, width) = shapes[0]
        return channels, height * self.factors[0], width * self.factors[1]

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        axes = {"n": 1, "c": shapes[0][0], "y": shapes[0][1], "x": shapes[0][2], "v": self.factors[0], "u": self.factors[1]}
        return parse("n c y x -> n c (y*s+v) (x*t+u)", axes=axes, factors={"s": self.factors[0], "t": self.factors[1]})

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        return np.repeat(np.repeat(integers(inputs[0]), self.factors[0], axis=2), self.factors[1], axis=3)
