"""What every operator offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node
    from ridgeline.algorithm.nest import Nest

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Shape: TypeAlias = tuple[int, int, int]  # channels, height, width


class Operator(Protocol):
    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        """The output's (channels, height, width). Raises UnsupportedError if the inputs' shapes do not fit the operator."""
        ...

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        """The loops of one image, over named axes."""
        ...

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        """(batch, channels, height, width) of the accumulator, before bias and output stage.

        Inputs are (batch, C, H, W): int8 with their zero points in an integer graph, float64 with zero points 0 in a float graph.
        Padding is filled with the input's zero point.
        """
        ...
