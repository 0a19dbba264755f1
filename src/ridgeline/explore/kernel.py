"""The inner loops of the search: every tiling of every layer on every choice of lanes and bus.

A tiling's cost does not depend on the sizes of the buffers: they only decide whether it fits. So each tiling is evaluated once for a choice of
lanes and bus, and written into the cell of the smallest buffers that hold it; the running minimum along each axis of sizes then gives the best
tiling of *every* engine with those lanes and bus. Nothing is left out: this is the whole space, each cost evaluated once.
"""

# numba infers the types of the kernels below.
# pyright: basic

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ridgeline.mapping.cost import (
    all_store_beats,
    array_cycles,
    ceil_div,
    compute_cycles,
    ends,
    input_words,
    piece_words,
    point,
    rows_of_groups,
    tile_slowdown,
    tile_words,
    traffic,
    weight_slowdown,
    weight_words,
)

INFINITE = 1e30
COUNT_LIMIT = 4095  # of a COMPUTE's loops
CHOICE = 8  # columns of a tiling: y, x, blocks, piece, order, group rows and columns, slots


@njit(cache=True)
def even_cuts(total, unit, sizes):
    """Writes the sizes of 1, 2, 3, 4, 8, 16, ... even pieces of `total`, each a multiple of `unit`; returns how many."""
    units = ceil_div(total, unit)
    count, parts = 0, 1
    while count < len(sizes):
        size = ceil_div(units, parts)
        if count == 0 or min(size * unit, total) < sizes[count - 1]:
            sizes[count] = min(size * unit, total)
            count += 1
        if size == 1:
            break
        parts = parts + 1 if parts < 4 else 2 * parts
    return count


@njit(cache=True, inline="always")
def bin_of(need, low):
    """The exponent above `low` of the smallest power of two that holds `need`."""
    b = 0
    while (low << b) < need:
        b += 1
    return b


@njit(cache=True, nogil=True)
def _search_layer(layer, memory, low, cells, choice):
    """Evaluates every tiling of a layer. low: the smallest sizes of the four buffers (activation, weight, output bytes, accumulators); cells (3,
    sizes of each buffer): least cycles, their bytes, number of tilings of exactly that need; choice: (sizes of each buffer, CHOICE), or empty.
    Returns the number of points evaluated."""
    ys, xs = np.empty(40, np.int64), np.empty(40, np.int64)
    evaluated = 0
    for i in range(even_cuts(layer.height, layer.unit_y, ys)):
        for j in range(even_cuts(layer.width, layer.unit_x, xs)):
            tile = tile_words(layer, ys[i], xs[j])
            if bin_of(tile * layer.bus, low[0]) < cells.shape[1]:
                evaluated += _search_groups(layer, memory, low, cells, choice, ys[i], xs[j], tile)
    return evaluated


@njit(cache=True, nogil=True)
def _search_groups(layer, memory, low, cells, choice, y, x, tile):
    rows, columns = np.empty(40, np.int64), np.empty(40, np.int64)
    words, slow = input_words(layer, y, x), tile_slowdown(memory, layer, y, x)
    tiles = ceil_div(layer.height, y) * ceil_div(layer.width, x)
    evaluated = 0
    number = even_cuts(x, layer.unit_x, columns)
    for i in range(even_cuts(y, layer.unit_y, rows)):
        heights = rows_of_groups(layer.height, y, rows[i])
        # A group is whole rows of its tile, or a part of one row.
        for j in range(number if rows[i] == 1 else 1):
            reads = columns[j] if layer.window == 1 else (columns[j] - 1) * layer.stride_x + layer.window
            depth = bin_of(rows[i] * columns[j], low[3])
            if depth >= cells.shape[4] or reads > COUNT_LIMIT or rows[i] > COUNT_LIMIT:
                continue
            computed = compute_cycles(layer, heights, rows_of_groups(layer.width, x, columns[j]))
            shape = (y, x, rows[i], columns[j], depth)
            evaluated += _search_weights(layer, memory, low, cells, choice, shape, computed, (tiles, words, tile, slow))
    return evaluated


@njit(cache=True, nogil=True)
def _search_weights(layer, memory, low, cells, choice, shape, computed, input):
    """The tiles of weights and the order of the loops, or the pieces of the reduction."""
    sizes = np.empty(40, np.int64)
    evaluated = 0
    tiles = input[0]
    for i in range(even_cuts(layer.blocks, 1, sizes) - 1, -1, -1):  # of equal ones the smallest tiles of weights
        orders = 1 if tiles == 1 or sizes[i] >= layer.blocks else 2
        for order in range(orders):
            evaluated += _search_buffers(layer, memory, low, cells, choice, shape, computed, input, (sizes[i], 0, order))
    if layer.block_words == 0 or layer.runs < 2:
        return evaluated
    for i in range(1, even_cuts(layer.runs, 1, sizes)):
        evaluated += _search_buffers(layer, memory, low, cells, choice, shape, computed, input, (1, sizes[i], 0))
    return evaluated


