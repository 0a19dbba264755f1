"""What every sparsity pattern can do: choose, pack, say its size."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.sparsity.matrix import Array, Axis, Mask, as_matrix, as_tensor, axes_of, matrix_shape, padded
from ridgeline.formats.sparsity.packed import PackedSparse, multiply_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Patterns of one form: how a name is recognised, and what it makes."""

    form: str  # as messages show it, an example
    names: re.Pattern[str]
    read: Callable[[re.Match[str], bool], Pattern]  # the match, and whether to pad


@dataclass(frozen=True, kw_only=True)
class Pattern(ABC):
    """A rule of which weights stay, and how those are stored.

    A tensor is seen as a matrix: `axis` (one axis, or several that are flattened in the order given) are the columns, along which a product adds
    up; all others are the rows. Convolution weights (m, c, r, q) are pruned along input channels by `axis=1`, along the whole kernel by
    `axis=(1, 2, 3)`. Where the matrix does not divide into the pattern's units it is padded with zeros, which are stored and counted; with
    `pad=False` it is refused.
    """

    pad: bool = True
    fixed: ClassVar[bool] = True  # the size follows from the shape alone

    @property
    @abstractmethod
    def name(self) -> str:
        """What `read_pattern` reads."""

    @property
    @abstractmethod
    def density(self) -> float | None:
        """Kept of all where nothing is padded, 0 to 1; None where the values decide."""

    @abstractmethod
    def padded_shape(self, rows: int, columns: int) -> tuple[int, int]:
        """The matrix with its padding."""

    @abstractmethod
    def matrix_mask(self, scores: Array) -> Mask:
        """The mask of a matrix of scores, float32 or float64."""

    @abstractmethod
    def arranged(self, mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Flat places in the padded matrix of all stored values, in storage order, and the metadata's bits as single bytes.

        Raises InputError for a mask that breaks the pattern.
        """

    @abstractmethod
    def places(self, bits: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.int64]:
        """The places that `arranged` gave, from its bits."""

    @abstractmethod
    def sizes(self, rows: int, columns: int, mask: Mask | None) -> tuple[int, int]:
        """(stored values, bits of metadata)."""

    def mask(self, scores: Array, axis: Axis = -1) -> Mask:
        """True where a weight stays: the highest scores do, and of equal ones those with the lowest index. Raises InputError for NaN."""
        axes = axes_of(scores.shape, axis)
        matrix = as_matrix(floats(scores), axes)
        self.fit(matrix)
        return as_tensor(self.matrix_mask(matrix), scores.shape, axes)

    def pack(self, values: Array, mask: Mask, axis: Axis = -1) -> PackedSparse:
        """The kept values in storage order and the packed metadata. A mask may keep fewer than the pattern allows, never more."""
        if values.shape != mask.shape or mask.dtype != np.bool_:
            raise InputError(
                f"sparsity: values of shape {values.shape} and a mask of {mask.dtype}, shape {mask.shape}; give a bool for each value"
            )
        if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
            raise InputError(f"sparsity: values of type {values.dtype} cannot be packed; give integers or floats of up to 64 bits")
        axes = axes_of(values.shape, axis)
        self._divides(*matrix_shape(values.shape, axes))
        kept, metadata = self.stored(as_matrix(values, axes), as_matrix(mask, axes))
        return PackedSparse(pattern=self, shape=values.shape, axes=axes, values=kept, metadata=metadata)

    def prune(self, values: Array, axis: Axis = -1) -> tuple[Mask, PackedSparse]:
        """The mask by magnitude, and what it packs."""
        mask = self.mask(np.abs(floats(values)), axis)
        return mask, self.pack(values, mask, axis)

    def storage_bits(self, shape: tuple[int, ...], value_bits: int, *, axis: Axis = -1, mask: Mask | None = None) -> int:
        """Bits of values and metadata, padding included, headers not. Where the values decide, `mask` says how many; without
        it as many stay as the name says, and by `bitmap` all."""
        axes = axes_of(shape, axis)
        rows, columns = matrix_shape(shape, axes)
        self._divides(rows, columns)
        if mask is not None and mask.shape != shape:
            raise InputError(f"sparsity: mask of shape {mask.shape} for a tensor of shape {shape}; give a bool for each value")
        values, bits = self.sizes(rows, columns, None if mask is None else as_matrix(mask, axes))
        return values * value_bits + bits

    def multiply(self, packed: PackedSparse, right: Array, out: Array) -> None:
        """Adds the product of the packed matrix and `right` to `out`, all of one type."""
        multiply_at(packed, right, out)

    def fit(self, scores: Array) -> None:
        """Raises InputError for a matrix that does not divide and may not be padded, and for NaN."""
        self._divides(*scores.shape)
        if np.isnan(scores.min()):
            raise InputError(f"sparsity: scores of {self.name} hold NaN; give numbers that can be ordered")

    def stored(self, values: Array, mask: Mask) -> tuple[Array, NDArray[np.uint8]]:
        """Values and metadata of a matrix, as `PackedSparse` holds them."""
        places, bits = self.arranged(mask)
        whole = padded(np.where(mask, values, np.zeros((), values.dtype)), self.padded_shape(*values.shape))
        return whole.reshape(-1)[places], np.packbits(bits, bitorder="little")

    def _divides(self, rows: int, columns: int) -> None:
        need = self.padded_shape(rows, columns)
        if not self.pad and need != (rows, columns):
            raise InputError(
                f"sparsity: {rows} x {columns} weights do not divide into {self.name}, which needs {need[0]} x {need[1]}; pad them"
            )


def floats(scores: Array) -> Array:
    if scores.dtype.kind not in "biuf":
        raise InputError(f"sparsity: scores of type {scores.dtype} cannot be ordered; give integers or floats")
    return scores if scored_as_is(scores) else scores.astype(np.float64)


def scored_as_is(scores: Array) -> bool:
    """Of a type that the kernels take: float32 or float64 in the machine's byte order."""
    return scores.dtype.str in (np.dtype(np.float32).str, np.dtype(np.float64).str)


def checked_percent(percent: float) -> None:
    if not 0 <= percent < 100:
        raise InputError(f"sparsity: {percent:g}% of weights to be dropped; give 0% up to, not including, 100%")


def kept_of(count: int, percent: float) -> int:
    """What stays of `count` when `percent` go, to the nearest, halves up, and at least one."""
    return max(1, int(count * (1 - Fraction(str(percent)) / 100) + Fraction(1, 2)))


def percent_text(percent: float) -> str:
    return f"{percent:.9f}".rstrip("0").rstrip(".") + "%"


PERCENT = r"(\d{1,2}(?:\.\d{1,9})?)%"
