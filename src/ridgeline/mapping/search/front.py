"""Pareto sets of networks, and the best choice of mappings within caps.

Of each layer some mappings are known, and corners say what the others can be: none with so many cycles takes less energy. A network's points are sums
over its layers: of known mappings, what can be had; of those and of corners, what no choice goes below. The corners on which the difference rests are
cut by searches for the least energy under a cap on the cycles, until the two meet or time is up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isqrt
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import numpy as np

from ridgeline.errors import DoesNotFitError
from ridgeline.mapping.search.solve import LEAST_CYCLES, LEAST_ENERGY, NotInTimeError, side_by_side
from ridgeline.mapping.search.study import Point, Study

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
ENDS_SHARES = (0.2, 0.25)  # of the time that is left, for each layer's least energy and least cycles
CUT_SHARE = 0.25  # of the time that is left: the most that one search takes
MOST_POINTS = 1_000  # of a network that are kept
TOLERANCE = 1e-9  # of float sums, relative


class Wish(Protocol):
    """What is asked of a network's points (points, 2: energy, cycles)."""

    def best(self, points: Array) -> int | None:
        """The one that is wanted most, None if none will do."""
        ...

    def short(self, had: Array, least: Array) -> tuple[float, int]:
        """How much less than what can be had the least could be, relative, and by which point of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`picks` are the known mappings of each nest that occurs, in the order asked for; `front` the Pareto set, of rising energy."""

    picks: tuple[int, ...]
    gap: float
    front: tuple[Point, ...]


@dataclass(slots=True, kw_only=True)
class _Corner:
    """No mapping that is not known and takes from `fewest` to `most` cycles takes less energy. `is_late`: time ended the search that said so, and
    another could say more; `is_last`: the search ended by itself, without a proof."""

    energy: float
    fewest: float
    most: float
    is_late: bool = False
    is_last: bool = False


def choose(study: Study, wish: Wish, occurring: Sequence[int]) -> Chosen:
    """`occurring` are the study's nests in the order of the layers. Raises DoesNotFitError where a layer has no mapping, and where none will do."""
    for goal, share in zip((LEAST_ENERGY, LEAST_CYCLES), ENDS_SHARES, strict=True):
        if goal not in study.solved:
            study.solve([goal] * len(study.nests), share=study.spent + share * (1 - study.spent))
    corners = [[_Corner(energy=energy, fewest=cycles, most=inf)] for energy, cycles in study.least]
    while True:
        known = [_known(study, number) for number in range(len(study.nests))]
        for number, (points, _) in enumerate(known):
            corners[number] = _trimmed(corners[number], points)
        every = [np.concatenate([points, _points(left)]) for (points, _), left in zip(known, corners, strict=True)]
        had, picks = _sums([known[number][0] for number in occurring])
        least, on = _sums([every[number] for number in occurring], is_bound=True)
        gap, worst = wish.short(had, least)
        resting = {(number, int(pick) - len(known[number][0])) for number, pick in zip(occurring, on[worst], strict=True)}
        cuts = _open([(number, corners[number][place]) for number, place in sorted(resting) if place >= 0])
        if gap <= TOLERANCE or study.late or not cuts:
            break
        side_by_side(partial(_cut, study, corners, cuts), cuts, study.stopped)
    best = wish.best(had)
    if best is None:
        raise DoesNotFitError(_none(least, is_sure=wish.best(least) is None))
    places = [int(known[number][1][pick]) for number, pick in zip(occurring, picks[best], strict=True)]
    return Chosen(picks=tuple(places), gap=0.0 if gap <= TOLERANCE else gap, front=tuple((float(e), float(c)) for e, c in had))


def _open(resting: Sequence[tuple[int, _Corner]]) -> dict[int, list[_Corner]]:
    """The corners of each nest that a search can still cut; those that time ended come last."""
    left = [pair for pair in resting if not pair[1].is_last]
    cuts: dict[int, list[_Corner]] = {}
    for number, corner in [pair for pair in left if not pair[1].is_late] or left:
        cuts.setdefault(number, []).append(corner)
    return cuts


