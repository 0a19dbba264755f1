"""Integers: two's complement or unsigned, and fixed point, which is the same with a scale that is a power of two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.formats.scalar import Scalar, Scaling, Ties


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer(Scalar):
    """A scale maps the largest value to 2^(bits-1) - 1, so that int4 holds -8..7 and scales to 7. `step` is the value of code 1."""

    signed: bool = True
    step: float = 1.0

    @property
    def values(self) -> NDArray[np.float64]:
        codes = np.arange(1 << self.bits)
        half = 1 << (self.bits - 1)
        return self.step * np.where(self.signed & (codes >= half), codes - 2 * half, codes).astype(np.float64)


def integer(sign: str, bits: int) -> Integer:
    return Integer(name=f"{sign}int{bits}", bits=bits, signed=not sign)


def fixed(bits: int) -> Integer:
    return Integer(name=f"fixed{bits}", bits=bits, scaling=Scaling.POWER_OF_TWO)


def mx_integer(bits: int = 8) -> Integer:
    """The element of MXINT8: 2^-6 a step, -2 among its values (OCP Microscaling Formats v1.0, table 1)."""
    return Integer(name=f"int{bits}", bits=bits, step=2.0 ** (2 - bits), ties=Ties.EVEN)
