"""The compiled counterparts of what stored.py, scales.py and blocks define in numpy; equal bit for bit.

Rounding compares float32 quotients as ordered integers: a float's bits, those of its magnitude flipped where it is negative, so that -0 is below +0.
Threads share a tensor's elements; the kernels release the interpreter's lock.
"""

# numba infers the types of the kernels below.
# pyright: basic

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ridgeline.formats.bits import packed_bytes
from ridgeline.formats.layout import Layout
from ridgeline.formats.scalar import Codebook, Scalar, codebook

if TYPE_CHECKING:
    from ridgeline.formats.olive import Olive

BUFFER = 512  # elements that are rounded together, a multiple of 8
PIECE = 1 << 20  # elements of one thread's turn, a multiple of 8
FEW = 32  # thresholds that are compared one by one; more are halved, from where the upper half of a float leads
DIRECT = 16  # values whose errors are added up one by one: sums would lose the last digits of nearly exact levels
STRIDE_ABOVE, STRIDE = 1 << 16, 256  # longer vectors have sums of every so many values, and add up the rest


def encoded(
    format: Scalar, matrix: NDArray[np.float32], layout: Layout, scales: NDArray[np.float32], *, reciprocal: bool
) -> NDArray[np.uint8]:
    """stored.packed_codes."""
    flat = matrix.reshape(-1)
    bits, rounding = format.bits, (reciprocal, *rounding_tables(format))
    out = np.empty(packed_bytes(bits, flat.size), np.uint8)
    sizes = (layout.length, layout.size, layout.vectors_of_row)

    def run(start: int, stop: int) -> None:
        _encode(flat, scales, rounding, sizes, bits, (start, stop), out)

    in_threads(run, flat.size, PIECE)
    return out


