"""The best mappings of several layers together.

A network's energy and cycles are sums over its layers, and what is minimised, (sum of energies)^a x (sum of cycles)^b, is least at a corner of the
lower hull of all pairs of sums: so at a choice in which every layer minimises energy + rate x cycles, for one rate. Each rate that is tried gives a
line below which no choice lies, and a choice. The best point that all lines leave possible is the bound; the rate of the objective's slope there is
tried next, until the bound is met (outer approximation of a quasi-concave objective). Within caps the best choice may lie above the hull, as may
points of a Pareto set: `front` finds those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import InputError
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.loops import Conventions
from ridgeline.mapping.search import kernel
from ridgeline.mapping.search.front import Chosen, choose
from ridgeline.mapping.search.solve import LEAST_CYCLES, LEAST_ENERGY, Covered, Found, Goal
from ridgeline.mapping.search.space import SpaceName
from ridgeline.mapping.search.study import Point, Progress, Study, compile_search

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
NAMES = {"energy": (1, 0), "latency": (0, 1), "edp": (1, 1), "ed2p": (1, 2)}
PARETO = "pareto"
MOST_POWER = 9
UNCAPPED_SHARE = 0.5  # of a budget, for the best without caps, which may be within them
MOST_RATES = 60
TOLERANCE = 1e-9
FIRST_SHARES = (0.15, 0.3)  # of a budget by which least energy and least cycles are left, the ends of the hull


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """energy^energy_power x cycles^cycles_power of a network, within caps; or the whole Pareto set, of which that is the best point."""

    energy_power: int
    cycles_power: int
    most_energy_pj: float = inf
    most_cycles: float = inf
    is_pareto: bool = False

    def worth(self, energy_pj: float, cycles: float) -> float:
        return energy_pj**self.energy_power * cycles**self.cycles_power

    @property
    def is_capped(self) -> bool:
        return self.most_energy_pj < inf or self.most_cycles < inf

    def allows(self, energy_pj: float, cycles: float) -> bool:
        return energy_pj <= self.most_energy_pj * (1 + TOLERANCE) and cycles <= self.most_cycles


def read_objective(text: str) -> Objective:
    """`energy`, `latency`, `edp`, `ed2p`, a product such as energy^2*latency, or `pareto`. Raises InputError."""
    if text == PARETO:
        return Objective(energy_power=1, cycles_power=1, is_pareto=True)
    if text in NAMES:
        return Objective(energy_power=NAMES[text][0], cycles_power=NAMES[text][1])
    powers = {"energy": 0, "latency": 0}
    for part in text.split("*"):
        name, mark, power = part.partition("^")
        power = power if mark else "1"
        if name not in powers or powers[name] or not power.isdigit() or not 1 <= int(power) <= MOST_POWER:
            names = ", ".join((*NAMES, PARETO))
            raise InputError(f"objective '{text}': give {names}, or a product such as energy^2*latency with powers up to {MOST_POWER}")
        powers[name] = int(power)
    return Objective(energy_power=powers["energy"], cycles_power=powers["latency"])


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFound:
    """`layers` holds one result for each nest that was given. gap: how much less than its worth the whole could be, relative. Of a Pareto set `front`
    holds the points, of rising energy; the layers are those of the best product, and the gap is how much less any other choice could be than some
    point, in energy and in cycles at once."""

    layers: tuple[Found, ...]
    energy_pj: float
    cycles: int
    gap: float
    covered: Covered
    time_s: float
    front: tuple[Point, ...] = ()


def map_nests(
    nests: Sequence[Nest], chip: Chip, objective: Objective, *, space: SpaceName = "full", conventions: Conventions | None = None,
    budget_s: float | None = None, progress: Progress | None = None,
) -> NetworkFound:  # fmt: skip
    """The best mapping of every nest, equal ones solved once. Raises what `best_mapping` raises, and DoesNotFitError where the caps are too low."""
    compile_search()
    start = perf_counter()
    keys = [nest_key(nest) for nest in nests]
    places = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    unique = [nests[keys.index(key)] for key in places]
    study = Study(
        chip=chip, space=space, conventions=conventions or Conventions(), start=start, stop=None if budget_s is None else start + budget_s,
        nests=unique, times=[keys.count(key) for key in places], progress=progress or (lambda done, total: None),
        known=[[] for _ in unique],
    )  # fmt: skip
    occurring = [places[key] for key in keys]
    layers: list[Found] = []
    gap, front = 0.0, ()
    if not objective.is_pareto:
        layers, gap = _layer_by_layer(study, objective, occurring)
    if objective.is_pareto or (objective.is_capped and not objective.allows(*_totals(layers))):
        chosen = choose(study, _Every() if objective.is_pareto else _Best(objective=objective), occurring)
        layers, gap, front = _picked(study, objective, occurring, chosen), chosen.gap, chosen.front if objective.is_pareto else ()
    energy, cycles = _totals(layers)
    return NetworkFound(
        layers=tuple(layers), energy_pj=energy, cycles=int(cycles), gap=gap, covered=study.covered, time_s=perf_counter() - start, front=front
    )


def _totals(layers: Sequence[Found]) -> Point:
    return sum(item.estimate.energy_pj for item in layers), sum(item.estimate.cycles for item in layers)


def _layer_by_layer(study: Study, objective: Objective, occurring: Sequence[int]) -> tuple[list[Found], float]:
    """The best without caps, and its gap; with caps, in a part of the time."""
    stop = study.stop
    if stop is not None and objective.is_capped:
        study.stop = study.start + UNCAPPED_SHARE * (stop - study.start)
    found, gap = _search(study, objective)
    study.stop = stop
    return [found[number] for number in occurring], gap


def _picked(study: Study, objective: Objective, occurring: Sequence[int], chosen: Chosen) -> list[Found]:
    """The known mappings that were chosen; what each could gain by itself is not known."""
    made: list[Found] = []
    for number, pick in zip(occurring, chosen.picks, strict=True):
        mapping, costs = study.known[number][pick]
        worth = objective.worth(costs.energy_pj, costs.cycles)
        made.append(Found(mapping=mapping, estimate=costs, worth=worth, gap=chosen.gap, space=study.space, covered=Covered(), time_s=0.0))
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """The point of least worth within the caps."""

    objective: Objective

    def best(self, points: Array) -> int | None:
        energy, cycles = points[:, 0], points[:, 1]
        allowed = (energy <= self.objective.most_energy_pj * (1 + TOLERANCE)) & (cycles <= self.objective.most_cycles)
        places = np.flatnonzero(allowed)
        if not len(places):
            return None
        worths = energy**self.objective.energy_power * cycles**self.objective.cycles_power
        return int(places[np.lexsort((cycles[places], energy[places], worths[places]))[0]])

    def short(self, had: Array, least: Array) -> tuple[float, int]:
        best, bound = self.best(had), self.best(least)
        if bound is None:
            return 0.0, 0
        return (1.0 if best is None else 1 - self.objective.worth(*least[bound]) / self.objective.worth(*had[best])), bound


@dataclass(frozen=True, slots=True, kw_only=True)
class _Every:
    """All points: as many as are needed for one to be little more than any choice, in energy and in cycles."""

    def best(self, points: Array) -> int | None:
        return int(points.prod(axis=1).argmin())

    def short(self, had: Array, least: Array) -> tuple[float, int]:
        more = np.maximum(had[None, :, 0] / least[:, None, 0], had[None, :, 1] / least[:, None, 1]).min(axis=1)
        return float(1 - 1 / more.max()), int(more.argmax())


def nest_key(nest: Nest) -> object:
    """Nests of the same key cost the same."""
    return (
        tuple(nest.axes.items()),
        tuple((operand.name, tuple(tuple(sorted(index.items())) for index in operand.indices)) for operand in nest.operands),
    )


def _search(study: Study, objective: Objective) -> tuple[list[Found], float]:
    if objective.cycles_power == 0:
        return _lexicographic(study, LEAST_ENERGY)
    if objective.energy_power == 0:
        return _lexicographic(study, LEAST_CYCLES)
    return _product(study, objective)


def _lexicographic(study: Study, first: Goal) -> tuple[list[Found], float]:
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


def _product(study: Study, objective: Objective) -> tuple[list[Found], float]:
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
