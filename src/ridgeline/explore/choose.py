"""Choosing the engine and the tilings: the roofline method over the whole space.

As in FPGA'15 (10.1145/2684746.2689060), every design that fits is rated by what it attains, min(compute roof, intensity x bandwidth), here with
fills, drains and stalls in the cycles; among the fastest the one that needs the least bandwidth is taken. The best few are then lowered to
their real programs and predicted by `mapping.schedule`, which decides.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from ridgeline.algorithm.graph import Graph
from ridgeline.errors import DoesNotFitError, InputError, RidgelineError, UnsupportedError
from ridgeline.explore.space import BUFFERS, PINS, PLAIN, Limits, Space, Storages, is_narrow, with_buffers
from ridgeline.hardware.device import Device
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.resources import ResourceCount, resources
from ridgeline.hardware.engine.storage import INT8, NONE
from ridgeline.mapping.layer import Work
from ridgeline.mapping.lower import lower
from ridgeline.mapping.parts import works
from ridgeline.mapping.schedule import DramTiming, Prediction, predict
from ridgeline.mapping.tiling import Order, Tiling, clipped, default_tiling, legal

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Objective = Literal["latency", "throughput"]
TOLERANCE = 0.01  # designs this close to the fastest count as equally fast: half of the error that a prediction may have
CONFIRMED = 2  # frugal designs, and fast ones, and numbers of engines, whose real programs are predicted
_Array: TypeAlias = tuple[int, int, int, str, str]
RESOURCES = {"dsp": "dsp", "bram": "bram_18kb", "lut": "lut", "ff": "ff"}  # a resource's name, and its field
MOST_COPIES = 16  # engines, each with a port of its own to the memory
SAMPLES = 400  # points kept for a report


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """Points are (engine, layer, tiling). All legal points are covered: `pruned` of them are proven equal to an evaluated one, because a tiling's
    cost does not depend on the sizes of the buffers that it fits. Adds."""

    legal: int = 0
    evaluated: int = 0
    pruned: int = 0
    engines: int = 0  # that fit the device
    time_s: float = 0.0

    def __add__(self, other: Explored) -> Explored:
        return Explored(**{item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One engine with the best tiling of every layer."""

    cycles: float
    bytes_per_cycle: float
    parameters: Mapping[str, int]
    pareto: bool = False
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    engine: Engine
    copies: int  # of the engine, each at its own image
    tilings: Mapping[str, Tiling]
    cycles: int  # predicted, of one image on one engine
    prediction: Prediction
    resources: ResourceCount  # of one engine
    explored: Explored
    points: tuple[Point, ...] = field(default=())

    @property
    def pareto(self) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.pareto)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An engine and its cost in closed form."""

    engine: Engine
    cycles: float
    bytes: float
    need: ResourceCount

    @property
    def bytes_per_cycle(self) -> float:
        return self.bytes / self.cycles


Rated: TypeAlias = tuple[Candidate, tuple[dict[str, Tiling], Prediction]]


def choose(
    graph: Graph,
    device: Device,
    *,
    objective: Objective = "latency",
    pins: Mapping[str, int] | None = None,
    caps: Mapping[str, int] | None = None,
) -> Choice:
    """The best design for a quantised network: the one that ends an image first, or for "throughput" as many equal engines, each at its own
    image with its share of the resources and of the bandwidth, as end most images a second.

    Raises DoesNotFitError naming the resource that no engine stays within, InputError for an unknown pin, cap or objective.
    """
    started = time.perf_counter()
    searched = _searched(graph, spaces(device, objective, pins, caps, carried(graph)))
    explored = sum((found.explored for _, found in searched), Explored())
    return replace(
        fewest_copies([confirmed(graph, space, found) for space, found in promising(searched)]),
        explored=replace(explored, time_s=time.perf_counter() - started),
    )


def carried(graph: Graph) -> Storages:
    """The storages of engines that the network's weights can make use of, that of dense int8 first."""
    numbers = dict.fromkeys((INT8, *(node.weight_format for node in graph.nodes)))
    patterns = dict.fromkeys((NONE, *(node.sparsity for node in graph.nodes)))
    return tuple((number, pattern) for number in numbers for pattern in patterns)