def magnitudes(matrix: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """scales.reaches."""
    flat, single = matrix.reshape(-1).view(np.int32), layout.vectors == 1
    length, size = (matrix.size, PIECE) if single else (layout.length, layout.size)  # a single vector in pieces
    vectors = -(-matrix.size // PIECE) if single else layout.vectors
    out = np.zeros(vectors, np.float32)
    in_threads(lambda start, stop: _magnitudes(flat, length, size, (start, stop), out.view(np.int32)), vectors, max(1, PIECE // size))
    return out.max(keepdims=True) if single else out


def least_errors(book: Codebook, matrix: NDArray[np.float32], layout: Layout, tried: NDArray[np.float32]) -> NDArray[np.float32]:
    """scales._least: the error of a scale is a sum over the levels, whose values a sorted vector holds side by side."""
    out = np.empty(layout.vectors, np.float32)
    levels = level_steps(book)

    def run(start: int, stop: int) -> None:
        part = matrix[start:stop]
        ((_, vectors),) = layout.vectors_in_chunks(part, part.size)
        span = slice(start * layout.vectors_of_row, start * layout.vectors_of_row + len(vectors))
        _least(np.sort(vectors, axis=1), levels, book.thresholds, tried[span], out[span])

    in_threads(run, layout.rows, max(1, PIECE // layout.length))
    return out


def least_pair_errors(format: Olive, even: NDArray[np.float32], wide: Layout, tried: NDArray[np.float32]) -> NDArray[np.float32]:
    """olive.least_scales: errors as if no value were a victim, from sorted vectors, and the differences of the few pairs with an outlier."""
    out = np.empty(wide.vectors, np.float32)
    normal, outer = codebook(format.normal).levels, codebook(format.outlier).levels
    normal = normal[np.abs(normal) <= format.top]
    levels = np.concatenate([outer[outer < 0], normal, outer[outer > 0]])
    thresholds = (levels[:-1] + levels[1:]) / 2
    thresholds[np.searchsorted(levels, format.top)] = np.nextafter(format.limit, np.inf)
    step, left = max(1, PIECE // wide.length), format.keep == "left"

    def run(start: int, stop: int) -> None:
        part = even[start:stop]
        ((_, vectors),) = wide.vectors_in_chunks(part, part.size)
        span = slice(start * wide.vectors_of_row, start * wide.vectors_of_row + len(vectors))
        _least_pairs(vectors, np.sort(vectors, axis=1), (levels, thresholds, format.limit, left), tried[span], out[span])

    in_threads(run, wide.rows, step)
    return out


def level_steps(book: Codebook) -> NDArray[np.float64]:
    """The level of every step between thresholds, both zeros and infinities included."""
    below = 1 if book.zero is not None else 0
    steps = np.empty(len(book.codes))
    infinite = len(steps) - len(book.levels) - below  # 0, or both
    inner = book.levels if not below else np.insert(book.levels, int(np.searchsorted(book.levels, 0.0)), 0.0)
    steps[infinite // 2 : len(steps) - infinite // 2] = inner
    if infinite:
        steps[0], steps[-1] = -np.inf, np.inf
    return steps


@lru_cache(maxsize=64)
def rounding_tables(format: Scalar) -> tuple[NDArray[np.int32], NDArray[np.uint16], NDArray[np.int32]]:
    """Keys of the thresholds, codes of the steps between them, and for every 65,536 keys, which a float's upper half tells apart, the steps of the
    first and of the last one.
    """
    book = codebook(format)
    keys = threshold_keys(book)
    first = np.arange(-(1 << 15), 1 << 15) << 16
    ends = np.stack([np.searchsorted(keys, first + reach, side="right") for reach in (0, 0xFFFF)], axis=1)
    return keys, book.codes.astype(np.uint16), ends.astype(np.int32)


def threshold_keys(book: Codebook) -> NDArray[np.int32]:
    """The key of the least float32 that is not below each threshold."""
    with np.errstate(over="ignore", under="ignore"):
        near = book.thresholds.astype(np.float32)
    above = np.where(near.astype(np.float64) < book.thresholds, np.nextafter(near, np.float32(np.inf)), near)
    raw = above.view(np.int32)
    keys = np.where(raw < 0, raw ^ 0x7FFFFFFF, raw)
    keys[above == 0] = -1  # -0 is not below a threshold of 0 ...
    if book.zero is not None:
        keys[book.zero - 1] = 0  # ... but for the one between the zeros
    return keys.astype(np.int32)


def in_threads(run: Callable[[int, int], None], count: int, step: int) -> None:
    """run(start, stop) for 0..count in steps."""
    starts = range(0, count, step)
    if len(starts) == 1:
        run(0, count)
        return
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(lambda start: run(start, min(start + step, count)), starts):
            pass


@njit(nogil=True, cache=True)
def _magnitudes(flat, length, size, span, out):
    """All floats as their bits, which order magnitudes as integers."""
    of_row = -(-length // size)
    for vector in range(span[0], span[1]):
        row, place = vector // of_row, vector % of_row * size
        start = row * length + place
        most = np.int32(0)
        bits = flat[start : start + min(size, length - place)]
        for index in range(bits.size):
            most = max(most, bits[index] & np.int32(0x7FFFFFFF))
        out[vector] = most


@njit(nogil=True, cache=True)
def _encode(flat, scales, rounding, sizes, bits, span, out):
    """Codes of the elements of `span`, whose start is a multiple of 8, to their bytes."""
    length, size, of_row = sizes
    reciprocal, keys, codes, ends = rounding
    quotients, steps = np.empty(BUFFER, np.float32), np.empty(BUFFER, np.int32)
    ordered = quotients.view(np.int32)
    row, place = span[0] // length, span[0] % length
    for start in range(span[0], span[1], BUFFER):
        stop = min(start + BUFFER, span[1])
        at = start
        while at < stop:
            many = min(stop - at, size - place % size, length - place)
            scale = scales[row * of_row + place // size]
            taken, scaled = flat[at : at + many], quotients[at - start : at - start + many]
            if reciprocal:
                for index in range(many):
                    scaled[index] = taken[index] * scale
            else:
                for index in range(many):
                    scaled[index] = taken[index] / scale
            at += many
            place += many
            if place == length:
                row, place = row + 1, 0
        _count(ordered, stop - start, keys, ends, steps)
        _pack(steps, stop - start, codes, bits, out, start * bits // 8)


@njit(nogil=True, cache=True)
def _count(ordered, many, keys, ends, steps):
    """The thresholds at or below every value; `ordered` holds its bits and becomes its key."""
    for index in range(many):
        ordered[index] ^= (ordered[index] >> 31) & 0x7FFFFFFF
        steps[index] = 0
    if keys.size <= FEW:
        for key in keys:
            for index in range(many):
                steps[index] += ordered[index] >= key
        return
    for index in range(many):
        part = (ordered[index] >> 16) + 32768
        low, high = int(ends[part, 0]), int(ends[part, 1])
        while low < high:
            middle = (low + high) // 2
            if ordered[index] >= keys[middle]:
                low = middle + 1
            else:
                high = middle
        steps[index] = low


@njit(nogil=True, cache=True)
def _pack(steps, many, codes, bits, out, byte):
    if bits == 4:
        for index in range(many // 2):
            out[byte + index] = codes[steps[2 * index]] | codes[steps[2 * index + 1]] << 4
        if many % 2:
            out[byte + many // 2] = codes[steps[many - 1]]
        return
    held, width = np.uint32(0), 0
    for index in range(many):
        held |= np.uint32(codes[steps[index]]) << np.uint32(width)
        width += bits
        while width >= 8:
            out[byte] = held & np.uint32(255)
            held >>= np.uint32(8)
            width -= 8
            byte += 1
    if width:
        out[byte] = held


@njit(nogil=True, cache=True)
def _least(ordered, levels, thresholds, tried, out):
    """The scale of least squared error of every vector, given sorted."""
    vectors, size = ordered.shape
    stride = STRIDE if size > STRIDE_ABOVE else 1
    sums, squares = np.empty(size // stride + 1), np.empty(size // stride + 1)
    for vector in range(vectors):
        row = ordered[vector]
        _sums(row, stride, sums, squares)
        best = np.inf
        for scale in tried[vector]:
            error = _error(row, sums, squares, stride, levels, thresholds, scale)
            if error < best:
                best, out[vector] = error, scale


@njit(nogil=True, cache=True)
def _least_pairs(vectors, ordered, rules, tried, out):
    levels, thresholds = rules[0], rules[1]
    stride = STRIDE if vectors.shape[1] > STRIDE_ABOVE else 1
    sums, squares = np.empty(vectors.shape[1] // stride + 1), np.empty(vectors.shape[1] // stride + 1)
    errors = np.empty(tried.shape[1])
    for vector in range(len(vectors)):
        scales = tried[vector]
        _sums(ordered[vector], stride, sums, squares)
        for index in range(scales.size):
            errors[index] = _error(ordered[vector], sums, squares, stride, levels, thresholds, scales[index])
        _victims(vectors[vector], rules, scales, errors)
        out[vector] = scales[np.argmin(errors)]


@njit(nogil=True, cache=True)
def _victims(values, rules, scales, errors):
    """To every scale's error, what victims add."""
    levels, thresholds, limit, left = rules
    least = scales.min() * limit
    for index in range(0, values.size, 2):
        first, second = abs(values[index]), abs(values[index + 1])
        if max(first, second) < least:
            continue
        for place in range(scales.size):
            scale = scales[place]
            stays = first / scale > limit and (left or first >= second or second / scale <= limit)
            if not stays and second / scale <= limit:
                continue
            victim = float(values[index + 1] if stays else values[index])
            level = levels[np.searchsorted(thresholds, victim / scale, "right")]
            errors[place] += victim * victim - (victim - level * scale) ** 2


@njit(nogil=True, cache=True)
def _sums(row, stride, sums, squares):
    total, square = 0.0, 0.0
    for index in range(row.size):
        if index % stride == 0:
            sums[index // stride], squares[index // stride] = total, square
        value = float(row[index])
        total += value
        square += value * value
    if row.size % stride == 0:
        sums[row.size // stride], squares[row.size // stride] = total, square


@njit(nogil=True, cache=True)
def _error(row, sums, squares, stride, levels, thresholds, scale):
    """Sum of (value - level * scale)^2, a term for every level that has values."""
    error, start, before, before_squares = 0.0, 0, 0.0, 0.0
    for step in range(levels.size):
        stop = _place(row, thresholds[step] * scale, start) if step < thresholds.size else row.size
        if stop == start:
            continue
        total, square = sums[stop // stride], squares[stop // stride]
        for index in range(stop // stride * stride, stop):
            value = float(row[index])
            total += value
            square += value * value
        level = levels[step] * scale
        if stop - start <= DIRECT:
            for index in range(start, stop):
                error += (float(row[index]) - level) ** 2
        else:
            error += (square - before_squares) - 2 * level * (total - before) + (stop - start) * level * level
        start, before, before_squares = stop, total, square
    return error


@njit(nogil=True, cache=True)
def _place(row, bound, start):
    """The first place from `start` whose value is not below `bound`."""
    low, high = start, row.size
    while low < high:
        middle = (low + high) // 2
        if row[middle] >= bound:
            high = middle
        else:
            low = middle + 1
    return low
