"""Every tile and loop order of a layer on an array of mixed widths, in closed form: for `explore.quantised`."""

# numba infers the types of the kernels below.
# pyright: basic

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import numpy as np
from numba import njit

# Loops over tiles and what they touch.
BATCH, WIDTH, HEIGHT, IN, OUT = range(5)
ORDERS = np.array(list(permutations(range(5))), np.int64)  # outermost first
ACTIVATIONS, WEIGHTS, OUTPUTS = range(3)
TOUCHES = np.array([[1, 1, 1, 1, 0], [0, 0, 0, 1, 1], [1, 1, 1, 0, 1]], np.bool_)
LAYER = np.dtype([(name, np.int64) for name in ("batch", "width", "height", "in_channels", "out_channels", "kernel", "bits")])
ARRAY = np.dtype(
    [(name, np.int64) for name in ("rows", "columns", "weight_stationary", "output_bits", "dram_bits", "activations", "weights", "outputs")]
)
POWER = np.dtype(
    [
        (name, np.float64)
        for name in (
            "static", "dram_read", "dram_write", "activation_read", "activation_write", "weight_read", "weight_write", "output_read",
            "output_write", "leak", "dynamic",
        )
    ]
)  # fmt: skip
# Of the best mapping: counts, then nJ.
CYCLES, COMPUTE, READS, WRITES, ORDER, TILE_BATCH, TILE_SIDE, TILE_IN, TILE_OUT, STATIC, DRAM, BUFFER, CORE = range(13)
COLUMNS = 13
NONE = 1 << 62


