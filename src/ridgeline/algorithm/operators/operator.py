"""What every operator offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from ridgeline.algorithm.nest import Nest, parse

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node

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

        Inputs are (batch, C, H, W): int8 with their zero points in an integer graph (the result is int64, and exact), floats with zero points 0 in
        a float graph (the result has their type).
        Padding is filled with the input's zero point.
        """
        ...


def integers(values: Array) -> Array:
    """int8 codes as int64, wide enough for every accumulator; floats as they are."""
    return values.astype(np.int64) if np.issubdtype(values.dtype, np.integer) else values


def elementwise(notation: str, shape: Shape) -> Nest:
    """The nest of an operator that treats every element alike."""
    channels, height, width = shape
    return parse(notation, axes={"n": 1, "c": channels, "y": height, "x": width}, names=_names(notation.count(",")))


def _names(commas: int) -> tuple[str, ...]:
    return ("input", "output") if commas == 0 else ("first", "second", "output")
