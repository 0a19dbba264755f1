"""Outlier-victim pairs, the format of OliVe (Guo et al., ISCA'23): an outlier takes the place of the value beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ridgeline.errors import InputError
from ridgeline.formats.bits import packed, packed_bytes, unpacked
from ridgeline.formats.flint import flint
from ridgeline.formats.integers import integer
from ridgeline.formats.layout import Granularity, Layout
from ridgeline.formats.scalar import Scalar, codebook, nearest_codes
from ridgeline.formats.scales import Float32s, Float64s, Search, candidates
from ridgeline.formats.stored import Stored, Whole

CHUNK = 1 << 18  # elements at a time, a multiple of 8
OLIVE_SEARCH = Search(least=0.75, most=2.48, step=0.02)
SIGMAS = 3


class Keep(StrEnum):
    """Which of two outliers in a pair stays."""

    LARGER = "larger"  # the paper; the left of equal magnitudes
    LEFT = "left"  # the authors' code


@dataclass(frozen=True, slots=True, kw_only=True)
class Abfloat(Scalar):
    """Sign, exponent E, mantissa m: +-(2^mantissa + m) << (E + bias). 0..0 and 10..0 stand for nothing."""

    mantissa: int
    bias: int

    @property
    def values(self) -> NDArray[np.float64]:
        codes = np.arange(1 << (self.bits - 1))
        whole = (1 << self.mantissa) + (codes & ((1 << self.mantissa) - 1))
        positive = np.ldexp(whole.astype(np.float64), (codes >> self.mantissa) + self.bias)
        positive[0] = np.nan
        return np.concatenate([positive, -positive])


@dataclass(frozen=True, slots=True, kw_only=True)
class Olive(Whole):
    """Elements 2k and 2k + 1 of a row are a pair; an odd row is padded by a zero, which is stored. The code 10..0 says that the other code of the
    pair is an outlier's, in abfloat, and is itself worth zero; both codes 10..0 are two zeros, and are never made.

    A value is an outlier if it is nearer to the least abfloat than to the largest normal level, in the middle not. Other ties go to the larger value.
    `keep` concerns encoding only.
    """

    normal: Scalar
    outlier: Abfloat
    keep: Keep = Keep.LARGER
    scale_type: ClassVar[str] = "<f4"

    @property
    def top(self) -> float:
        """The largest normal level, to which a scale maps the reach."""
        return self.normal.top

    @property
    def levels(self) -> Float64s:
        """The distinct values of both kinds, ascending."""
        return np.unique(pair_values(self, np.array([[code, other] for code in range(1 << self.bits) for other in (0, self.victim)]).reshape(-1)))

    def encode(self, values: ArrayLike, scale: float | Float32s = 1.0) -> NDArray[np.uint8]:
        """Codes of values / scale in float32, whose last axis is of whole pairs. Raises InputError for an odd one and for NaN."""
        with np.errstate(over="ignore", under="ignore"):
            quotients = np.asarray(values, np.float32) / np.asarray(scale, np.float32)
        self._whole(quotients.shape)
        return pair_codes(self, quotients.reshape(-1)).reshape(quotients.shape)

    def decode(self, codes: ArrayLike, scale: float | Float64s = 1.0) -> Float64s:
        """Values of codes, whose last axis is of whole pairs. Raises InputError for an odd one, and for a code of more than `bits` bits."""
        array = np.asarray(codes)
        self._whole(array.shape)
        self.normal.decode(array)
        return pair_values(self, array.reshape(-1)).reshape(array.shape) * scale

    def _whole(self, shape: tuple[int, ...]) -> None:
        if not shape or shape[-1] % 2:
            raise InputError(f"{self.name} codes pairs along the last axis, and shape {shape} has an odd one; add a zero")

    @property
    def victim(self) -> int:
        return 1 << (self.bits - 1)

    @property
    def limit(self) -> float:
        """Values above this magnitude are outliers."""
        levels = codebook(self.outlier).levels
        return (self.top + float(levels[levels > 0][0])) / 2

    def checked(self, layout: Layout) -> Layout:
        """Raises InputError for groups that part pairs."""
        if layout.granularity is Granularity.GROUP and layout.group % 2:
            raise InputError(f"{self.name} codes pairs, and groups of {layout.group} elements part them; take an even group")
        return layout

    def places(self, layout: Layout) -> int:
        return layout.rows * (layout.length + layout.length % 2)

    def stored(self, matrix: Float32s, layout: Layout, search: Search | None, *, plain: bool) -> Stored:
        even, wide = even_rows(matrix, layout)
        ratios = (search or OLIVE_SEARCH).ratios
        tried = candidates(reaches(matrix, layout), ratios, self.normal)
        scales = tried[:, 0] if len(ratios) == 1 else least_scales(self, even, wide, tried, plain=plain)
        out = np.empty(packed_bytes(self.bits, wide.elements), np.uint8)
        for start, part, factors in _pieces(even, wide, scales):
            piece = packed(pair_codes(self, part / factors), self.bits)
            out[start * self.bits // 8 :][: piece.size] = piece
        return Stored(packed=out, scales=scales)

    def restored(self, stored: Stored, layout: Layout) -> Float32s:
        wide = wide_layout(layout)
        out = np.empty(wide.elements, np.float32)
        codes = unpacked(stored.packed, self.bits, out.size)
        for start in range(0, out.size, CHUNK):
            stop = min(start + CHUNK, out.size)
            factors = stored.scales[wide.vector_of(np.arange(start, stop))]
            out[start:stop] = pair_values(self, codes[start:stop]).astype(np.float32) * factors
        return out.reshape(layout.rows, -1)[:, : layout.length]


def olive(kind: str | int) -> Olive:
    """olive4, olive-flint4, olive8 (outliers in E4M3, as in the paper) and olive8-e2m5 (as in the authors' code), by what follows "olive"."""
    name = f"olive{kind}"
    match str(kind):
        case "-flint4":
            return Olive(name=name, bits=4, normal=flint("", 4), outlier=Abfloat(name="abfloat", bits=4, mantissa=1, bias=3))
        case "4":
            return Olive(name=name, bits=4, normal=integer("", 4), outlier=Abfloat(name="abfloat", bits=4, mantissa=1, bias=2))
        case _:
            mantissa, bias = (5, 2) if name.endswith("-e2m5") else (3, 4)
            return Olive(name=name, bits=8, normal=integer("", 8), outlier=Abfloat(name="abfloat", bits=8, mantissa=mantissa, bias=bias))


def pair_codes(format: Olive, quotients: Float32s) -> NDArray[np.uint8]:
    """Codes of scaled values, pair after pair: the definition."""
    top = np.float32(format.top)
    codes = nearest_codes(format.normal, np.clip(quotients, -top, top)).astype(np.uint8)
    magnitudes = np.abs(quotients)
    outliers = magnitudes > format.limit
    left, right = outliers[0::2], outliers[1::2]
    stays = left & (~right | (magnitudes[0::2] >= magnitudes[1::2]) | (format.keep is Keep.LEFT))
    for kept, other, place in ((stays, 1, 0), (right & ~stays, 0, 1)):
        codes[place::2][kept] = nearest_codes(format.outlier, quotients[place::2][kept])
        codes[other::2][kept] = format.victim
    return codes


def pair_values(format: Olive, codes: NDArray[np.unsignedinteger]) -> Float64s:
    """Values of codes, pair after pair."""
    values = format.normal.values[codes]
    victims = codes == format.victim
    outliers = np.nan_to_num(format.outlier.values)
    for victim, other in ((0, 1), (1, 0)):
        chosen = victims[victim::2]
        values[victim::2][chosen] = 0
        values[other::2][chosen] = outliers[codes[other::2][chosen]]
    return values


def wide_layout(layout: Layout) -> Layout:
    """The layout of rows padded to whole pairs, as groups."""
    length = layout.length + layout.length % 2
    group = layout.group or length
    return Layout(shape=(layout.rows, length), granularity=Granularity.GROUP, axis=1, group=group)


def even_rows(matrix: Float32s, layout: Layout) -> tuple[Float32s, Layout]:
    """The matrix with rows of whole pairs, and their layout."""
    return (np.pad(matrix, ((0, 0), (0, 1))) if layout.length % 2 else matrix), wide_layout(layout)


def reaches(matrix: Float32s, layout: Layout) -> Float64s:
    """The largest |mean +- 3 standard deviations| of every vector, in float64; padding is not counted."""
    out = np.empty(layout.vectors)
    for first, vectors in layout.vectors_in_chunks(matrix, CHUNK):
        counts = np.full(len(vectors), layout.size)
        counts[layout.vectors_of_row - 1 :: layout.vectors_of_row] = layout.length - (layout.vectors_of_row - 1) * layout.size
        columns = [vectors[:, at : at + CHUNK] for at in range(0, layout.size, CHUNK)]
        means = sum(part.sum(axis=1, dtype=np.float64) for part in columns) / counts
        squares = sum(np.sum(np.square(part - means[:, None]), axis=1) for part in columns)
        padding = (layout.size - counts) * means**2
        spread = SIGMAS * np.sqrt(np.maximum(squares - padding, 0) / counts)
        out[first : first + len(vectors)] = np.maximum(np.abs(means + spread), np.abs(means - spread))
    return out


def least_scales(format: Olive, even: Float32s, wide: Layout, tried: Float32s, *, plain: bool) -> Float32s:
    """The scale of least squared error of every vector, in which victims count as zeros; the first of equals."""
    out = np.empty(wide.vectors, np.float32)
    if not plain:
        from ridgeline.formats.kernels import least_pair_errors

        return least_pair_errors(format, even, wide, tried)
    for first, vectors in wide.vectors_in_chunks(even, CHUNK):
        scales = tried[first : first + len(vectors)]
        errors = np.stack([_errors(format, vectors, scales[:, [index]]) for index in range(scales.shape[1])], axis=1)
        out[first : first + len(vectors)] = np.take_along_axis(scales, errors.argmin(axis=1)[:, None], axis=1)[:, 0]
    return out


def _errors(format: Olive, vectors: Float32s, scales: Float32s) -> Float64s:
    with np.errstate(over="ignore", under="ignore"):
        codes = pair_codes(format, (vectors / scales).reshape(-1))
    gaps = vectors - pair_values(format, codes).reshape(vectors.shape) * scales.astype(np.float64)
    return np.sum(gaps * gaps, axis=1)


def _pieces(even: Float32s, wide: Layout, scales: Float32s) -> Iterator[tuple[int, Float32s, Float32s]]:
    """(start, values, their scales)."""
    flat = even.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        stop = min(start + CHUNK, flat.size)
        yield start, flat[start:stop], scales[wide.vector_of(np.arange(start, stop))]
