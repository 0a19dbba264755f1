"""`mapping.uniform.cost` in closed form, a few nanoseconds a point: for searches over every Tm, Tn, Tr, Tc and order."""

# numba infers the types of the kernels below.
# pyright: basic

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ridgeline.algorithm.nest import Nest
from ridgeline.formats import Format
from ridgeline.hardware.engine.uniform import ACCUMULATOR_BITS, HALVES, LUT_RAM_BITS
from ridgeline.mapping.uniform import ARRAYS, LOOPS, ORDERS, Memory, Model, Reduction, require_uniform

LAYER = np.dtype([(name, np.int64) for name in ("groups", "m", "c", "y", "x", "r", "q", "s", "t", "d", "e", "times")])
SETTINGS = np.dtype(
    [
        *((name, np.int64) for name in ("fill", "whole", "reduction", "bits", "accumulator_bits", "ports", "weight_ports")),
        *((name, np.float64) for name in ("bytes_a_cycle", "port_bytes_a_cycle")),
    ]
)
CHANNELS, ROW = int(Reduction.CHANNELS), int(Reduction.ROW)
SHAPES = np.array([(36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)])  # hardware.engine.resources.BLOCK_RAM_SHAPES


def layer_record(nest: Nest, times: int = 1, where: str = "a layer") -> Any:
    """A nest as the kernels read it; `times` says how often the layer runs. Raises UnsupportedError for what is no convolution."""
    require_uniform(nest, where)
    record = np.zeros(1, LAYER)
    values = {"groups": nest.axes.get("g", 1), **{axis: nest.axes[axis] for axis in (*LOOPS, "r", "q")}, "times": times}
    for name, value in {**values, **{key: nest.factors[key] for key in "stde"}}.items():
        record[0][name] = value
    return record


def settings_record(model: Model, format: Format, memory: Memory, clock_mhz: float) -> Any:
    record = np.zeros(1, SETTINGS)
    a_cycle = 1e9 / (clock_mhz * 1e6)
    values = {
        "fill": model.fill_cycles,
        "whole": model.whole_tiles,
        "reduction": int(model.reduction),
        "bits": format.bits,
        "accumulator_bits": ACCUMULATOR_BITS[format.name],
        "ports": memory.ports,
        "weight_ports": memory.weight_ports,
        "bytes_a_cycle": memory.gb_per_s * a_cycle,
        "port_bytes_a_cycle": memory.port_gb_per_s * a_cycle,
    }
    for name, value in values.items():
        record[0][name] = value
    return record[0]


def curve(memory: Memory, clock_mhz: float) -> Any:
    """(2, points): the logarithms of the bursts' bytes and of their bytes a cycle."""
    pairs = [(burst, rate * 1e3 / clock_mhz) for burst, rate in memory.bursts]
    return np.log2(np.array(pairs, np.float64).reshape(-1, 2).T)


def order_masks(model: Model, *, every: bool = False) -> Any:
    """(orders, 4): the tile loops, as bits in the order of LOOPS, whose every round moves the inputs, the weights and the outputs again, and the
    order's number in ORDERS. Without `every`, those orders are left out that move no array less often than another one."""
    rows = []
    for number, order in enumerate(ORDERS):
        again = []
        for used in ARRAYS.values():
            innermost = max(place for place, axis in enumerate(order) if axis in used) if model.promotion else len(order) - 1
            again.append(sum(1 << LOOPS.index(axis) for axis in order[: innermost + 1] if axis not in used))
        rows.append((*again, number))
    if not every:
        rows = [row for row in rows if not any(_beats(other, row) for other in rows)]
    return np.array(rows, np.int64)


