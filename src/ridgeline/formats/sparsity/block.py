"""Whole blocks: those with the largest sums of scores stay."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.sparsity.matrix import Array, Mask, bits_of, codes_of, index_bits, padded, up
from ridgeline.formats.sparsity.pattern import PERCENT, Family, Pattern, checked_percent, kept_of, percent_text
from ridgeline.formats.sparsity.unstructured import largest


@dataclass(frozen=True, kw_only=True)
class Block(Pattern):
    """Values block by block, row by row inside; metadata is the rising numbers of kept blocks, ceil(log2 of their count) bits each."""

    height: int
    width: int
    percent: float

    def __post_init__(self) -> None:
        checked_percent(self.percent)
        if min(self.height, self.width) < 1:
            raise InputError(f"sparsity: blocks of {self.height} x {self.width} weights; give sides of 1 or more")

    @property
    def name(self) -> str:
        return f"block{self.height}x{self.width}:{percent_text(self.percent)}"

    @property
    def density(self) -> float:
        return 1 - self.percent / 100

    def padded_shape(self, rows: int, columns: int) -> tuple[int, int]:
        return up(rows, self.height), up(columns, self.width)

    def matrix_mask(self, scores: Array) -> Mask:
        whole = padded(scores, self.padded_shape(*scores.shape))
        sums = self._blocks(whole).sum(axis=(1, 3), dtype=np.float64)
        kept = largest(sums.reshape(-1), kept_of(sums.size, self.percent)).reshape(sums.shape)
        spread = np.repeat(np.repeat(kept, self.height, axis=0), self.width, axis=1)
        return np.ascontiguousarray(spread[: scores.shape[0], : scores.shape[1]])

    def arranged(self, mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        used = self._blocks(padded(mask, self.padded_shape(*mask.shape))).any(axis=(1, 3)).reshape(-1)
        count = kept_of(used.size, self.percent)
        if used.sum() > count:
            raise InputError(
                f"sparsity: the mask touches {used.sum()} blocks and {self.name} keeps {count} of {used.size}; make it by `mask`"
            )
        numbers = np.sort(np.argsort(~used, kind="stable")[:count])
        bits = bits_of(numbers, index_bits(used.size))
        return self.places(bits, *mask.shape), bits

    def places(self, bits: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.int64]:
        wide = self.padded_shape(rows, columns)[1]
        blocks, count = self._counts(rows, columns)
        size = index_bits(blocks)
        numbers = codes_of(bits[: count * size], size) if size else np.zeros(count, np.int64)
        down, across = np.divmod(numbers, wide // self.width)
        inside = np.arange(self.height)[:, None] * wide + np.arange(self.width)
        return ((down * self.height * wide + across * self.width)[:, None, None] + inside).reshape(-1)

    def sizes(self, rows: int, columns: int, mask: Mask | None) -> tuple[int, int]:
        blocks, count = self._counts(rows, columns)
        return count * self.height * self.width, count * index_bits(blocks)

    def _counts(self, rows: int, columns: int) -> tuple[int, int]:
        """(blocks, those kept)."""
        height, width = self.padded_shape(rows, columns)
        blocks = height // self.height * (width // self.width)
        return blocks, kept_of(blocks, self.percent)

    def _blocks(self, matrix: Array) -> Array:
        return matrix.reshape(matrix.shape[0] // self.height, self.height, matrix.shape[1] // self.width, self.width)


FAMILY = Family(
    form="block8x8:70%",
    names=re.compile(rf"block(\d{{1,5}})x(\d{{1,5}}):{PERCENT}"),
    read=lambda match, pad: Block(pad=pad, height=int(match[1]), width=int(match[2]), percent=float(match[3])),
)