def spaces(
    device: Device, objective: Objective, pins: Mapping[str, int] | None, caps: Mapping[str, int] | None, storages: Storages = PLAIN
) -> list[Space]:
    """Of one engine, or for "throughput" of every number of them. Raises InputError for an unknown pin, cap or objective."""
    if objective not in ("latency", "throughput"):
        raise InputError(f"objective '{objective}' is none of latency, throughput")
    unknown = sorted(set(pins or {}) - set(PINS))
    if unknown:
        raise InputError(f"pin '{unknown[0]}' is none of {', '.join(PINS)}")
    numbers = range(1, (MOST_COPIES if objective == "throughput" else 1) + 1)
    return [Space.of(device, caps=caps, pins=pins, copies=copies, storages=storages) for copies in numbers]


def fewest_copies(choices: Sequence[Choice]) -> Choice:
    """Of those that end most images a second, within the tolerance."""
    most = max(choice.copies / choice.cycles for choice in choices)
    equal = [choice for choice in choices if choice.copies / choice.cycles >= most / (1 + TOLERANCE)]
    return min(equal, key=lambda choice: choice.copies)


def _searched(graph: Graph, every: Iterable[Space]) -> list[tuple[Space, Search]]:
    """Until a share holds no engine: then no smaller one does. Raises DoesNotFitError if the first is such."""
    found: list[tuple[Space, Search]] = []
    for space in every:
        try:
            found.append((space, search(graph, space)))
        except DoesNotFitError:
            if not found:
                raise
            break
    return found


def promising(searched: Sequence[tuple[Space, Search]]) -> list[tuple[Space, Search]]:
    """The numbers of engines to confirm: those that end most images a second in closed form."""

    def pace(item: tuple[Space, Search]) -> float:
        space, found = item
        return space.copies / min(candidate.cycles for candidate in found.candidates)

    return sorted(searched, key=pace, reverse=True)[:CONFIRMED]


def confirmed(graph: Graph, space: Space, found: Search) -> Choice:
    """The engine that ends an image first within its share, by its real program."""
    return chosen(space, found, [rate(graph, space, item) for item in finalists(found.candidates)])


def rate(graph: Graph, space: Space, candidate: Candidate) -> Rated:
    return candidate, refine(graph, candidate.engine, space.dram, confirm(graph, candidate.engine, space.dram))


def chosen(space: Space, found: Search, rated: Sequence[Rated]) -> Choice:
    """The frugal one of those rated."""
    candidate, (tilings, prediction) = frugal(rated)
    return Choice(
        engine=candidate.engine,
        copies=space.copies,
        tilings=tilings,
        cycles=prediction.cycles,
        prediction=prediction,
        resources=candidate.need,
        explored=found.explored,
        points=_points(found.candidates, candidate),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Search:
    candidates: tuple[Candidate, ...]
    explored: Explored


def search(graph: Graph, space: Space) -> Search:
    """Every engine of the space that fits; the candidates are, for each choice of lanes, taps and bus, the front of cycles over block RAMs."""
    inside = inside_limits(space)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(Job.run, jobs(graph, inside, space)))
    found = merged(done)
    if not found.candidates:
        raise _no_tiling_fits(graph, inside, space)
    return found


def inside_limits(space: Space) -> list[tuple[Engine, ResourceCount]]:
    """Every choice of lanes, taps and bus that fits with the smallest buffers; narrow ones only where no other does."""
    corners = [(corner, resources(corner, space.device.family)) for corner in space.corners()]
    fitting = [(corner, need) for corner, need in corners if _within(need, space.limits)]
    if not fitting:
        raise _nothing_fits(corners, space)
    return [(corner, need) for corner, need in fitting if not is_narrow(corner)] or fitting


def merged(done: Sequence[Result]) -> Search:
    legal_points, evaluated = int(sum(result.legal for result in done)), sum(result.evaluated for result in done)
    explored = Explored(
        legal=legal_points,
        evaluated=evaluated,
        pruned=max(0, legal_points - evaluated),
        engines=sum(result.engines for result in done),
    )
    return Search(candidates=tuple(candidate for result in done for candidate in result.candidates), explored=explored)


def _within(need: ResourceCount, have: Limits) -> bool:
    return all(getattr(need, name) <= getattr(have, name) for name in RESOURCES.values())


