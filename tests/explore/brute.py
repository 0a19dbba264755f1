"""The search done the slow way: every tiling on every engine of a small space, in plain Python, with no bins and no running minima."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from ridgeline.explore.space import Space, with_buffers
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.resources import resources
from ridgeline.mapping import cost
from ridgeline.mapping.layer import Work, block_words, input_tile_words, weight_words
from ridgeline.mapping.parts import works


@dataclass(frozen=True, kw_only=True)
class Option:
    """A tiling: what it costs, and what it needs of each buffer."""

    cycles: float
    bytes: float
    need: tuple[int, int, int, int]


def best(graph, space: Space) -> dict[Engine, tuple[float, float]]:
    """(cycles, bytes) of the network on every engine of the space that fits the device and holds a tile of every layer."""
    found: dict[Engine, tuple[float, float]] = {}
    for corner in considered(space):
        layers = [work for made in works(graph, corner).values() for work in made]
        options = {work: list(every_option(work, corner, space)) for work in dict.fromkeys(layers)}
        for sizes in product(*space.sizes()):
            engine = with_buffers(corner, sizes)
            if not within(engine, space):
                continue
            picks = [min(((o.cycles, o.bytes) for o in options[work] if fits(o, sizes)), default=None) for work in layers]
            if None not in picks:
                found[engine] = sum(pick[0] for pick in picks), sum(pick[1] for pick in picks)
    return found


def within(engine: Engine, space: Space) -> bool:
    need, limits = resources(engine, space.device.family), space.limits
    return need.dsp <= limits.dsp and need.bram_18kb <= limits.bram_18kb and need.lut <= limits.lut and need.ff <= limits.ff


def considered(space: Space) -> list[Engine]:
    """Arrays of at least 8 lanes both ways, where the device holds one."""
    fitting = [corner for corner in space.corners() if within(corner, space)]
    return [corner for corner in fitting if corner.lanes_out >= 8 and corner.lanes_in >= 8] or fitting


def fits(option: Option, sizes: tuple[int, ...]) -> bool:
    return all(need <= size for need, size in zip(option.need, sizes, strict=True))


def cuts(total: int, unit: int = 1) -> list[int]:
    """Sizes of 1, 2, 3, 4, 8, 16, ... even pieces."""
    units = -(-total // unit)
    pieces = [1, 2, 3, 4, *(1 << k for k in range(3, 40))]
    sizes = [min(-(-units // count) * unit, total) for count in pieces]
    return list(dict.fromkeys(sizes))


def every_option(work: Work, engine: Engine, space: Space) -> Iterator[Option]:
    record = cost.layer_record(work, engine)[0]
    memory = cost.memory_record(space.dram, engine.bus_bytes)[0]
    outputs = space.sizes()[2]
    for y, x in product(cuts(work.size[0], int(record["unit_y"])), cuts(work.size[1], int(record["unit_x"]))):
        for rows, columns in product(cuts(y, int(record["unit_y"])), cuts(x, int(record["unit_x"]))):
            reads = columns if work.window == 1 else (columns - 1) * work.stride[1] + work.window
            if (rows > 1 and columns < x) or reads > 4095 or rows > 4095:
                continue
            for blocks, piece, order in weight_cuts(work, engine, y, x):
                for output, slots in product(outputs, range(2 if piece else 0, 4)):
                    option = _option(work, engine, (record, memory), (y, x, rows, columns), (blocks, piece, order), output, slots)
                    if option is not None:
                        yield option


def weight_cuts(work: Work, engine: Engine, y: int, x: int) -> Iterator[tuple[int, int, int]]:
    """(blocks of a tile, runs of a piece, order)."""
    one_tile = y >= work.size[0] and x >= work.size[1]
    for blocks in cuts(work.blocks):
        for order in range(1 if one_tile or blocks == work.blocks else 2):
            yield blocks, 0, order
    runs = int(cost.layer_record(work, engine)[0]["runs"])
    if block_words(work, engine) and runs > 1:
        for piece in cuts(runs)[1:]:
            yield 1, piece, 0


def _option(work: Work, engine: Engine, records, shape, cut, output: int, slots: int) -> Option | None:
    (record, memory), (y, x, rows, columns), (blocks, piece, order) = records, shape, cut
    group = 2 * rows * columns * engine.lanes_out
    together = min(output // group, blocks)
    if together == 0:
        return None
    tiles = -(-work.size[0] // y) * -(-work.size[1] // x)
    tile = input_tile_words(work, y, x, engine.bus_bytes)
    words = piece * block_words(work, engine) + engine.parameter_words if piece else blocks * weight_words(work, engine)
    computed = cost.compute_cycles(record, cost.rows_of_groups(work.size[0], y, rows), cost.rows_of_groups(work.size[1], x, columns))
    loads = cost.traffic(record, computed[1], cost.input_words(record, y, x), tiles, blocks, piece, order)
    stored = cost.all_store_beats(memory, record, blocks, together, x, columns)
    slow = cost.weight_slowdown(memory, record, loads, tiles, computed[1], piece), cost.tile_slowdown(memory, record, y, x)
    array, commands = cost.array_cycles(record, computed, piece)
    fixed = cost.ends(record, memory, computed[1])
    cycles = cost.point(memory, fixed, array, commands, loads, tile, stored, computed[1], slots, slow)
    copies = 1 + (slots & 1), 1 + (slots >> 1)
    need = copies[0] * tile * engine.bus_bytes, copies[1] * words * engine.weight_word_bytes, output, rows * columns
    return Option(cycles=cycles, bytes=(loads[0] + loads[2] + stored[0]) * engine.bus_bytes, need=need)


def fastest(found: dict[Engine, tuple[float, float]]) -> float:
    return min(cycles for cycles, _ in found.values())


def close(a: float, b: float) -> bool:
    return bool(np.isclose(a, b, rtol=1e-9))
