"""Mappings for ZigZag's rules: lanes as even as its averages, and loops in time that divide the passes over each axis.

ZigZag counts an axis of N on f lanes as ceil(N / f) whole passes, and a tile beyond the axis' end as a full one, so that factors that divide
nothing only cost there. Each axis that the chip spreads over its array is made as long as its lanes times its passes; the exact search then finds
the best mapping whose factors divide, without a slide; of that and the one in which ZigZag allots the same order of loops to the levels, the better
one by ZigZag's rules is taken. That is no proof: the two rules differ in what a width and an access cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, inf

import msgspec

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError, UnsupportedError
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.estimate import estimate
from ridgeline.mapping.exchange.zigzag import Order, placed
from ridgeline.mapping.loops import ZIGZAG, Conventions, LoopMapping
from ridgeline.mapping.nominal import used_lanes
from ridgeline.mapping.search.solve import SLACK, Goal, best_mapping

EXACT = Conventions(slide=False)  # of the exact rules, those that are next to ZigZag's


def even_mappings(nests: Sequence[Nest], chip: Chip, goal: Goal, *, stop: float | None = None) -> tuple[LoopMapping, ...]:
    """One for each nest; equal ones are searched once. `stop` is a time of `perf_counter`. Raises what `best_mapping` raises."""
    distinct = [nest for number, nest in enumerate(nests) if nest not in nests[:number]]
    found = [even_mapping(nest, chip, goal, stop=stop) for nest in distinct]
    return tuple(found[distinct.index(nest)] for nest in nests)


def even_mapping(nest: Nest, chip: Chip, goal: Goal, *, stop: float | None = None) -> LoopMapping:
    """Of one layer. Of equals the one that ZigZag allots."""
    best = best_mapping(*_evened(nest, chip), goal, space="timeloop", conventions=EXACT, stop=stop).mapping
    least, found = inf, best
    for mapping in (_allotted(best, nest, chip), best):
        worth = _worth(mapping, nest, chip, goal)
        if worth < least * (1 - SLACK):
            least, found = worth, mapping or best
    return found


def _evened(nest: Nest, chip: Chip) -> tuple[Nest, Chip]:
    """The nest whose spread axes are whole passes, and the chip with as many lanes as they need."""
    axes, unroll = dict(nest.axes), dict(chip.unroll)
    for array, rule in chip.unroll.items():
        factors = dict(rule.factors)
        for axis, lanes in rule.factors.items():
            size = axes.get(axis, 1)
            passes = ceil(size / min(lanes, size))
            factors[axis] = ceil(size / passes)
            if axis in axes:
                axes[axis] = factors[axis] * passes
        unroll[array] = msgspec.structs.replace(rule, factors=factors)
    return replace(nest, axes=axes), msgspec.structs.replace(chip, unroll=unroll)


def _allotted(mapping: LoopMapping, nest: Nest, chip: Chip) -> LoopMapping | None:
    """The same lanes and order of loops, on the levels as ZigZag allots them."""
    loops = tuple((loop.axis, loop.size) for loop in reversed(mapping.loops) if loop.array is None and loop.size > 1)
    try:
        return placed(Order(lanes=used_lanes(mapping, chip), loops=loops), nest, chip)
    except UnsupportedError:
        return None


def _worth(mapping: LoopMapping | None, nest: Nest, chip: Chip, goal: Goal) -> float:
    """By ZigZag's rules; infinite for none, and for one that does not fit."""
    if mapping is None:
        return inf
    try:
        made = estimate(mapping, nest, chip, ZIGZAG)
    except DoesNotFitError:
        return inf
    return goal.worth(made.energy_pj, made.cycles)
