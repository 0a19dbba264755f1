"""Whole tensors in a format: codes, scales, and the bits that all of it takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ridgeline.errors import InputError
from ridgeline.formats.bits import unpacked
from ridgeline.formats.layout import Granularity, Layout, checked, layout
from ridgeline.formats.scalar import Codes, Scalar
from ridgeline.formats.scales import Search
from ridgeline.formats.stored import Factors, Stored, Whole, restored, scalar_stored

if TYPE_CHECKING:
    from ridgeline.formats.format import Format

PIECE = 1 << 20  # elements at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A tensor in `format`. Compare two by `pack()`."""

    format: Format
    layout: Layout
    stored: Stored

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    @property
    def scales(self) -> NDArray[np.float32] | NDArray[np.uint8]:
        """One a vector: float32, or the 8-bit codes of a block format's. Empty in formats without scales."""
        return self.stored.scales

    @property
    def codes(self) -> Codes:
        """Shape (rows, codes of a row), in the order of the layout; padding of odd rows of pairs included."""
        count = places(self.format, self.layout)
        return unpacked(self.stored.packed, self.format.bits, count).reshape(self.layout.rows, -1)

    @property
    def bits(self) -> int:
        """Of all codes, padding included, scales and metadata."""
        rest = self.stored.scales.nbytes + self.stored.metadata.nbytes + self.stored.tensor_scale.nbytes
        return places(self.format, self.layout) * self.format.bits + 8 * rest

    @property
    def bits_per_element(self) -> float:
        return self.bits / self.layout.elements

    def factors(self) -> Factors | None:
        """The tensor as levels times scales; None for a format where an element depends on others than its own code and scale."""
        if isinstance(self.format, Whole):
            return self.format.factors(self.stored, self.layout)
        scales = self.stored.scales if self.stored.scales.size else np.ones(self.layout.vectors, np.float32)
        return Factors(element=cast("Scalar", self.format), layout=self.layout, scales=cast("NDArray[np.float32]", scales))

    def decode(self) -> NDArray[np.float32]:
        """The tensor that the codes stand for."""
        found = self.factors()
        if found is not None:
            return self.layout.tensor(restored(found.element, self.stored.packed, found.layout, found.scales))
        return self.layout.tensor(cast("Whole", self.format).restored(self.stored, self.layout))

    def sqnr_db(self, values: ArrayLike) -> float:
        """10 log10 of the values' squares over the squared error: infinite where there is no error."""
        flat = np.asarray(values, np.float32).reshape(-1)
        power = sum(float(np.sum(flat[at : at + PIECE].astype(np.float64) ** 2)) for at in range(0, flat.size, PIECE))
        error = self.squared_error(values)
        return 10 * log10(power / error) if error and power else inf if not error else -inf

    def squared_error(self, values: ArrayLike) -> float:
        """Sum over all elements of (value - decoded)^2, in float64."""
        flat, decoded = np.asarray(values, np.float32).reshape(-1), self.decode().reshape(-1)
        pieces = (slice(at, at + PIECE) for at in range(0, flat.size, PIECE))
        return sum(float(np.sum((flat[piece].astype(np.float64) - decoded[piece]) ** 2)) for piece in pieces)


def quantise(
    values: ArrayLike,
    format: Format,
    *,
    granularity: str | None = None,
    axis: int | None = None,
    group: int | None = None,
    search: Search | None = None,
    plain: bool = False,
) -> Encoded:
    """Values as float32 in `format`, with a scale for the whole tensor, for each index of `axis` (0 unless given), or for every `group` elements
    along `axis` (the last unless given; the last group of a row may be shorter).

    Block formats run along `axis` in blocks of their own size. `search` is how scales are found: from the largest magnitude unless given, in OliVe's
    formats by OliVe's search. `plain` asks for the slow definition in numpy, whose result is the same bit for bit.
    Raises InputError for NaN and infinities (with the first index), for negative values in an unsigned format, and for a layout that cannot be.
    """
    array = checked(values)
    if isinstance(format, Whole):
        placed = _placed(format, array.shape, granularity, axis, group)
        stored = format.stored(placed.matrix(array), placed, search, plain=plain)
    elif isinstance(format, Scalar):
        placed = layout(array.shape, granularity or Granularity.TENSOR, axis, group)
        stored = scalar_stored(format, placed.matrix(array), placed, search, plain=plain)
    else:
        raise InputError(f"format {format.name!r} is a {type(format).__name__}; tensors take a Scalar or a Whole of ridgeline.formats")
    return Encoded(format=format, layout=placed, stored=stored)


def places(format: Format, placed: Layout) -> int:
    """Codes that a tensor takes, padding counted."""
    return format.places(placed) if isinstance(format, Whole) else placed.elements


def _placed(format: Whole, shape: tuple[int, ...], granularity: str | None, axis: int | None, group: int | None) -> Layout:
    block = format.block
    if block is None:
        return format.checked(layout(shape, granularity or Granularity.TENSOR, axis, group))
    if granularity not in (None, Granularity.GROUP) or group not in (None, block):
        raise InputError(f"{format.name} has a scale for every {block} elements along an axis; leave granularity and group out")
    axis = -1 if axis is None else axis
    length = shape[axis] if -len(shape) <= axis < len(shape) else block
    return layout(shape, Granularity.GROUP, axis, min(block, length))
