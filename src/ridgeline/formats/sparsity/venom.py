"""V:N:M (VENOM, SC'23): each block of V rows and M columns keeps 4 columns, and each row n of those 4."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.sparsity.banks import NOfM
from ridgeline.formats.sparsity.matrix import Array, Mask, bits_of, codes_of, index_bits, padded, up
from ridgeline.formats.sparsity.pattern import Family, Pattern


@dataclass(frozen=True, kw_only=True)
class Venom(Pattern):
    """Metadata: first the 4 kept columns of all blocks, row by row of blocks; then 2 bits beside each value, its place among the 4."""

    v: int
    n: int
    m: int

    def __post_init__(self) -> None:
        if self.v < 1 or not 1 <= self.n <= 4 or self.m < 4:
            raise InputError(f"sparsity: {self.name} needs 1 row or more, 1 to 4 kept of 4, and 4 columns or more")

    @property
    def name(self) -> str:
        return f"{self.v}:{self.n}:{self.m}"

    @property
    def density(self) -> float:
        return self.n / self.m

    @property
    def inner(self) -> NOfM:
        return NOfM(n=self.n, m=4)

    def padded_shape(self, rows: int, columns: int) -> tuple[int, int]:
        return up(rows, self.v), up(columns, self.m)

    def matrix_mask(self, scores: Array) -> Mask:
        rows, columns = self.padded_shape(*scores.shape)
        blocks = self._blocks(padded(scores, (rows, columns)))
        sums = blocks.sum(axis=1, dtype=np.float64)
        beyond = np.arange(columns).reshape(-1, self.m) >= scores.shape[1]
        sums[:, beyond] = -np.inf
        kept = self._first(-sums)
        gathered = np.take_along_axis(blocks, kept[:, None], axis=3)
        outside = np.take_along_axis(np.broadcast_to(beyond, sums.shape), kept, axis=2)
        inner = self.inner.matrix_mask(np.where(outside[:, None], -np.inf, gathered).reshape(-1, 4)).reshape(gathered.shape)
        mask = np.zeros(blocks.shape, np.bool_)
        np.put_along_axis(mask, np.broadcast_to(kept[:, None], inner.shape), inner, axis=3)
        return np.ascontiguousarray(mask.reshape(rows, columns)[: scores.shape[0], : scores.shape[1]])

    def arranged(self, mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        blocks = self._blocks(padded(mask, self.padded_shape(*mask.shape)))
        used = blocks.any(axis=1)
        if used.sum(axis=2).max() > 4 or blocks.sum(axis=3).max() > self.n:
            raise InputError(
                f"sparsity: the mask keeps more than 4 columns of a block or {self.n} of its row, against {self.name}; make it by `mask`"
            )
        kept = self._first(np.logical_not(used))
        gathered = np.take_along_axis(blocks, kept[:, None], axis=3)
        _, index = self.inner.arranged(gathered.reshape(-1, 4))
        bits = np.concatenate([bits_of(kept, index_bits(self.m)), index])
        return self.places(bits, *mask.shape), bits

    def places(self, bits: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.int64]:
        down, across = (size // unit for size, unit in zip(self.padded_shape(rows, columns), (self.v, self.m), strict=True))
        head = down * across * 4 * index_bits(self.m)
        kept = codes_of(bits[:head], index_bits(self.m)).reshape(down, 1, across, 4)
        index = codes_of(bits[head : head + 2 * down * self.v * across * self.n], 2).reshape(down, self.v, across, self.n)
        column = np.take_along_axis(np.broadcast_to(kept, (down, self.v, across, 4)), index, axis=3)
        start = np.arange(down * self.v * across).reshape(down, self.v, across, 1) * self.m
        return (start + column).reshape(-1)

    def sizes(self, rows: int, columns: int, mask: Mask | None) -> tuple[int, int]:
        height, width = self.padded_shape(rows, columns)
        blocks = height // self.v * (width // self.m)
        count = blocks * self.v * self.n
        return count, blocks * 4 * index_bits(self.m) + 2 * count

    def _blocks(self, matrix: Array) -> Array:
        """(blocks down, rows of a block, blocks across, columns of a block)."""
        return matrix.reshape(-1, self.v, matrix.shape[1] // self.m, self.m)

    def _first(self, keys: Array) -> NDArray[np.int64]:
        """The columns with the 4 least keys of each block, rising."""
        return np.sort(np.argsort(keys, axis=2, kind="stable")[:, :, :4], axis=2)


FAMILY = Family(
    form="64:2:8",
    names=re.compile(r"(\d{1,5}):(\d{1,5}):(\d{1,5})"),
    read=lambda match, pad: Venom(pad=pad, v=int(match[1]), n=int(match[2]), m=int(match[3])),
)
