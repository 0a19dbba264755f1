"""The search for a choice a weight, against every combination of small cases."""

from __future__ import annotations

from itertools import product
from math import inf

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.explore.loss_search import chain_of, hull, search


def tables(seed: int, weights: int, choices: int) -> tuple[list[list[float]], list[list[float]]]:
    rng = np.random.default_rng(seed)
    return rng.uniform(1, 9, (weights, choices)).tolist(), (rng.uniform(0, 1, (weights, choices)) ** 3).tolist()


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), weights=st.integers(1, 5), choices=st.integers(1, 4), share=st.floats(0, 1.2))
def test_against_every_combination(seed: int, weights: int, choices: int, share: float) -> None:
    costs, losses = tables(seed, weights, choices)

    def loss(taken: tuple[int, ...]) -> float:
        return sum(row[choice] for row, choice in zip(losses, taken, strict=True))

    def cost(taken: tuple[int, ...]) -> float:
        return sum(row[choice] for row, choice in zip(costs, taken, strict=True))

    every = list(product(range(choices), repeat=weights))
    low, high = min(map(loss, every)), max(map(loss, every))
    limit = low + share * (high - low) - (0.1 if share < 0.02 else 0)
    found = search(costs, losses, limit, loss)
    within = [taken for taken in every if loss(taken) <= limit]
    assert found.meets == bool(within)
    assert found.best.loss == loss(found.best.choices)
    assert abs(found.best.cost - cost(found.best.choices)) < 1e-9
    if within:
        spread = max(map(cost, every)) - min(map(cost, every))
        assert found.best.loss <= limit
        assert found.best.cost <= min(map(cost, within)) + 0.34 * spread
        assert all(point.cost >= found.best.cost for point in found.points if point.loss <= limit)
    else:
        assert found.best.loss == low


def test_mostly_the_best_of_all() -> None:
    """Of 100 cases with losses that add, the search finds the very best in most."""
    best = 0
    for seed in range(100):
        costs, losses = tables(seed, 5, 3)

        def loss(taken: tuple[int, ...], losses: list[list[float]] = losses) -> float:
            return sum(row[choice] for row, choice in zip(losses, taken, strict=True))

        every = list(product(range(3), repeat=5))
        limit = sorted(map(loss, every))[60]
        least = min(sum(row[c] for row, c in zip(costs, taken, strict=True)) for taken in every if loss(taken) <= limit)
        best += search(costs, losses, limit, loss).best.cost <= least + 1e-9
    assert best >= 75


def test_hull_and_chain() -> None:
    assert hull([8, 4, 6, 2], [0.0, 0.1, 0.9, 1.0]) == [0, 1, 3]
    assert hull([4, 4, inf], [0.1, 0.2, 0.0]) == [0]
    assert chain_of([[8, 4], [8, 4]], [[0.0, 0.3], [0.0, 0.1]]) == [(0, 0), (0, 1), (1, 1)]


def test_a_choice_that_a_weight_cannot_take() -> None:
    found = search([[1.0, 5.0], [inf, 5.0]], [[0.5, 0.0], [inf, 0.0]], 1.0, lambda taken: 0.5 * (taken[0] == 0))
    assert found.best.choices == (0, 1)


def test_losses_that_do_not_add() -> None:
    """What is measured decides, not the sums."""
    found = search([[9.0, 1.0], [9.0, 1.0]], [[0.0, 0.1], [0.0, 0.1]], 0.25, lambda taken: 0.1 * sum(taken) + 0.5 * (sum(taken) == 2))
    assert sum(found.best.choices) == 1
