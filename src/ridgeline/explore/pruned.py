"""The same choice as `explore.choose`, without looking at what provably cannot be it: for whoever searches many networks.

Every point of a choice of lanes and bus (`choose.Job`) takes, layer by layer, at least the array's cycles for each pixel of each run and the beats
of its weights and results once. A job of which that is more than what makes a finalist is not run, and neither are the jobs of a number of copies
that could not be a promising one. The real programs of the finalists are predicted from the most frugal on, until none of the others can be chosen
any more: each of them takes at least its bound (`explore.bound`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.graph import Graph
from ridgeline.errors import DoesNotFitError, UnsupportedError
from ridgeline.explore.bound import least_cycles
from ridgeline.explore.choose import (
    CONFIRMED,
    TOLERANCE,
    Candidate,
    Choice,
    Explored,
    Job,
    Objective,
    Rated,
    Result,
    Search,
    carried,
    choose,
    chosen,
    cost,
    fewest_copies,
    finalists,
    frugal,
    inside_limits,
    jobs,
    merged,
    promising,
    rate,
    spaces,
)
from ridgeline.explore.space import Space
from ridgeline.hardware.device import Device

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def choose_pruned(
    graph: Graph,
    device: Device,
    *,
    objective: Objective = "latency",
    pins: Mapping[str, int] | None = None,
    caps: Mapping[str, int] | None = None,
) -> Choice:
    """As `choose`, whose errors are raised too; `explored` and `points` are those of what was looked at."""
    started = time.perf_counter()
    searched = _searched(graph, spaces(device, objective, pins, caps, carried(graph)))
    if not searched:
        return choose(graph, device, objective=objective, pins=pins, caps=caps)
    explored = sum((found.explored for _, found in searched), Explored())
    choices: list[Choice] = []
    for finals in sorted((_Finals.of(graph, *item) for item in promising(searched)), key=lambda finals: finals.pace, reverse=True):
        if all(finals.pace >= choice.copies / choice.cycles / (1 + TOLERANCE) for choice in choices):
            choices.append(finals.chosen(graph))
    return replace(fewest_copies(choices), explored=replace(explored, time_s=time.perf_counter() - started))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Finals:
    """The finalists of one number of copies, the most frugal first, and the least cycles of each."""

    space: Space
    found: Search
    candidates: tuple[Candidate, ...]
    least: tuple[float, ...]

    @classmethod
    def of(cls, graph: Graph, space: Space, found: Search) -> _Finals:
        ordered = tuple(sorted(finalists(found.candidates), key=cost))
        least = tuple(least_cycles(graph, candidate.engine, space.dram) for candidate in ordered)
        return cls(space=space, found=found, candidates=ordered, least=least)

    @property
    def pace(self) -> float:
        """Images a cycle, of all copies, that none exceeds."""
        return self.space.copies / min(self.least)

    def chosen(self, graph: Graph) -> Choice:
        """One is chosen as soon as it is as fast as the fastest can be, within the tolerance, and all more frugal ones are not."""
        rated: list[Rated] = []
        for number, candidate in enumerate(self.candidates):
            fastest = min((prediction.cycles for _, (_, prediction) in rated), default=np.inf)
            if self.least[number] > fastest * (1 + TOLERANCE):
                continue
            rated.append(rate(graph, self.space, candidate))
            if self._decided(rated, number + 1):
                break
        return chosen(self.space, self.found, rated)

    def _decided(self, rated: Sequence[Rated], next_number: int) -> bool:
        best, (_, prediction) = frugal(rated)
        least = min([prediction.cycles for _, (_, prediction) in rated] + list(self.least[next_number:]))
        rest = self.candidates[next_number:]
        return prediction.cycles <= least * (1 + TOLERANCE) and all(cost(best) < cost(other) for other in rest)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Share:
    """One number of copies: its jobs and the least cycles of each."""

    space: Space
    jobs: tuple[Job, ...]
    least: tuple[float, ...]

    @property
    def pace(self) -> float:
        """Images a cycle, of all copies, that no job exceeds."""
        return self.space.copies / min(self.least)


def _searched(graph: Graph, every: Sequence[Space]) -> list[tuple[Space, Search]]:
    """In the order of `every`, without those that cannot be promising; nothing where any holds no engine that runs all layers."""
    shares: list[_Share] = []
    for space in every:
        try:
            made = tuple(jobs(graph, inside_limits(space), space))
        except (DoesNotFitError, UnsupportedError):
            break
        shares.append(_Share(space=space, jobs=made, least=tuple(job_floor(job) for job in made)))
    found: list[tuple[Space, Search]] = []
    paces: list[float] = []
    for share in sorted(shares, key=lambda share: share.pace, reverse=True):
        if len(paces) >= CONFIRMED and share.pace < sorted(paces)[-CONFIRMED]:
            break
        done = _run(share)
        if not done.candidates:
            return []
        found.append((share.space, done))
        paces.append(share.space.copies / min(candidate.cycles for candidate in done.candidates))
    return sorted(found, key=lambda item: item[0].copies)


def _run(share: _Share) -> Search:
    """The jobs that may hold a finalist: one of the fastest kinds, or a design as fast as the fastest within the tolerance."""
    results: dict[int, Result] = {}
    fastest: list[float] = []
    for number in sorted(range(len(share.jobs)), key=lambda number: share.least[number]):
        if len(fastest) >= CONFIRMED:
            best = sorted(fastest)
            if share.least[number] > max(best[CONFIRMED - 1], best[0] * (1 + TOLERANCE)):
                break
        results[number] = share.jobs[number].run()
        if results[number].candidates:
            fastest.append(min(candidate.cycles for candidate in results[number].candidates))
    return merged([results[number] for number in sorted(results)])


def job_floor(job: Job) -> float:
    """In closed form, of the network on any engine of the job, whatever its taps, buffers and tilings."""
    layers: Any = job.layers
    pixels = layers["height"] * layers["width"]
    reads = np.where(layers["window"] == 1, layers["reads_a_pixel"], 1) * pixels
    array = layers["blocks"] * layers["runs"] * np.maximum(reads, layers["block_words"])
    weights = (
        layers["blocks"] * (layers["runs"] * layers["block_words"] + layers["parameter_words"]) * (layers["word_bytes"] / layers["bus"])
    )
    stores = pixels * layers["blocks"] * layers["lanes_out"] / layers["bus"]
    moved = np.maximum((weights + stores) * float(job.memory["cycles_a_beat"]), weights)
    return float((job.members @ np.maximum(array, moved)).min())
