"""The steps of a layer on a dual-side sparse tensor core, from the bitmaps of its weights and inputs (Wang et al., ISCA 2021).

A layer is a matrix product: rows are the positions of its output, columns its output channels, and along the depth it adds up; a
convolution is made one by im2col of bitmaps. Rows are condensed in 8 and columns in 16 lanes, as `formats.sparsity.steps` counts them.
Groups are products of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ridgeline.algorithm.nest import Nest, Operand
from ridgeline.errors import InputError
from ridgeline.formats.sparsity import Steps, steps
from ridgeline.formats.sparsity.measures import SIDE

Bitmap: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = dict[str, NDArray[np.int64]]
PIECE = 1 << 24  # elements of the lowered inputs at a time


def dual_side_steps(
    nest: Nest, inputs: Bitmap, weights: Bitmap, *, tiles: int | None = None, rng: np.random.Generator | None = None
) -> Steps:
    """Of a whole layer, or of `tiles` tiles of 32 rows drawn by `rng` from each group. True where an element is not zero; inputs with their
    padding, as the nest's indices reach. Raises InputError for bitmaps of other shapes than the nest's operands.
    """
    for operand, bitmap in zip(nest.inputs, (inputs, weights), strict=True):
        whole = operand.extents(nest.axes)
        if bitmap.shape != whole or bitmap.dtype != np.bool_:
            raise InputError(f"{operand.name} bitmap of {bitmap.dtype}, shape {bitmap.shape}; nest '{nest.notation}' has bools of shape {whole}")
    if tiles is not None and (tiles < 1 or rng is None):
        raise InputError(f"a sample of {tiles} tiles; give 1 or more, and an rng that draws them")
    found = [steps(left, right) for left, right in _products(nest, inputs, weights, tiles, rng)]
    return Steps(**{name: sum(getattr(part, name) for part in found) for name in ("sparse", "dense", "skipped", "tiles")})


def speed(counted: Steps) -> float:
    """How many times fewer steps than dense ones; an operand without any value takes one."""
    return counted.dense / max(1, counted.sparse)


def _products(
    nest: Nest, inputs: Bitmap, weights: Bitmap, tiles: int | None, rng: np.random.Generator | None
) -> Iterator[tuple[Bitmap, Bitmap]]:
    """(rows x depth, depth x columns), a few tiles of rows at a time."""
    left, right = nest.inputs
    groups, rows, columns, depth = _parts(nest, left, right)
    count, deep, wide = (prod(nest.axes[axis] for axis in part) for part in (rows, depth, columns))
    starts = np.arange(0, count, SIDE)
    most = max(1, PIECE // (SIDE * deep))
    for group in range(prod(nest.axes[axis] for axis in groups)):
        fixed = _indices(nest, groups, np.full((1, 1), group))
        across = _indices(nest, depth, np.arange(deep).reshape(-1, 1)) | _indices(nest, columns, np.arange(wide).reshape(1, -1)) | fixed
        matrix = np.broadcast_to(weights[_place(right, across)], (deep, wide))
        chosen = starts if tiles is None or rng is None or tiles >= len(starts) else np.sort(rng.choice(starts, tiles, replace=False))
        along = _indices(nest, depth, np.arange(deep).reshape(1, -1)) | fixed
        for first in range(0, len(chosen), most):
            lines = (chosen[first : first + most].reshape(-1, 1) + np.arange(SIDE)).reshape(-1)
            lines = lines[lines < count]
            at = _indices(nest, rows, lines.reshape(-1, 1)) | along
            yield np.ascontiguousarray(np.broadcast_to(inputs[_place(left, at)], (len(lines), deep))), np.ascontiguousarray(matrix)


def _parts(nest: Nest, left: Operand, right: Operand) -> tuple[tuple[str, ...], ...]:
    """Axes of groups, rows, columns and depth. Raises InputError for an axis that is none of them."""
    kinds: dict[tuple[bool, bool, bool], int] = {
        (True, True, True): 0, (True, False, True): 1, (False, True, True): 2,
        (True, True, False): 3, (True, False, False): 3, (False, True, False): 3,
    }  # fmt: skip
    found: list[list[str]] = [[], [], [], []]
    for axis in nest.axes:
        kind = kinds.get((axis in left.axes, axis in right.axes, axis in nest.output.axes))
        if kind is None:
            raise InputError(f"nest '{nest.notation}' is no matrix product: neither operand has its axis '{axis}'")
        found[kind].append(axis)
    return tuple(tuple(part) for part in found)


def _indices(nest: Nest, axes: Sequence[str], flat: NDArray[np.int64]) -> Indices:
    """The index along each axis of flat positions; the last axis moves fastest."""
    return dict(zip(axes, np.unravel_index(flat, [nest.axes[axis] for axis in axes]), strict=True)) if axes else {}


def _place(operand: Operand, at: Indices) -> tuple[NDArray[Any], ...]:
    """Where the operand is read; indices broadcast."""
    return tuple(sum((step * at[axis] for axis, step in index.items()), np.zeros((1, 1), np.int64)) for index in operand.indices)
