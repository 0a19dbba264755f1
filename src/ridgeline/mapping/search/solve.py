"""The exhaustive search: the best mapping of a nest on a chip, and the proof.

Partial mappings grow from the multipliers outwards, slot by slot. Of those with the same future only the unbeaten are kept (dominance), and those
whose lower bound is no better than the best mapping known are dropped (`kernel`). Where more are left than `width`, the least promising are set
aside, and the least worth that any of them could still have is remembered: if that is no better than what is found, the result is proven; else
the search is repeated with a greater width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, TypeAlias

import numpy as np

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.count import check_nest
from ridgeline.mapping.estimate import Estimate, estimate
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.mapping.search import kernel
from ridgeline.mapping.search.space import Space, SpaceName, spaces, unrollings

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Objective = Literal["energy", "latency", "edp"]
OBJECTIVES: tuple[Objective, ...] = ("energy", "latency", "edp")
WIDTHS = (200, 3_000, 40_000, 400_000)
NO_FRONT = np.empty((0, 2))
SLACK = 1e-9  # of float sums, relative


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

    @property
    def optimal(self) -> bool:
        return self.gap == 0


def worth(objective: Objective, energy_pj: float, cycles: float) -> float:
    return {"energy": energy_pj, "latency": cycles, "edp": energy_pj * cycles}[objective]


def best_mapping(
    nest: Nest, chip: Chip, objective: Objective = "edp", *, space: SpaceName = "full", conventions: Conventions | None = None,
    budget_s: float | None = None,
) -> Found:  # fmt: skip
    """Of one layer. Of equal ones in latency, the one of least energy that is seen. With `budget_s`, the best so far with its gap. Raises
    DoesNotFitError where no mapping fits the chip, InputError or UnsupportedError for what the search does not cover."""
    start = perf_counter()
    check_nest(nest)
    rules = conventions or Conventions()
    stop = None if budget_s is None else start + budget_s
    every = list(spaces(nest, chip, rules, space))
    run = _Run(objective=OBJECTIVES.index(objective), name=objective, stop=stop)
    for width in WIDTHS:
        run.set_aside = np.inf
        for item in every:
            run.search(item, width)
        if run.found is not None and (run.set_aside >= run.most * (1 - SLACK) or run.late):
            break
    if run.found is None:
        raise DoesNotFitError(_no_mapping(nest, chip, every))
    mapping, made = run.found
    exact = worth(objective, made.energy_pj, made.cycles)
    least = min(run.set_aside, run.inexact)
    gap = 0.0 if least >= exact * (1 - SLACK) else 1 - least / exact
    return Found(mapping=mapping, estimate=made, worth=exact, gap=gap, space=space, covered=run.covered, time_s=perf_counter() - start)


class _Run:
    """The state of one search: the best so far, and what has been set aside."""

    def __init__(self, objective: int, name: Objective, stop: float | None) -> None:
        self.objective = objective
        self.name: Objective = name
        self.stop = stop
        self.most = np.inf
        self.found: tuple[LoopMapping, Estimate] | None = None
        self.set_aside = np.inf
        self.inexact = np.inf  # the least bound of a mapping that costs more than its bound
        self.covered = Covered()

    @property
    def late(self) -> bool:
        return self.stop is not None and perf_counter() > self.stop

    def search(self, space: Space, width: int) -> None:
        """All mappings of one choice of kept tensors."""
        pool, count = self._begin(space, width)
        for slot in range(len(space.slots)):
            if count == 0:
                return
            if space.slots[slot].array is not None:
                count = kernel.spread(space.problem, pool, count, slot)
            else:
                pool, count = self._grow(space, pool, count, slot, width)
            for boundary in np.flatnonzero(space.problem.boundary_slot[:-1] == slot):
                count = kernel.keep_fitting(space.problem, pool, count, slot, boundary)
                kernel.place(space.problem, pool, count, boundary, slot)
            pool, count = self._narrow(space, pool, count, slot, width)
        kernel.finish(space.problem, pool, count)
        self._collect(space, pool, count)

    @property
    def limits(self) -> tuple[int, float, Array]:
        return self.objective, self.most, NO_FRONT

    def _begin(self, space: Space, width: int) -> tuple[kernel.Pool, int]:
        factors = unrollings(space)
        pool = new_pool(space, len(factors))
        pool.factors[:] = factors
        pool.current[:] = 1
        count = kernel.begin(space.problem, pool, len(factors), space.innermost, self.limits)
        self.covered += Covered(counted=len(factors), bounded=len(factors) - count)
        return self._narrow(space, pool, count, -1, width)

    def _grow(self, space: Space, pool: kernel.Pool, count: int, slot: int, width: int) -> tuple[kernel.Pool, int]:
        """Every order and every factor of the loops in time at a slot."""
        boundaries = space.problem.boundary_slot
        first = int(np.searchsorted(boundaries, slot))
        grown: list[tuple[kernel.Pool, int]] = []
        for number, order in enumerate(space.orders[slot]):
            part, size = pool, count
            for axis in order:
                if space.modes[slot, axis] == kernel.NONE:
                    continue
                part, size = self._expand(space, part, size, slot, axis, number, first)
                if size > 4 * width:
                    part, size = self._narrow(space, part, size, slot, width, merged=False)
            grown.append((part, size))
        if len(grown) == 1:
            return self._narrow(space, *grown[0], slot, width)
        total = sum(size for _, size in grown)
        whole = new_pool(space, max(1, total))
        at = 0
        for part, size in grown:
            kernel.gather(part, np.arange(size), size, whole, at)
            at += size
        return self._narrow(space, whole, total, slot, width)

    def _expand(
        self, space: Space, pool: kernel.Pool, count: int, slot: int, axis: int, number: int, first: int
    ) -> tuple[kernel.Pool, int]:
        room = max(64, 4 * count)
        while True:
            target = new_pool(space, room)
            made, large, bounded, short = kernel.expand(
                space.problem, pool, count, target, slot, axis, number, space.modes[slot, axis], first, self.limits
            )
            if not short:
                self.covered += Covered(counted=made + bounded, large=large, bounded=bounded)
                return target, made
            room *= 4

    def _narrow(
        self, space: Space, pool: kernel.Pool, count: int, slot: int, width: int, *, merged: bool = True
    ) -> tuple[kernel.Pool, int]:
        """Merges states with the same future; of more than `width`, sets the least promising aside."""
        if count == 0:
            return pool, 0
        chosen = np.arange(count)
        if merged and count > 1:
            made = kernel.merge(space.problem, pool, count, slot, chosen)
            self.covered += Covered(merged=count - made)
            chosen = chosen[:made]
        limit = 0 if self.late else width
        values = self._values(pool.bound[chosen])
        if len(chosen) > max(1, limit):
            ordered = np.argsort(values, kind="stable")
            self.set_aside = min(self.set_aside, float(values[ordered[max(1, limit)]]))
            chosen = chosen[ordered[: max(1, limit)]]
        result = new_pool(space, len(chosen))
        kernel.gather(pool, chosen, len(chosen), result, 0)
        return result, len(chosen)

    def _values(self, bound: Array) -> Array:
        if self.objective == 2:
            return bound[:, 0] * bound[:, 1]
        return bound[:, self.objective]

    def _collect(self, space: Space, pool: kernel.Pool, count: int) -> None:
        """Costs the best ones exactly."""
        values = self._values(pool.bound[:count])
        for place in np.lexsort((pool.bound[:count, 0], values)):
            if values[place] >= self.most * (1 + SLACK):
                break
            mapping = space.mapping(pool.factors[place], pool.order[place])
            made = estimate(mapping, space.nest, space.chip, space.conventions)
            exact = worth(self.name, made.energy_pj, made.cycles)
            if exact > values[place] * (1 + 1e-6):
                self.inexact = min(self.inexact, float(values[place]))
            if self._is_better(exact, made):
                self.most, self.found = exact, (mapping, made)
            elif exact <= values[place] * (1 + 1e-6):
                break

    def _is_better(self, exact: float, made: Estimate) -> bool:
        if self.found is None or exact < self.most * (1 - SLACK):
            return True
        return exact <= self.most and made.energy_pj < self.found[1].energy_pj


def new_pool(space: Space, states: int) -> kernel.Pool:
    slots, axes, levels = len(space.slots), len(space.axes), len(space.chip.levels)
    return kernel.Pool(
        factors=np.ones((states, slots, axes), np.int32),
        order=np.zeros((states, slots), np.int8),
        current=np.ones((states, axes), np.int64),
        pending=np.zeros((states, 3), np.int64),
        sliding=np.zeros((states, 3), np.int64),
        slide_axis=np.zeros((states, 3), np.int64),
        energy=np.zeros(states),
        cycles=np.zeros((states, levels, 2)),
        fills=np.zeros(states),
        bound=np.zeros((states, 2)),
    )


def _no_mapping(nest: Nest, chip: Chip, every: Sequence[Space]) -> str:
    """Which level lacked how many bytes for the smallest tiles."""
    for level in reversed(chip.levels[1:]):
        usable = level.usable_bytes
        need = sum(getattr(chip.widths, tensor) for tensor in level.must_keep) / 8
        if usable is not None and need > usable:
            return f"no mapping: one element of each tensor at level '{level.name}' of chip '{chip.name}' needs {need:g} bytes, but it offers {usable:,}"
    return f"no mapping of nest {dict(nest.axes)} on chip '{chip.name}': its constraints and its levels' capacities exclude all"
