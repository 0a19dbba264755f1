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
from dataclasses import dataclass, field
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
from ridgeline.mapping.search import kernel, records
from ridgeline.mapping.search.bounds import Least
from ridgeline.mapping.search.reason import why_none
from ridgeline.mapping.search.space import Space, SpaceName, keeps, least, least_anywhere, spaces, unrollings

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Item = TypeVar("Item")
Made = TypeVar("Made")
HURRIED_LOOK = 20  # states of a slot that go on at first where time is short
SHORT_S = 1.0  # time that is
WIDTHS = (200, 1_500, 12_000, 100_000)  # states of a slot that go on: a state takes 1 or 2 KB, and four times as many grow from them
HEAVY = 100_000  # the width from which one space is searched at a time, for memory
VARIED = WIDTHS[1]  # the width up to which each is tried again, half of the states that go on being of different spatial factors
PARALLEL = 1_000  # states of a slot from which it is worth the threads
THREADS = 2
HURRIED = (1, 20)  # states that go on once the budget is spent: to end, or to find a first mapping
UNROLLED = 8_000  # choices of spatial factors that are begun at once
PIECE = 10_000  # states that are looked at at once: a budget is looked at in between
KEPT_BUFFERS = 4
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

    def record(self, most: float, *, canonical: bool = True) -> Array:
        """One, of records.GOAL."""
        values = (self.kind, self.rate, most, self.most_energy_pj * (1 + SLACK), self.most_cycles, canonical)
        return np.array([values], records.GOAL)


class NotInTimeError(DoesNotFitError):
    """No mapping was found before time was up; there may be one."""


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


@dataclass(slots=True)
class Buffers:
    """Room for states that several searches use again: to be given new memory takes longer than what is done with it."""

    free: list[Array] = field(default_factory=list[Array])
    lock: Lock = field(default_factory=Lock)

    def take(self, state: np.dtype[Any], size: int) -> Array:
        """The smallest that is large enough; else a new one, the next power of two of states."""
        with self.lock:
            fitting = [place for place, buffer in enumerate(self.free) if buffer.dtype == state and len(buffer) >= size]
            if fitting:
                return self.free.pop(min(fitting, key=lambda place: len(self.free[place])))
        return np.empty(1 << (size - 1).bit_length(), state)

    def give(self, buffer: Array) -> None:
        with self.lock:
            self.free.append(buffer)
            if len(self.free) > KEPT_BUFFERS:
                self.free.pop(min(range(len(self.free)), key=lambda place: self.free[place].nbytes))


def best_mapping(
    nest: Nest, chip: Chip, goal: Goal, *, space: SpaceName = "full", conventions: Conventions | None = None, stop: float | None = None,
    known: Sequence[tuple[LoopMapping, Estimate]] = (), prepared: Prepared | None = None, stopped: Event | None = None,
    buffers: Buffers | None = None,
) -> Found:  # fmt: skip
    """Of one layer. `stop` is a time of `perf_counter` at which the best so far is returned with its gap; `known` are mappings to start from;
    `prepared` is what `prepare` makes of the same arguments; `buffers` are those of other searches, too. Once `stopped` is set, KeyboardInterrupt is
    raised. Raises DoesNotFitError where no mapping fits the chip and the caps, NotInTimeError where none was found before `stop`, and what `prepare`
    raises."""
    start = perf_counter()
    prepared = prepared or prepare(nest, chip, space, conventions or Conventions(), stop)
    run = _Run(goal=goal, stop=stop, prepared=prepared, stopped=stopped or Event(), buffers=buffers or Buffers())
    for pair in known:
        run.offer(*pair)
    run.search_all()
    if run.found is None and run.late:
        raise NotInTimeError(f"no mapping of nest {dict(nest.axes)} on chip '{chip.name}' was found in time; raise --budget")
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


def _raw(pool: Array) -> Array:
    """States as plain bytes, which numpy moves at once, and records field by field."""
    return pool.view(np.dtype((np.void, pool.dtype.itemsize)))


def _taken(pool: Array, places: Array) -> Array:
    return _raw(pool)[places].view(pool.dtype)


def _enlarged(pool: Array) -> Array:
    larger = np.empty(2 * len(pool), pool.dtype)
    _raw(larger)[: len(pool)] = _raw(pool)
    return larger


def _with_small_tiles(current: Array, most: int) -> Array:
    """Behind so many, those of the smallest tiles first, which levels still to come have room for: the order of places."""
    tiles = current[most:].astype(np.float64).clip(min=1).prod(axis=1)
    return np.concatenate([np.arange(most), most + np.argsort(tiles, kind="stable")])


