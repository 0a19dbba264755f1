"""The whole space of uniform engines: every Tm and Tn, and for each layer every Tr, Tc and order of the tile loops."""

# numba infers the types of the kernels below.
# pyright: basic

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ridgeline.mapping.uniform_kernel import array_cycles, best_order, brams, depths

INFINITE = 1e30
# Of a layer on one engine: cycles (the longer of the array's and the memory's), bytes moved, the array's cycles, its fill, Tr, Tc, order, block RAMs,
# and the depths of a bank of inputs, weights and outputs.
CYCLES, BYTES, ARRAY, FILL, TR, TC, ORDER, BRAM, INPUT, WEIGHT, OUTPUT = range(11)
COLUMNS = 11


@njit(cache=True, inline="always")
def better(cycles, bytes_, bram, row):
    """Faster; of equally fast ones the one that moves less; of those the smaller."""
    if cycles != row[CYCLES]:
        return cycles < row[CYCLES]
    if bytes_ != row[BYTES]:
        return bytes_ < row[BYTES]
    return bram < row[BRAM]


@njit(cache=True, nogil=True)
def _search_tiles(layer, settings, points, masks, sizes, limits, tm, tn, row):
    """Writes the best tiles of a layer on Tm x Tn lanes to `row`. sizes: (2, ...) of Tr and of Tc, 0 after the last; limits: block RAMs, and the most
    that one bank of inputs and of outputs may be deep. Returns the points evaluated."""
    row[CYCLES], row[BYTES], row[BRAM] = INFINITE, INFINITE, INFINITE
    lanes = min(tm, layer.m)
    evaluated = 0
    for i in range(sizes.shape[1]):
        tr = sizes[0, i]
        if tr == 0:
            break
        for j in range(sizes.shape[1]):
            tc = sizes[1, j]
            if tc == 0:
                break
            depth = depths(layer, tn, tr, tc, settings.reduction)
            if depth[0] > limits[1] or depth[2] > limits[2]:
                continue
            bram = brams(settings, tm, tn, depth)
            if bram > limits[0]:
                continue
            work, fill = array_cycles(layer, settings, lanes, tn, tr, tc)
            moving, bytes_, order = best_order(layer, settings, points, masks, lanes, tn, tr, tc)
            evaluated += len(masks)
            cycles = max(float(work + fill), moving)
            if better(cycles, bytes_, bram, row):
                row[CYCLES], row[BYTES], row[ARRAY], row[FILL], row[TR], row[TC], row[ORDER], row[BRAM] = (
                    cycles, bytes_, work + fill, fill, tr, tc, order, bram,
                )  # fmt: skip
                row[INPUT], row[WEIGHT], row[OUTPUT] = depth[0], depth[1], depth[2]
    return evaluated


@njit(cache=True, nogil=True)
def _search_pairs(layers, settings, points, masks, sizes, bram, pairs, found):
    """found (pairs, layers, COLUMNS): each layer's best tiles on each Tm x Tn. Returns the points evaluated."""
    evaluated = 0
    limits = np.array([bram, 1 << 40, 1 << 40])
    for k in range(len(pairs)):
        for j in range(len(layers)):
            evaluated += _search_tiles(layers[j], settings, points, masks, sizes[j], limits, pairs[k, 0], pairs[k, 1], found[k, j])
    return evaluated


# numba's own types say nothing of the arguments.
search_tiles: Any = _search_tiles
search_pairs: Any = _search_pairs
