"""A network's layers while they are searched: equal ones once, the time shared out, and all that was found of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from threading import Event, Lock
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.hardware.chip import Chip, read_chip
from ridgeline.mapping.estimate import Estimate
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.mapping.search import kernel, records
from ridgeline.mapping.search.solve import (
    LEAST_CYCLES,
    LEAST_EDP,
    LEAST_ENERGY,
    Buffers,
    Covered,
    Found,
    Goal,
    Prepared,
    best_mapping,
    prepare,
    side_by_side,
)
from ridgeline.mapping.search.space import SpaceName

SMALL_SHARE = 0.1  # of the mean: the least of the time that a layer gets
PREPARED_SHARE = 0.4  # of a budget, after which a layer gets no more than its first space
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Progress: TypeAlias = Callable[[int, int], None]
Point: TypeAlias = tuple[float, float]  # energy, cycles


@cache
def compile_search() -> None:
    """Has numba compile the kernel, once on a machine, or load it: before anybody's time is counted."""
    nest = parse("c (y+r), m c r -> m y", axes={"m": 2, "c": 2, "y": 2, "r": 2}, multiplies=True)
    best_mapping(nest, read_chip("tpu-like"), LEAST_EDP)
    kernel.compact(np.zeros(1, records.STATES[0]), np.zeros(1, records.CURSOR))


@dataclass(slots=True, kw_only=True)
class Study:
    """Each nest that occurs, once, with all mappings found for it so far."""

    chip: Chip
    space: SpaceName
    conventions: Conventions
    start: float
    stop: float | None
    nests: Sequence[Nest]
    times: Sequence[int]
    progress: Progress
    prepared: dict[int, Prepared] = field(default_factory=dict[int, Prepared])
    known: list[list[tuple[LoopMapping, Estimate]]] = field(default_factory=list[list[tuple[LoopMapping, Estimate]]])
    covered: Covered = field(default_factory=Covered)
    stopped: Event = field(default_factory=Event)
    buffers: Buffers = field(default_factory=Buffers)
    lock: Lock = field(default_factory=Lock)
    solved: set[Goal] = field(default_factory=set[Goal])  # goals that were those of all nests
    least: list[Point] = field(init=False)  # energy and cycles that no mapping of a nest goes below

    def __post_init__(self) -> None:
        self.least = [(0.0, nest.iterations / self.chip.macs) for nest in self.nests]

    def solve(self, goals: Sequence[Goal], *, share: float = 1.0) -> list[Found]:
        """A goal for each nest, done when so much of the budget is spent: those that promise most come last, and get most of the time."""
        done = 0
        end = None if self.stop is None else self.start + share * (self.stop - self.start)
        promises = [self._promise(number, goal) for number, goal in enumerate(goals)]
        shares = np.maximum(promises, SMALL_SHARE * np.mean(promises)) if any(promises) else np.ones(len(goals))
        order = np.argsort(shares, kind="stable").tolist() if self.stop is not None else range(len(goals))
        parts = dict(zip(order, _parts(shares[order]), strict=True))

        def one(number: int) -> Found:
            nonlocal done
            stop = None
            if end is not None:
                now = perf_counter()
                stop = now + max(0.0, end - now) * parts[number]
            found = self.search(number, goals[number], stop)
            done += 1
            self.progress(done, len(self.nests))
            return found

        each = dict(zip(order, side_by_side(one, order, self.stopped), strict=True))
        if len(set(goals)) == 1:
            self.solved.add(goals[0])
        return [each[number] for number in range(len(goals))]

    def search(self, number: int, goal: Goal, stop: float | None) -> Found:
        """Of one nest, which no other thread searches at the same time. Raises what `best_mapping` raises."""
        if number not in self.prepared:
            latest = None if self.stop is None else self.start + PREPARED_SHARE * (self.stop - self.start)
            self.prepared[number] = prepare(self.nests[number], self.chip, self.space, self.conventions, latest)
        found = best_mapping(
            self.nests[number], self.chip, goal, stop=stop, known=self.known[number], prepared=self.prepared[number], stopped=self.stopped,
            buffers=self.buffers,
        )  # fmt: skip
        self.known[number].append((found.mapping, found.estimate))
        energy, cycles = self.least[number]
        bound = found.worth * (1 - found.gap)
        if goal == LEAST_ENERGY:
            self.least[number] = max(energy, bound), cycles
        elif goal == LEAST_CYCLES:
            self.least[number] = energy, max(cycles, bound)
        with self.lock:
            self.covered += found.covered
        return found

    def _promise(self, number: int, goal: Goal) -> float:
        """How much the best mapping known of a nest could still gain, all times that it occurs; 0 where none is known."""
        worths = [goal.worth(made.energy_pj, made.cycles) for _, made in self.known[number]]
        return self.times[number] * max(0.0, min(worths) - goal.worth(*self.least[number])) if worths else 0.0

    def totals(self, found: Sequence[Found]) -> Point:
        return (
            sum(item.estimate.energy_pj * times for item, times in zip(found, self.times, strict=True)),
            sum(item.estimate.cycles * times for item, times in zip(found, self.times, strict=True)),
        )

    def bound(self, found: Sequence[Found]) -> float:
        """The least sum of worths."""
        return sum(item.worth * (1 - item.gap) * times for item, times in zip(found, self.times, strict=True))

    @property
    def spent(self) -> float:
        """The part of the budget."""
        return 0.0 if self.stop is None else (perf_counter() - self.start) / (self.stop - self.start)

    @property
    def late(self) -> bool:
        return self.stop is not None and perf_counter() > self.stop


def _parts(shares: Array) -> Array:
    """Of the time that is left when each begins, the part that it may take: two at a time."""
    left = np.cumsum(shares[::-1])[::-1] + np.concatenate([[0.0], shares[:-1]])
    return np.minimum(1.0, 2 * shares / left)
