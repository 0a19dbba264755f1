"""Random search and simulated annealing over mappings: baselines that the exhaustive search is measured against, and nothing else uses.

Both draw factors for every level and array axis, an order of the loops of every level, the tensors that a level keeps, and the loops that each of
them holds. A draw that is none of the chip's, or does not fit, counts as looked at. Neither proves anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, inf, log, prod
from time import perf_counter
from typing import Literal, TypeAlias

import numpy as np

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.hardware.chip import TENSORS, Chip, Level, Loops, Unroll
from ridgeline.mapping.count import check_nest
from ridgeline.mapping.estimate import Estimate, estimate
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping, home
from ridgeline.mapping.search.space import SpaceName, check_unrolling

Method = Literal["random", "annealing"]
Worth: TypeAlias = Callable[[float, float], float]  # of energy and cycles; the least is best
HOT, COLD = 1.0, 0.01  # an annealing's first and last temperature, in natural logarithms of what is minimised
FULL = 0.3  # of the draws of a factor over the array that take the largest
EVEN = 0.5  # of the draws of a level's tensors that hold the tile of the same loops
NONE = 0.5  # of the draws of a factor at a level that are 1: small tiles fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The best mapping of `samples` that were looked at, `legal` of them mappings that fit."""

    mapping: LoopMapping
    estimate: Estimate
    samples: int
    legal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to draw. It ends after so many samples, or at `stop`, a time of `perf_counter`; only without `stop` is the result the same each time."""

    method: Method
    samples: int
    seed: int = 0
    stop: float | None = None
    space: SpaceName = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draw:
    """factors: place -> axis -> factor; orders: level -> axes, outermost first; kept: level -> tensor -> share of the level's loops, from outside,
    that its tile leaves out."""

    factors: dict[str, dict[str, int]]
    orders: dict[str, tuple[str, ...]]
    kept: dict[str, dict[str, float]]


def sample_mapping(nest: Nest, chip: Chip, worth: Worth, sampling: Sampling, conventions: Conventions | None = None) -> Sampled:
    """Of one layer. Raises DoesNotFitError where no sample is a mapping, UnsupportedError for a nest that cannot be counted, InputError where the
    chip leaves open what the space takes as fixed."""
    check_nest(nest)
    check_unrolling(chip, sampling.space)
    run = _Run(nest=nest, chip=chip, sampling=sampling, rng=np.random.default_rng(sampling.seed))
    best: tuple[float, LoopMapping, Estimate] | None = None
    current, at = run.draw(), inf
    looked_at = legal = 0
    while looked_at < sampling.samples and not (sampling.stop is not None and perf_counter() > sampling.stop):
        drawn = run.neighbour(current) if sampling.method == "annealing" and at < inf else run.draw()
        looked_at += 1
        mapping = run.mapping(drawn)
        try:
            made = estimate(mapping, nest, chip, conventions)
        except (InputError, DoesNotFitError):
            continue
        legal += 1
        value = worth(made.energy_pj, made.cycles)
        if best is None or value < best[0]:
            best = (value, mapping, made)
        if run.accepts(value, at, looked_at):
            current, at = drawn, value
    if best is None:
        raise DoesNotFitError(f"none of {looked_at:,} sampled mappings of nest {dict(nest.axes)} fits chip '{chip.name}'; raise --samples")
    return Sampled(mapping=best[1], estimate=best[2], samples=looked_at, legal=legal)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What every draw needs."""

    nest: Nest
    chip: Chip
    sampling: Sampling
    rng: np.random.Generator

    def draw(self) -> _Draw:
        factors: dict[str, dict[str, int]] = {name: {} for name in (*self.chip.array, *(level.name for level in self.chip.levels))}
        room = dict(self.chip.array)
        for axis in self._shuffled(self.nest.axes):
            for name, factor in self._axis(axis, room).items():
                factors[name][axis] = factor
                if name in room:
                    room[name] //= factor
        orders = {level.name: self._order(level) for level in self.chip.levels}
        return _Draw(factors=factors, orders=orders, kept={level.name: self._kept(level) for level in self.chip.levels})

    def neighbour(self, draw: _Draw) -> _Draw:
        """The factors of one axis, the order of one level, or the tensors that it keeps and their tiles, anew."""
        level = self.chip.levels[int(self.rng.integers(len(self.chip.levels)))]
        match int(self.rng.integers(4)):
            case 0:
                return replace(draw, orders={**draw.orders, level.name: self._order(level)})
            case 1:
                return replace(draw, kept={**draw.kept, level.name: self._kept(level)})
            case _:
                axis = self._shuffled([axis for axis, size in self.nest.axes.items() if size > 1] or list(self.nest.axes))[0]
                room = {
                    array: size // prod(factor for other, factor in draw.factors[array].items() if other != axis)
                    for array, size in self.chip.array.items()
                }
                own = self._axis(axis, room)
                return replace(draw, factors={name: {**factors, axis: own[name]} for name, factors in draw.factors.items()})

    def accepts(self, value: float, before: float, number: int) -> bool:
        """Metropolis' rule on logarithms, so that the scale of what is minimised does not matter."""
        if value <= before or before <= 0:
            return value <= before
        temperature = HOT * (COLD / HOT) ** (number / self.sampling.samples)
        return bool(self.rng.random() < exp(log(before / value) / temperature))

    def mapping(self, draw: _Draw) -> LoopMapping:
        loops: list[Loop] = []
        positions: dict[str, dict[str, int]] = {tensor: {} for tensor in TENSORS}
        for number, level in enumerate(self.chip.levels):
            factors = draw.factors[level.name]
            own = [Loop(axis=axis, size=factors[axis]) for axis in draw.orders[level.name] if factors[axis] > 1]
            for tensor, share in draw.kept[level.name].items():
                positions[tensor][level.name] = 0 if level is home(self.chip, tensor) else len(loops) + round(share * len(own))
            loops += own
            inner = self.chip.levels[number + 1].serves if number + 1 < len(self.chip.levels) else ()
            for array in self.chip.array:
                if array in level.serves and array not in inner:
                    loops += [Loop(axis=axis, size=size, array=array) for axis, size in draw.factors[array].items() if size > 1]
        return LoopMapping(loops=tuple(loops), positions=positions)

    def _axis(self, axis: str, room: dict[str, int]) -> dict[str, int]:
        """Factors of one axis for every place: the array's first, then the levels from inside; the outermost that may takes what is left."""
        found: dict[str, int] = {}
        left = self.nest.axes[axis]
        for array in self.chip.array:
            found[array] = self._spread(self.chip.unroll.get(array), axis, left, room[array])
            left = ceil(left / found[array])
        rules = {level.name: self.chip.loops.get(level.name, Loops()) for level in self.chip.levels}
        open_ = [name for name, rule in rules.items() if rule.axes is None or axis in rule.axes]
        for name in reversed(rules):
            takes_all = name in open_ and (name == open_[0] or axis in rules[name].whole)
            found[name] = left if takes_all else self._timed(left) if name in open_ else 1
            left = ceil(left / found[name])
        return found

    def _spread(self, rule: Unroll | None, axis: str, left: int, room: int) -> int:
        if rule is not None:
            if axis in rule.factors:
                return min(rule.factors[axis], left)
            if axis in rule.whole:
                return left
            if axis not in rule.axes if rule.axes is not None else bool(rule.factors or rule.whole):
                return 1
        choices = [factor for factor in self._factors(left) if factor <= max(1, room)]
        return max(choices) if self.rng.random() < FULL else self._pick(choices)

    def _timed(self, left: int) -> int:
        return 1 if self.rng.random() < NONE else self._pick(self._factors(left))

    def _factors(self, left: int) -> list[int]:
        if self.sampling.space != "full":
            return [factor for factor in range(1, left + 1) if left % factor == 0]
        return sorted({ceil(left / ceil(left / factor)) for factor in range(1, left + 1)})

    def _order(self, level: Level) -> tuple[str, ...]:
        rule = self.chip.loops.get(level.name, Loops())
        listed = [axis for axis in reversed(rule.order) if axis in self.nest.axes]
        return (*(axis for axis in self._shuffled(self.nest.axes) if axis not in listed), *listed)

    def _kept(self, level: Level) -> dict[str, float]:
        """None outside the level where a tensor begins or ends. Of those of a level, one holds all its loops."""
        number, homes = self.chip.levels.index(level), {tensor: home(self.chip, tensor) for tensor in level.keeps}
        inside = [tensor for tensor, first in homes.items() if self.chip.levels.index(first) < number]
        kept = [tensor for tensor in inside if tensor in level.must_keep or self.rng.random() < 1 / 2]
        even = self.sampling.space == "timeloop" or level.name in self.chip.loops or self.rng.random() < EVEN
        shares = {tensor: 0.0 if even or not place else float(self.rng.random()) for place, tensor in enumerate(self._shuffled(kept))}
        return {tensor: 0.0 for tensor, first in homes.items() if first is level} | shares

    def _pick(self, choices: Sequence[int]) -> int:
        return choices[int(self.rng.integers(len(choices)))]

    def _shuffled(self, names: Iterable[str]) -> list[str]:
        listed = list(names)
        return [listed[place] for place in self.rng.permutation(len(listed))]


def sample_mappings(
    nests: Sequence[Nest], chip: Chip, worth: Worth, sampling: Sampling, conventions: Conventions, *, budget_s: float | None = None,
) -> tuple[Sampled, ...]:  # fmt: skip
    """One for each nest; equal ones are drawn for once. A budget is shared out evenly. Raises what `sample_mapping` raises."""
    distinct = [nest for number, nest in enumerate(nests) if nest not in nests[:number]]
    found: list[Sampled] = []
    for nest in distinct:
        stop = None if budget_s is None else perf_counter() + budget_s / len(distinct)
        found.append(sample_mapping(nest, chip, worth, replace(sampling, stop=stop), conventions))
    return tuple(found[distinct.index(nest)] for nest in nests)
