"""Transposable 2:4: each 4 x 4 block is 2:4 along both axes; the best of its 90 masks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.sparsity.banks import NOfM
from ridgeline.formats.sparsity.matrix import Array, Mask, padded, up
from ridgeline.formats.sparsity.pattern import Family

PAIRS = [np.isin(np.arange(4), pair) for pair in combinations(range(4), 2)]
MASKS = np.array([rows for rows in product(PAIRS, repeat=4) if (np.sum(rows, axis=0) == 2).all()]).reshape(-1, 16)
CHUNK = 1 << 14  # blocks whose sums are held at a time


@dataclass(frozen=True, kw_only=True)
class Transposable(NOfM):
    """Stored as 2:4 along the rows. Squares as scores keep the most energy.

    Blocks over the edge see zeros there; of equal sums the mask wins whose first differing index is lower."""

    n: int = 2
    m: int = 4

    @property
    def name(self) -> str:
        return "transposable2:4"

    def padded_shape(self, rows: int, columns: int) -> tuple[int, int]:
        return up(rows, 4), up(columns, 4)

    def matrix_mask(self, scores: Array) -> Mask:
        rows, columns = self.padded_shape(*scores.shape)
        blocks = padded(scores, (rows, columns)).reshape(rows // 4, 4, columns // 4, 4).swapaxes(1, 2).reshape(-1, 16)
        best = [np.argmax(blocks[at : at + CHUNK].astype(np.float64) @ MASKS.T, axis=1) for at in range(0, len(blocks), CHUNK)]
        chosen = MASKS[np.concatenate(best)].reshape(rows // 4, columns // 4, 4, 4).swapaxes(1, 2).reshape(rows, columns)
        return np.ascontiguousarray(chosen[: scores.shape[0], : scores.shape[1]])

    def magnitude_mask(self, matrix: Array) -> Mask:
        return self.matrix_mask(np.abs(matrix))

    def stored(self, values: Array, mask: Mask) -> tuple[Array, NDArray[np.uint8]]:
        rows, columns = self.padded_shape(mask.shape[0], mask.shape[1])
        each = padded(mask, (rows, columns)).reshape(rows // 4, 4, columns).sum(axis=1)
        if each.max() > 2:
            row, column = np.argwhere(each > 2)[0]
            raise InputError(
                f"sparsity: the mask keeps more than 2 of rows {4 * row} to {4 * row + 3} in column {column}, against {self.name}"
            )
        return super().stored(values, mask)


FAMILY = Family(form="transposable2:4", names=re.compile("transposable2:4"), read=lambda match, pad: Transposable(pad=pad))
