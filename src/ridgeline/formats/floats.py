"""Floating point of any exponent and mantissa width, as the OCP's, IEEE's and bfloat16."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ridgeline.errors import InputError
from ridgeline.formats.layout import Layout
from ridgeline.formats.scalar import Codes, Floats, Scalar, Scaling, Ties, floats
from ridgeline.formats.scales import Search
from ridgeline.formats.stored import Stored, Whole

MOST_EXPONENT = 10  # bits: all values and the half-way points between them are float64's


@dataclass(frozen=True, slots=True, kw_only=True)
class Float(Scalar):
    """Sign, exponent, mantissa, from the highest bit; subnormals; bias 2^(exponent-1) - 1.

    `infinities`: the highest exponent holds infinities and NaN as in IEEE 754; `nan`: only the highest magnitude is NaN, as in the OCP's E4M3; with
    neither, every code is finite.
    """

    exponent: int
    infinities: bool = False
    nan: bool = False

    @property
    def mantissa(self) -> int:
        return self.bits - 1 - self.exponent

    @property
    def values(self) -> NDArray[np.float64]:
        codes = np.arange(1 << (self.bits - 1))
        exponents, fraction = codes >> self.mantissa, (codes & ((1 << self.mantissa) - 1)) / (1 << self.mantissa)
        bias = (1 << (self.exponent - 1)) - 1
        positive = np.ldexp(np.where(exponents > 0, 1 + fraction, fraction), np.maximum(exponents, 1) - bias)
        if self.infinities:
            highest = exponents == (1 << self.exponent) - 1
            positive[highest] = np.where(fraction[highest] == 0, np.inf, np.nan)
        if self.nan:
            positive[-1] = np.nan
        return np.concatenate([positive, -positive])

    @property
    def nan_code(self) -> int | None:
        """The positive quiet NaN of IEEE 754, or the OCP's only positive one."""
        if self.nan:
            return (1 << (self.bits - 1)) - 1
        return ((2 << self.exponent) - 1) << (self.mantissa - 1) if self.infinities and self.mantissa else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Single(Whole):
    """IEEE's float32, coded as its 32 bits."""

    name: str = "float32"
    bits: int = 32

    def decode(self, codes: ArrayLike, scale: float | Floats = 1.0) -> NDArray[np.float64]:
        return np.asarray(np.asarray(codes, np.uint32).view(np.float32).astype(np.float64) * scale, np.float64)

    def encode(self, values: ArrayLike, scale: float | Floats = 1.0) -> Codes:
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(floats(values) / scale, np.float32).view(np.uint32)

    def scale_count(self, layout: Layout) -> int:
        return 0

    def stored(self, matrix: NDArray[np.float32], layout: Layout, search: Search | None, *, plain: bool) -> Stored:
        """Raises InputError for a scale search."""
        if search is not None:
            raise InputError(f"{self.name} has no scales to search; leave search out")
        return Stored(packed=matrix.astype("<f4").reshape(-1).view(np.uint8), scales=np.empty(0, np.uint8))

    def restored(self, stored: Stored, layout: Layout) -> NDArray[np.float32]:
        return stored.packed.view("<f4").astype(np.float32).reshape(layout.rows, layout.length)


def minifloat(exponent: int, mantissa: int) -> Float:
    """eXmY up to 16 bits: e4m3 is the OCP's, e5m2 and all of more than 8 bits are IEEE-like; the others have finite codes only.

    Raises InputError for widths that are not offered.
    """
    name, bits = f"e{exponent}m{mantissa}", 1 + exponent + mantissa
    if not 1 <= exponent <= MOST_EXPONENT or not 2 <= bits <= 16:
        raise InputError(f"format {name!r} has {exponent} exponent bits and {bits} in all; take 1 to {MOST_EXPONENT} and up to 16")
    infinities = bits > 8 or (exponent, mantissa) == (5, 2)
    return Float(name=name, bits=bits, exponent=exponent, infinities=infinities, nan=(exponent, mantissa) == (4, 3), ties=Ties.EVEN)


def ieee(name: str, exponent: int) -> Float:
    """A 16-bit format that tensors hold without a scale; values beyond it become infinite."""
    return Float(name=name, bits=16, exponent=exponent, infinities=True, ties=Ties.EVEN, scaling=Scaling.NONE, saturates=False)
