"""The cost of one point in closed form: a layer, a tiling, the engine's lanes and bus, and the memory, in a few nanoseconds.

The model is that of `schedule`, summed instead of simulated. With everything in bus beats and cycles:

    group  = (runs - 1) max(reads, block, RUN_MINIMUM) + max(reads, block + parameters + gap), at least what the drain needs
    cycles = first tile's load + max(sum of groups, beats moved, instructions dispatched) + last group's drain and store

A tile that fits its buffer only once cannot load while the one before is used: its loads are then added instead of hidden. That is a point of
its own (`slots`), with half the need.

Where the memory's rate depends on the length of a stretch (`schedule.DramTiming.tiers`), beats of a kind weigh what the stretches that they come
in cost, over what they would cost at the long ones' rate (`slowdown`): a tile of weights, or all of them where no input is loaded in between; the
rows of a tile of input, or all of it where it spans whole rows; the pixels of a store, its rows, or all of the layer's output where it lies on end;
and bursts of instructions.
"""

# numba infers the types of the kernels below.
# pyright: basic

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numba import njit

from ridgeline.hardware.engine import timing
from ridgeline.hardware.engine.engine import BURST_BYTES, Engine
from ridgeline.mapping.layer import Pattern, Work, block_words
from ridgeline.mapping.program import INSTRUCTION_BYTES, Mode
from ridgeline.mapping.schedule import MOST_TIERS, DramTiming

BURST_CYCLES = 10  # from the address to the first beat at the memory
OPERANDS = 4  # of which the layer's record keeps the pixel's bytes; further ones are added to the last


def _integers(*names: str) -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in names])


LAYER = _integers(
    "blocks", "height", "width", "input_height", "input_width", "runs", "reads_a_pixel", "window",
    "stride_y", "stride_x", "extent_y", "extent_x", "repeat_y", "repeat_x", "block_words", "parameter_words", "word_bytes", "lanes_out",
    "unit_y", "unit_x", "bus", "burst_beats", "step_x", "output_pixel_bytes", "pixel_0", "pixel_1", "pixel_2", "pixel_3",
    "mac_latency", "drain_latency", "gap",
)  # fmt: skip
MEMORY = np.dtype(
    [
        ("cycles_a_beat", np.float64),
        ("latency", np.float64),
        ("write_latency", np.float64),
        ("cycles_a_burst", np.float64),
        ("beats_an_instruction", np.float64),
        ("cycles_an_instruction", np.float64),
        ("fetch_slowdown", np.float64),
        ("tiers", np.int64),
        ("tier_bytes", np.float64, (MOST_TIERS,)),  # their ends; where each begins, in cycles, and what a byte takes from there on
        ("tier_cycles", np.float64, (MOST_TIERS + 1,)),
        ("cycles_a_byte", np.float64, (MOST_TIERS + 1,)),
    ]
)


