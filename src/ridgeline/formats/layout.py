"""Which elements of a tensor share a scale, and in which order they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ridgeline.errors import InputError


class Granularity(StrEnum):
    TENSOR = "tensor"
    CHANNEL = "channel"
    GROUP = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A tensor as a matrix of `rows` x `length`, each row in vectors of `size` elements (the last of a row may be shorter), a scale a vector.

    Tensor: one row. Channel: a row an index of `axis`. Group: rows run along `axis`, in vectors of `group`.
    """

    shape: tuple[int, ...]
    granularity: Granularity = Granularity.TENSOR
    axis: int = 0  # not negative
    group: int = 0  # elements of a group, 0 for the others

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def rows(self) -> int:
        match self.granularity:
            case Granularity.TENSOR:
                return 1
            case Granularity.CHANNEL:
                return self.shape[self.axis]
            case Granularity.GROUP:
                return self.elements // self.shape[self.axis]

    @property
    def length(self) -> int:
        return self.elements // self.rows

    @property
    def size(self) -> int:
        return self.group or self.length

    @property
    def vectors_of_row(self) -> int:
        return -(-self.length // self.size)

    @property
    def vectors(self) -> int:
        return self.rows * self.vectors_of_row

    def matrix(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """A view where the axes allow one."""
        if self.granularity is Granularity.TENSOR:
            moved = values
        else:
            moved = np.moveaxis(values, self.axis, 0 if self.granularity is Granularity.CHANNEL else -1)
        return np.ascontiguousarray(moved).reshape(self.rows, self.length)

    def tensor(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The way back from `matrix`."""
        if self.granularity is Granularity.TENSOR:
            return matrix.reshape(self.shape)
        place = 0 if self.granularity is Granularity.CHANNEL else -1
        rest = self.shape[: self.axis] + self.shape[self.axis + 1 :]
        moved = (self.shape[self.axis], *rest) if place == 0 else (*rest, self.shape[self.axis])
        return np.moveaxis(matrix.reshape(moved), place, self.axis)

    def vector_of(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """The vectors of elements that are counted along the rows of the matrix."""
        row, place = np.divmod(elements, self.length)
        return row * self.vectors_of_row + place // self.size

    def vectors_in_chunks(self, matrix: NDArray[np.float32], most: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Of some rows: (first vector, vectors x size) of about `most` elements or a row; short vectors end in zeros."""
        padding = self.vectors_of_row * self.size - self.length
        step = max(1, most // self.length)
        for row in range(0, len(matrix), step):
            part = matrix[row : row + step]
            part = np.pad(part, ((0, 0), (0, padding))) if padding else part
            yield row * self.vectors_of_row, part.reshape(-1, self.size)


def layout(shape: tuple[int, ...], granularity: str, axis: int | None, group: int | None) -> Layout:
    """The layout of a user's words; `axis` is 0 for channels and the last for groups unless given. Raises InputError."""
    if granularity not in set(Granularity):
        raise InputError(f"granularity {granularity!r} is none of {', '.join(Granularity)}")
    kind = Granularity(granularity)
    if prod(shape) == 0:
        raise InputError(f"a tensor of shape {shape} has no elements to quantise")
    if kind is Granularity.TENSOR:
        if axis is not None or group is not None:
            raise InputError("granularity 'tensor' takes no axis and no group; take 'channel' or 'group'")
        return Layout(shape=shape)
    axis = (0 if kind is Granularity.CHANNEL else -1) if axis is None else axis
    if not -len(shape) <= axis < len(shape):
        raise InputError(f"axis {axis} is not among the {len(shape)} of shape {shape}")
    place = axis % len(shape)
    if kind is Granularity.CHANNEL:
        if group is not None:
            raise InputError(f"granularity 'channel' takes no group; take 'group' for {group} elements a scale")
        return Layout(shape=shape, granularity=kind, axis=place)
    if group is None or not 1 <= group <= shape[place]:
        raise InputError(f"granularity 'group' needs a group of 1 to {shape[place]} elements, axis {axis} of shape {shape}; got {group}")
    return Layout(shape=shape, granularity=kind, axis=place, group=group)


def checked(values: ArrayLike) -> NDArray[np.float32]:
    """Values as float32. Raises InputError for other types, and for NaN or an infinity, with the first one's index."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise InputError(f"values to quantise are real numbers, not {array.dtype}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel()
    for start in range(0, flat.size, 1 << 20):
        finite = np.isfinite(flat[start : start + (1 << 20)])
        if not finite.all():
            first = start + int(np.argmin(finite))
            index = tuple(int(place) for place in np.unravel_index(first, array.shape))
            raise InputError(f"value at index {index} is {flat[first]} in float32; only finite values have a scale, so replace it first")
    return array
