"""The best mappings of several layers together.

A network's energy and cycles are sums over its layers, and what is minimised, (sum of energies)^a x (sum of cycles)^b, is least at a corner of the
lower hull of all pairs of sums: so at a choice in which every layer minimises energy + rate x cycles, for one rate. Each rate that is tried gives a
line below which no choice lies, and a choice. The best point that all lines leave possible is the bound; the rate of the objective's slope there is
tried next, until the bound is met (outer approximation of a quasi-concave objective).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from threading import Event
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import InputError
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.estimate import Estimate
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.mapping.search import kernel
from ridgeline.mapping.search.solve import (
    LEAST_CYCLES,
    LEAST_EDP,
    LEAST_ENERGY,
    Covered,
    Found,
    Goal,
    Prepared,
    best_mapping,
    prepare,
    side_by_side,
)
from ridgeline.mapping.search.space import SpaceName

NAMES = {"energy": (1, 0), "latency": (0, 1), "edp": (1, 1), "ed2p": (1, 2)}
MOST_POWER = 9
MOST_RATES = 60
TOLERANCE = 1e-9
FIRST_SHARES = (0.15, 0.3)  # of a budget by which least energy and least cycles are left, the ends of the hull
SMALL_SHARE = 0.1  # of the mean: the least of the time that a layer gets
PREPARED_SHARE = 0.4  # of a budget, after which a layer gets no more than its first space
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Progress: TypeAlias = Callable[[int, int], None]
Point: TypeAlias = tuple[float, float]  # energy, cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """energy^energy_power x cycles^cycles_power."""

    energy_power: int
    cycles_power: int

    def worth(self, energy_pj: float, cycles: float) -> float:
        return energy_pj**self.energy_power * cycles**self.cycles_power


def read_objective(text: str) -> Objective:
    """`energy`, `latency`, `edp`, `ed2p`, or a product such as energy^2*latency. Raises InputError."""
    if text in NAMES:
        return Objective(energy_power=NAMES[text][0], cycles_power=NAMES[text][1])
    powers = {"energy": 0, "latency": 0}
    for part in text.split("*"):
        name, mark, power = part.partition("^")
        power = power if mark else "1"
        if name not in powers or powers[name] or not power.isdigit() or not 1 <= int(power) <= MOST_POWER:
            raise InputError(f"objective '{text}': give {', '.join(NAMES)}, or a product such as energy^2*latency with powers up to {MOST_POWER}")
        powers[name] = int(power)
    return Objective(energy_power=powers["energy"], cycles_power=powers["latency"])


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFound:
    """`layers` holds one result for each nest that was given. gap: how much less than its worth the whole could be, relative."""

    layers: tuple[Found, ...]
    energy_pj: float
    cycles: int
    gap: float
    covered: Covered
    time_s: float


@dataclass(slots=True, kw_only=True)
class _Study:
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
            nest, stop = self.nests[number], None
            if end is not None:
                now = perf_counter()
                stop = now + max(0.0, end - now) * parts[number]
            if number not in self.prepared:
                latest = None if self.stop is None else self.start + PREPARED_SHARE * (self.stop - self.start)
                self.prepared[number] = prepare(nest, self.chip, self.space, self.conventions, latest)
            found = best_mapping(
                nest, self.chip, goals[number], stop=stop, known=self.known[number], prepared=self.prepared[number], stopped=self.stopped
            )
            done += 1
            self.progress(done, len(self.nests))
            return found

        each = dict(zip(order, side_by_side(one, order, self.stopped), strict=True))
        found = [each[number] for number in range(len(goals))]
        for number, (goal, item) in enumerate(zip(goals, found, strict=True)):
            self.known[number].append((item.mapping, item.estimate))
            self.covered += item.covered
            energy, cycles = self.least[number]
            bound = item.worth * (1 - item.gap)
            if goal == LEAST_ENERGY:
                self.least[number] = bound, cycles
            elif goal == LEAST_CYCLES:
                self.least[number] = energy, max(cycles, bound)
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
    def late(self) -> bool:
        return self.stop is not None and perf_counter() > self.stop


def _parts(shares: Array) -> Array:
    """Of the time that is left when each begins, the part that it may take: two at a time."""
    left = np.cumsum(shares[::-1])[::-1] + np.concatenate([[0.0], shares[:-1]])
    return np.minimum(1.0, 2 * shares / left)


def map_nests(
    nests: Sequence[Nest], chip: Chip, objective: Objective, *, space: SpaceName = "full", conventions: Conventions | None = None,
    budget_s: float | None = None, progress: Progress | None = None,
) -> NetworkFound:  # fmt: skip
    """The best mapping of every nest, equal ones solved once. Raises what `best_mapping` raises."""
    start = perf_counter()
    keys = [nest_key(nest) for nest in nests]
    places = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    unique = [nests[keys.index(key)] for key in places]
    study = _Study(
        chip=chip, space=space, conventions=conventions or Conventions(), start=start, stop=None if budget_s is None else start + budget_s,
        nests=unique, times=[keys.count(key) for key in places], progress=progress or (lambda done, total: None),
        known=[[] for _ in unique],
    )  # fmt: skip
    found, gap = _search(study, objective)
    energy, cycles = study.totals(found)
    return NetworkFound(
        layers=tuple(found[places[key]] for key in keys),
        energy_pj=energy,
        cycles=int(cycles),
        gap=gap,
        covered=study.covered,
        time_s=perf_counter() - start,
    )


def nest_key(nest: Nest) -> object:
    """Nests of the same key cost the same."""
    return (
        tuple(nest.axes.items()),
        tuple((operand.name, tuple(tuple(sorted(index.items())) for index in operand.indices)) for operand in nest.operands),
    )


def _search(study: _Study, objective: Objective) -> tuple[list[Found], float]:
    if objective.cycles_power == 0:
        return _lexicographic(study, LEAST_ENERGY)
    if objective.energy_power == 0:
        return _lexicographic(study, LEAST_CYCLES)
    if len(study.nests) == 1 and objective.energy_power == objective.cycles_power == 1:
        found = study.solve([LEAST_EDP])
        return found, found[0].gap
    return _product(study, objective)


def _lexicographic(study: _Study, first: Goal) -> tuple[list[Found], float]:
    """The least of one, and of those the least of the other."""
    found = study.solve([first] * len(study.nests))
    gap = 1 - study.bound(found) / sum(item.worth * times for item, times in zip(found, study.times, strict=True))
    if study.late:
        return found, gap
    if first is LEAST_ENERGY:
        goals = [replace(LEAST_CYCLES, most_energy_pj=item.estimate.energy_pj) for item in found]
    else:
        goals = [replace(LEAST_ENERGY, most_cycles=item.estimate.cycles) for item in found]
    return study.solve(goals), max(0.0, gap)


def _product(study: _Study, objective: Objective) -> tuple[list[Found], float]:
    lines: list[tuple[float, float, float]] = []  # (of energy, of cycles, least): energy x e + cycles x c >= least
    best: list[Found] = []
    least = inf

    def see(found: list[Found], energy: float, cycles: float) -> None:
        nonlocal best, least
        lines.append((energy, cycles, study.bound(found)))
        value = objective.worth(*study.totals(found))
        if value < least:
            best, least = found, value

    see(study.solve([LEAST_ENERGY] * len(study.nests), share=FIRST_SHARES[0]), 1, 0)
    see(study.solve([LEAST_CYCLES] * len(study.nests), share=FIRST_SHARES[1]), 0, 1)
    lowest = 0.0
    for _ in range(MOST_RATES):
        corner = min(_corners(lines), key=lambda point: objective.worth(*point))
        lowest = objective.worth(*corner)
        if lowest >= least * (1 - TOLERANCE) or study.late:
            break
        rate = objective.cycles_power * corner[0] / (objective.energy_power * corner[1])
        found = study.solve([Goal(kind=kernel.SUM, rate=rate)] * len(study.nests))
        previous = len(lines)
        see(found, 1, rate)
        if lines[previous][2] <= (corner[0] + rate * corner[1]) * (1 + TOLERANCE):
            break  # no line cuts the corner off: what is left is the gap of single layers
    return best, 0.0 if lowest >= least * (1 - TOLERANCE) else 1 - lowest / least


def _corners(lines: Sequence[tuple[float, float, float]]) -> list[Point]:
    """Of the region above all lines, towards the origin."""
    ordered = sorted(lines, key=lambda line: line[1] / line[0] if line[0] else inf)
    kept: list[tuple[float, float, float]] = []
    for line in ordered:
        while len(kept) >= 2 and _is_idle(kept[-2], kept[-1], line):
            kept.pop()
        kept.append(line)
    return [_crossing(first, second) for first, second in pairwise(kept)]


def _crossing(first: tuple[float, float, float], second: tuple[float, float, float]) -> Point:
    (a, b, c), (d, e, f) = first, second
    determinant = a * e - b * d
    return (c * e - b * f) / determinant, (a * f - c * d) / determinant


def _is_idle(first: tuple[float, float, float], middle: tuple[float, float, float], last: tuple[float, float, float]) -> bool:
    """Whether the middle line leaves the corner of its neighbours as it is."""
    energy, cycles = _crossing(first, last)
    return middle[0] * energy + middle[1] * cycles >= middle[2]