def _beats(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether the loops of `one` are among those of `other` for each array; of equal ones, whether it comes first."""
    inside = all(a & b == a for a, b in zip(one[:3], other[:3], strict=True))
    return inside and (one[:3] != other[:3] or one[3] < other[3])


@njit(cache=True, inline="always")
def ceil_div(a, b):
    return (a + b - 1) // b


@njit(cache=True, inline="always")
def cycles_a_byte(burst, plain, points):
    """Of the memory, for bursts of so many bytes: mapping.uniform.Memory.effective_gb_per_s."""
    count = points.shape[1]
    if count == 0:
        return 1.0 / plain
    b = np.log2(burst)
    if b <= points[0, 0]:
        return 2.0 ** (points[0, 0] - b - points[1, 0])
    for k in range(1, count):
        if b <= points[0, k]:
            share = (b - points[0, k - 1]) / (points[0, k] - points[0, k - 1])
            return 2.0 ** -(points[1, k - 1] + share * (points[1, k] - points[1, k - 1]))
    return 2.0 ** -points[1, count - 1]


@njit(cache=True, inline="always")
def bank_brams(bits, depth):
    """hardware.engine.uniform.bank_bram_18kb."""
    if bits * depth <= LUT_RAM_BITS:
        return 0
    least = 1 << 60
    for k in range(len(SHAPES)):
        least = min(least, ceil_div(bits, SHAPES[k, 0]) * ceil_div(depth, SHAPES[k, 1]))
    return least


@njit(cache=True, inline="always")
def steps(layer, channels, tn, reduction):
    if reduction == CHANNELS:
        return layer.r * layer.q * ceil_div(channels, tn)
    if reduction == ROW:
        return layer.r * ceil_div(channels * layer.q, tn)
    return ceil_div(channels * layer.r * layer.q, tn)


@njit(cache=True, inline="always")
def input_extent(size, stride, dilation, kernel):
    return stride * (size - 1) + dilation * (kernel - 1) + 1


@njit(cache=True, inline="always")
def channels_of(layer, tn, reduction):
    """Input channels on chip: mapping.uniform.tile_of."""
    return min(tn, layer.c) if reduction == CHANNELS else layer.c


@njit(cache=True, inline="always")
def depths(layer, tn, tr, tc, reduction):
    """Elements of one bank of one half of the buffers of inputs, weights and outputs."""
    channels = channels_of(layer, tn, reduction)
    work = steps(layer, channels, tn, reduction)
    rows, columns = input_extent(tr, layer.s, layer.d, layer.r), input_extent(tc, layer.t, layer.e, layer.q)
    if reduction == CHANNELS:
        held = ceil_div(channels, tn) * rows * columns
    elif reduction == ROW:
        held = rows * ceil_div(channels * columns, tn)
    else:
        held = work * tr * tc
    return held, work, tr * tc


@njit(cache=True, inline="always")
def array_cycles(layer, settings, tm, tn, tr, tc):
    """(work, fill) cycles of a layer; the tile is clipped."""
    channels = channels_of(layer, tn, settings.reduction)
    chunks, rest = layer.c // channels, layer.c % channels
    rounds_m, rounds_c = ceil_div(layer.m, tm), ceil_div(layer.c, channels)
    tiles = rounds_m * rounds_c * ceil_div(layer.y, tr) * ceil_div(layer.x, tc)
    fill = layer.groups * settings.fill * tiles if tiles > 1 else 0
    if settings.whole:
        return layer.groups * tiles * tr * tc * steps(layer, channels, tn, settings.reduction), fill
    reduced = chunks * steps(layer, channels, tn, settings.reduction)
    if rest:
        reduced += steps(layer, rest, tn, settings.reduction)
    return layer.groups * rounds_m * layer.y * layer.x * reduced, fill


@njit(cache=True, inline="always")
def held(layer, settings, tm, tn, tr, tc):
    """(input, weight, output) elements of all tiles of each array, each once, for one group."""
    channels = channels_of(layer, tn, settings.reduction)
    if settings.whole:
        m, c = ceil_div(layer.m, tm) * tm, ceil_div(layer.c, channels) * channels
        y, x = ceil_div(layer.y, tr) * tr, ceil_div(layer.x, tc) * tc
    else:
        m, c, y, x = layer.m, layer.c, layer.y, layer.x
    # Each tile reads stride rows an output row, and once more what the window is larger than the stride.
    high = layer.s * y + ceil_div(layer.y, tr) * (layer.d * (layer.r - 1) + 1 - layer.s)
    wide = layer.t * x + ceil_div(layer.x, tc) * (layer.e * (layer.q - 1) + 1 - layer.t)
    return c * high * wide, m * c * layer.r * layer.q, m * y * x


@njit(cache=True, inline="always")
def rounds_of(mask, m, c, y, x):
    found = 1
    if mask & 1:
        found *= m
    if mask & 2:
        found *= c
    if mask & 4:
        found *= y
    if mask & 8:
        found *= x
    return found


@njit(cache=True, inline="always")
def port_cycles(settings, weights, maps):
    """Of the slower of the weights' and the maps' ports."""
    if settings.ports == 0:
        return 0.0
    return max(weights / settings.weight_ports, maps / (settings.ports - settings.weight_ports)) / settings.port_bytes_a_cycle


@njit(cache=True, inline="always")
def brams(settings, tm, tn, depth):
    """18 Kb block RAMs of the buffers of these depths: hardware.engine.uniform.UniformEngine.bram_18kb."""
    banks = tn * bank_brams(settings.bits, depth[0]) + tm * tn * bank_brams(settings.bits, depth[1])
    return HALVES * (banks + tm * bank_brams(settings.accumulator_bits, depth[2]))


@njit(cache=True, inline="always")
def moved_bytes(layer, settings, elements, rounds, masks):
    """(input, weight, output) bytes of a layer in one order of its tile loops. rounds: of m, c, y, x; masks: that order's of `order_masks`."""
    m, c, y, x = rounds
    size = layer.groups * settings.bits / 8
    inputs = elements[0] * rounds_of(masks[0], m, c, y, x)
    weights = elements[1] * rounds_of(masks[1], m, c, y, x)
    outputs = elements[2]
    if masks[2]:
        outputs *= 2 * c if settings.whole else 2 * c - 1
    return inputs * size, weights * size, outputs * size


@njit(cache=True, nogil=True)
def best_order(layer, settings, points, masks, tm, tn, tr, tc):
    """(cycles that the memory takes, bytes, order) of the order that takes least of both; the tile is clipped."""
    channels = channels_of(layer, tn, settings.reduction)
    rounds = (ceil_div(layer.m, tm), ceil_div(layer.c, channels), ceil_div(layer.y, tr), ceil_div(layer.x, tc))
    elements = held(layer, settings, tm, tn, tr, tc)
    size = settings.bits / 8
    m, c, y, x = rounds
    rate_i = cycles_a_byte(elements[0] * size / (c * y * x), settings.bytes_a_cycle, points)
    rate_w = cycles_a_byte(elements[1] * size / (m * c), settings.bytes_a_cycle, points)
    rate_o = cycles_a_byte(elements[2] * size / (m * y * x), settings.bytes_a_cycle, points)
    least, fewest, best = 1e30, 1e30, -1
    for order in range(len(masks)):
        inputs, weights, outputs = moved_bytes(layer, settings, elements, rounds, masks[order])
        cycles = max(inputs * rate_i + weights * rate_w + outputs * rate_o, port_cycles(settings, weights, inputs + outputs))
        total = inputs + weights + outputs
        if cycles < least or (cycles == least and total < fewest):
            least, fewest, best = cycles, total, masks[order, 3]
    return least, fewest, best
