"""Sliding windows: their count, padding, folds and the convolution that sums products over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[int, int, int, int]  # top, left, bottom, right; negative crops

# A float32 holds every integer up to 2**24, so a sum of 1024 products of two int8 codes is exact in any order of summation.
_EXACT_PRODUCTS = 1 << 10
# Elements of a block of gathered windows: bounds the memory that a convolution takes.
_BLOCK_ELEMENTS = 1 << 22


def window_count(extent: int, kernel: int, stride: int, dilation: int) -> int:
    """How many windows of `kernel` taps fit along a padded extent."""
    return (extent - dilation * (kernel - 1) - 1) // stride + 1


def padded(values: Array, pads: Pads, fill: float) -> Array:
    """(batch, C, H, W) with a border of `fill`; a negative border crops."""
    top, left, bottom, right = pads
    height, width = values.shape[2:]
    cropped = values[:, :, max(0, -top) : height - max(0, -bottom), max(0, -left) : width - max(0, -right)]
    border = ((0, 0), (0, 0), (max(0, top), max(0, bottom)), (max(0, left), max(0, right)))
    if not any(side for pair in border for side in pair):
        return cropped
    return np.pad(cropped, border, constant_values=fill)


def fold(combine: Callable[[Array, Array], Array], values: Array, kernel: Pair, strides: Pair, dilations: Pair) -> Array:
    """`combine` over every window, one direction after the other: `combine` must not depend on the order."""
    for axis in (2, 3):
        values = _fold_axis(combine, values, axis=axis, taps=(kernel[axis - 2], strides[axis - 2], dilations[axis - 2]))
    return values


def _fold_axis(combine: Callable[[Array, Array], Array], values: Array, *, axis: int, taps: tuple[int, int, int]) -> Array:
    kernel, stride, dilation = taps
    count = window_count(values.shape[axis], kernel, stride, dilation)
    lines = [slice(tap * dilation, tap * dilation + (count - 1) * stride + 1, stride) for tap in range(kernel)]
    views = [values[(slice(None),) * axis + (line,)] for line in lines]
    result = views[0].copy()
    for view in views[1:]:
        result = combine(result, view)
    return result


def convolve(values: Array, weight: Array, *, strides: Pair, dilations: Pair, groups: int) -> Array:
    """Sums of products over the windows of (batch, C, H, W), already padded, with weight (M, C/groups, KH, KW).

    int8 gives exact int64. The products are summed by the float32 matrix product of BLAS in runs of at most 1024, each of which is an integer
    of at most 2**24 and thus exact; the runs are added as integers. Floats give their own type.
    """
    exact = np.issubdtype(values.dtype, np.integer)
    working = values.astype(np.float32) if exact else values
    if weight.shape[1] == 1 and groups > 1:
        return _depthwise(working, weight.astype(working.dtype), strides=strides, dilations=dilations, exact=exact)
    per_input, per_output = values.shape[1] // groups, weight.shape[0] // groups
    parts = [
        _dense(
            working[:, group * per_input : (group + 1) * per_input],
            weight[group * per_output : (group + 1) * per_output],
            strides=strides,
            dilations=dilations,
            exact=exact,
        )
        for group in range(groups)
    ]
    return parts[0] if groups == 1 else np.concatenate(parts, axis=1)


def _depthwise(values: Array, weight: Array, *, strides: Pair, dilations: Pair, exact: bool) -> Array:
    windows = _windows(values, weight, strides, dilations)
    batch, channels, rows, columns = windows.shape[:4]
    taps = weight.reshape(1, channels, -1, *weight.shape[2:])  # M is a multiple of C: several filters for each channel
    result = np.zeros((batch, channels, taps.shape[2], rows, columns), np.float64)
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            result += windows[:, :, None, :, :, row, column] * taps[:, :, :, row, column, None, None]
    return result.reshape(batch, -1, rows, columns).astype(values.dtype if not exact else np.int64)


def _dense(values: Array, weight: Array, *, strides: Pair, dilations: Pair, exact: bool) -> Array:
    windows = _windows(values, weight, strides, dilations)
    batch, _, rows, columns = windows.shape[:4]
    depth = weight[0].size
    result = np.empty((batch, weight.shape[0], rows, columns), np.int64 if exact else values.dtype)
    filters = weight.reshape(weight.shape[0], depth)
    images = max(1, _BLOCK_ELEMENTS // max(1, depth * rows * columns))
    height = max(1, _BLOCK_ELEMENTS // max(1, depth * columns))
    for image in range(0, batch, images):
        for row in range(0, rows, height):
            block = windows[image : image + images, :, row : row + height]
            gathered = block.transpose(1, 4, 5, 0, 2, 3).reshape(depth, -1)
            sums = _product(filters, gathered, exact=exact).reshape(-1, block.shape[0], block.shape[2], columns)
            result[image : image + images, :, row : row + height] = sums.transpose(1, 0, 2, 3)
    return result


def _product(filters: Array, gathered: Array, *, exact: bool) -> Array:
    """filters @ gathered; filters are turned to floats a block at a time, so that a large layer is never held twice."""
    depth = gathered.shape[0]
    run = min(depth, _EXACT_PRODUCTS) if exact else depth
    lines = max(1, _BLOCK_ELEMENTS // max(1, run))
    result = np.zeros((filters.shape[0], gathered.shape[1]), np.int64 if exact else gathered.dtype)
    for line in range(0, filters.shape[0], lines):
        for start in range(0, depth, run):
            block = filters[line : line + lines, start : start + run].astype(gathered.dtype)
            sums = block @ gathered[start : start + run]
            result[line : line + lines] += sums.astype(result.dtype, copy=False)
    return result


def _windows(values: Array, weight: Array, strides: Pair, dilations: Pair) -> Array:
    """(batch, C, rows, columns, KH, KW), a view."""
    extent = tuple(dilation * (kernel - 1) + 1 for dilation, kernel in zip(dilations, weight.shape[2:], strict=True))
    view = sliding_window_view(values, extent, axis=(2, 3))  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownVariableType]
    return view[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