def _with_others(unrollings: Array, most: int) -> Array:
    """Behind so many, the best of each choice of spatial factors, then the second best of each, and so on: what an unrolling costs shows at different
    levels."""
    kinds = unrollings[most:]
    together = np.argsort(kinds, kind="stable")
    starts = np.searchsorted(kinds[together], kinds[together])
    places = np.empty(len(kinds), np.int64)
    places[together] = np.arange(len(kinds)) - starts
    return np.concatenate([np.arange(most), most + np.argsort(places, kind="stable")])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """The loops of a slot; `first` is the first boundary outside. Among few states, one may be dropped for another that has been set aside: then all
    count, canonical or not."""

    space: Space
    slot: int
    first: int
    width: int
    canonical: bool


@dataclass(slots=True)
class _Busy:
    """How many spaces this process searches at the moment."""

    count: int = 0
    lock: Lock = field(default_factory=Lock)

    def __enter__(self) -> None:
        with self.lock:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.count -= 1


_busy = _Busy()
_heavy = Lock()  # of this process: whoever searches with a great width


class _Run:
    """The state of one search: the best so far, and what has been set aside."""

    def __init__(self, goal: Goal, stop: float | None, prepared: Prepared, stopped: Event, buffers: Buffers) -> None:
        self.goal = goal
        self.buffers = buffers
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
        """With growing widths, until every space is proven to hold nothing better; the short looks twice, each kind finding what the other does not.
        Spaces where the tensors of a level hold the tiles of different loops, which seldom hold better mappings, come a width later."""
        even = [space for space in self.prepared.spaces if space.is_even]
        others = [space for space in self.prepared.spaces if not space.is_even]
        hurried = self.stop is not None and self.stop - perf_counter() < SHORT_S
        widths = (HURRIED_LOOK, *WIDTHS) if hurried else WIDTHS
        for width, behind in zip(widths, (None, *widths), strict=False):
            for self.varied in (False, True) if width <= VARIED else (False,):
                for space in even:
                    self._search_open(space, width)
            self.varied = False
            proven = all(self._is_proven(space) for space in even)
            if behind is not None and not proven:
                self._search_others(others, behind)
            if proven:
                for later in dict.fromkeys((widths[0], *widths[widths.index(width) :])):
                    self._search_others(others, later)
                return
        self._search_others(others, widths[-1])

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
            with _heavy if width >= HEAVY else nullcontext(), _busy:
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
        pool, room = self._begin(space, width), np.zeros(1, records.ROOM)
        for slot in range(len(space.slots)):
            if not len(pool):
                return
            spatial = space.slots[slot].array is not None
            pool = pool[: kernel.spread(space.problems, pool, slot)] if spatial else self._grow(space, pool, slot, width)
            for boundary in range(space.problem["boundaries"]):
                if space.problem["boundary_slot"][boundary] == slot:
                    pool = pool[: kernel.place(space.problems, pool, boundary, slot, space.ordered(slot)[0], room)]
        self._collect(space, pool[: kernel.finish(space.problems, pool, room)])

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
        chosen = ordered[:count][promised[ordered[:count]] < self.most]
        pool, slots = np.empty(len(chosen), space.state), np.array(space.spread_slots, np.int64)
        kernel.begin(space.problems, pool, chosen, self.prepared.unrolled, slots, np.zeros(1, records.ROOM))
        return pool

    def _promised(self, space: Space, width: int) -> Array:
        """The least worth that each choice of spatial factors could have (choices). Those of few steps come first; it ends where the others promise
        less than `width` of them, or than the best mapping."""
        every = self.prepared
        while len(known := self.promised.get(space, np.empty(0))) < len(every.unrolled):
            promise = self._least(space, every.steps[len(known)])
            if promise >= self.most or (len(known) >= width and promise >= np.partition(known, width - 1)[width - 1]):
                break
            factors = every.unrolled[len(known) : len(known) + UNROLLED]
            energy, cycles, slots = np.empty(len(factors)), np.empty(len(factors)), np.array(space.spread_slots, np.int64)
            kernel.promise(space.problems, np.empty(1, space.state), factors, slots, np.zeros(1, records.ROOM), energy, cycles)
            capped = (energy > self.goal.most_energy_pj * (1 + SLACK)) | (cycles > self.goal.most_cycles)
            values = np.where(capped, inf, self._worth(energy, cycles))
            self.promised[space] = np.concatenate([known, values])
            self._add(Covered(counted=len(values), bounded=int((values >= self.most).sum())))
        return known

    def _set_aside(self, space: Space, least: float) -> None:
        with self._lock:
            self.set_aside[space] = min(self.set_aside[space], least)

    def _grow(self, space: Space, pool: Array, slot: int, width: int) -> Array:
        """Every order and every factor of the loops in time at a slot."""
        slots = space.problem["boundary_slot"][: space.problem["boundaries"]]
        canonical = width > WIDTHS[0] or self.found is not None
        step = _Step(space=space, slot=slot, first=int(np.searchsorted(slots, slot)), width=width, canonical=canonical)
        if _busy.count >= THREADS or len(pool) * len(space.orders[slot]) < PARALLEL:
            return self._walk(step, pool, (0, 1))
        parts = side_by_side(lambda first: self._walk(step, pool, (first, THREADS)), range(THREADS), self.stopped)
        grown = np.concatenate([_raw(part) for part in parts]).view(pool.dtype)
        return _taken(grown, self._narrowed(step, grown))

    def _walk(self, step: _Step, pool: Array, turns: tuple[int, int]) -> Array:
        """What comes of the states of a pool in the orders whose turn it is, the first and one in so many from there. A piece of them at a time, and
        narrowed whenever it is much: all together would grow out of memory."""
        orders, needed = step.space.ordered(step.slot)
        problems, modes, rooms = step.space.problems, step.space.modes[step.slot], np.zeros(1, records.ROOM)
        cursors, scratch = np.zeros(1, records.CURSOR), np.empty(1, pool.dtype)
        cursor = cursors[0]
        cursor["order"], cursor["step"], cursor["place"] = *turns, -1
        buffer, stop = self.buffers.take(pool.dtype, 8 * step.width + 2 * len(pool) + ROOM), kernel.PAUSED
        while stop != kernel.DONE:
            if self.stopped.is_set():
                raise KeyboardInterrupt
            goals = self.goal.record(self.most, canonical=step.canonical)
            stop = kernel.grow(
                problems, pool, buffer, scratch, orders, needed, modes, step.slot, step.first, goals, rooms, cursors, step.width, PIECE
            )
            self._count(cursor)
            if stop == kernel.FULL:
                buffer = _enlarged(buffer)
            elif stop == kernel.MANY_IN_ALL:
                kept = self._narrowed(step, buffer[: cursor["made"]])
                _raw(buffer)[: len(kept)] = _raw(buffer)[kept]
                cursor["base"] = cursor["at"] = cursor["end"] = cursor["made"] = len(kept)
            elif stop == kernel.MANY or self.late:
                self._trim(step, buffer, cursors)
        grown = _taken(buffer, self._narrowed(step, buffer[: cursor["made"]]))
        self.buffers.give(buffer)
        return grown

    def _count(self, cursor: Any) -> None:
        """Adds what a cursor has counted."""
        self._add(Covered(**{name: int(cursor[name]) for name in ("counted", "large", "bounded", "merged")}))
        cursor["counted"] = cursor["large"] = cursor["bounded"] = cursor["merged"] = 0

    def _trim(self, step: _Step, buffer: Array, cursors: Array) -> None:
        """Of the states that are done with an axis, sets the least promising aside; once time is up, of those that wait for it too."""
        base, at, end, made = (int(cursors[name][0]) for name in ("base", "at", "end", "made"))
        done = np.concatenate([np.arange(base, at), np.arange(end, made)])
        kept = self._promising(step, buffer, done[buffer["stays"][done] != 0], step.width)
        ahead = np.arange(at, end)
        if self.late:
            ahead = self._promising(step, buffer, ahead, HURRIED[1])
        buffer["stays"][base:made] = 0
        buffer["stays"][kept] = 1
        buffer["stays"][ahead] = 1
        cursors["leaving"] = made - base - len(kept) - len(ahead)
        kernel.compact(buffer, cursors)

    def _narrowed(self, step: _Step, pool: Array) -> Array:
        """The places of those that go on. Merges states with the same future; of more than the width, sets the least promising aside."""
        chosen = np.empty(len(pool), np.int64)
        made, bounded = kernel.merge(step.space.problems, pool, step.slot, self.goal.record(self.most), chosen)
        self._add(Covered(bounded=bounded, merged=len(pool) - made - bounded))
        return self._promising(step, pool, chosen[:made], step.width)

    def _promising(self, step: _Step, pool: Array, places: Array, width: int) -> Array:
        """Of the states at some places the best ones, if there are more: the others are set aside."""
        limit = min(width, HURRIED[self.found is None]) if self.late else width
        if len(places) <= limit:
            return places
        values = self._worth(pool["least_energy"][places], pool["least_cycles"][places])
        ordered = np.argsort(values, kind="stable")
        places, values = places[ordered], values[ordered]
        most = limit - limit // 2  # the other half of the places may be for others than the best
        if self.found is None and self.looks and limit > 1:
            ordered = _with_small_tiles(pool["current"][places], most)
        elif self.varied and limit > 1:
            ordered = _with_others(pool["unrolling"][places], most)
        else:
            ordered = np.arange(len(places))
        self._set_aside(step.space, float(values[ordered[limit:]].min()))
        return places[ordered[:limit]]

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
