"""Powers of two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.scalar import Scalar

MOST_BITS = 10  # of magnitude: 2^(2^10 - 2) is float64's


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOfTwo(Scalar):
    """0, then 2^0, 2^1, ... in code order; signed, a sign above that, and 10..0 is -0, which no value is encoded to."""

    signed: bool = True

    @property
    def values(self) -> NDArray[np.float64]:
        count = 1 << (self.bits - self.signed)
        positive = np.concatenate([[0.0], np.ldexp(1.0, np.arange(count - 1))])
        return np.concatenate([positive, -positive]) if self.signed else positive


def power_of_two(sign: str, bits: int) -> PowerOfTwo:
    """pot4, upot4, ... Raises InputError beyond float64's exponents."""
    signed = not sign
    if bits - signed > MOST_BITS:
        raise InputError(f"format '{sign}pot{bits}' holds 2^{(1 << (bits - signed)) - 2}; take {MOST_BITS + signed} bits or fewer")
    return PowerOfTwo(name=f"{sign}pot{bits}", bits=bits, signed=signed)
