"""flint, the format of ANT (Guo et al., MICRO'22): an integer with few bits of exponent near its middle, more and fewer of mantissa beyond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.formats.scalar import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Flint(Scalar):
    """Signed flint is a sign above an unsigned flint of one bit less; its 10..0 is -0, which no value is encoded to."""

    signed: bool = True

    @property
    def values(self) -> NDArray[np.float64]:
        positive = unsigned_values(self.bits - self.signed)
        return np.concatenate([positive, -positive]) if self.signed else positive


def unsigned_values(bits: int) -> NDArray[np.float64]:
    """Values in code order. With z the leading zeros of the B - 1 low bits L, the exponent p is B - 1 - z below the middle of the codes and B + z
    above it, and the mantissa is what follows the first 1 of L, left-aligned (ANT, section IV).
    """
    if bits == 1:
        return np.array([0.0, 1.0])
    codes, width = np.arange(1 << bits), bits - 1
    low = codes & ((1 << width) - 1)
    zeros = width - np.frexp(low)[1]
    fraction = ((low << (zeros + 1)) & ((1 << width) - 1)) / (1 << width)
    exponent = np.where(codes >> width == 0, bits - 1 - zeros, bits + zeros)
    return np.where(codes == 0, 0.0, np.ldexp(1 + fraction, exponent - 1))


def flint(sign: str, bits: int) -> Flint:
    return Flint(name=f"{sign}flint{bits}", bits=bits, signed=not sign)
