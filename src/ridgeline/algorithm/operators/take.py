"""Rows and columns taken by index, in any order and any number of times: mirrored and repeated borders, an image turned round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.nest import Nest
from ridgeline.algorithm.operators.operator import Array, Shape, elementwise, integers
from ridgeline.errors import UnsupportedError

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """output[c, y, x] = input[c, rows[y], columns[x]]. The output keeps the input's scale."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        for indices, extent, what in ((self.rows, shapes[0][1], "row"), (self.columns, shapes[0][2], "column")):
            wrong = next((index for index in indices if not 0 <= index < extent), None)
            if wrong is not None:
                raise UnsupportedError(f"node '{node.name}': takes {what} {wrong} of shape {shapes[0]}, which has {extent}")
        return shapes[0][0], len(self.rows), len(self.columns)

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        return elementwise("n c y x -> n c y x", self.output_shape(node, *shapes))

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        return integers(inputs[0])[:, :, list(self.rows)][:, :, :, list(self.columns)]

    @property
    def pieces(self) -> int:
        """Rectangles of evenly spaced rows and columns that the output is put together from."""
        return len(stretches(self.rows)) * len(stretches(self.columns))


def stretches(indices: Sequence[int]) -> list[tuple[int, range]]:
    """(position, indices) of each stretch of evenly growing indices, as few as one pass from the left finds."""
    found: list[tuple[int, range]] = []
    start = 0
    while start < len(indices):
        step = max(1, indices[start + 1] - indices[start]) if start + 1 < len(indices) else 1
        stop = start + 1
        while stop < len(indices) and indices[stop] - indices[stop - 1] == step:
            stop += 1
        found.append((start, range(indices[start], indices[stop - 1] + 1, step)))
        start = stop
    return found
