"""The OCP's Microscaling Formats v1.0: blocks of 32 elements with a power of two as their scale."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import floor, log2
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.floats import Float, minifloat
from ridgeline.formats.integers import mx_integer
from ridgeline.formats.layout import Layout
from ridgeline.formats.scalar import Scalar
from ridgeline.formats.scales import Float32s, Search, reaches
from ridgeline.formats.stored import Factors, Stored, Whole, packed_codes

BIAS = 127  # of E8M0, whose codes 0..254 are 2^-127..2^127


class ScaleRule(StrEnum):
    """How a block's exponent comes from its largest magnitude. The standard's is `floor`; the others are in use beside it."""

    FLOOR = "floor"  # floor(log2 largest) - emax
    CEIL = "ceil"  # ceil(log2 largest) - emax
    EVEN = "even"  # as floor, of the largest rounded to the element's mantissa, halves away from zero
    RCEIL = "rceil"  # ceil(log2(largest / the element's largest level)): nothing saturates


@dataclass(frozen=True, slots=True, kw_only=True)
class Mx(Whole):
    """Elements of `element`, rounded to the nearest, ties to even, and saturated; one E8M0 code a block. `rule` concerns encoding only."""

    element: Scalar
    rule: ScaleRule = ScaleRule.FLOOR
    block: ClassVar[int | None] = 32

    def stored(self, matrix: Float32s, layout: Layout, search: Search | None, *, plain: bool) -> Stored:
        """Raises InputError for a scale search."""
        refuse_search(self.name, search)
        codes = scale_codes(reaches(matrix, layout, plain=plain), self.element, self.rule)
        return Stored(packed=packed_codes(self.element, matrix, layout, powers(codes), plain=plain), scales=codes)

    def factors(self, stored: Stored, layout: Layout) -> Factors:
        return Factors(element=self.element, layout=layout, scales=powers(stored.scales))


def mx(element: str) -> Mx:
    """mxfp4, mxfp6e2m3, mxfp6e3m2, mxfp8e4m3, mxfp8e5m2, mxint8, by what follows "mx"."""
    if element == "int8":
        return Mx(name="mxint8", bits=8, element=mx_integer())
    exponent, mantissa = (2, 1) if element == "fp4" else (int(element[-3]), int(element[-1]))
    return Mx(name=f"mx{element}", bits=1 + exponent + mantissa, element=minifloat(exponent, mantissa))


def scale_codes(reach: Float32s, element: Scalar, rule: ScaleRule) -> NDArray[np.uint8]:
    """E8M0 codes of blocks with these largest magnitudes; 0, which is 2^-127, for a block of zeros."""
    match rule:
        case ScaleRule.FLOOR:
            exponents = _floor_log2(reach) - _emax(element)
        case ScaleRule.CEIL:
            exponents = _ceil_log2(reach) - _emax(element)
        case ScaleRule.EVEN:
            half = np.int32(1 << (22 - _mantissa(element)))
            exponents = ((reach.view(np.int32) + half) >> 23) - BIAS - _emax(element)
        case ScaleRule.RCEIL:
            with np.errstate(under="ignore"):
                exponents = _ceil_log2(reach / np.float32(element.top))
    return np.where(reach == 0, 0, np.clip(exponents, -BIAS, BIAS) + BIAS).astype(np.uint8)


def powers(codes: NDArray[np.uint8] | Float32s) -> Float32s:
    """The values of E8M0 codes."""
    with np.errstate(under="ignore"):
        return np.ldexp(np.float32(1), codes.astype(np.int32) - BIAS).astype(np.float32)


def refuse_search(name: str, search: Search | None) -> None:
    if search is not None:
        raise InputError(f"{name} has a rule for its scales and takes no scale search; leave search out")


def _emax(element: Scalar) -> int:
    return floor(log2(element.top))


def _mantissa(element: Scalar) -> int:
    return element.mantissa if isinstance(element, Float) else element.bits - 2


def _floor_log2(values: Float32s) -> NDArray[np.int32]:
    return np.frexp(values)[1] - 1


def _ceil_log2(values: Float32s) -> NDArray[np.int32]:
    mantissas, exponents = np.frexp(values)
    return np.where(mantissas == 0.5, exponents - 1, exponents)
