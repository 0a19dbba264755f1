"""No pattern: all weights stay."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.formats.sparsity.matrix import Array, Mask
from ridgeline.formats.sparsity.pattern import Family, Pattern


@dataclass(frozen=True, kw_only=True)
class Dense(Pattern):
    @property
    def name(self) -> str:
        return "none"

    @property
    def density(self) -> float:
        return 1.0

    def padded_shape(self, rows: int, columns: int) -> tuple[int, int]:
        return rows, columns

    def matrix_mask(self, scores: Array) -> Mask:
        return np.ones(scores.shape, np.bool_)

    def arranged(self, mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        return np.arange(mask.size, dtype=np.int64), np.zeros(0, np.uint8)

    def places(self, bits: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.int64]:
        return np.arange(rows * columns, dtype=np.int64)

    def sizes(self, rows: int, columns: int, mask: Mask | None) -> tuple[int, int]:
        return rows * columns, 0


FAMILY = Family(form="none", names=re.compile("none"), read=lambda match, pad: Dense(pad=pad))
