"""Boards in a line, each with consecutive layers: the best places to cut, by a dynamic programme over layers, boards and links.

As in ISLPED'16 (10.1145/2934583.2934644), with T(i, j) the best time of layers i..j on one board and X(i) the time in which the activations that
cross after layer i pass a link:

    throughput:  F(j, k) = min over i < j of max(F(i, k - 1), X(i), T(i + 1, j))
    latency:     F(j, k) = min over i < j of     F(i, k - 1) + X(i) + T(i + 1, j)

Boards and links may differ, so T and X have a table for each. All times are seconds; an infinite one is a section that a board cannot run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from ridgeline.errors import InputError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Objective = Literal["latency", "throughput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """`stops[k]` layers lie on boards 0..k. `time_s` is an image's time through all boards and links (latency), or that of the slowest board or
    link (throughput)."""

    stops: tuple[int, ...]
    time_s: float

    @property
    def sections(self) -> tuple[tuple[int, int], ...]:
        """[start, stop) of the layers of each board."""
        return tuple(zip((0, *self.stops[:-1]), self.stops, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Times:
    """`boards[k, i, j]`: layers [i, j) on board k, for i < j; `links[k, i]`: what crosses after i layers, from board k to board k + 1."""

    boards: Array  # (boards, layers + 1, layers + 1)
    links: Array  # (boards - 1, layers + 1)

    def __post_init__(self) -> None:
        count, layers = len(self.boards), self.boards.shape[-1] - 1
        if self.boards.shape != (count, layers + 1, layers + 1) or self.links.shape != (count - 1, layers + 1):
            raise InputError(f"times of shapes {self.boards.shape} and {self.links.shape} are not (k, n + 1, n + 1) and (k - 1, n + 1)")
        if count > layers:
            raise InputError(f"{layers} layers are fewer than {count} boards; every board takes at least one")

    @property
    def layers(self) -> int:
        return self.boards.shape[-1] - 1


def best(times: Times, objective: Objective) -> Partition | None:
    """Of equally good partitions the one whose last cuts come first; None when each has a section that its board cannot run."""
    joined = _joined(objective)
    found = _prefixes(times, joined)
    if np.isinf(found[-1][-1]):
        return None
    stops = [times.layers]
    for board in range(len(times.boards) - 1, 0, -1):
        stops.append(int(np.argmin(_steps(times, found[board], board, joined)[:, stops[-1]])))
    return Partition(stops=tuple(reversed(stops)), time_s=float(found[-1][-1]))


def through(times: Times, objective: Objective) -> Array:
    """(boards, layers + 1, layers + 1): the least time of any partition that gives layers [i, j) to board k."""
    joined = _joined(objective)
    before, after = _prefixes(times, joined), _suffixes(times, joined)
    found = np.empty_like(times.boards)
    for board in range(len(times.boards)):
        arriving = before[board] if board == 0 else joined(before[board], times.links[board - 1])
        leaving = after[board] if board == len(times.boards) - 1 else joined(after[board], times.links[board])
        found[board] = joined(joined(arriving[:, None], _sections(times, board)), leaving[None, :])
    return found


def _sections(times: Times, board: int) -> Array:
    """Infinite where a section holds no layer."""
    return np.where(np.triu(np.ones(times.boards.shape[1:], bool), 1), times.boards[board], np.inf)


Joined: TypeAlias = Callable[[Array, Array], Array]


def _joined(objective: Objective) -> Joined:
    """Of two times one after another: what an image takes, or how often one can pass."""
    match objective:
        case "latency":
            return np.add
        case "throughput":
            return np.maximum


def _prefixes(times: Times, joined: Joined) -> list[Array]:
    """[k][i]: the best of layers [0, i) on boards 0..k-1; of no board, nothing is done and nothing was waited for."""
    found = [_nothing(times.layers, 0)]
    for board in range(len(times.boards)):
        found.append(_steps(times, found[board], board, joined).min(axis=0))
    return found


def _steps(times: Times, before: Array, board: int, joined: Joined) -> Array:
    """[i, j]: the best of layers [0, j) when the board has [i, j)."""
    arriving = before if board == 0 else joined(before, times.links[board - 1])
    return joined(arriving[:, None], _sections(times, board))


def _suffixes(times: Times, joined: Joined) -> list[Array]:
    """[k][j]: the best of layers [j, n) on the boards after k."""
    count = len(times.boards)
    found = [_nothing(times.layers, times.layers)]
    for board in range(count - 1, 0, -1):
        leaving = found[0] if board == count - 1 else joined(found[0], times.links[board])
        found.insert(0, joined(_sections(times, board), leaving[None, :]).min(axis=1))
    return found


def _nothing(layers: int, place: int) -> Array:
    empty = np.full(layers + 1, np.inf)
    empty[place] = 0.0
    return empty
