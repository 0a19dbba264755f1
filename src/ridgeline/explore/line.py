"""Where to cut a network over boards in a line, and the design of each board: the dynamic programme of `system.line` on the times of a search.

T(i, j) is what a single board's search finds for layers i..j, and each entry of the table costs one such search. So the table begins with lower
bounds, of which each stands for a search not made: as long as the best partition holds such an entry, its sections are searched and the programme
runs again. When the best partition holds none, it is the best of all: any other one takes at least its bounds' time, which is no less. What is
never searched is so proven not to be better. Equal boards share one table, and a section is searched once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from ridgeline.algorithm.cut import crossing_bytes, section, sections
from ridgeline.algorithm.graph import Graph
from ridgeline.errors import DoesNotFitError, InputError, RidgelineError, UnsupportedError
from ridgeline.hardware.device import Device
from ridgeline.system.line import Objective, Partition, Times, best, through

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Design = TypeVar("Design")
# The best design of a network on one board, and the seconds that the programme adds up or compares: for throughput those between two images, for
# latency those of one image. Raises DoesNotFitError or UnsupportedError when there is none.
Search: TypeAlias = Callable[[Graph, Device], tuple[float, Design]]
Bound: TypeAlias = Callable[[Graph, Device], float]  # seconds, never above what the search gives
Advance: TypeAlias = Callable[[int, int], None]  # sections decided, of all
Place: TypeAlias = tuple[int, int, int]  # kind of board, layers [start, stop)
SLACK = 1e-9  # relative: of sums in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """`sections` counts those that some partition has, for each kind of board; those not searched are proven not to be better by their bounds."""

    sections: int
    searched: int
    time_s: float

    @property
    def pruned(self) -> int:
        return self.sections - self.searched


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line(Generic[Design]):
    """`designs[k]` is for `graphs[k]` on board k; `link_bytes[k]` leave it for board k + 1."""

    partition: Partition
    graphs: tuple[Graph, ...]
    designs: tuple[Design, ...]
    link_bytes: tuple[int, ...]
    explored: Explored


def explore_line(
    graph: Graph,
    devices: Sequence[Device],
    link_bytes_per_s: float,
    *,
    objective: Objective,
    search: Search[Design],
    bound: Bound | None = None,
    advance: Advance | None = None,
) -> Line[Design]:
    """The best partition of all, with each board's design. Raises InputError for more boards than layers, DoesNotFitError when no partition has
    a design on every board."""
    started = time.perf_counter()
    require_layers(graph, len(devices))
    table = _Table.of(graph, devices, link_bytes_per_s, objective, bound)
    designs: dict[Place, Design] = {}

    def searched(place: Place) -> tuple[float, Design] | RidgelineError:
        try:
            return search(section(graph, *place[1:]), table.boards[place[0]])
        except (DoesNotFitError, UnsupportedError) as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while open_places := table.open_places(found := table.best()):
            for place, outcome in zip(open_places, pool.map(searched, open_places), strict=True):
                if isinstance(outcome, RidgelineError):
                    table.refuse(place, outcome)
                else:
                    seconds, designs[place] = outcome
                    table.settle(place, seconds)
                if advance is not None:
                    advance(*table.decided())
    return Line(
        partition=found,
        graphs=sections(graph, found.stops),
        designs=tuple(designs[place] for place in table.places(found)),
        link_bytes=tuple(crossing_bytes(graph, stop) for stop in found.stops[:-1]),
        explored=Explored(sections=int(table.possible.sum()), searched=int(table.known.sum()), time_s=time.perf_counter() - started),
    )


def require_layers(graph: Graph, boards: int) -> None:
    """Raises InputError when a board would be left without a layer."""
    layers = len(graph.nodes)
    if boards > layers:
        raise InputError(f"network '{graph.name}' has {layers} layers, fewer than the {boards} boards; every board takes at least one")


@dataclass(slots=True, kw_only=True, eq=False)
class _Table:
    """The times so far, of each kind of board: found ones and bounds."""

    graph: Graph
    boards: tuple[Device, ...]  # of each kind
    kinds: tuple[int, ...]  # of each board in the line
    links: Array
    objective: Objective
    times: Array  # (kinds, layers + 1, layers + 1)
    possible: Array  # the same shape: whether some partition has the section
    known: Array  # whether that is the search's time
    refused: dict[Place, RidgelineError] = field(default_factory=dict[Place, RidgelineError])

    @classmethod
    def of(cls, graph: Graph, devices: Sequence[Device], link_bytes_per_s: float, objective: Objective, bound: Bound | None) -> _Table:
        boards = tuple(dict.fromkeys(devices))
        kinds = tuple(boards.index(device) for device in devices)
        layers = len(graph.nodes)
        links = np.array([crossing_bytes(graph, position) / link_bytes_per_s for position in range(layers + 1)])
        table = cls(
            graph=graph,
            boards=boards,
            kinds=kinds,
            links=np.tile(links, (len(devices) - 1, 1)),
            objective=objective,
            times=np.zeros((len(boards), layers + 1, layers + 1)),
            possible=_possible(kinds, len(boards), layers),
            known=np.zeros((len(boards), layers + 1, layers + 1), bool),
        )
        if bound is not None:
            for start, stop in np.argwhere(table.possible.any(axis=0)).tolist():
                piece = section(graph, start, stop)
                table.times[:, start, stop] = [bound(piece, board) for board in boards]
        return table

    def best(self) -> Partition:
        """With bounds where nothing is known."""
        found = best(self._line(self.times), self.objective)
        if found is None:
            raise self._refusal()
        return found

    def places(self, found: Partition) -> list[Place]:
        return [(kind, start, stop) for kind, (start, stop) in zip(self.kinds, found.sections, strict=True)]

    def open_places(self, found: Partition) -> list[Place]:
        return [place for place in dict.fromkeys(self.places(found)) if not self.known[place]]

    def settle(self, place: Place, seconds: float) -> None:
        self.times[place] = seconds
        self.known[place] = True

    def refuse(self, place: Place, error: RidgelineError) -> None:
        self.refused[place] = error
        self.settle(place, np.inf)

    def decided(self) -> tuple[int, int]:
        """(sections that are searched or proven not to be better than what is known, all)."""
        settled = self.known.copy()
        done = best(self._line(np.where(self.known, self.times, np.inf)), self.objective)
        if done is not None:
            worse = through(self._line(self.times), self.objective) * (1 - SLACK) >= done.time_s
            for kind in range(len(self.boards)):
                settled[kind] |= worse[[number for number, other in enumerate(self.kinds) if other == kind]].all(axis=0)
        return int((settled & self.possible).sum()), int(self.possible.sum())

    def _line(self, times: Array) -> Times:
        return Times(boards=times[list(self.kinds)], links=self.links)

    def _refusal(self) -> DoesNotFitError:
        """Names the smallest section that does not fit."""
        (kind, start, stop), error = min(self.refused.items(), key=lambda item: (item[0][2] - item[0][1], item[0]))
        nodes = self.graph.nodes[start:stop]
        where = f"layer '{nodes[0].name}'" if len(nodes) == 1 else f"layers '{nodes[0].name}' to '{nodes[-1].name}'"
        return DoesNotFitError(
            f"network '{self.graph.name}' cannot be cut so that every section fits its board; {where} on '{self.boards[kind].name}': {error}"
        )


def _possible(kinds: Sequence[int], number: int, layers: int) -> Array:
    """Every board leaves a layer to each one before it and after it."""
    found = np.zeros((number, layers + 1, layers + 1), bool)
    for board, kind in enumerate(kinds):
        first, last = board, layers - (len(kinds) - 1 - board)
        for start in range(first, last) if board else (0,):
            stops = slice(start + 1, last + 1) if board + 1 < len(kinds) else slice(layers, layers + 1)
            found[kind, start, stops] = True
    return found
