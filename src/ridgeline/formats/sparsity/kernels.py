"""Compiled: choosing, packing and multiplying. grouped.py holds the same in numpy, and tests compare the two.

Threads share rows, a multiple of 8 at a time so that no two write to one byte; the kernels release the interpreter's lock.
"""

# numba infers the types of the kernels below.
# pyright: basic

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from ridgeline.formats.sparsity.matrix import Array

PIECE = 1 << 20  # elements of one thread's turn
Whole = tuple[int, ...]
FEW = 64  # values of a group that are searched; more are sorted


def in_threads(run: Callable[[int, int], int], rows: int, columns: int) -> int:
    """The greatest of what `run(start, stop)` returns over all rows."""
    step = max(8, PIECE // max(1, columns) // 8 * 8)
    pieces = [(start, min(rows, start + step)) for start in range(0, rows, step)]
    if len(pieces) == 1:
        return run(*pieces[0])
    with ThreadPoolExecutor(min(len(pieces), os.cpu_count() or 1)) as pool:
        return max(pool.map(lambda piece: run(*piece), pieces))


def _pair(kept: int) -> int:
    """Two indices, 2 bits each, of a group of four whose bits `kept` are set; filled up with the first free ones. -1: more than two are."""
    ones, free = [at for at in range(4) if kept >> at & 1], [at for at in range(4) if not kept >> at & 1]
    if len(ones) > 2:
        return -1
    low, high = sorted(ones + free[: 2 - len(ones)])
    return low | high << 2


PAIRS = np.array([_pair(kept) for kept in range(16)])


@njit(nogil=True, cache=True)
def keep(scores: Array, sizes: Whole, magnitude: bool, rows: Whole, mask: Array) -> int:
    """Sets `mask` at the `kept` largest scores of each group; the lowest index wins a tie. `mask` comes in empty."""
    groups, width, kept = sizes
    for r in range(rows[0], rows[1]):
        for g in range(groups):
            first, last = g * width, min((g + 1) * width, scores.shape[1])
            if last - first <= kept:
                mask[r, first:last] = True
            elif width == 4 and last - first == 4:
                a, b, c, d = scores[r, first], scores[r, first + 1], scores[r, first + 2], scores[r, first + 3]
                if magnitude:
                    a, b, c, d = abs(a), abs(b), abs(c), abs(d)
                ab, ac, ad, bc, bd, cd = int(a >= b), int(a >= c), int(a >= d), int(b >= c), int(b >= d), int(c >= d)
                mask[r, first] = ab + ac + ad > 3 - kept  # wins against the other three
                mask[r, first + 1] = 1 - ab + bc + bd > 3 - kept
                mask[r, first + 2] = 2 - ac - bc + cd > 3 - kept
                mask[r, first + 3] = 3 - ad - bd - cd > 3 - kept
            elif width <= FEW:
                for _ in range(kept):
                    best, top = -1, scores[r, first]
                    for i in range(first, last):
                        score = abs(scores[r, i]) if magnitude else scores[r, i]
                        if not mask[r, i] and (best < 0 or score > top):
                            best, top = i, score
                    mask[r, best] = True
            else:
                part = np.abs(scores[r, first:last]) if magnitude else scores[r, first:last]
                order = np.argsort(-part, kind="mergesort")
                for t in range(kept):
                    mask[r, first + order[t]] = True
    return 0


@njit(nogil=True, cache=True)
def pack(values: Array, mask: Array, layout: Whole, rows: Whole, out: Array, metadata: Array) -> int:
    """Values and indices in storage order; returns -1, or row * groups + group of a group of which too many are kept."""
    groups, width, kept, bits, interleaved = layout
    columns = values.shape[1]
    for r in range(rows[0], rows[1]):
        for g in range(groups):
            first = g * width
            total = 0
            for i in range(first, min(first + width, columns)):
                total += mask[r, i]
            if total > kept:
                return r * groups + g
            spare, t = kept - total, 0
            for i in range(first, first + width):
                real = i < columns and mask[r, i]
                if not real:
                    if spare == 0:
                        continue
                    spare -= 1
                slot = (r * kept + t) * groups + g if interleaved else (r * groups + g) * kept + t
                if real:  # in place of a conditional expression, which would make 64-bit values floats
                    out[slot] = values[r, i]
                else:
                    out[slot] = 0
                for b in range(bits):
                    if (i - first) >> b & 1:
                        metadata[(slot * bits + b) >> 3] |= np.uint8(1 << ((slot * bits + b) & 7))
                t += 1
    return -1


@njit(nogil=True, cache=True)
def pack_pairs(values: Array, mask: Array, rows: Whole, out: Array, metadata: Array) -> int:
    """`pack` of 2:4 where columns divide by 8, so that two groups make a byte of indices; `mask` as 0 and 1."""
    groups = values.shape[1] // 4
    for r in range(rows[0], rows[1]):
        for g in range(groups):
            at = 4 * g
            kept = mask[r, at] | mask[r, at + 1] << 1 | mask[r, at + 2] << 2 | mask[r, at + 3] << 3
            nibble = PAIRS[kept]
            if nibble < 0:
                return r * groups + g
            slot = r * groups + g
            low, high = at + (nibble & 3), at + (nibble >> 2)
            out[2 * slot] = values[r, low] * mask[r, low]
            out[2 * slot + 1] = values[r, high] * mask[r, high]
            metadata[slot >> 1] |= nibble << 4 * (slot & 1)
    return -1


@njit(nogil=True, cache=True)
def multiply(values: Array, metadata: Array, dense: Array, layout: Whole, rows: Whole, out: Array) -> int:
    """y[r] = sum over t, g of VAL[r, t, g] x[g width + IDX[r, t, g]], straight from the packed indices."""
    groups, width, kept, bits, interleaved = layout
    for r in range(rows[0], rows[1]):
        for t in range(kept):
            for g in range(groups):
                slot = (r * kept + t) * groups + g if interleaved else (r * groups + g) * kept + t
                column = g * width
                for b in range(bits):
                    at = slot * bits + b
                    column += ((metadata[at >> 3] >> (at & 7)) & 1) << b
                if column < dense.shape[0]:
                    for n in range(dense.shape[1]):
                        out[r, n] += values[slot] * dense[column, n]
    return 0


@njit(nogil=True, cache=True)
def multiply_at(values: Array, places: Array, columns: int, dense: Array, out: Array) -> None:
    """The product of values that stand at flat `places` of a matrix of `columns` columns; those outside are padding."""
    for slot in range(values.size):
        row, column = places[slot] // columns, places[slot] % columns
        if row < out.shape[0] and column < dense.shape[0]:
            for n in range(dense.shape[1]):
                out[row, n] += values[slot] * dense[column, n]


@njit(nogil=True, cache=True)
def lines(bitmap: Array, height: int, lanes: int) -> Array:
    """(row tiles, columns): ceil(ones of the column inside the tile / lanes)."""
    out = np.zeros((-(-bitmap.shape[0] // height), bitmap.shape[1]), np.int64)
    for r in range(bitmap.shape[0]):
        for c in range(bitmap.shape[1]):
            out[r // height, c] += bitmap[r, c]
    for tile in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[tile, c] = -(-out[tile, c] // lanes)
    return out
