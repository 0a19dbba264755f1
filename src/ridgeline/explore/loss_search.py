"""The search for a choice a weight: what is cheapest within a loss that is measured, never assumed.

How much each choice of each weight alone loses is measured first. Sums of those losses only order the candidates: for each price of loss, every
weight takes what is cheapest at that price, and the choices between the cheapest and the most exact form a chain, in which the loss falls and the
cost rises. The chain is halved by measurements; then weights are tried at cheaper choices, several at once and one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import TypeAlias

Table: TypeAlias = Sequence[Sequence[float]]  # weights x choices
Choices: TypeAlias = tuple[int, ...]  # one a weight
Measure: TypeAlias = Callable[[Choices], float]
HOPES = 24  # single steps to a cheaper choice that are tried
BUNDLES = (0.5, 0.25, 0.1)  # parts of the room that is left, which several such steps may take at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A choice for each weight, with its measured loss and its cost."""

    choices: Choices
    loss: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`best` is the cheapest point within the limit, of equal ones the one that loses less; where none is, the one that loses least. `points` are all
    that were measured."""

    best: Point
    meets: bool
    points: tuple[Point, ...]


class _Measured:
    """Points by their choices, each measured once."""

    def __init__(self, costs: Table, measure: Measure) -> None:
        self._costs, self._measure = costs, measure
        self.points: dict[Choices, Point] = {}

    def point(self, choices: Choices) -> Point:
        if choices not in self.points:
            cost = sum(row[choice] for row, choice in zip(self._costs, choices, strict=True))
            self.points[choices] = Point(choices=choices, loss=self._measure(choices), cost=cost)
        return self.points[choices]

    def best(self, limit: float) -> Point | None:
        within = [point for point in self.points.values() if point.loss <= limit]
        return min(within, key=lambda point: (point.cost, point.loss)) if within else None


def search(costs: Table, losses: Table, limit: float, measure: Measure) -> Outcome:
    """costs, losses: infinite where a weight cannot take a choice; losses are those of one weight changed alone."""
    measured = _Measured(costs, measure)
    for choice in range(len(costs[0])):
        if all(isfinite(row[choice]) for row in costs):
            measured.point((choice,) * len(costs))
    chain = chain_of(costs, losses)
    low, high = 0, len(chain) - 1  # the chain's first is the most exact
    if measured.point(chain[0]).loss <= limit:
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if measured.point(chain[middle]).loss <= limit else (low, middle - 1)
    for share in BUNDLES:
        _step_together(measured, costs, losses, limit, share)
    _step_singly(measured, costs, losses, limit)
    found, best = tuple(measured.points.values()), measured.best(limit)
    least = min(found, key=lambda point: (point.loss, point.cost))
    return Outcome(best=best or least, meets=best is not None, points=found)


def chain_of(costs: Table, losses: Table) -> list[Choices]:
    """From the choices of least loss to those of least cost, each weight along the lower hull of its choices, the steps that save most for what they
    lose first."""
    hulls = [hull(cost, loss) for cost, loss in zip(costs, losses, strict=True)]
    steps: list[tuple[float, int, int, int]] = []
    for weight, places in enumerate(hulls):
        for number, (here, there) in enumerate(pairwise(places)):
            price = (losses[weight][there] - losses[weight][here]) / (costs[weight][here] - costs[weight][there])
            steps.append((price, weight, number, there))
    now = [places[0] for places in hulls]
    chain = [tuple(now)]
    for _, weight, _, there in sorted(steps):
        now[weight] = there
        chain.append(tuple(now))
    return chain


def hull(cost: Sequence[float], loss: Sequence[float]) -> list[int]:
    """The choices that are best at some price of loss, from the least loss to the least cost."""
    kept: list[int] = []
    for place in sorted((place for place in range(len(cost)) if isfinite(cost[place])), key=lambda place: (loss[place], cost[place], place)):
        if kept and cost[place] >= cost[kept[-1]]:
            continue
        while len(kept) >= 2 and _is_above(*((cost[each], loss[each]) for each in (kept[-2], kept[-1], place))):
            kept.pop()
        kept.append(place)
    return kept


def _is_above(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    """Whether the middle choice (cost, loss) is no better than a mix of its neighbours."""
    return (middle[1] - first[1]) * (first[0] - last[0]) >= (last[1] - first[1]) * (first[0] - middle[0])


def _step_together(measured: _Measured, costs: Table, losses: Table, limit: float, share: float) -> None:
    """From the best point, cheaper choices of as many weights as sums of losses leave room for, in that share of the room."""
    best = measured.best(limit)
    if best is None:
        return
    tried, room = list(best.choices), share * (limit - best.loss)
    for loss, weight, choice in _cheaper(best, costs, losses):
        if loss <= room and costs[weight][choice] < costs[weight][tried[weight]]:
            tried[weight] = choice
            room -= max(0.0, loss)
    measured.point(tuple(tried))


def _step_singly(measured: _Measured, costs: Table, losses: Table, limit: float) -> None:
    for _ in range(HOPES):
        best = measured.best(limit)
        if best is None:
            return
        options = ((*best.choices[:weight], choice, *best.choices[weight + 1 :]) for _, weight, choice in _cheaper(best, costs, losses))
        following = next((choices for choices in options if choices not in measured.points), None)
        if following is None:
            return
        measured.point(following)


def _cheaper(best: Point, costs: Table, losses: Table) -> list[tuple[float, int, int]]:
    """(loss beyond now, weight, choice) of every step to a cheaper choice, those that lose least for what they save first."""
    found: list[tuple[float, float, int, int]] = []
    for weight, now in enumerate(best.choices):
        for choice, cost in enumerate(costs[weight]):
            if cost < costs[weight][now]:
                more = losses[weight][choice] - losses[weight][now]
                found.append((more / (costs[weight][now] - cost), more, weight, choice))
    return [(more, weight, choice) for _, more, weight, choice in sorted(found)]