@njit(cache=True, inline="always")
def _rounds(extent, size):
    return -(-extent // size)


@njit(cache=True)
def _moved(order, counts, size, halves, moved, held):
    """Walks the loops from the innermost out. Writes the bits of each operand that cross, and that the last promoted tile holds; returns whether a
    loop that touches the outputs was promoted."""
    promoted_output = False
    for operand in range(3):
        bits, promoted = size[operand], True
        held[operand] = bits
        for place in range(4, -1, -1):
            loop = order[place]
            if not promoted:
                bits *= counts[loop]
            elif TOUCHES[operand, loop]:
                bits *= counts[loop]
                promoted = bits <= halves[operand]
                if promoted:
                    held[operand] = bits
                    promoted_output |= operand == OUTPUTS
        moved[operand] = bits
    return promoted_output


@njit(cache=True)
def _energy(row, layer, array, power, moved, tiles, tile):
    """Writes the four parts to `row`, and returns what mappings that are equally fast are ranked by: their sum, and the outputs read back from
    DRAM."""
    pixels = float(tile[BATCH] * tile[WIDTH] * tile[HEIGHT])
    products = tiles * pixels * tile[OUT] * tile[IN] * layer.kernel**2
    if array.weight_stationary:
        weights, outputs = tiles * float(tile[OUT] * tile[IN] * layer.kernel**2), products
    else:
        weights, outputs = products, tiles * pixels * tile[OUT]
    row[STATIC] = row[CYCLES] * power.static
    row[DRAM] = row[READS] * power.dram_read + row[WRITES] * power.dram_write
    row[BUFFER] = (
        products * layer.bits * power.activation_read
        + moved[ACTIVATIONS] * power.activation_write
        + weights * layer.bits * power.weight_read
        + moved[WEIGHTS] * power.weight_write
        + (outputs * array.output_bits + moved[OUTPUTS]) * power.output_read
        + outputs * array.output_bits * power.output_write
    )
    row[CORE] = row[CYCLES] * power.leak + row[COMPUTE] * power.dynamic
    return row[STATIC] + row[DRAM] + row[BUFFER] + row[CORE] + moved[OUTPUTS] * power.dram_read


@njit(cache=True)
def _compute(layer, array, tile):
    """Of one tile."""
    pixels, columns = tile[BATCH] * tile[WIDTH] * tile[HEIGHT], _rounds(tile[OUT], array.columns)
    products = tile[IN] * layer.kernel**2
    if array.weight_stationary:
        return pixels * columns * _rounds(products, array.rows)
    return _rounds(pixels, array.rows) * columns * products


@njit(cache=True)
def _orders(layer, array, power, tile, counts, size, best, ranked, scratch):
    """Betters `best` by the orders of one tile; returns the best's rank."""
    halves, moved, held, row = scratch
    tiles = 1
    for count in counts:
        tiles *= count
    compute = tiles * _compute(layer, array, tile)
    if compute + _rounds(size[ACTIVATIONS] + size[WEIGHTS], array.dram_bits) > best[CYCLES]:  # the first tile has to come in
        return ranked
    for number in range(len(ORDERS)):
        promoted_output = _moved(ORDERS[number], counts, size, halves, moved, held)
        first = held[ACTIVATIONS] + held[WEIGHTS]
        last = 0 if promoted_output else size[OUTPUTS]
        waiting = max(0, _rounds(moved[0] + moved[1] + moved[2] - first, array.dram_bits) - compute)
        cycles = compute + waiting + _rounds(first, array.dram_bits) + _rounds(last, array.dram_bits)
        if cycles > best[CYCLES]:
            continue
        row[CYCLES], row[COMPUTE], row[ORDER] = cycles, compute, number
        row[READS], row[WRITES] = moved[ACTIVATIONS] + moved[WEIGHTS], moved[OUTPUTS]
        row[TILE_BATCH], row[TILE_SIDE] = tile[BATCH], max(tile[WIDTH], tile[HEIGHT])
        row[TILE_IN], row[TILE_OUT] = tile[IN], tile[OUT]
        rank = _energy(row, layer, array, power, moved, tiles, tile)
        if cycles < best[CYCLES] or rank < ranked:
            ranked = rank
            best[:] = row
    return ranked


@njit(cache=True, nogil=True)
def search(layer, array, power, best):
    """Writes the mapping of least cycles, of equally fast ones that of least energy, to `best`; its CYCLES stay NONE where no tile fits."""
    best[CYCLES], ranked = NONE, 0.0
    extents = (layer.batch, layer.width, layer.height, layer.in_channels, layer.out_channels)
    halves = np.array([array.activations, array.weights, array.outputs])
    scratch = (halves, np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(COLUMNS))
    tile, counts, size = np.ones(5, np.int64), np.ones(5, np.int64), np.zeros(3, np.int64)
    steps = [_powers(extents[BATCH]), _powers(max(extents[WIDTH], extents[HEIGHT])), _powers(extents[IN]), _powers(extents[OUT])]
    for index in range(steps[0] * steps[1] * steps[2] * steps[3]):
        rest = index
        for loop, group in ((BATCH, 0), (WIDTH, 1), (IN, 2), (OUT, 3)):
            tile[loop] = min(1 << (rest % steps[group]), extents[loop])
            if loop == WIDTH:
                tile[HEIGHT] = min(1 << (rest % steps[group]), extents[HEIGHT])
            rest //= steps[group]
        for loop in range(5):
            counts[loop] = _rounds(extents[loop], tile[loop])
        products = tile[IN] * layer.kernel**2
        pixels = tile[BATCH] * tile[WIDTH] * tile[HEIGHT]
        size[ACTIVATIONS] = pixels * _rounds(products, array.columns) * array.columns * layer.bits
        size[WEIGHTS] = tile[OUT] * _rounds(products, array.rows) * array.rows * layer.bits
        size[OUTPUTS] = pixels * tile[OUT] * array.output_bits
        if size[ACTIVATIONS] <= halves[ACTIVATIONS] and size[WEIGHTS] <= halves[WEIGHTS]:
            ranked = _orders(layer, array, power, tile, counts, size, best, ranked, scratch)


@njit(cache=True)
def _powers(extent):
    """How many powers of two there are up to the first that covers `extent`."""
    number = 1
    while 1 << (number - 1) < extent:
        number += 1
    return number


def best(layer: Mapping[str, int], array: Mapping[str, int], power: Mapping[str, float]) -> Any:
    """(COLUMNS,), of values by the names of LAYER, ARRAY and POWER."""
    row = np.zeros(COLUMNS)
    search(_record(LAYER, layer), _record(ARRAY, array), _record(POWER, power), row)
    return row


def order(number: int) -> tuple[int, ...]:
    return tuple(int(loop) for loop in ORDERS[number])


def _record(kind: Any, values: Mapping[str, Any]) -> Any:
    record = np.zeros(1, kind)
    for name, value in values.items():
        record[0][name] = value
    return record[0]