def _nothing_fits(corners: Sequence[tuple[Engine, ResourceCount]], space: Space) -> DoesNotFitError:
    """Names the resource that even the smallest engine exceeds."""
    if not corners:
        return DoesNotFitError(
            f"no engine has {', '.join(f'{name} {value}' for name, value in space.pins.items())}: taps may not exceed lanes_in"
        )
    engine, need = min(corners, key=lambda item: (item[1].dsp, item[1].lut, item[1].bram_18kb))
    over = ((name, getattr(need, field_), getattr(space.limits, field_)) for name, field_ in RESOURCES.items())
    name, needed, have = next(item for item in over if item[1] > item[2])
    return DoesNotFitError(
        f"the smallest engine ({engine.lanes_out}x{engine.lanes_in} lanes, a bus of {engine.bus_bytes} bytes) needs {needed:,} {name} "
        f"but there are {have:,} on '{space.device.name}'; choose a larger device or looser pins and caps"
    )


def _no_tiling_fits(graph: Graph, corners: Sequence[tuple[Engine, ResourceCount]], space: Space) -> DoesNotFitError:
    """Names the layer and the buffer that is too small even when it is as large as it can be."""
    engine = min(corners, key=lambda item: (item[1].dsp, item[1].lut, item[1].bram_18kb))[0]
    largest = with_buffers(engine, tuple(axis[-1] for axis in space.sizes()))
    try:
        for node, made in works(graph, largest).items():
            for work in made:
                default_tiling(work, largest, f"node '{node}'")
    except DoesNotFitError as error:
        return error
    return DoesNotFitError(
        f"no engine on '{space.device.name}' has buffers for every layer at once within {space.limits.bram_18kb:,} block RAMs of 18 Kb; "
        "choose a larger device or looser pins and caps"
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    candidates: tuple[Candidate, ...]
    legal: float
    evaluated: int
    engines: int


def jobs(graph: Graph, inside: Sequence[tuple[Engine, ResourceCount]], space: Space) -> list[Job]:
    """One for each choice of lanes and bus; engines that differ in taps or storage share it, because most or many layers do not use them.

    An engine that cannot run every layer (a product of two tensors needs two taps) is left out. Raises what the last one lacks when none can.
    """
    counts: dict[_Array, dict[Work, int]] = {}
    refused: dict[_Array, RidgelineError] = {}
    for engine, _ in inside:
        key = _array(engine)
        if key not in counts and key not in refused:
            try:
                counts[key] = dict(Counter(work for made in works(graph, engine).values() for work in made))
            except (DoesNotFitError, UnsupportedError) as error:
                refused[key] = error
    if not counts:
        raise list(refused.values())[-1]
    groups: dict[tuple[int, int, int], list[tuple[Engine, ResourceCount]]] = {}
    for engine, need in inside:
        if _array(engine) not in counts:
            continue
        groups.setdefault((engine.lanes_out, engine.lanes_in, engine.bus_bytes), []).append((engine, need))
    return [Job.of(group, [counts[_array(engine)] for engine, _ in group], space) for group in groups.values()]


def _array(engine: Engine) -> _Array:
    """What a layer's works depend on."""
    return engine.lanes_out, engine.lanes_in, engine.taps, engine.weight_format, engine.sparsity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One choice of lanes and bus, with several numbers of taps and storages of weights."""

    corners: tuple[tuple[Engine, ResourceCount], ...]
    layers: Array
    members: Array  # (corners, layers): how often each occurs
    memory: Any
    space: Space

    @classmethod
    def of(cls, corners: Sequence[tuple[Engine, ResourceCount]], counts: Sequence[Mapping[Work, int]], space: Space) -> Job:
        from ridgeline.mapping.cost import layer_record, memory_record

        # Layers that do not use the taps have equal records for all of them.
        known: dict[tuple[Any, ...], int] = {}
        records: list[Any] = []
        members = np.zeros((len(corners), sum(map(len, counts))), np.int64)
        for i, (engine, _) in enumerate(corners):
            for work, count in counts[i].items():
                record = layer_record(work, engine)
                key = record[0].tobytes()
                if key not in known:
                    known[key] = len(records)
                    records.append(record)
                members[i, known[key]] += count
        return cls(
            corners=tuple(corners),
            layers=np.concatenate(records),
            members=members[:, : len(records)],
            memory=memory_record(space.dram, corners[0][0].bus_bytes)[0],
            space=space,
        )

    def run(self) -> Result:
        from ridgeline.explore import kernel

        sizes = self.space.sizes()
        total = np.zeros((len(self.corners), 3, *(len(axis) for axis in sizes)))
        low = np.array([axis[0] for axis in sizes])
        evaluated = kernel.search_layers(self.layers, self.members, self.memory, low, total)
        found: list[Candidate] = []
        engines, legal_points = 0, 0.0
        for corner, cells in zip(self.corners, total, strict=True):
            candidates, number, points = self._fitting(corner, cells, sizes)
            found.extend(candidates)
            engines, legal_points = engines + number, legal_points + points
        return Result(candidates=tuple(found), legal=legal_points, evaluated=int(evaluated), engines=engines)

    def _fitting(
        self, corner: tuple[Engine, ResourceCount], cells: Array, sizes: Sequence[Sequence[int]]
    ) -> tuple[tuple[Candidate, ...], int, float]:
        from ridgeline.explore import kernel

        have, need = self.space.limits, corner[1]
        front, cell_of = np.full((2, have.bram_18kb + 1), kernel.INFINITE), np.full(have.bram_18kb + 1, -1)
        base = np.array([need.bram_18kb, need.lut, need.ff])
        bounds = np.array([have.bram_18kb, have.lut, have.ff])
        engines, legal_points = kernel.fitting(cells, self._axes(corner, sizes), base, bounds, front, cell_of)
        return self._candidates(corner[0], front, cell_of, sizes), int(engines), float(legal_points)

    def _axes(self, corner: tuple[Engine, ResourceCount], sizes: Sequence[Sequence[int]]) -> Array:
        """What each size of each buffer adds to the smallest one: (resource, buffer, size)."""
        engine, need = corner
        axes = np.zeros((3, len(BUFFERS), max(map(len, sizes))), np.int64)
        for buffer, name in enumerate(BUFFERS):
            for number, size in enumerate(sizes[buffer]):
                grown = resources(replace(engine, **{name: size}), self.space.device.family)
                axes[:, buffer, number] = (
                    grown.bram_18kb - need.bram_18kb, grown.lut - need.lut, grown.ff - need.ff,
                )  # fmt: skip
        return axes

    def _candidates(self, corner: Engine, front: Array, cell_of: Array, sizes: Sequence[Sequence[int]]) -> tuple[Candidate, ...]:
        """The engines that no other one with fewer block RAMs beats."""
        found: list[Candidate] = []
        least = (np.inf, np.inf)
        for ram in np.flatnonzero(cell_of >= 0).tolist():
            cost = float(front[0, ram]), float(front[1, ram])
            if cost < least:
                least = cost
                cell = np.unravel_index(int(cell_of[ram]), tuple(map(len, sizes)))
                engine = with_buffers(corner, tuple(axis[int(i)] for axis, i in zip(sizes, cell, strict=True)))
                found.append(Candidate(engine=engine, cycles=cost[0], bytes=cost[1], need=resources(engine, self.space.device.family)))
        return tuple(found)


def finalists(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The designs to confirm: of those that count as equally fast the frugal ones, and the fastest, of different arrays and buses each."""
    fastest = min(candidate.cycles for candidate in candidates)
    equal = [candidate for candidate in candidates if candidate.cycles <= fastest * (1 + TOLERANCE)]
    frugal = sorted(equal, key=lambda item: (*cost(item), item.cycles))
    fast = sorted(candidates, key=lambda item: (item.cycles, item.bytes, item.need.bram_18kb))
    return tuple({candidate.engine: candidate for candidate in (*_different(frugal), *_different(fast))}.values())


def _different(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first of each kind of array and bus."""
    first: dict[tuple[int | str, ...], Candidate] = {}
    for candidate in candidates:
        engine = candidate.engine
        first.setdefault((engine.lanes_out, engine.lanes_in, engine.bus_bytes, engine.weight_format, engine.sparsity), candidate)
    return list(first.values())[:CONFIRMED]


def frugal(rated: Sequence[Rated]) -> Rated:
    """Of those whose programs are equally fast, the one that needs the least bandwidth, then the fewest resources."""
    fastest = min(prediction.cycles for _, (_, prediction) in rated)
    equal = [item for item in rated if item[1][1].cycles <= fastest * (1 + TOLERANCE)]
    return min(equal, key=lambda item: (*cost(item[0]), item[1][1].cycles))


def cost(candidate: Candidate) -> tuple[float, ...]:
    need = candidate.need
    return round(candidate.bytes_per_cycle, 3), need.dsp, need.bram_18kb, need.lut


def confirm(graph: Graph, engine: Engine, dram: DramTiming) -> tuple[dict[str, Tiling], Prediction]:
    """The cheapest tilings in closed form, and what the schedule says of their real program."""
    tilings = best_tilings(graph, engine, dram)
    return tilings, predict(lower(graph, engine, tilings, pack=False), dram)


def refine(
    graph: Graph, engine: Engine, dram: DramTiming, found: tuple[dict[str, Tiling], Prediction]
) -> tuple[dict[str, Tiling], Prediction]:
    """Gives every layer that the schedule finds slower than with `default_tiling` that one, if the whole program gains by it."""
    tilings, prediction = found
    plain = predict(lower(graph, engine, pack=False), dram)
    pairs = zip(prediction.layers, plain.layers, strict=True)
    kept = {layer.node: tilings[layer.node] for layer, other in pairs if layer.node in tilings and layer.cycles <= other.cycles}
    if not kept or kept == tilings:
        return min((found, ({}, plain)), key=lambda item: item[1].cycles)
    mixed = predict(lower(graph, engine, kept, pack=False), dram)
    return min(((tilings, prediction), (kept, mixed), ({}, plain)), key=lambda item: item[1].cycles)


def best_tilings(graph: Graph, engine: Engine, dram: DramTiming) -> dict[str, Tiling]:
    """The cheapest tiling of every node on one engine, in closed form. A node of several parts takes that of its largest; a node for which
    the closed form finds none is left to `default_tiling`."""
    found: dict[Work, Tiling | None] = {}
    tilings: dict[str, Tiling] = {}
    for node, made in works(graph, engine).items():
        work = max(made, key=lambda item: item.pixels * item.runs * item.blocks)
        if work not in found:
            found[work] = best_tiling(work, engine, dram)
        tiling = found[work]
        if tiling is not None and all(legal(tiling, part, engine) for part in made):
            tilings[node] = tiling
    return tilings


def best_tiling(work: Work, engine: Engine, dram: DramTiming) -> Tiling | None:
    """The cheapest tiling of one layer on one engine, or None when none fits twice over."""
    from ridgeline.explore import kernel
    from ridgeline.mapping.cost import layer_record, memory_record

    cells = np.full((3, 1, 1, 1, 1), kernel.INFINITE)
    choice = np.zeros((1, 1, 1, 1, kernel.CHOICE), np.int64)
    exact = np.array([getattr(engine, name) for name in BUFFERS])
    kernel.search_layer(layer_record(work, engine)[0], memory_record(dram, engine.bus_bytes)[0], exact, cells, choice)
    if cells[0, 0, 0, 0, 0] >= kernel.INFINITE:
        return None
    y, x, blocks, piece, order, rows, columns, _ = choice[0, 0, 0, 0].tolist()
    tiling = Tiling(y=y, x=x, m=blocks * engine.lanes_out, c=piece, order=Order(order), group_y=rows, group_x=columns)
    return clipped(tiling, work, engine)


def _points(candidates: Sequence[Candidate], chosen: Candidate) -> tuple[Point, ...]:
    """The Pareto set over cycles, multipliers and block RAMs, the choice, and an even sample of the rest."""
    front = pareto(candidates)
    ordered = sorted(candidates, key=lambda item: (item.cycles, item.need.dsp, item.need.bram_18kb, item.bytes))
    step = max(1, len(ordered) // SAMPLES)
    shown = {id(item) for item in (*front, *ordered[::step], chosen)}
    best = {id(item) for item in front}
    return tuple(
        Point(
            cycles=item.cycles,
            bytes_per_cycle=item.bytes_per_cycle,
            parameters=_parameters(item),
            pareto=id(item) in best,
            chosen=item is chosen,
        )
        for item in ordered
        if id(item) in shown
    )


def pareto(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those that no other one equals or beats in cycles, multipliers and block RAMs together (of equals the first)."""
    ordered = sorted(candidates, key=lambda item: (item.cycles, item.need.dsp, item.need.bram_18kb, item.bytes))
    front: list[Candidate] = []
    steps: list[tuple[int, int]] = []  # (multipliers, block RAMs) of the front, none dominated by another
    for item in ordered:
        if any(dsp <= item.need.dsp and ram <= item.need.bram_18kb for dsp, ram in steps):
            continue
        front.append(item)
        steps = [(dsp, ram) for dsp, ram in steps if dsp < item.need.dsp or ram < item.need.bram_18kb]
        steps.append((item.need.dsp, item.need.bram_18kb))
    return tuple(front)


def _parameters(item: Candidate) -> dict[str, int]:
    return {
        **{name: getattr(item.engine, name) for name in PINS},
        "dsp": item.need.dsp,
        "bram": item.need.bram_18kb,
        "lut": item.need.lut,
        "ff": item.need.ff,
    }
