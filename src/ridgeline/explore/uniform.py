"""Choosing a uniform engine by its roofline (FPGA'15, 10.1145/2684746.2689060): of all Tm, Tn and, layer by layer, Tr, Tc and orders of the tile
loops that fit, the fastest; among those the one that moves least, and of those the smallest.

Only sizes are searched that cut a layer evenly: a tile, or a number of lanes, that needs as many rounds as a smaller one costs as much and takes
more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import isqrt, prod
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError, UnsupportedError
from ridgeline.formats import Format
from ridgeline.hardware.device import Device
from ridgeline.hardware.engine.uniform import ACCUMULATOR_BITS, HALVES, UniformEngine, bank_bram_18kb, bank_depth, mac_dsp, most_macs
from ridgeline.mapping.uniform import ORDERS, Memory, Model, Tile, UniformCost, cost, fully_connected, require_uniform, steps, tile_of

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SAME = 1 + 1e-9  # times that differ by less are equal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """`times`: how often it runs for one image, or one batch."""

    name: str
    nest: Nest
    times: int = 1

    @property
    def macs(self) -> int:
        return self.nest.macs * self.times


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What an engine may take. `macs`, if given, limits the multiply-accumulators beside what the DSP blocks make."""

    dsp_kind: str
    dsp: int
    bram_18kb: int
    clock_mhz: float
    memory: Memory
    macs: int | None = None

    def most_macs(self, format: Format) -> int:
        made = most_macs(format, self.dsp_kind, self.dsp)
        return made if self.macs is None else min(made, self.macs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerDesign:
    """A layer's tile and order on an engine, and its cost (all its runs)."""

    layer: Layer
    tile: Tile
    order: tuple[str, ...]
    cost: UniformCost


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UniformDesign:
    engine: UniformEngine
    clock_mhz: float
    layers: tuple[LayerDesign, ...]

    @property
    def time_s(self) -> float:
        """Layers run one after another."""
        return sum(item.cost.time_s(self.clock_mhz) for item in self.layers)

    @property
    def cycles(self) -> int:
        return sum(item.cost.cycles for item in self.layers)

    @property
    def gops(self) -> float:
        return 2 * sum(item.cost.macs for item in self.layers) / self.time_s / 1e9

    @property
    def bandwidth_gb_per_s(self) -> float:
        """The most that a layer needs."""
        return max(item.cost.bandwidth_gb_per_s(self.clock_mhz) for item in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """An engine of the space, all its layers together."""

    tm: int
    tn: int
    cycles: float  # the longer of the array's and the memory's, layer by layer
    bytes: float
    bram_18kb: int
    pareto: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UniformChoice:
    chosen: UniformDesign
    alone: tuple[UniformDesign, ...]  # each layer's own best engine
    rated: tuple[Rated, ...] = field(default=())
    points: int = 0
    time_s: float = 0.0

    @property
    def pareto(self) -> tuple[Rated, ...]:
        return tuple(item for item in self.rated if item.pareto)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """A space: what is computed, in which format, within which budget, and how its cost is counted."""

    layers: tuple[Layer, ...]
    format: Format
    budget: Budget
    model: Model = field(default_factory=Model)
    pins: Mapping[str, int] = field(default_factory=dict[str, int])  # tm, tn
    every: bool = False  # evaluate every size and order, those too that are proven to be no better than another


def memory_of(device: Device) -> Memory:
    """The board's DRAM, with its bandwidth by bursts where that was measured."""
    bursts = tuple((burst.bytes, burst.bytes_per_s / 1e9) for burst in device.dram.bursts)
    return Memory(gb_per_s=device.dram.bytes_per_s / 1e9, bursts=bursts)


def layers_of(graph: Graph, *, batch: int, weight_major: bool) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """The convolutions and fully connected layers of a network, the latter for all of the batch at once, and the nodes beside them, which multiply
    nothing. Raises UnsupportedError for another kind of layer that multiplies."""
    layers: list[Layer] = []
    others: list[str] = []
    for node in graph.nodes:
        nest = node.operator.nest(node, *graph.input_shapes(node))
        if not nest.multiplies:
            others.append(node.name)
            continue
        require_uniform(nest, node.source or f"node '{node.name}'")
        axes = nest.axes
        if axes["y"] * axes["x"] == 1 and "g" not in axes:
            inputs = axes["c"] * axes["r"] * axes["q"]
            layers.append(Layer(name=node.name, nest=fully_connected(inputs, axes["m"], batch=batch, weight_major=weight_major)))
        else:
            layers.append(Layer(name=node.name, nest=nest, times=batch))
    if not layers:
        raise UnsupportedError(f"network '{graph.name}' has no convolution and no fully connected layer, which is what the uniform engine runs")
    return tuple(layers), tuple(others)


def search(study: Study) -> UniformChoice:
    """Raises DoesNotFitError when no engine has room for one multiply-accumulate or one tile, UnsupportedError for a layer that is no convolution or
    a format that the device's DSP blocks do not make."""
    started = time.perf_counter()
    pairs = _pairs(study)
    found, points = _evaluated(study, pairs)
    alone = tuple(_alone(study, pairs, found[:, number], layer) for number, layer in enumerate(study.layers))
    chosen, rated = _together(study, pairs, found)
    return UniformChoice(chosen=chosen, alone=alone, rated=rated, points=points, time_s=time.perf_counter() - started)


def design_of(study: Study, tm: int, tn: int) -> UniformDesign:
    """The best tiles and orders on an engine of these lanes. Raises DoesNotFitError."""
    pairs = np.array([[tm, tn]], np.int64)
    found, _ = _evaluated(study, pairs)
    return _best(study, pairs, found)


def section_designs(study: Study) -> dict[tuple[int, int], UniformDesign]:
    """[start, stop) -> the best engine of these consecutive layers, for every such section that has one. Raises DoesNotFitError when none has."""
    pairs = _pairs(study)
    found, _ = _evaluated(study, pairs)
    designs: dict[tuple[int, int], UniformDesign] = {}
    refusal: DoesNotFitError | None = None
    for start, stop in combinations(range(len(study.layers) + 1), 2):
        try:
            designs[start, stop] = _best(replace(study, layers=study.layers[start:stop]), pairs, found[:, start:stop])
        except DoesNotFitError as error:
            refusal = error
    if refusal is not None and not designs:
        raise refusal
    return designs


def cuts(extent: int) -> list[int]:
    """The smallest sizes that need 1, 2, 3, ... rounds to cover `extent`, each once, rising."""
    few = range(1, isqrt(extent) + 2)  # of rounds, or of the size itself
    return sorted({-(-extent // rounds) for rounds in few} | {-(-extent // -(-extent // size)) for size in few})


def _pairs(study: Study) -> Array:
    """(pairs, 2): every Tm and Tn of at most the budget's multiply-accumulators together. Raises DoesNotFitError when there is none."""
    most = study.budget.most_macs(study.format)
    nests = [layer.nest for layer in study.layers]
    pins = study.pins
    heights = [pins["tm"]] if "tm" in pins else _sizes([nest.axes["m"] for nest in nests], study.every)
    depths = [pins["tn"]] if "tn" in pins else _sizes([_reduced(nest, study.model) for nest in nests], study.every)
    pairs = [(tm, tn) for tm in heights for tn in depths if tm * tn <= most]
    if not pairs:
        macs = prod(study.pins.values()) if study.pins else 1
        need = float(macs * mac_dsp(study.format, study.budget.dsp_kind))
        raise DoesNotFitError(
            f"{macs:,} multiply-accumulate{'s' if macs > 1 else ''} in {study.format.name} need {need:,g} {study.budget.dsp_kind}, "
            f"but there are {study.budget.dsp:,}"
        )
    return np.array(pairs, np.int64)


def _sizes(extents: Iterable[int], every: bool) -> list[int]:
    extents = list(extents)
    return list(range(1, max(extents) + 1)) if every else sorted({size for extent in set(extents) for size in cuts(extent)})


def _reduced(nest: Nest, model: Model) -> int:
    """The most lanes that a layer's reduction fills."""
    return steps(nest, nest.axes["c"], 1, model) // steps(nest, 1, 1 << 40, model)


def _evaluated(study: Study, pairs: Array) -> tuple[Array, int]:
    """(pairs, layers, columns of the kernel), and the points evaluated."""
    from ridgeline.explore import uniform_kernel

    arguments = _records(study)
    found = np.zeros((len(pairs), len(study.layers), uniform_kernel.COLUMNS))
    workers = os.cpu_count() or 1
    parts = [slice(k, None, 4 * workers) for k in range(4 * workers)]

    def run(part: slice) -> tuple[Array, int]:
        rows = np.zeros(found[part].shape)
        return rows, int(uniform_kernel.search_pairs(*arguments, study.budget.bram_18kb, np.ascontiguousarray(pairs[part]), rows))

    points = 0
    with ThreadPoolExecutor(workers) as pool:
        for part, (rows, number) in zip(parts, pool.map(run, parts), strict=True):
            found[part] = rows
            points += number
    return found, points


def _records(study: Study) -> tuple[Any, ...]:
    """layers, settings, curve, orders, sizes: what the kernels take."""
    from ridgeline.mapping import uniform_kernel as kernel

    clock = study.budget.clock_mhz
    layers = np.concatenate([kernel.layer_record(layer.nest, layer.times, f"layer '{layer.name}'") for layer in study.layers])
    tiles = [[list(range(1, nest.axes[axis] + 1)) if study.every else cuts(nest.axes[axis]) for axis in "yx"] for nest in _nests(study)]
    sizes = np.zeros((len(tiles), 2, max(len(axis) for pair in tiles for axis in pair)), np.int64)
    for layer, pair in enumerate(tiles):
        for axis, values in enumerate(pair):
            sizes[layer, axis, : len(values)] = values
    settings = kernel.settings_record(study.model, study.format, study.budget.memory, clock)
    return layers, settings, kernel.curve(study.budget.memory, clock), kernel.order_masks(study.model, every=study.every), sizes


def _nests(study: Study) -> list[Nest]:
    return [layer.nest for layer in study.layers]


def _alone(study: Study, pairs: Array, rows: Array, layer: Layer) -> UniformDesign:
    """The best engine of one layer. rows: (pairs, columns)."""
    from ridgeline.explore.uniform_kernel import BRAM, BYTES, CYCLES, INFINITE

    least = rows[:, CYCLES].min()
    if least >= INFINITE:
        raise DoesNotFitError(_no_tile(study, layer))
    equal = np.flatnonzero(rows[:, CYCLES] <= least * SAME)
    lanes = pairs[equal].prod(axis=1)
    best = equal[np.lexsort((rows[equal, BRAM], rows[equal, BYTES], lanes))[0]]
    return _design(study, pairs[best], [layer], rows[best : best + 1])


def _no_tile(study: Study, layer: Layer) -> str:
    from ridgeline.explore.uniform_kernel import BRAM, COLUMNS, INPUT, OUTPUT, WEIGHT, search_tiles

    layers, settings, points, masks, sizes = _records(study)
    number = [item.name for item in study.layers].index(layer.name)
    row = np.zeros(COLUMNS)
    search_tiles(layers[number], settings, points, masks, sizes[number][:, :1], np.array([1 << 40] * 3), 1, 1, row)
    bits = {INPUT: study.format.bits, WEIGHT: study.format.bits, OUTPUT: ACCUMULATOR_BITS[study.format.name]}
    inputs, weights, outputs = (HALVES * int(row[column]) * width // 8 for column, width in bits.items())
    have = study.budget.bram_18kb
    return (
        f"layer '{layer.name}': its smallest tile in {study.format.name} needs buffers of {inputs:,} bytes of inputs, {weights:,} of weights and "
        f"{outputs:,} of outputs, {int(row[BRAM]):,} block RAMs of 18 Kb, but there are {have:,} ({have * 18 * 1024 // 8:,} bytes)"
    )


def _together(study: Study, pairs: Array, found: Array, *, rate: bool = True) -> tuple[UniformDesign, tuple[Rated, ...]]:
    """One engine for all layers, and the engines that were rated: all that are faster or have fewer lanes than those before them; without `rate`,
    none that is slower than the best."""
    from ridgeline.explore.uniform_kernel import BYTES, CYCLES, INFINITE

    times = np.array([layer.times for layer in study.layers])
    cycles, bytes_, lanes = found[:, :, CYCLES] @ times, found[:, :, BYTES] @ times, pairs.prod(axis=1)
    together = _Together(study=study, records=_records(study))
    best: tuple[tuple[float, int, float], int, Array] | None = None
    fewest = 1 << 60
    rated: list[Rated] = []
    for number in np.lexsort((bytes_, lanes, cycles)):
        slower = best is not None and cycles[number] > best[0][0] * SAME
        if slower and not rate:
            break
        if found[number, :, CYCLES].max() >= INFINITE or (slower and lanes[number] >= fewest):
            continue
        rows = together.rows(pairs[number], found[number])
        if rows is None:
            continue
        key = float(rows[:, CYCLES] @ times), int(lanes[number]), float(rows[:, BYTES] @ times)
        tm, tn = map(int, pairs[number])
        rated.append(Rated(tm=tm, tn=tn, cycles=key[0], bytes=key[2], bram_18kb=together.bram_18kb(tm, tn, rows)))
        fewest = min(fewest, key[1])
        if best is None or key[0] < best[0][0] / SAME or (key[0] <= best[0][0] * SAME and key[1:] < best[0][1:]):
            best = key, int(number), rows
    if best is None:
        raise DoesNotFitError(
            f"no uniform engine has buffers for every layer at once within {study.budget.bram_18kb:,} block RAMs of 18 Kb; give a larger device"
        )
    return _design(study, pairs[best[1]], study.layers, best[2]), _front(rated)


def _best(study: Study, pairs: Array, found: Array) -> UniformDesign:
    return _together(study, pairs, found, rate=False)[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Together:
    """The layers' tiles on one Tm x Tn when they share the buffers."""

    study: Study
    records: tuple[Any, ...]

    def rows(self, pair: Array, own: Array) -> Array | None:
        """Each layer's best tiles, or None if none fit. Those of the layers alone, if they fit together; else for each number of block RAMs that the
        outputs may take, the inputs get all the others."""
        from ridgeline.explore.uniform_kernel import CYCLES, INFINITE, WEIGHT

        tm, tn = map(int, pair)
        limit = self.study.budget.bram_18kb
        if self.bram_18kb(tm, tn, own) <= limit:
            return own
        bits, partial_bits = self.study.format.bits, ACCUMULATOR_BITS[self.study.format.name]
        weights = HALVES * tm * tn * bank_bram_18kb(bits, int(own[:, WEIGHT].max()))
        times = np.array([layer.times for layer in self.study.layers])
        best: Array | None = None
        for outputs in range((limit - weights) // (HALVES * tm) + 1):
            inputs = (limit - weights - HALVES * tm * outputs) // (HALVES * tn)
            rows = self._limited(tm, tn, bank_depth(bits, inputs), bank_depth(partial_bits, outputs))
            if rows[:, CYCLES].max() < INFINITE and (best is None or rows[:, CYCLES] @ times < best[:, CYCLES] @ times):
                best = rows
        return best

    def bram_18kb(self, tm: int, tn: int, rows: Array) -> int:
        return _engine(self.study.format, tm, tn, rows).bram_18kb

    def _limited(self, tm: int, tn: int, inputs: int, outputs: int) -> Array:
        from ridgeline.explore.uniform_kernel import COLUMNS, search_tiles

        layers, settings, points, masks, sizes = self.records
        rows = np.zeros((len(layers), COLUMNS))
        limits = np.array([self.study.budget.bram_18kb, inputs, outputs])
        for number, row in enumerate(rows):
            search_tiles(layers[number], settings, points, masks, sizes[number], limits, tm, tn, row)
        return rows


def _front(rated: Sequence[Rated]) -> tuple[Rated, ...]:
    """Marks those that no other one beats in time, lanes and bytes moved together."""

    def beaten(item: Rated) -> bool:
        mine = item.cycles, item.tm * item.tn, item.bytes
        others = ((other.cycles, other.tm * other.tn, other.bytes) for other in rated)
        return any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in others)

    return tuple(replace(item, pareto=not beaten(item)) for item in rated)


def _engine(format: Format, tm: int, tn: int, rows: Array) -> UniformEngine:
    from ridgeline.explore.uniform_kernel import INPUT, OUTPUT, WEIGHT

    depths = {f"{name}_depth": int(rows[:, column].max()) for name, column in (("input", INPUT), ("weight", WEIGHT), ("output", OUTPUT))}
    return UniformEngine(format=format, tm=tm, tn=tn, **depths)


def _design(study: Study, pair: Array, layers: Sequence[Layer], rows: Array) -> UniformDesign:
    """With the costs of `mapping.uniform`, which walks over the tiles."""
    from ridgeline.explore.uniform_kernel import ORDER, TC, TR

    tm, tn = map(int, pair)
    designs: list[LayerDesign] = []
    for layer, row in zip(layers, rows, strict=True):
        tile = tile_of(layer.nest, tm=tm, tn=tn, tr=int(row[TR]), tc=int(row[TC]), model=study.model)
        order = ORDERS[int(row[ORDER])]
        once = cost(layer.nest, tile, order, tn=tn, format=study.format, memory=study.budget.memory, model=study.model)
        designs.append(LayerDesign(layer=layer, tile=tile, order=order, cost=once * layer.times))
    return UniformDesign(engine=_engine(study.format, tm, tn, rows), clock_mhz=study.budget.clock_mhz, layers=tuple(designs))
