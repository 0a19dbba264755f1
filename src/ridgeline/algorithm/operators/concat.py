"""Concatenation of any number of tensors along the channels; along height and width it is a Join."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.algorithm.nest import Nest
from ridgeline.algorithm.operators.operator import Array, Shape, elementwise, integers
from ridgeline.errors import UnsupportedError

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat:
    """accumulator = the inputs, one after another. In an integer graph the stage's bias, multiplier and shift (M, 1, 1) rescale each input to the
    output's scale.
    """

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        if len({shape[1:] for shape in shapes}) != 1:
            raise UnsupportedError(f"node '{node.name}': concatenates shapes {shapes}; height and width must be equal")
        return sum(shape[0] for shape in shapes), *shapes[0][1:]

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        return elementwise("n c y x -> n c y x", (sum(shape[0] for shape in shapes), *shapes[0][1:]))

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        return np.concatenate([integers(values) for values in inputs], axis=1)
