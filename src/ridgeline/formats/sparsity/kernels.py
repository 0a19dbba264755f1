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

PIECE = 1 << 20  # elements of one thread's turn
FEW = 64  # values of a group that are searched; more are sorted


def in_threads(run: Callable[[int, int], int], rows: int, columns: int) -> int:
    """The greatest of what `run(start, stop)` returns over all rows."""
    step = max(8, PIECE // max(1, columns) // 8 * 8)
    pieces = [(start, min(rows, start + step)) for start in range(0, rows, step)]
    if len(pieces) == 1:
        return run(*pieces[0])
    with ThreadPoolExecutor(min(len(pieces), os.cpu_count() or 1)) as pool:
        return max(pool.map(lambda piece: run(*piece), pieces))


@njit(nogil=True, cache=True)
def keep(scores, sizes, magnitude, rows, mask):
    """Sets `mask` at the `kept` largest scores of each group; the lowest index wins a tie. `mask` comes in empty."""
    groups, width, kept = sizes
    for r in range(rows[0], rows[1]):
        for g in range(groups):
            first, last = g * width, min((g + 1) * width, scores.shape[1])
            if last - first <= kept:
                mask[r, first:last] = True
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
def pack(values, mask, layout, rows, out, metadata):
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
                out[slot] = values[r, i] if real else 0
                for b in range(bits):
                    if (i - first) >> b & 1:
                        metadata[(slot * bits + b) >> 3] |= np.uint8(1 << ((slot * bits + b) & 7))
                t += 1
    return -1


@njit(nogil=True, cache=True)
def multiply(values, metadata, dense, layout, rows, out):
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
def multiply_at(values, places, columns, dense, out):
    """The product of values that stand at flat `places` of a matrix of `columns` columns; those outside are padding."""
    for slot in range(values.size):
        row, column = places[slot] // columns, places[slot] % columns
        if row < out.shape[0] and column < dense.shape[0]:
            for n in range(dense.shape[1]):
                out[row, n] += values[slot] * dense[column, n]


@njit(nogil=True, cache=True)
def lines(bitmap, height, lanes):
    """(row tiles, columns): ceil(ones of the column inside the tile / lanes)."""
    out = np.zeros((-(-bitmap.shape[0] // height), bitmap.shape[1]), np.int64)
    for r in range(bitmap.shape[0]):
        for c in range(bitmap.shape[1]):
            out[r // height, c] += bitmap[r, c]
    for tile in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[tile, c] = -(-out[tile, c] // lanes)
    return out
