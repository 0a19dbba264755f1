"""The dynamic programme against every partition there is."""

from itertools import combinations

import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.system.line import Objective, Times, best, through

CASES = 1000


def every_partition(times: Times, objective: Objective) -> dict[tuple[int, ...], float]:
    """Stops -> time, added up or compared one after another."""
    count, layers = len(times.boards), times.layers
    found: dict[tuple[int, ...], float] = {}
    for cuts in combinations(range(1, layers), count - 1):
        stops = (*cuts, layers)
        start, total = 0, 0.0
        for board, stop in enumerate(stops):
            stages = [float(times.boards[board, start, stop])]
            if board:
                stages.insert(0, float(times.links[board - 1, start]))
            for stage in stages:
                total = max(total, stage) if objective == "throughput" else total + stage
            start = stop
        found[stops] = total
    return found


def random_times(rng: np.random.Generator, *, layers: int, boards: int) -> Times:
    """Whole numbers, so that sums are exact; a few sections that a board cannot run; equal boards now and then."""
    shape = (boards, layers + 1, layers + 1)
    table = rng.integers(1, 60, shape).astype(float)
    if rng.random() < 0.5:  # as of real layers: a section takes longer than each of its layers
        table = np.cumsum(table, axis=2)
    if rng.random() < 0.3:
        table[:] = table[0]
    table[rng.random(shape) < rng.choice([0, 0.1, 0.5])] = np.inf
    return Times(boards=table, links=rng.integers(0, 80, (boards - 1, layers + 1)).astype(float))


def test_equal_to_brute_force() -> None:
    rng = np.random.default_rng(2016)
    for _ in range(CASES):
        boards = int(rng.integers(1, 5))
        times = random_times(rng, layers=int(rng.integers(boards, 11)), boards=boards)
        for objective in ("latency", "throughput"):
            every = every_partition(times, objective)
            found = best(times, objective)
            if found is None:
                assert min(every.values()) == np.inf
                continue
            assert found.time_s == min(every.values()) < np.inf
            assert every[found.stops] == found.time_s
            assert found.sections[0][0] == 0
            assert found.sections[-1][1] == times.layers
            assert all(stop > start for start, stop in found.sections)


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_through_a_section(objective: Objective) -> None:
    rng = np.random.default_rng(7)
    for _ in range(100):
        boards = int(rng.integers(1, 5))
        times = random_times(rng, layers=int(rng.integers(boards, 8)), boards=boards)
        expected = np.full(times.boards.shape, np.inf)
        for stops, time in every_partition(times, objective).items():
            for board, (start, stop) in enumerate(zip((0, *stops[:-1]), stops, strict=True)):
                expected[board, start, stop] = min(expected[board, start, stop], time)
        assert np.array_equal(through(times, objective), expected)


def test_more_boards_than_layers() -> None:
    with pytest.raises(InputError, match="2 layers are fewer than 3 boards; every board takes at least one"):
        Times(boards=np.ones((3, 3, 3)), links=np.ones((2, 3)))
    with pytest.raises(InputError, match="are not"):
        Times(boards=np.ones((2, 3, 3)), links=np.ones((2, 3)))
