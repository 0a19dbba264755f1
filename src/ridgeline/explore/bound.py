"""Less than what any engine on a device can need for a network: from the shapes of its layers alone, in a fraction of a search's time.

This holds for every program of every engine (`mapping.schedule`), whatever its tilings and buffers. Layer s has runs of the array that take a cycle
for each pixel, and no less than the next block of weights needs to be read: a(s) cycles in all. Its weights, w(s) bytes, are loaded at least once,
layer after layer, at no more than the memory's rate or the bus's. And what is loaded ahead lies in the weight buffer, of at most W bytes. So, with
L(s) the cycle in which the last weights of layer s have arrived and A(s) that in which its last run ends:

    L(s) >= L(s - 1) + w(s) / rate                      weights arrive in order
    L(s) >= A(s - 1) + (w(s) - W) / rate                and no further ahead than the buffer holds
    A(s) >= A(s - 1) + a(s)                             the array works on a layer at a time
    A(s) >= L(s - 1) + a(s)                             and on none whose weights are not there

The rate is that of long stretches, which none exceeds (`mapping.schedule.DramTiming`). A beat moves before all of it is paid for: all others cost
their bytes at that rate at least, and the last one's bytes are fewer than the first instructions', which are not counted here.

Weights, inputs and outputs of all layers pass the memory at least once too. The larger of that and the last layer's A, at its least over all choices
of lanes and taps that fit, is the bound; the search's own times are checked against it in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.graph import Graph, Node
from ridgeline.errors import DoesNotFitError, UnsupportedError
from ridgeline.explore.choose import Objective, spaces
from ridgeline.explore.space import Space, is_narrow
from ridgeline.hardware.device import Device
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.resources import resources
from ridgeline.mapping.layer import Pattern, Rectangle, Work, block_words, input_tile, weight_words
from ridgeline.mapping.parts import layout, parts
from ridgeline.mapping.program import Mode
from ridgeline.mapping.schedule import DramTiming

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_Lanes: TypeAlias = tuple[int, int, int]  # out, in, taps
_Costs: TypeAlias = tuple[int, int, int, int]
AHEAD_BLOCKS = 3  # of weights, with their parameters: read from the buffer before the layer's own runs begin


@dataclass(slots=True, eq=False)
class Bound:
    """`bound(graph, device)` in seconds: of one image (latency), or between two images of all copies of the engine (throughput).

    Layers are remembered: sections of one network share them.
    """

    objective: Objective
    pins: Mapping[str, int]
    caps: Mapping[str, int]
    _boards: dict[Device, _Board] = field(default_factory=dict[Device, "_Board"])
    _layers: dict[tuple[Node, tuple[int, ...], Engine], _Costs] = field(
        default_factory=dict[tuple[Node, tuple[int, ...], Engine], "_Costs"]
    )

    def __call__(self, graph: Graph, device: Device) -> float:
        """0 where no engine fits: the search says why."""
        if device not in self._boards:
            self._boards[device] = _Board.of(device, self.objective, self.pins, self.caps)
        board = self._boards[device]
        if not board.engines:
            return 0.0
        sizes = layout(graph, WIDEST)
        rows = [[self._layer(graph, node, sizes, engine) for engine in board.engines] for node in graph.nodes]
        cycles = float(np.min(_last_run(np.array(rows, float), board)))
        return cycles / (device.clock_mhz * 1e6) if np.isfinite(cycles) else 0.0

    def _layer(self, graph: Graph, node: Node, sizes: Mapping[str, int], engine: Engine) -> _Costs:
        key = node, tuple(sizes[name] for name in node.inputs), engine
        if key not in self._layers:
            self._layers[key] = _costs(graph, node, engine, replace(engine, bus_bytes=WIDEST.bus_bytes))
        return self._layers[key]


def least_cycles(graph: Graph, engine: Engine, dram: DramTiming) -> float:
    """Of one image on one engine, whatever the tilings."""
    layers = np.array([[_costs(graph, node, engine, engine)] for node in graph.nodes], float)
    rate = float(dram.bytes_per_cycle)
    board = _Board(
        engines=(engine,),
        copies=np.ones(1),
        fits=np.ones((1, 1), bool),
        rates=np.full((1, 1), min(rate, engine.bus_bytes)),
        both_rates=np.full((1, 1), min(rate, 2 * engine.bus_bytes)),
        buffers=np.full(1, float(engine.weight_bytes)),
    )
    return float(_last_run(layers, board)[0, 0])


# Where a tensor's pixels are dense for this engine, they are so for every other one.
WIDEST = Engine(
    lanes_out=64, lanes_in=64, bus_bytes=4, activation_bytes=1 << 10, weight_bytes=1 << 12, output_bytes=1 << 10, accumulator_depth=32
)
_NEVER = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Board:
    """The engines that may fit, of the widest bus each, and by number of copies what each has of the device."""

    engines: tuple[Engine, ...]
    copies: Array  # (copies,)
    fits: Array  # (copies, engines)
    rates: Array  # (copies, engines): bytes a cycle that can be read
    both_rates: Array  # (copies, engines): read and written
    buffers: Array  # (copies,): bytes of weights

    @classmethod
    def of(cls, device: Device, objective: Objective, pins: Mapping[str, int], caps: Mapping[str, int]) -> _Board:
        every = spaces(device, objective, pins, caps)
        widest: dict[_Lanes, Engine] = {}
        fitting: list[set[_Lanes]] = []
        for space in every:
            inside = [engine for engine in space.corners() if _fits(engine, space)]
            inside = [engine for engine in inside if not is_narrow(engine)] or inside
            fitting.append({_lanes(engine) for engine in inside})
            for engine in inside:
                known = widest.get(_lanes(engine))
                if known is None or known.bus_bytes < engine.bus_bytes:
                    widest[_lanes(engine)] = engine
        buses = np.array([engine.bus_bytes for engine in widest.values()], float)
        return cls(
            engines=tuple(widest.values()),
            copies=np.array([space.copies for space in every]),
            fits=np.array([[lanes in inside for lanes in widest] for inside in fitting], bool),
            rates=np.array([np.minimum(float(space.dram.bytes_per_cycle), buses) for space in every]),
            both_rates=np.array([np.minimum(float(space.dram.bytes_per_cycle), 2 * buses) for space in every]),
            buffers=np.array([space.sizes()[1][-1] for space in every], float),
        )


def _lanes(engine: Engine) -> _Lanes:
    return engine.lanes_out, engine.lanes_in, engine.taps


def _fits(engine: Engine, space: Space) -> bool:
    need, have = resources(engine, space.device.family), space.limits
    return need.dsp <= have.dsp and need.bram_18kb <= have.bram_18kb and need.lut <= have.lut and need.ff <= have.ff


def _costs(graph: Graph, node: Node, engine: Engine, narrow: Engine) -> _Costs:
    """`engine` has the widest bus that is possible, which reads a block in fewest words, and `narrow` the narrowest, whose words pad it least:
    (least cycles of the array, least bytes of weights, bytes that may be read from the buffer ahead of the layer, least bytes of all kinds)."""
    try:
        works = [part.work for part in parts(graph, node, engine, layout(graph, engine))]
    except (DoesNotFitError, UnsupportedError):
        return _NEVER, 0, 0, 0
    ahead = max(AHEAD_BLOCKS * block_words(work, engine) + engine.parameter_words for work in works) * engine.weight_word_bytes
    weights = sum(_weight_bytes(work, narrow) for work in works)
    return (
        sum(array_cycles(work, engine) for work in works),
        weights,
        ahead,
        weights + sum(_activation_bytes(work, engine) for work in works),
    )


def array_cycles(work: Work, engine: Engine) -> int:
    """Every pixel of every run, or a block's words for every run but the first, whose block may be read before.

    Where a window slides along a row, its pixels are read once a piece of the row: in one piece, or where the window skips some, in many.
    """
    if work.pattern is not Pattern.WINDOW or work.mode is Mode.PRODUCT:
        return work.blocks * work.pixels * (2 if work.mode is Mode.PRODUCT else 1)
    height, width = work.size
    reads = height * (width if work.window == 1 else min((width - 1) * work.stride[1] + work.window, width * work.window))
    runs = work.blocks * work.runs
    return max(runs * reads, (runs - 1) * block_words(work, engine))


def _weight_bytes(work: Work, engine: Engine) -> int:
    return work.blocks * weight_words(work, engine) * engine.weight_word_bytes


def _activation_bytes(work: Work, engine: Engine) -> int:
    """Outputs, and inputs where the windows leave out none between two of them."""
    outputs = work.pixels * work.blocks * engine.lanes_out
    if work.stride[0] > work.extent[0] or work.stride[1] > work.extent[1]:
        return outputs
    tile = input_tile(work, Rectangle(y=0, x=0, rows=work.size[0], columns=work.size[1]), engine.bus_bytes)
    return outputs + tile.rows * tile.columns * sum(work.pixel_bytes)


def _last_run(layers: Array, board: _Board) -> Array:
    """(copies, engines): the cycle in which the last layer's last run ends, over the number of copies; layers (layers, engines, 4)."""
    loaded = np.zeros(board.fits.shape)
    ended = np.zeros(board.fits.shape)
    moved = layers[:, :, 3].sum(axis=0) / board.both_rates
    for array, weights, ahead, _ in layers.transpose(0, 2, 1):
        late = np.maximum(0, weights - ahead - board.buffers[:, None])
        arrived = np.maximum(loaded + weights / board.rates, ended + late / board.rates)
        ended = np.maximum(ended, loaded) + array
        loaded = arrived
    ended = np.where(board.fits & (ended < _NEVER), np.maximum(np.maximum(ended, loaded), moved), np.inf)
    return ended / board.copies[:, None]
