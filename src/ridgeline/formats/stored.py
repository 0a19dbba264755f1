"""What a quantised tensor consists of, and how each kind of format makes and reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.bits import packed, packed_bytes, unpacked
from ridgeline.formats.format import Format
from ridgeline.formats.layout import Layout
from ridgeline.formats.scalar import Scalar, Scaling, nearest_codes
from ridgeline.formats.scales import ABSMAX, Search, scalar_scales

Float32s = NDArray[np.float32]
CHUNK = 1 << 18  # elements at a time, a multiple of 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """`packed` holds the codes, `scales` float32 or 8-bit codes of scales, `metadata` what else blocks have, `tensor_scale` float32 or nothing."""

    packed: NDArray[np.uint8]
    scales: NDArray[np.float32] | NDArray[np.uint8]
    metadata: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    tensor_scale: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """A tensor whose elements are levels of `element`, in the codes' order, times scales, one a vector of `layout`."""

    element: Scalar
    layout: Layout
    scales: Float32s


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole(Format):
    """A format of whole tensors: a code means something only beside others, or has a scale of the format's own kind. A kind of them gives these."""

    block: ClassVar[int | None] = None  # elements that share a scale, if the format says so
    scale_type: ClassVar[str] = "u1"  # numpy's name
    tensor_scales: ClassVar[int] = 0  # float32 scales of the whole tensor

    def checked(self, layout: Layout) -> Layout:
        """The layout. Raises InputError for one that the format does not go with."""
        return layout

    def places(self, layout: Layout) -> int:
        """Codes that are stored, padding counted."""
        return layout.elements

    def scale_count(self, layout: Layout) -> int:
        return layout.vectors

    def metadata_bytes(self, layout: Layout) -> int:
        return 0

    def stored(self, matrix: Float32s, layout: Layout, search: Search | None, *, plain: bool) -> Stored:
        raise NotImplementedError

    def factors(self, stored: Stored, layout: Layout) -> Factors | None:
        """None where an element depends on others than its own code and scale."""
        return None

    def restored(self, stored: Stored, layout: Layout) -> Float32s:
        """The matrix, where `factors` gives None."""
        raise NotImplementedError


def scalar_stored(format: Scalar, matrix: Float32s, layout: Layout, search: Search | None, *, plain: bool) -> Stored:
    """Raises InputError for a negative value in a format without them, and for a search in one without scales."""
    if format.scaling is Scaling.NONE and search is not None:
        raise InputError(f"{format.name} has no scales to search; leave search out")
    if format.levels[0] >= 0 and matrix.min() < 0:
        raise InputError(f"{format.name} has no negative levels and the least value is {matrix.min():.6g}; take a signed format")
    scales = scalar_scales(format, matrix, layout, search or ABSMAX, plain=plain)
    factors = scales if scales.size else np.ones(layout.vectors, np.float32)
    return Stored(packed=packed_codes(format, matrix, layout, factors, plain=plain), scales=scales)


def packed_codes(
    format: Scalar, matrix: Float32s, layout: Layout, scales: Float32s, *, plain: bool, reciprocal: bool = False
) -> NDArray[np.uint8]:
    """The packed codes of matrix / scales in float32; of matrix * scales if these are given as reciprocals."""
    if not plain:
        from ridgeline.formats.kernels import encoded

        return encoded(format, matrix, layout, scales, reciprocal=reciprocal)
    flat = matrix.reshape(-1)
    out = np.empty(packed_bytes(format.bits, flat.size), np.uint8)
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        factors = scales[layout.vector_of(np.arange(start, start + part.size))]
        with np.errstate(over="ignore", under="ignore"):
            piece = packed(nearest_codes(format, part * factors if reciprocal else part / factors), format.bits)
        out[start * format.bits // 8 :][: piece.size] = piece
    return out


def restored(format: Scalar, data: NDArray[np.uint8], layout: Layout, scales: Float32s) -> Float32s:
    """The matrix of levels x scales, in float32; a product beyond float32 is its largest."""
    with np.errstate(over="ignore"):
        levels = format.values.astype(np.float32)
    bound = np.finfo(np.float32).max if format.scaling is not Scaling.NONE else np.inf
    out = np.empty(layout.elements, np.float32)
    for start in range(0, out.size, CHUNK):
        stop = min(start + CHUNK, out.size)
        codes = unpacked(data[start * format.bits // 8 : packed_bytes(format.bits, stop)], format.bits, stop - start)
        factors = scales[layout.vector_of(np.arange(start, stop))]
        with np.errstate(over="ignore", under="ignore"):
            np.clip(levels[codes] * factors, -bound, bound, out=out[start:stop])
    return out.reshape(layout.rows, layout.length)
