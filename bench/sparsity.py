"""Sparsity patterns: energy kept of Gaussian weights, dual-side steps beside a walk, and how fast and in what memory 2:4 prunes.

RIDGELINE_SPARSITY_BYTES is the size of the tensor that is pruned, 10^9 unless it says less.
"""

from __future__ import annotations

import os
import resource
import sys
from time import perf_counter

import numpy as np

from bench.row import Row
from ridgeline.formats.sparsity import read_pattern, steps

# Energy kept: shared reference of the patterns; unstructured by theory, the others by simulation elsewhere.
GAUSSIAN = {
    "unstructured:50%": 0.9287,
    "unstructured:75%": 0.7236,
    "bank32:50%": 0.9206,
    "bank32:75%": 0.7075,
    "2:4": 0.8676,
    "1:4": 0.6174,
    "transposable2:4": 0.8223,
}
COLUMNS = 16384
NUMPY_ROWS = 1024


def measure() -> list[Row]:
    return [_throughput(), *(_energy(name, due) for name, due in GAUSSIAN.items()), _steps()]


def _throughput() -> Row:
    """First of all, so that the peak of memory is its own."""
    size = int(os.environ.get("RIDGELINE_SPARSITY_BYTES", "1000000000"))
    pattern, rng = read_pattern("2:4"), np.random.default_rng(0)
    pattern.prune(rng.random((8, 64), np.float32))  # compiled
    before = _peak_bytes()
    values = np.empty((max(8, size // 4 // COLUMNS), COLUMNS), np.float32)
    for row in values:
        row[:] = rng.random(COLUMNS, np.float32) - 0.5
    start = perf_counter()
    mask, packed = pattern.prune(values)
    seconds = perf_counter() - start
    held = (_peak_bytes() - before) / values.nbytes
    part = values[:NUMPY_ROWS]
    start = perf_counter()
    by_numpy = _numpy_prune(part)
    slow = perf_counter() - start
    equal = np.array_equal(by_numpy[0], mask[:NUMPY_ROWS]) and np.array_equal(by_numpy[1], packed.values[: by_numpy[1].size])
    return Row(
        figure=f"2:4, mask and pack of {values.nbytes / 1e9:.2f} GB float32",
        value=f"{values.nbytes / seconds / 1e6:.0f} MB/s, peak {held:.2f} x the tensor",
        target=">= 300 MB/s, <= 2 x",
        worst=f"equal to numpy on {part.nbytes / 1e6:.0f} MB: {'yes' if equal else 'NO'}",
        holds=bool(equal) and values.nbytes / seconds >= 300e6 and held <= 2,
        peer=f"numpy {part.nbytes / slow / 1e6:.0f} MB/s",
    )


def _numpy_prune(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mask and the values of 2:4 by a stable sort."""
    fours = values.reshape(-1, 4)
    index = np.sort(np.argsort(-np.abs(fours), axis=1, kind="stable")[:, :2], axis=1)
    mask = np.zeros(fours.shape, np.bool_)
    np.put_along_axis(mask, index, True, axis=1)
    return mask.reshape(values.shape), np.take_along_axis(fours, index, axis=1).reshape(-1)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _energy(name: str, due: float) -> Row:
    squares = np.random.default_rng(0).normal(size=(2048, 2048)) ** 2
    found = squares[read_pattern(name).mask(squares)].sum() / squares.sum()
    return Row(
        figure=f"energy kept of Gaussian weights, {name}",
        value=f"{found:.4f}",
        target=f"{due} +- .002",
        worst="-",
        holds=bool(abs(found - due) < 0.002),
    )


def _steps() -> Row:
    rng, wrong, total = np.random.default_rng(0), 0, 40
    for _ in range(total):
        m, k, n = rng.integers(1, 100, 3)
        a, b = rng.random((m, k)) < rng.random() / 2, rng.random((k, n)) < rng.random() / 2
        wrong += steps(a, b).sparse != _walked(a, b)
    return Row(
        figure="dual-side steps against a walk", value=f"{total - wrong} of {total} equal", target="all", worst="-", holds=bool(wrong == 0)
    )


def _walked(a: np.ndarray, b: np.ndarray) -> int:
    sparse = 0
    for row in range(0, len(a), 32):
        for column in range(0, b.shape[1], 32):
            for k in range(a.shape[1]):
                sparse += -(-int(a[row : row + 32, k].sum()) // 8) * -(-int(b[k, column : column + 32].sum()) // 16)
    return sparse
