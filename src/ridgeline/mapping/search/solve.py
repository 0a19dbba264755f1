"""The exhaustive search: the best mapping of a nest on a chip, and the proof.

Partial mappings grow from the multipliers outwards, slot by slot. Of those with the same future only the unbeaten are kept (dominance), and those
whose lower bound is no better than the best mapping known are dropped (`kernel`). Where more are left than `width`, the least promising are set
aside, and the least worth that any of them could still have is remembered: if that is no better than what is found, the result is proven; else
the search is repeated with a greater width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from threading import Event, Lock
from time import perf_counter
from typing import Any, TypeAlias, TypeVar

import numpy as np

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.count import check_nest
from ridgeline.mapping.estimate import Estimate, estimate
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.mapping.search import kernel
from ridgeline.mapping.search.bounds import Least
from ridgeline.mapping.search.reason import why_none
from ridgeline.mapping.search.space import Space, SpaceName, keeps, least, least_anywhere, spaces, unrollings

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Item = TypeVar("Item")
Made = TypeVar("Made")
HURRIED_LOOK = 20  # states of a slot that go on at first where time is short
SHORT_S = 1.0  # time that is
WIDTHS = (200, 1_500, 12_000, 100_000)  # states of a slot that go on: a state takes 2 KB, and four times as many grow from them
HEAVY = 100_000  # the width from which one space is searched at a time, for memory
VARIED = WIDTHS[1]  # the width that is tried again, half of the states that go on being of different spatial factors
PARALLEL = 20_000  # states of a slot from which it is worth the threads
THREADS = 2
HURRIED = (1, 20)  # states that go on once the budget is spent: to end, or to find a first mapping
UNROLLED = 8_000  # choices of spatial factors that are begun at once
CHUNK = 1_000  # states that are grown at once: a budget is looked at in between
ROOM = 1_000  # states more than there are, at least, where states grow
SLACK = 1e-9  # of float sums, relative


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is minimised: kernel.ENERGY, CYCLES, PRODUCT, or SUM, energy + rate x cycles; among mappings within the caps."""

    kind: int
    rate: float = 0.0
    most_energy_pj: float = inf
    most_cycles: float = inf

    def worth(self, energy_pj: float, cycles: float) -> float:
        return float(kernel.worth(self.kind, self.rate, energy_pj, cycles))

    def record(self, most: float, *, canonical: bool = True) -> Any:
        values = (self.kind, self.rate, most, self.most_energy_pj * (1 + SLACK), self.most_cycles, canonical)
        return np.array([values], kernel.GOAL)[0]


