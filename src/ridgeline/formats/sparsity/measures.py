"""Scores to prune by, and what a hardware model counts of a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.sparsity import kernels
from ridgeline.formats.sparsity.matrix import Array, Axis, Mask, as_matrix, axes_of, padded, up
from ridgeline.formats.sparsity.pattern import floats


def wanda_scores(weights: Array, activation_norms: Array) -> Array:
    """|w| times the norm of the input activations of its column (Sun et al., Wanda, ICLR'24): weights (rows, columns), norms (columns,)."""
    if weights.ndim != 2 or activation_norms.shape != weights.shape[1:]:
        raise InputError(f"sparsity: weights of shape {weights.shape} and norms of shape {activation_norms.shape}; give one norm a column")
    return np.abs(floats(weights)) * activation_norms


def counts(mask: Mask, tile: tuple[int, int], axis: Axis = -1) -> NDArray[np.int64]:
    """Kept weights of each tile of (rows, columns) of the mask's matrix; a bank of b is (1, b), a row (1, columns)."""
    if min(tile) < 1:
        raise InputError(f"sparsity: tiles of {tile[0]} x {tile[1]}; give sides of 1 or more")
    matrix = as_matrix(mask, axes_of(mask.shape, axis))
    height, width = (up(size, side) for size, side in zip(matrix.shape, tile, strict=True))
    split = padded(matrix, (height, width)).reshape(height // tile[0], tile[0], width // tile[1], tile[1])
    return split.sum(axis=(1, 3), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps of 8 x 16 multiply-accumulators; `skipped` of `tiles` products of 32 x 32 tiles have an empty operand."""

    sparse: int
    dense: int
    skipped: int
    tiles: int


SIDE, LANES_A, LANES_B = 32, 8, 16


def steps(a: Mask, b: Mask) -> Steps:
    """What A (m, k) times B (k, n) takes as outer products of condensed columns and rows, from their bitmaps (Wang et al., ISCA'21).

    One k of a 32 x 32 output tile takes ceil(nnz(A[:, k]) / 8) * ceil(nnz(B[k, :]) / 16) steps of the tile's part; dense ones count every element
    inside the matrix. Summed over tiles, the product of two sums for each k. Raises InputError for shapes that do not multiply.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise InputError(f"sparsity: bitmaps of shapes {a.shape} and {b.shape} do not multiply; give (m, k) and (k, n)")
    left, right = kernels.lines(a, SIDE, LANES_A), kernels.lines(np.ascontiguousarray(b.T), SIDE, LANES_B)
    per_k = [
        sum(-(-min(SIDE, size - at) // lanes) for at in range(0, size, SIDE)) for size, lanes in ((len(a), LANES_A), (b.shape[1], LANES_B))
    ]
    used_a, used_b = counts(a, (SIDE, SIDE)) > 0, counts(b, (SIDE, SIDE)) > 0
    tiles = used_a.shape[0] * used_a.shape[1] * used_b.shape[1]
    busy = int(used_a.sum(axis=0) @ used_b.sum(axis=1))
    return Steps(
        sparse=int(left.sum(axis=0) @ right.sum(axis=0)), dense=per_k[0] * per_k[1] * a.shape[1], skipped=tiles - busy, tiles=tiles
    )
