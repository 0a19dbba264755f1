"""Unstructured: the largest of the whole tensor, stored as a bitmap and the values row by row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ridgeline.formats.sparsity.matrix import Array, Mask
from ridgeline.formats.sparsity.pattern import PERCENT, Family, Pattern, checked_percent, kept_of, percent_text


@dataclass(frozen=True, kw_only=True)
class Unstructured(Pattern):
    """Packs any mask; the size without one is that of the pattern's own masks."""

    fixed: ClassVar[bool] = False
    percent: float  # of the weights that go

    def __post_init__(self) -> None:
        checked_percent(self.percent)

    @property
    def name(self) -> str:
        return f"unstructured:{percent_text(self.percent)}"

    @property
    def density(self) -> float:
        return 1 - self.percent / 100

    def padded_shape(self, rows: int, columns: int) -> tuple[int, int]:
        return rows, columns

    def matrix_mask(self, scores: Array) -> Mask:
        return largest(scores.reshape(-1), kept_of(scores.size, self.percent)).reshape(scores.shape)

    def arranged(self, mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        return np.flatnonzero(mask), mask.reshape(-1).view(np.uint8)

    def places(self, bits: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.int64]:
        return np.flatnonzero(bits[: rows * columns])

    def sizes(self, rows: int, columns: int, mask: Mask | None) -> tuple[int, int]:
        count = kept_of(rows * columns, self.percent) if mask is None else int(mask.sum())
        return count, rows * columns


def largest(scores: Array, count: int) -> Mask:
    """True at the `count` highest of a vector of scores; of equal ones the first."""
    least = np.partition(scores, scores.size - count)[scores.size - count]
    mask = scores > least
    mask[np.flatnonzero(scores == least)[: count - int(mask.sum())]] = True
    return mask


FAMILY = Family(
    form="unstructured:75%",
    names=re.compile(f"unstructured:{PERCENT}"),
    read=lambda match, pad: Unstructured(pad=pad, percent=float(match[1])),
)