def layer_record(work: Work, engine: Engine) -> Any:
    """A work as the kernels read it."""
    record = np.zeros(1, LAYER)
    one_run = work.pattern is not Pattern.WINDOW or work.mode is Mode.PRODUCT
    pixels = [*work.pixel_bytes, 0, 0, 0, 0]
    values = {
        "blocks": work.blocks,
        "height": work.size[0],
        "width": work.size[1],
        "input_height": work.input_size[0],
        "input_width": work.input_size[1],
        "runs": 1 if one_run else work.runs,
        "reads_a_pixel": 2 if work.mode is Mode.PRODUCT else 1,
        "window": work.window,
        "stride_y": work.stride[0],
        "stride_x": work.stride[1],
        "extent_y": work.extent[0],
        "extent_x": work.extent[1],
        "repeat_y": work.repeat[0],
        "repeat_x": work.repeat[1],
        "unit_y": 1 if work.input_size[0] == 1 else work.repeat[0],  # tiles are cut at multiples of it: mapping.layer.snap
        "unit_x": 1 if work.input_size[1] == 1 else work.repeat[1],
        "block_words": block_words(work, engine),
        "parameter_words": engine.parameter_words,
        "word_bytes": engine.weight_word_bytes,
        "lanes_out": engine.lanes_out,
        "bus": engine.bus_bytes,
        "burst_beats": min(256, BURST_BYTES // engine.bus_bytes),
        "step_x": work.step[1],
        "output_pixel_bytes": work.output_pixel_bytes,
        "pixel_0": pixels[0],
        "pixel_1": pixels[1],
        "pixel_2": pixels[2],
        "pixel_3": sum(pixels[3:]),
        "mac_latency": timing.accumulate_latency(engine) + timing.DRAIN_START,
        "drain_latency": timing.DRAIN_LATENCY,
        "gap": timing.WEIGHT_GAP + 1,
    }
    for name, value in values.items():
        record[0][name] = value
    return record


def memory_record(dram: DramTiming, bus_bytes: int) -> Any:
    record = np.zeros(1, MEMORY)
    record[0]["cycles_a_beat"] = float(Fraction(bus_bytes) / dram.bytes_per_cycle)
    record[0]["latency"] = dram.read_latency_cycles
    record[0]["write_latency"] = dram.write_latency_cycles
    # So many written bursts may wait for their acknowledgement.
    record[0]["cycles_a_burst"] = (dram.write_latency_cycles + BURST_CYCLES) / timing.OUTSTANDING_WRITES
    record[0]["beats_an_instruction"] = INSTRUCTION_BYTES / bus_bytes
    record[0]["cycles_an_instruction"] = max(1, INSTRUCTION_BYTES // bus_bytes)
    record[0]["tiers"] = len(dram.tiers)
    for number, tier in enumerate(dram.tiers):
        record[0]["tier_bytes"][number] = tier.bytes
        record[0]["tier_cycles"][number + 1] = float(dram.cycles(tier.bytes))
        record[0]["cycles_a_byte"][number] = float(1 / tier.bytes_per_cycle)
    record[0]["cycles_a_byte"][len(dram.tiers)] = float(1 / dram.bytes_per_cycle)
    record[0]["fetch_slowdown"] = float(dram.cycles(timing.FETCH_BURST_BYTES) * dram.bytes_per_cycle / timing.FETCH_BURST_BYTES)
    return record


@njit(cache=True, inline="always")
def slowdown(memory, bus, beats):
    """What a stretch of so many beats costs, over what it would at the rate of long ones."""
    if memory.tiers == 0:
        return 1.0
    return _tier_slowdown(memory, bus * beats)


@njit(cache=True)
def _tier_slowdown(memory, length):
    number, start = 0, 0.0
    while number < memory.tiers and memory.tier_bytes[number] < length:
        start = memory.tier_bytes[number]
        number += 1
    cycles = memory.tier_cycles[number] + (length - start) * memory.cycles_a_byte[number]
    return max(1.0, cycles / (length * memory.cycles_a_byte[memory.tiers]))


@njit(cache=True, inline="always")
def ceil_div(a, b):
    return (a + b - 1) // b


@njit(cache=True, inline="always")
def group_cycles(layer, rows, columns):
    """Cycles from one group's first read to the next one's."""
    wide = columns * layer.reads_a_pixel if layer.window == 1 else (columns - 1) * layer.stride_x + layer.window
    reads = rows * wide
    run = max(reads, layer.block_words, timing.RUN_MINIMUM)
    last = max(reads, layer.block_words + layer.parameter_words + layer.gap)
    # The group after next needs this one's half of the accumulators and its set of parameters to be drained.
    turn = layer.mac_latency + max(rows * columns, layer.block_words + layer.parameter_words)
    return max((layer.runs - 1) * run + last, turn, timing.DRAIN_MINIMUM)


@njit(cache=True)
def rows_of_groups(total, tile, group):
    """(rows, how many groups have so many), three kinds: in whole tiles the whole groups and the rest, and the rest of the last tile."""
    tiles, last = total // tile, total % tile
    kinds = np.zeros((3, 2), np.int64)
    kinds[0, 0] = group
    kinds[0, 1] = tiles * (tile // group) + last // group
    kinds[1, 0] = tile % group
    kinds[1, 1] = tiles if tile % group else 0
    kinds[2, 0] = last % group
    kinds[2, 1] = 1 if last % group else 0
    return kinds


@njit(cache=True)
def compute_cycles(layer, ys, xs):
    """(cycles, groups) of one block of output channels; ys and xs from `rows_of_groups`."""
    cycles, groups = 0, 0
    for i in range(3):
        if ys[i, 1]:
            for j in range(3):
                if xs[j, 1]:
                    number = ys[i, 1] * xs[j, 1]
                    cycles += number * group_cycles(layer, ys[i, 0], xs[j, 0])
                    groups += number
    return cycles, groups


@njit(cache=True)
def store_beats(layer, blocks, columns):
    """(beats, bursts) of storing so many blocks of output channels of the whole layer, rows cut in pieces of `columns` pixels: whole rows when the
    blocks are all there is, else pixel by pixel."""
    size = blocks * layer.lanes_out
    if size == layer.output_pixel_bytes and layer.step_x == 1:
        whole, rest = layer.width // columns, layer.width % columns
        beats = layer.height * (whole * ceil_div(columns * size, layer.bus) + ceil_div(rest * size, layer.bus))
        return beats, layer.height * ceil_div(layer.width, columns) + beats // layer.burst_beats
    pixels = layer.height * layer.width
    return pixels * ceil_div(size, layer.bus), pixels


@njit(cache=True)
def store_slowdown(memory, layer, blocks, x, columns):
    """Of these beats, in tiles of x pixels a row. Pieces of a row that do not end with a bus word do not lie on end."""
    if memory.tiers == 0:
        return 1.0
    size = blocks * layer.lanes_out
    if size != layer.output_pixel_bytes or layer.step_x != 1:
        return slowdown(memory, layer.bus, ceil_div(size, layer.bus))
    wide = x if columns * size % layer.bus == 0 else columns
    rows = layer.height if wide >= layer.width else 1
    return slowdown(memory, layer.bus, rows * ceil_div(wide * size, layer.bus))


@njit(cache=True)
def all_store_beats(memory, layer, blocks, together, x, columns):
    """(beats, bursts, stores a group, slowdown) when a tile has `blocks` of output channels and `together` of them fit half the output buffer."""
    sets = ceil_div(blocks, together)
    size = ceil_div(blocks, sets)
    whole, rest = layer.blocks // size, layer.blocks % size
    beats, bursts = store_beats(layer, size, columns)
    slow = store_slowdown(memory, layer, size, x, columns)
    if rest == 0:
        return whole * beats, whole * bursts, whole, slow
    more_beats, more_bursts = store_beats(layer, rest, columns)
    total = whole * beats + more_beats
    slow = (whole * beats * slow + more_beats * store_slowdown(memory, layer, rest, x, columns)) / total
    return total, whole * bursts + more_bursts, whole + 1, slow


@njit(cache=True, inline="always")
def extent(count, repeat, stride, window, limit):
    """The most input rows or columns that `count` output ones read: mapping.layer.input_extent."""
    return min((ceil_div(count, repeat) - 1) * stride + window, limit)


@njit(cache=True, inline="always")
def operand_words(pixel_bytes, high, wide, whole, bus):
    if pixel_bytes == 0:
        return 0
    return high * (ceil_div(wide * pixel_bytes, bus) + (1 if not whole and pixel_bytes % bus else 0))


@njit(cache=True)
def tile_words(layer, y, x):
    """Bus words of an input tile: mapping.layer.input_tile_words."""
    high = extent(y, layer.repeat_y, layer.stride_y, layer.extent_y, layer.input_height)
    wide = extent(x, layer.repeat_x, layer.stride_x, layer.extent_x, layer.input_width)
    whole = wide == layer.input_width
    words = operand_words(layer.pixel_0, high, wide, whole, layer.bus) + operand_words(layer.pixel_1, high, wide, whole, layer.bus)
    return words + operand_words(layer.pixel_2, high, wide, whole, layer.bus) + operand_words(layer.pixel_3, high, wide, whole, layer.bus)


@njit(cache=True, inline="always")
def operand_charge(memory, pixel_bytes, high, wide, whole, bus):
    words = operand_words(pixel_bytes, high, wide, whole, bus)
    return words * slowdown(memory, bus, words if whole else words // high) if words else 0.0


@njit(cache=True)
def tile_slowdown(memory, layer, y, x):
    """Of an input tile's words."""
    if memory.tiers == 0:
        return 1.0
    high = extent(y, layer.repeat_y, layer.stride_y, layer.extent_y, layer.input_height)
    wide = extent(x, layer.repeat_x, layer.stride_x, layer.extent_x, layer.input_width)
    whole = wide == layer.input_width
    charge = operand_charge(memory, layer.pixel_0, high, wide, whole, layer.bus) + operand_charge(
        memory, layer.pixel_1, high, wide, whole, layer.bus
    )
    charge += operand_charge(memory, layer.pixel_2, high, wide, whole, layer.bus)
    charge += operand_charge(memory, layer.pixel_3, high, wide, whole, layer.bus)
    return charge / tile_words(layer, y, x)


@njit(cache=True)
def input_words(layer, y, x):
    """Bus words of all input tiles of one pass over the pixels; those at the border are smaller."""
    ny, nx = ceil_div(layer.height, y), ceil_div(layer.width, x)
    inner = ny * nx * tile_words(layer, y, x)
    high = extent(layer.height, layer.repeat_y, layer.stride_y, layer.extent_y, layer.input_height)
    wide = extent(layer.width, layer.repeat_x, layer.stride_x, layer.extent_x, layer.input_width)
    halo_y, halo_x = max(0, layer.extent_y - layer.stride_y), max(0, layer.extent_x - layer.stride_x)
    rows = min(ny * extent(y, layer.repeat_y, layer.stride_y, layer.extent_y, layer.input_height), high + (ny - 1) * halo_y)
    columns = min(nx * extent(x, layer.repeat_x, layer.stride_x, layer.extent_x, layer.input_width), wide + (nx - 1) * halo_x)
    share = (rows / (ny * extent(y, layer.repeat_y, layer.stride_y, layer.extent_y, layer.input_height))) * (
        columns / (nx * extent(x, layer.repeat_x, layer.stride_x, layer.extent_x, layer.input_width))
    )
    return inner * share


@njit(cache=True, inline="always")
def weight_words(layer, blocks):
    """Weight words of so many blocks of output channels: mapping.layer.weight_words."""
    return blocks * (layer.runs * layer.block_words + layer.parameter_words)


@njit(cache=True, inline="always")
def piece_words(layer, runs):
    """Weight words of a piece of the reduction."""
    return runs * layer.block_words + layer.parameter_words


@njit(cache=True, inline="always")
def weight_passes(layer, tiles, groups, blocks, piece, order):
    """How often all weights are loaded: once where they stay, else for each tile of pixels, or each group when they come in pieces."""
    if piece:
        return groups
    return 1 if order == 1 or blocks >= layer.blocks else tiles


@njit(cache=True, inline="always")
def input_passes(layer, tiles, blocks, order):
    """How often the input is loaded."""
    return ceil_div(layer.blocks, blocks) if order == 1 and tiles > 1 else 1


@njit(cache=True, inline="always")
def traffic(layer, groups, words, tiles, blocks, piece, order):
    """(beats of all loads of weights, of the first tile of weights, of all loads of input, steps between loads of weights) of a layer."""
    ratio = layer.word_bytes // layer.bus
    weights = weight_words(layer, layer.blocks) * ratio * weight_passes(layer, tiles, groups, blocks, piece, order)
    first = (piece_words(layer, piece) if piece else weight_words(layer, blocks)) * ratio
    steps = groups * layer.blocks * ceil_div(layer.runs, piece) if piece else tiles * ceil_div(layer.blocks, blocks)
    return weights, first, words * input_passes(layer, tiles, blocks, order), steps


@njit(cache=True, inline="always")
def weight_slowdown(memory, layer, loads, tiles, groups, piece):
    """Of all loads of weights: `loads` from `traffic`. Tiles of weights lie on end: one after another where no input is loaded in between, and so do
    the pieces of a block."""
    if memory.tiers == 0:
        return 1.0
    stretch = loads[1]
    if tiles == 1 and (not piece or groups == 1):
        stretch = loads[0]
    elif piece:
        stretch = weight_words(layer, 1) * (layer.word_bytes // layer.bus)
    return slowdown(memory, layer.bus, stretch)


@njit(cache=True, inline="always")
def array_cycles(layer, computed, piece):
    """(cycles, COMPUTEs) of all groups; a piece of the reduction costs a gap."""
    parts = ceil_div(layer.runs, piece) if piece else 1
    return float(layer.blocks * (computed[0] + computed[1] * (parts - 1) * layer.gap)), layer.blocks * computed[1] * parts


@njit(cache=True, inline="always")
def ends(layer, memory, groups):
    """Cycles of the memory's and pipelines' latency, and of draining the last group."""
    return memory.latency + memory.write_latency + layer.mac_latency + layer.drain_latency + layer.height * layer.width / groups


@njit(cache=True, inline="always")
def point(memory, fixed, array, commands, loads, tile, stored, groups, slots, slow):
    """Cycles of a layer. fixed: `ends`; array: `array_cycles`; commands: COMPUTEs; loads: `traffic`; tile: beats of one tile of input; stored:
    `all_store_beats`; slots: bit 0: two tiles of activations fit, bit 1: two tiles of weights; slow: `weight_slowdown`, `tile_slowdown`."""
    weights, first, inputs, steps = loads
    stores, bursts, sets, slow_stores = stored
    slow_weights, slow_inputs = slow
    cost = max(memory.cycles_a_beat, 1.0)
    weight_cost, input_cost = max(memory.cycles_a_beat * slow_weights, 1.0), max(memory.cycles_a_beat * slow_inputs, 1.0)
    store_cost = max(memory.cycles_a_beat * slow_stores, 1.0)
    number = groups * sets
    fetched = (commands + number) * memory.beats_an_instruction
    # Hidden behind the array unless the buffer holds one tile only; the first weights are hidden by one step's work.
    bare_inputs = float(tile) if slots & 1 else inputs
    bare_weights = max(0.0, first - array / (steps * weight_cost)) if slots & 2 else float(max(weights, first))
    exposed = bare_inputs + bare_weights
    hidden = max(0.0, inputs + weights + stores + fetched - exposed)
    # What the hidden and the exposed beats cost beyond those of long stretches.
    heavier = (slow_inputs - 1.0) * max(0.0, inputs - bare_inputs) + (slow_weights - 1.0) * max(0.0, weights - bare_weights)
    heavier += (slow_stores - 1.0) * stores + (memory.fetch_slowdown - 1.0) * fetched
    dearer = bare_inputs * (input_cost - cost) + bare_weights * (weight_cost - cost)
    moved = max((hidden + heavier) * memory.cycles_a_beat, hidden - stores, float(stores), bursts * memory.cycles_a_burst)
    moved = max(moved, (commands + number) * memory.cycles_an_instruction)
    return fixed + exposed * cost + dearer + max(array, moved) + max(stores * store_cost, bursts * memory.cycles_a_burst) / number