@njit(cache=True, nogil=True)
def _search_buffers(layer, memory, low, cells, choice, shape, computed, input, cut):
    """How many tiles of activations and of weights fit, and how many groups' vectors: each point goes into the cell of the buffers it needs."""
    blocks, piece, order = cut
    tiles, words, tile, slow_inputs = input
    group = 2 * shape[2] * shape[3] * layer.lanes_out
    need = (piece_words(layer, piece) if piece else weight_words(layer, blocks)) * layer.word_bytes
    fits = (bin_of(tile * layer.bus, low[0]), bin_of(2 * tile * layer.bus, low[0]), bin_of(need, low[1]), bin_of(2 * need, low[1]))
    if fits[2] >= cells.shape[2]:
        return 0
    loads = traffic(layer, computed[1], words, tiles, blocks, piece, order)
    slow = (weight_slowdown(memory, layer, loads, tiles, computed[1], piece), slow_inputs)
    array, commands = array_cycles(layer, computed, piece)
    fixed = ends(layer, memory, computed[1])
    evaluated = 0
    for o in range(bin_of(group, low[2]), cells.shape[3]):
        together = (low[2] << o) // group
        stored = all_store_beats(memory, layer, blocks, min(together, blocks), shape[1], shape[3])
        bytes_ = (loads[0] + loads[2] + stored[0]) * layer.bus
        for slots in range(2 if piece else 0, 4):
            a, w = fits[slots & 1], fits[2 + (slots >> 1)]
            if a < cells.shape[1] and w < cells.shape[2]:
                cycles = point(memory, fixed, array, commands, loads, tile, stored, computed[1], slots, slow)
                evaluated += 1
                _put(cells, choice, (a, w, o, shape[4]), cycles, bytes_, shape, cut, slots)
        if together >= blocks:
            break
    return evaluated


@njit(cache=True, nogil=True, inline="always")
def _put(cells, choice, cell, cycles, bytes_, shape, cut, slots):
    a, w, o, d = cell
    cells[2, a, w, o, d] += 1
    if cycles < cells[0, a, w, o, d] or (cycles == cells[0, a, w, o, d] and bytes_ < cells[1, a, w, o, d]):
        cells[0, a, w, o, d] = cycles
        cells[1, a, w, o, d] = bytes_
        if choice.size:
            row = choice[a, w, o, d]
            row[0], row[1], row[2], row[3] = shape[0], shape[1], cut[0], cut[1]
            row[4], row[5], row[6], row[7] = cut[2], shape[2], shape[3], slots


@njit(cache=True, nogil=True)
def spread(cells):
    """Makes each cell hold the best of all cells of no larger buffers, and how many tilings fit: running minima and sums along each axis."""
    sizes = cells.shape[1:]
    for axis in range(4):
        outer, inner = 1, 1
        for k in range(axis):
            outer *= sizes[k]
        for k in range(axis + 1, 4):
            inner *= sizes[k]
        _accumulate(cells.reshape(3, outer, sizes[axis], inner))


@njit(cache=True, nogil=True)
def _accumulate(cells):
    """Along the third of four axes."""
    for i in range(cells.shape[1]):
        for k in range(1, cells.shape[2]):
            for j in range(cells.shape[3]):
                cycles, smaller = cells[0, i, k, j], cells[0, i, k - 1, j]
                bytes_, fewer = cells[1, i, k, j], cells[1, i, k - 1, j]
                better = smaller < cycles or (smaller == cycles and fewer < bytes_)
                cells[0, i, k, j] = smaller if better else cycles
                cells[1, i, k, j] = fewer if better else bytes_
                cells[2, i, k, j] += cells[2, i, k - 1, j]


@njit(cache=True, nogil=True)
def _search_layers(layers, members, memory, low, total):
    """One choice of lanes and bus, for several numbers of taps. members (taps, layers): how often a layer occurs; total (taps, 3, sizes...)
    receives the network's cycles, bytes and number of tilings in each cell. Returns the points evaluated."""
    evaluated = 0
    cells, nothing = np.empty(total.shape[1:]), np.empty((0, 0, 0, 0, 0), np.int64)
    for j in range(len(layers)):
        cells[:2] = INFINITE
        cells[2] = 0
        evaluated += _search_layer(layers[j], memory, low, cells, nothing)
        spread(cells)
        for i in range(len(total)):
            if members[i, j]:
                total[i, :2] += cells[:2] * members[i, j]
                total[i, 2] += cells[2]
    return evaluated


@njit(cache=True, nogil=True)
def _fitting(total, axes, base, limits, front, cell_of):
    """The engines of one choice of lanes and bus that fit. axes (3, 4, sizes): block RAMs, LUTs and flip-flops that each size of each buffer adds to
    base; limits: of those three. front (2, limits[0] + 1): least cycles, and their bytes, for each number of block RAMs, cell_of: their cell.
    Returns (engines that fit, points that are legal on them)."""
    engines, legal = 0, 0.0
    sizes = total.shape[1:]
    for a in range(sizes[0]):
        for w in range(sizes[1]):
            for o in range(sizes[2]):
                for d in range(sizes[3]):
                    ram = base[0] + axes[0, 0, a] + axes[0, 1, w] + axes[0, 2, o] + axes[0, 3, d]
                    lut = base[1] + axes[1, 0, a] + axes[1, 1, w] + axes[1, 2, o] + axes[1, 3, d]
                    ff = base[2] + axes[2, 0, a] + axes[2, 1, w] + axes[2, 2, o] + axes[2, 3, d]
                    if ram > limits[0] or lut > limits[1] or ff > limits[2] or total[0, a, w, o, d] >= INFINITE:
                        continue
                    engines += 1
                    legal += total[2, a, w, o, d]
                    cycles, bytes_ = total[0, a, w, o, d], total[1, a, w, o, d]
                    if cycles < front[0, ram] or (cycles == front[0, ram] and bytes_ < front[1, ram]):
                        front[0, ram] = cycles
                        front[1, ram] = bytes_
                        cell_of[ram] = ((a * sizes[1] + w) * sizes[2] + o) * sizes[3] + d
    return engines, legal


# numba's own types say nothing of the arguments.
search_layer: Any = _search_layer
search_layers: Any = _search_layers
fitting: Any = _fitting
