"""Dual-side steps against a walk over tiles, and predicted outputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.formats.sparsity import hit_rate, pool_needed, relu_needed, steps


def walked(a: np.ndarray, b: np.ndarray) -> tuple[int, int, int, int]:
    """Tile by tile, k by k: (sparse, dense, skipped, tiles)."""
    sparse = dense = skipped = tiles = 0
    for row in range(0, a.shape[0], 32):
        for column in range(0, b.shape[1], 32):
            for at in range(0, a.shape[1], 32):
                left, right = a[row : row + 32, at : at + 32], b[at : at + 32, column : column + 32]
                tiles += 1
                dense += left.shape[1] * -(-left.shape[0] // 8) * -(-right.shape[1] // 16)
                if not left.any() or not right.any():
                    skipped += 1
                    continue
                for k in range(left.shape[1]):
                    sparse += -(-int(left[:, k].sum()) // 8) * -(-int(right[k].sum()) // 16)
    return sparse, dense, skipped, tiles


@given(st.integers(0, 10**6), st.tuples(*[st.integers(1, 80)] * 3), st.sampled_from([0.0, 0.003, 0.1, 0.5, 1.0]))
@settings(max_examples=40)
def test_steps_are_those_of_a_walk(seed: int, shape: tuple[int, int, int], density: float) -> None:
    rng, (m, k, n) = np.random.default_rng(seed), shape
    a, b = rng.random((m, k)) < density, rng.random((k, n)) < 0.3
    found = steps(a, b)
    assert (found.sparse, found.dense, found.skipped, found.tiles) == walked(a, b)


def test_a_full_tile_takes_eight_steps_for_each_k() -> None:
    found = steps(np.ones((32, 32), bool), np.ones((32, 32), bool))
    assert (found.sparse, found.dense) == (8 * 32, 8 * 32)


def test_predicted_outputs() -> None:
    predicted = np.array([[1, 3, -1, -2], [3, 0, -4, -1]])
    assert relu_needed(predicted).tolist() == [[True, True, False, False], [True, False, False, False]]
    assert pool_needed(predicted, 2).tolist() == [[False, True, True, False], [False, False, False, False]]
    assert hit_rate(relu_needed(predicted), np.ones((2, 4), bool)) == 3 / 8


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4))
def test_pool_takes_one_of_each_window(seed: int, window: int, count: int) -> None:
    outputs = np.random.default_rng(seed).integers(-8, 8, (2, 3, window * count, window * 2))
    needed = pool_needed(outputs, window)
    for y in range(0, window * count, window):
        for x in range(0, window * 2, window):
            part = (slice(None), slice(None), slice(y, y + window), slice(x, x + window))
            assert (needed[part].sum(axis=(2, 3)) == 1).all()
            assert np.array_equal(outputs[part][needed[part]].reshape(2, 3), outputs[part].max(axis=(2, 3)))


def test_refused() -> None:
    for act in (
        lambda: steps(np.ones((2, 3), bool), np.ones((2, 3), bool)),
        lambda: pool_needed(np.ones((3, 4)), 2),
        lambda: pool_needed(np.ones(4), 2),
        lambda: hit_rate(np.ones(3, bool), np.ones(4, bool)),
        lambda: hit_rate(np.ones(0, bool), np.ones(0, bool)),
    ):
        with pytest.raises(InputError, match=r"^sparsity: [^\n]+$"):
            act()