LEAST_ENERGY, LEAST_CYCLES, LEAST_EDP = Goal(kind=kernel.ENERGY), Goal(kind=kernel.CYCLES), Goal(kind=kernel.PRODUCT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Partial mappings looked at one by one, and those dropped because their bound is too high, their tiles too large, or another does as well."""

    counted: int = 0
    bounded: int = 0
    large: int = 0
    merged: int = 0

    def __add__(self, other: Covered) -> Covered:
        return Covered(
            counted=self.counted + other.counted,
            bounded=self.bounded + other.bounded,
            large=self.large + other.large,
            merged=self.merged + other.merged,
        )

    @property
    def pruned(self) -> int:
        return self.bounded + self.large + self.merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """gap: how much less than `worth` the best of all could be, relative: 0 is optimal."""

    mapping: LoopMapping
    estimate: Estimate
    worth: float
    gap: float
    space: SpaceName
    covered: Covered
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """What several searches of one layer share: a space for each choice of kept tensors and splits of levels, and whether these are but a part of
    them; and the spatial factors, the same in all, with the fewest steps that each could take, which rise. `skipped` is the most multipliers that a
    choice of factors that was left out has in use, 0 if none was. `least` is what mappings take at least, by the levels that keep each tensor."""

    spaces: tuple[Space, ...]
    is_part: bool
    unrolled: Array
    steps: Array
    skipped: int
    least: Mapping[frozenset[tuple[str, str]], Least]


def prepare(nest: Nest, chip: Chip, space: SpaceName, conventions: Conventions, stop: float | None = None) -> Prepared:
    """Of a part of the spaces where a time of `perf_counter` comes first. Raises InputError or UnsupportedError for what the search does not cover,
    DoesNotFitError where the chip's unrolling does not suit the nest."""
    check_nest(nest)
    every, is_part = spaces(nest, chip, conventions, space, inf if stop is None else stop)
    unrolled, skipped = unrollings(every[0])
    sizes = np.array([nest.axes[axis] for axis in every[0].axes])
    steps = np.ceil(sizes / unrolled.prod(axis=1, dtype=np.int64)).prod(axis=1)
    order = np.argsort(steps, kind="stable")
    least_of = {space.kept: least(space) for space in every if space.is_even}
    return Prepared(spaces=every, is_part=is_part, unrolled=unrolled[order], steps=steps[order], skipped=skipped, least=least_of)


def best_mapping(
    nest: Nest, chip: Chip, goal: Goal, *, space: SpaceName = "full", conventions: Conventions | None = None, stop: float | None = None,
    known: Sequence[tuple[LoopMapping, Estimate]] = (), prepared: Prepared | None = None, stopped: Event | None = None,
) -> Found:  # fmt: skip
    """Of one layer. `stop` is a time of `perf_counter` at which the best so far is returned with its gap; `known` are mappings to start from;
    `prepared` is what `prepare` makes of the same arguments. Once `stopped` is set, KeyboardInterrupt is raised. Raises DoesNotFitError where no
    mapping fits the chip and the caps, and what `prepare` raises."""
    start = perf_counter()
    prepared = prepared or prepare(nest, chip, space, conventions or Conventions(), stop)
    run = _Run(goal=goal, stop=stop, prepared=prepared, stopped=stopped or Event())
    for pair in known:
        run.offer(*pair)
    run.search_all()
    if run.found is None and run.late:
        raise DoesNotFitError(f"no mapping of nest {dict(nest.axes)} on chip '{chip.name}' was found in time; raise --budget")
    if run.found is None:
        raise DoesNotFitError(_no_mapping(nest, chip, goal, prepared.spaces[0]))
    mapping, made = run.found
    exact = goal.worth(made.energy_pj, made.cycles)
    lowest = min(*run.set_aside.values(), run.inexact, run.left_out)
    gap = 0.0 if lowest >= exact * (1 - SLACK) else 1 - lowest / exact
    took = perf_counter() - start
    return Found(mapping=mapping, estimate=made, worth=exact, gap=gap, space=prepared.spaces[0].name, covered=run.covered, time_s=took)


def side_by_side(work: Callable[[Item], Made], items: Iterable[Item], stopped: Event) -> list[Made]:
    """In threads. The first that fails, and what ends this thread, Ctrl-C too, ends the others soon: they look at `stopped`."""
    with ThreadPoolExecutor(THREADS) as threads:
        futures = [threads.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stopped.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


# numpy moves a record field by field, and plain bytes at once.
RAW = np.dtype((np.void, kernel.STATE.itemsize))


def _joined(parts: Sequence[Array]) -> Array:
    """States one after the other."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part.view(RAW) for part in parts]).view(kernel.STATE) if parts else np.empty(0, kernel.STATE)


def _taken(pool: Array, places: Array) -> Array:
    return pool.view(RAW)[places].view(kernel.STATE)


def _roomy(pool: Array) -> Array:
    """The states with room behind them for as many again."""
    roomy = np.empty(2 * len(pool) + ROOM, kernel.STATE)
    roomy.view(RAW)[: len(pool)] = pool.view(RAW)
    return roomy


def _staying(pool: Array) -> Array:
    stays = pool["stays"] != 0
    return pool if stays.all() else _taken(pool, np.flatnonzero(stays))


def _with_small_tiles(ordered: Array, pool: Array, limit: int) -> Array:
    """Half of the places for the smallest tiles, which levels still to come have room for."""
    most = limit - limit // 2
    tiles = pool["current"][ordered[most:]].astype(np.float64).clip(min=1).prod(axis=1)
    return np.concatenate([ordered[:most], ordered[most:][np.argsort(tiles, kind="stable")]])


def _with_others(ordered: Array, unrolled: Array, limit: int) -> Array:
    """Half of the places for the best of each choice of spatial factors, then the second best of each, and so on: what an unrolling costs shows at
    different levels."""
    most = limit - limit // 2
    rows = np.ascontiguousarray(unrolled[ordered[most:]]).reshape(len(ordered) - most, -1)
    _, kinds = np.unique(rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).reshape(-1), return_inverse=True)
    together = np.argsort(kinds, kind="stable")
    starts = np.searchsorted(kinds[together], kinds[together])
    places = np.empty(len(rows), np.int64)
    places[together] = np.arange(len(rows)) - starts
    return np.concatenate([ordered[:most], ordered[most:][np.argsort(places, kind="stable")]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One axis of one order at a slot; `first` is the first boundary outside, and an axis that is needed has more than one trip. Among few
    states, one may be dropped for another that has been set aside: then all count, canonical or not."""

    slot: int
    axis: int
    order: int
    first: int
    needed: bool
    canonical: bool


_heavy = Lock()  # of this process: whoever searches with a great width


class _Run:
    """The state of one search: the best so far, and what has been set aside."""

    def __init__(self, goal: Goal, stop: float | None, prepared: Prepared, stopped: Event) -> None:
        self.goal = goal
        self.stopped = stopped
        self.prepared = prepared
        self.stop = stop
        self.most = inf
        self.varied = False  # whether half of the states that go on are of different spatial factors
        self.looks = 0  # 1 where the first found nothing, 2 after that
        self.found: tuple[LoopMapping, Estimate] | None = None
        self.floors = {space: prepared.least[space.kept].beyond(space.problem) for space in prepared.spaces}
        self.set_aside = {space: self._least(space) for space in prepared.spaces}  # of mappings not looked at, the least worth there can be
        self.promised: dict[Space, Array] = {}
        self.left_out = self._least_left_out()
        self.inexact = inf  # the least bound of a mapping that costs more than its bound
        self.covered = Covered()
        self._lock = Lock()  # spaces and orders are tried side by side

    @property
    def late(self) -> bool:
        """Time is up; but for a first mapping, the first looks take what they take."""
        return self.stop is not None and perf_counter() > self.stop and (self.found is not None or self.looks == 2)

    def search_all(self) -> None:
        """With growing widths, until every space is proven to hold nothing better; before the long looks, one of another kind. Spaces where the
        tensors of a level hold the tiles of different loops, which seldom hold better mappings, come a width later."""
        even = [space for space in self.prepared.spaces if space.is_even]
        others = [space for space in self.prepared.spaces if not space.is_even]
        hurried = self.stop is not None and self.stop - perf_counter() < SHORT_S
        widths = (HURRIED_LOOK, *WIDTHS) if hurried else WIDTHS
        for width, behind in zip(widths, (None, *widths), strict=False):
            for self.varied in (False, True) if width == VARIED else (False,):
                for space in even:
                    self._search_open(space, width)
            self.varied = False
            proven = all(self._is_proven(space) for space in even)
            if behind is not None and not proven:
                self._search_others(others, behind)
            if proven:
                for later in dict.fromkeys((widths[0], *widths[widths.index(width) :])):
                    self._search_others(others, later)
                break

    def _search_others(self, others: Sequence[Space], width: int) -> None:
        """Side by side."""
        side_by_side(partial(self._search_open, width=width), others, self.stopped)

    def _is_proven(self, space: Space) -> bool:
        return self.set_aside[space] >= self.most * (1 - SLACK)

    def _search_open(self, space: Space, width: int) -> None:
        """If it may hold something better, and there is time. What one look sets aside, another may find: the better of their bounds holds."""
        if not self._is_proven(space) and not (self.late and self.found is not None):
            before = self.set_aside[space]
            self.set_aside[space] = inf
            with _heavy if width >= HEAVY else nullcontext():
                self.search(space, width)
            if self.looks == 0 and self.found is None:
                self.looks = 1
                self.set_aside[space] = inf
                self.search(space, width)
            self.looks = 2
            self.set_aside[space] = max(before, self.set_aside[space])

    def _least(self, space: Space, steps: float = 0) -> float:
        """That no mapping of a space goes below, with so many steps at least."""
        energy, cycles = self.floors[space]
        return float(self._worth(energy, np.maximum(cycles, steps)).min())

    def _least_left_out(self) -> float:
        """Of spaces that are not searched, and of unrollings that are not begun."""
        every, first = self.prepared, self.prepared.spaces[0]
        if every.is_part:
            whole = len(every.least) == len(list(keeps(first.chip)))
            return min(float(self._worth(item.energy, item.cycles).min()) for item in (every.least.values() if whole else [least_anywhere(first)]))
        if every.skipped:
            return min(self._least(space, -(-first.nest.iterations // every.skipped)) for space in every.spaces)
        return inf

    def search(self, space: Space, width: int) -> None:
        """All mappings of one space."""
        pool, room = self._begin(space, width), np.zeros(1, kernel.ROOM)[0]
        for slot in range(len(space.slots)):
            if not len(pool):
                return
            spatial = space.slots[slot].array is not None
            pool = pool[: kernel.spread(space.problem, pool, slot)] if spatial else self._grow(space, pool, slot, width)
            for boundary in range(space.problem["boundaries"]):
                if space.problem["boundary_slot"][boundary] == slot:
                    pool = pool[: kernel.place(space.problem, pool, boundary, slot, space.order_axes(slot), room)]
        self._collect(space, pool[: kernel.finish(space.problem, pool)])

    def offer(self, mapping: LoopMapping, made: Estimate) -> bool:
        """Keeps a mapping if it is the best so far; of equal worth, the one of less energy, then of fewer cycles."""
        if made.energy_pj > self.goal.most_energy_pj * (1 + SLACK) or made.cycles > self.goal.most_cycles:
            return False
        exact = self.goal.worth(made.energy_pj, made.cycles)
        with self._lock:
            better = self.found is None or (exact, made.energy_pj, made.cycles) < (self.most, self.found[1].energy_pj, self.found[1].cycles)
            if better:
                self.most, self.found = exact, (mapping, made)
        return better

    def _add(self, covered: Covered) -> None:
        with self._lock:
            self.covered += covered

    def _begin(self, space: Space, width: int) -> Array:
        """The spatial factors that promise most."""
        promised = self._promised(space, width)
        ordered = np.argsort(promised, kind="stable")
        count = min(len(ordered), HURRIED[self.found is None] if self.late else width)
        if count < len(ordered):
            self._set_aside(space, float(promised[ordered[count]]))
        if len(promised) < len(self.prepared.unrolled):
            self._set_aside(space, self._least(space, self.prepared.steps[len(promised)]))
        pool = self._unrolled(space, self.prepared.unrolled[ordered[:count]])
        return _taken(pool, np.flatnonzero(self._values(pool) < self.most))

    def _promised(self, space: Space, width: int) -> Array:
        """The least worth that each choice of spatial factors could have (choices). Those of few steps come first; it ends where the others promise
        less than `width` of them, or than the best mapping."""
        every = self.prepared
        while len(known := self.promised.get(space, np.empty(0))) < len(every.unrolled):
            promise = self._least(space, every.steps[len(known)])
            if promise >= self.most or (len(known) >= width and promise >= np.partition(known, width - 1)[width - 1]):
                break
            pool = self._unrolled(space, every.unrolled[len(known) : len(known) + UNROLLED])
            values = np.where(self._is_capped(pool), inf, self._values(pool))
            self.promised[space] = np.concatenate([known, values])
            self._add(Covered(counted=len(pool), bounded=int((values >= self.most).sum())))
        return known

    def _unrolled(self, space: Space, factors: Array) -> Array:
        """States with those spatial factors, and no loop in time."""
        pool = np.zeros(len(factors), kernel.STATE)
        pool["factors"] = 1
        pool["factors"][:, space.spread_slots, : factors.shape[2]] = factors
        kernel.begin(space.problem, pool)
        return pool

    def _is_capped(self, pool: Array) -> Array:
        return (pool["least_energy"] > self.goal.most_energy_pj * (1 + SLACK)) | (pool["least_cycles"] > self.goal.most_cycles)

    def _set_aside(self, space: Space, least: float) -> None:
        with self._lock:
            self.set_aside[space] = min(self.set_aside[space], least)

    def _grow(self, space: Space, pool: Array, slot: int, width: int) -> Array:
        """Every order and every factor of the loops in time at a slot. What comes of one order is narrowed if it is much: all of them together
        would grow out of memory."""
        slots = space.problem["boundary_slot"][: space.problem["boundaries"]]
        first, canonical = int(np.searchsorted(slots, slot)), width > WIDTHS[0] or self.found is not None

        def grow(number: int) -> Array:
            step = _Step(slot=slot, axis=0, order=number, first=first, needed=False, canonical=canonical)
            grown = self._ordered(space, pool, step, width)
            return grown if len(grown) <= width else self._narrow(space, grown, slot, width)

        numbers = range(len(space.orders[slot]))
        few = len(pool) * len(numbers) < PARALLEL
        grown = list(map(grow, numbers)) if few else side_by_side(grow, numbers, self.stopped)
        return self._narrow(space, _joined(grown), slot, width)

    def _ordered(self, space: Space, pool: Array, start: _Step, width: int) -> Array:
        """Every factor of the loops of a slot, in one order."""
        order = space.orders[start.slot][start.order]
        pool, count = _roomy(pool), len(pool)
        pool["order"][:count, start.slot] = start.order
        for axis in order.axes:
            if space.modes[start.slot, axis] != kernel.NONE:
                pool, count = self._expand(space, (pool, count), replace(start, axis=axis, needed=axis in order.needed), width)
        return pool[:count]

    def _expand(self, space: Space, states: tuple[Array, int], step: _Step, width: int) -> tuple[Array, int]:
        """Adds loops over an axis to the first states of a pool, a piece of them at a time: what comes of those is narrowed before it grows out of
        memory. Returns the pool and how many states it has now."""
        (pool, end), at = states, 0
        made, mode, room = end, space.modes[step.slot, step.axis], np.zeros(1, kernel.ROOM)[0]
        while at < end:
            if self.stopped.is_set():
                raise KeyboardInterrupt
            goal = self.goal.record(self.most, canonical=step.canonical)
            stop = min(at + CHUNK, end)
            now, at, large, bounded, merged = kernel.expand(
                space.problem, pool, at, stop, made, step.slot, step.axis, mode, step.needed, step.first, goal, room
            )
            self._add(Covered(counted=now - made + bounded + merged, large=large, bounded=bounded, merged=merged))
            made = now
            if self.late or at + made - end > 4 * width:
                kept = self._narrow(space, _joined([_staying(pool[:at]), pool[end:made]]), step.slot, width, merged=False)
                ahead = self._narrow(space, pool[at:end], step.slot, HURRIED[1], merged=False) if self.late else pool[at:end]
                at, end, made = 0, len(ahead), len(ahead) + len(kept)
                pool = _roomy(_joined([ahead, kept]))
            elif at < stop:
                pool = _roomy(pool[:made])
        if not pool["stays"][:end].all():
            kept = _joined([_staying(pool[:end]), pool[end:made]])
            return _roomy(kept), len(kept)
        return pool, made

    def _narrow(self, space: Space, pool: Array, slot: int, width: int, *, merged: bool = True) -> Array:
        """Merges states with the same future; of more than `width`, sets the least promising aside."""
        if merged and len(pool) > 1:
            chosen = np.empty(len(pool), np.int64)
            made, bounded = kernel.merge(space.problem, pool, slot, self.goal.record(self.most), chosen)
            self._add(Covered(bounded=bounded, merged=len(pool) - made - bounded))
            pool = _taken(pool, chosen[:made])
        limit = min(width, HURRIED[self.found is None]) if self.late else width
        if len(pool) > limit:
            values = self._values(pool)
            ordered = np.argsort(values, kind="stable")
            if self.found is None and self.looks and limit > 1:
                ordered = _with_small_tiles(ordered, pool, limit)
            elif self.varied and limit > 1:
                ordered = _with_others(ordered, pool["factors"][:, space.spread_slots], limit)
            self._set_aside(space, float(values[ordered[limit:]].min()))
            pool = _taken(pool, ordered[:limit])
        return pool

    def _values(self, pool: Array) -> Array:
        return self._worth(pool["least_energy"], pool["least_cycles"])

    def _worth(self, energy: Array, cycles: Array) -> Array:
        return (energy, cycles, energy * cycles, energy + self.goal.rate * cycles)[self.goal.kind]

    def _collect(self, space: Space, pool: Array) -> None:
        """Costs the best ones exactly, until no other can be better."""
        values = self._values(pool)
        for place in np.lexsort((pool["least_cycles"], pool["least_energy"], values)):
            if values[place] >= self.most * (1 + SLACK):
                break
            mapping = space.mapping(pool["factors"][place], pool["order"][place])
            made = estimate(mapping, space.nest, space.chip, space.conventions)
            known = self.goal.worth(made.energy_pj, made.cycles) <= values[place] * (1 + 1e-6)
            if not known:
                self.inexact = min(self.inexact, float(values[place]))
            if not self.offer(mapping, made) and known:
                break


def _no_mapping(nest: Nest, chip: Chip, goal: Goal, space: Space) -> str:
    caps = [f"{goal.most_energy_pj:,.6g} pJ"] * (goal.most_energy_pj < inf) + [f"{goal.most_cycles:,.0f} cycles"] * (goal.most_cycles < inf)
    if caps:
        return f"no mapping of nest {dict(nest.axes)} on chip '{chip.name}' meets the caps of at most {' and '.join(caps)}"
    return why_none(nest, chip, space.conventions, split=space.name != "timeloop")
