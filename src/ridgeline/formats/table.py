"""Formats given by a table of values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.scalar import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Scalar):
    """`table` holds the value of every code, in code order: 2^bits of them. Raises InputError for another number."""

    table: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.table) != 1 << self.bits:
            raise InputError(f"format {self.name!r} of {self.bits} bits has {1 << self.bits} codes; its table holds {len(self.table)}")

    @property
    def values(self) -> NDArray[np.float64]:
        return np.array(self.table, np.float64)


# NormalFloat's 4-bit levels, quantiles of a Gaussian (Dettmers et al., QLoRA, NeurIPS'23, appendix E), as float32 holds them.
NF4 = Table(
    name="nf4",
    bits=4,
    table=(
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ),
)
