"""A tensor as the matrix that patterns see: the reduction axes as its columns, all others as its rows; and bits side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError

Array: TypeAlias = NDArray[Any]
Mask: TypeAlias = NDArray[np.bool_]
Axis: TypeAlias = int | Sequence[int]


def axes_of(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The reduction axes, not negative. Raises InputError for axes that the shape lacks or that are named twice."""
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    if not shape or min(shape) < 1:
        raise InputError(f"sparsity: a tensor of shape {shape} has nothing to prune; every size must be 1 or more")
    if not given or any(not -len(shape) <= one < len(shape) for one in given):
        raise InputError(f"sparsity: axis {axis} of a tensor of shape {shape}; axes are {-len(shape)} to {len(shape) - 1}")
    found = tuple(one % len(shape) for one in given)
    if len(set(found)) < len(found):
        raise InputError(f"sparsity: axis {axis} of a tensor of shape {shape} names an axis twice")
    return found


def kept_axes(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one for one in range(len(shape)) if one not in axes)


def matrix_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, int]:
    columns = prod(shape[one] for one in axes)
    return prod(shape) // columns, columns


def as_matrix(array: Array, axes: tuple[int, ...]) -> Array:
    """(rows, columns); columns run over `axes` in the order given, the last one fastest. A copy only where the order in memory asks for one."""
    moved = array.transpose(kept_axes(array.shape, axes) + axes)
    return np.ascontiguousarray(moved).reshape(matrix_shape(array.shape, axes))


def as_tensor(matrix: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """What `as_matrix` made a matrix of."""
    order = kept_axes(shape, axes) + axes
    return matrix.reshape(tuple(shape[one] for one in order)).transpose(np.argsort(order))


def padded(matrix: Array, shape: tuple[int, int]) -> Array:
    """The matrix with zeros below and to its right."""
    if matrix.shape == shape:
        return matrix
    out = np.zeros(shape, matrix.dtype)
    out[: matrix.shape[0], : matrix.shape[1]] = matrix
    return out


def up(size: int, step: int) -> int:
    """The least multiple of `step` that is not below `size`."""
    return -(-size // step) * step


def index_bits(count: int) -> int:
    """ceil(log2 count)."""
    return (count - 1).bit_length()


def bits_of(codes: Array, bits: int) -> NDArray[np.uint8]:
    """The bits of every code, the least significant first, as single bytes."""
    each = np.ascontiguousarray(codes.reshape(-1).astype("<u4")).view(np.uint8).reshape(-1, 4)
    return np.unpackbits(each, axis=1, count=bits, bitorder="little").reshape(-1) if bits else np.zeros(0, np.uint8)


def codes_of(bits: NDArray[np.uint8], width: int) -> NDArray[np.int64]:
    """The codes that `bits_of` took apart, of `width` bits each, 1 or more."""
    whole = np.zeros((bits.size // width, 32), np.uint8)
    whole[:, :width] = bits.reshape(-1, width)
    return np.packbits(whole, axis=1, bitorder="little").view("<u4").reshape(-1).astype(np.int64)