def _known(study: Study, number: int) -> tuple[Array, Array]:
    """Points of the mappings of a nest that no other beats, of rising energy, and which of the known they are."""
    points = np.array([(made.energy_pj, made.cycles) for _, made in study.known[number]], np.float64)
    chosen = unbeaten(points)
    return points[chosen], chosen


def _points(corners: Sequence[_Corner]) -> Array:
    return np.array([(corner.energy, corner.fewest) for corner in corners], np.float64).reshape(-1, 2)


def unbeaten(points: Array) -> Array:
    """The places of points that no other beats, of rising energy."""
    order = np.lexsort((points[:, 1], points[:, 0]))
    before = np.minimum.accumulate(np.concatenate([[inf], points[order, 1]]))[:-1]
    return order[points[order, 1] < before]


def _trimmed(corners: Sequence[_Corner], points: Array) -> list[_Corner]:
    """Without what known mappings match: those of no more energy leave of a corner only what takes fewer cycles."""
    left: list[_Corner] = []
    for corner in corners:
        matched = points[points[:, 0] <= corner.energy * (1 + TOLERANCE), 1]
        most = min(corner.most, float(matched.min(initial=inf)) - 1)
        if corner.fewest <= most:
            left.append(replace(corner, most=most))
    return left


def _sums(fronts: Sequence[Array], *, is_bound: bool = False) -> tuple[Array, Array]:
    """Unbeaten sums of one point of each front (points, 2), of rising energy, and which those are (points, fronts). Of too many some are left out; of
    a bound, neighbours become one that is no more than any of them."""
    total, picks = np.zeros((1, 2)), np.zeros((1, 0), np.int64)
    for front in fronts:
        every = (total[:, None] + front[None]).reshape(-1, 2)
        kept = unbeaten(every)
        total, picks = every[kept], np.concatenate([picks[kept // len(front)], kept[:, None] % len(front)], axis=1)
        if len(total) > MOST_POINTS:
            first = np.unique(np.linspace(0, len(total) - 1, MOST_POINTS).astype(np.int64))
            last = np.append(first[1:] - 1, len(total) - 1)
            total = np.stack([total[first, 0], total[last, 1]], axis=1) if is_bound else total[first]
            picks = picks[first]
    return total, picks


def _cut(study: Study, of: Sequence[list[_Corner]], cuts: Mapping[int, Sequence[_Corner]], number: int) -> None:
    """Replaces corners of one nest by what searches leave of them: each is halved by a cap on the cycles, but where it is late."""
    corners = of[number]
    for corner in cuts[number]:
        corners.remove(corner)
        cap = corner.most if corner.is_late or corner.most == inf else isqrt(int(corner.fewest) * int(corner.most))
        now = perf_counter()
        stop = None if study.stop is None else now + CUT_SHARE * max(0.0, study.stop - now)
        below = replace(corner, most=cap)
        try:
            found = study.search(number, replace(LEAST_ENERGY, most_cycles=cap), stop)
        except NotInTimeError:
            corners.append(replace(below, is_late=True))
        except DoesNotFitError:
            pass  # no mapping takes so few
        else:
            ended = stop is not None and perf_counter() > stop
            energy = max(corner.energy, found.worth * (1 - found.gap))
            corners.append(replace(below, energy=energy, is_late=ended and found.gap > 0, is_last=not ended and found.gap > 0))
        if cap < corner.most:
            corners.append(replace(corner, fewest=cap + 1))


def _none(least: Array, *, is_sure: bool) -> str:
    """That no choice of mappings meets the caps, or that none was found."""
    if not is_sure:
        return "no mappings within the caps were found in time; raise --budget"
    return f"no mappings meet the caps: these layers take at least {least[:, 1].min():,.0f} cycles, and {least[:, 0].min() / 1e6:,.6g} uJ"
