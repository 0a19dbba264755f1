"""Steps from bitmaps against a walk over every element of the nest; banks against a walk of the engine."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import InputError
from ridgeline.formats.sparsity import read_pattern
from ridgeline.mapping.bank_balanced import bank_cycles
from ridgeline.mapping.dual_side import dual_side_steps, speed

CONVOLUTION = "n g c (y*s+r) (x*t+q), g m c r q -> n g m y x"


def walked(nest: Nest, inputs: np.ndarray, weights: np.ndarray, rows: tuple[str, ...], columns: tuple[str, ...]) -> tuple[int, int]:
    """(sparse, dense) steps, element by element of the loops."""
    left, right = nest.inputs
    depth = tuple(axis for axis in nest.axes if axis in nest.reduced)
    groups = tuple(axis for axis in nest.axes if axis not in (*rows, *columns, *depth))

    def flat(axes: tuple[str, ...], at: dict[str, int]) -> int:
        place = 0
        for axis in axes:
            place = place * nest.axes[axis] + at[axis]
        return place

    used_rows, used_columns = defaultdict(set), defaultdict(set)
    all_rows, all_columns = defaultdict(set), defaultdict(set)
    for values in product(*(range(size) for size in nest.axes.values())):
        at = dict(zip(nest.axes, values, strict=True))
        group, k, row, column = (flat(axes, at) for axes in (groups, depth, rows, columns))
        all_rows[group, k, row // 32].add(row)
        all_columns[group, k, column // 32].add(column)
        if inputs[tuple(sum(step * at[axis] for axis, step in index.items()) for index in left.indices)]:
            used_rows[group, k, row // 32].add(row)
        if weights[tuple(sum(step * at[axis] for axis, step in index.items()) for index in right.indices)]:
            used_columns[group, k, column // 32].add(column)

    def total(by_row: dict, by_column: dict) -> int:
        return sum(
            ceil(len(a) / 8) * ceil(len(b) / 16)
            for (group, k, _), a in by_row.items()
            for (other, same, _), b in by_column.items()
            if (group, k) == (other, same)
        )

    return total(used_rows, used_columns), total(all_rows, all_columns)


@st.composite
def layers(draw: st.DrawFn) -> tuple[Nest, tuple[str, ...], np.ndarray, np.ndarray]:
    size = st.integers
    if draw(st.booleans()):
        axes = {"y": draw(size(1, 40)), "c": draw(size(1, 6)), "m": draw(size(1, 40))}
        nest, rows = parse("y c, c m -> y m", axes=axes, multiplies=True), ("y",)
    else:
        axes = {
            "n": draw(size(1, 2)), "g": draw(size(1, 2)), "m": draw(size(1, 5)), "c": draw(size(1, 3)), "y": draw(size(1, 5)), "x": draw(size(1, 5)),
            "r": draw(size(1, 3)), "q": draw(size(1, 2)),
        }  # fmt: skip
        factors = {"s": draw(size(1, 2)), "t": draw(size(1, 3))}
        nest, rows = parse(CONVOLUTION, axes=axes, factors=factors, multiplies=True), ("n", "y", "x")
    rng = np.random.default_rng(draw(size(0, 2**32 - 1)))
    maps = [rng.random(operand.extents(nest.axes)) < draw(st.sampled_from((0.0, 0.1, 0.5, 1.0))) for operand in nest.inputs]
    return nest, rows, maps[0], maps[1]


@settings(max_examples=60, deadline=None)
@given(layers())
def test_steps_equal_a_walk(layer: tuple[Nest, tuple[str, ...], np.ndarray, np.ndarray]) -> None:
    nest, rows, inputs, weights = layer
    found = dual_side_steps(nest, inputs, weights)
    assert (found.sparse, found.dense) == walked(nest, inputs, weights, rows, ("m",))
    assert found.sparse <= found.dense
    assert speed(found) == found.dense / max(1, found.sparse)


def test_a_sample_of_tiles() -> None:
    """All of them give the whole; fewer come near it, and every tile has its share of dense steps."""
    nest = parse("y c, c m -> y m", axes={"y": 32 * 40, "c": 64, "m": 48}, multiplies=True)
    rng = np.random.default_rng(0)
    inputs, weights = rng.random((1280, 64)) < 0.4, rng.random((64, 48)) < 0.3
    whole = dual_side_steps(nest, inputs, weights)
    assert dual_side_steps(nest, inputs, weights, tiles=40, rng=rng) == whole
    part = dual_side_steps(nest, inputs, weights, tiles=10, rng=np.random.default_rng(1))
    assert part.dense * 4 == whole.dense
    assert speed(part) == pytest.approx(speed(whole), rel=0.05)


def test_rows_in_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    nest = parse("y c, c m -> y m", axes={"y": 200, "c": 7, "m": 20}, multiplies=True)
    rng = np.random.default_rng(2)
    inputs, weights = rng.random((200, 7)) < 0.4, rng.random((7, 20)) < 0.3
    whole = dual_side_steps(nest, inputs, weights)
    monkeypatch.setattr("ridgeline.mapping.dual_side.PIECE", 7 * 64)
    assert dual_side_steps(nest, inputs, weights) == whole


def test_bitmaps_of_other_shapes() -> None:
    nest = parse("y c, c m -> y m", axes={"y": 3, "c": 4, "m": 5}, multiplies=True)
    good = np.ones((3, 4), np.bool_), np.ones((4, 5), np.bool_)
    with pytest.raises(InputError, match=r"input bitmap of bool, shape \(4, 3\); nest 'y c, c m -> y m' has bools of shape \(3, 4\)"):
        dual_side_steps(nest, good[0].T, good[1])
    with pytest.raises(InputError, match=r"weight bitmap of float64, shape \(4, 5\)"):
        dual_side_steps(nest, good[0], good[1].astype(np.float64))
    with pytest.raises(InputError, match="a sample of 0 tiles; give 1 or more, and an rng that draws them"):
        dual_side_steps(nest, *good, tiles=0, rng=np.random.default_rng(0))


def engine_cycles(mask: np.ndarray, bank: int, elements: int, lanes: int) -> int:
    """The engine, cycle by cycle: each lane takes the next kept weight of its bank, and no two read one bank."""
    cycles = 0
    for first in range(0, len(mask), elements):
        slowest = 0
        for row in mask[first : first + elements]:
            queues = [[i for i in range(start, min(start + bank, len(row))) if row[i]] for start in range(0, len(row), bank)]
            taken = 0
            for turn in range(0, len(queues), lanes):
                waiting = [list(queue) for queue in queues[turn : turn + lanes]]
                while any(waiting):
                    read = [queue.pop(0) // bank for queue in waiting if queue]
                    assert len(set(read)) == len(read), "a conflict"
                    taken += 1
            slowest = max(slowest, taken)
        cycles += slowest
    return cycles


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_cycles_of_banks(rows: int, columns: int, bank: int, elements: int, lanes: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) < 0.4
    assert bank_cycles(mask, bank, elements=elements, lanes=lanes) == engine_cycles(mask, bank, elements, lanes)


@pytest.mark.parametrize(("name", "bank", "kept"), [("bank16:75%", 16, 4), ("2:4", 4, 2), ("bank8:50%", 8, 4)])
def test_balanced_banks_wait_for_none(name: str, bank: int, kept: int) -> None:
    scores = np.random.default_rng(3).random((20, 12 * bank))
    mask = read_pattern(name).mask(scores)
    assert bank_cycles(mask, bank, elements=8, lanes=4) == 3 * 3 * kept
    random = np.zeros(mask.size, np.bool_)
    random[np.random.default_rng(4).permutation(mask.size)[: mask.sum()]] = True
    assert bank_cycles(random.reshape(mask.shape), bank, elements=8, lanes=4) > 3 * 3 * kept, "as many weights without balance"


def test_sizes_that_are_none() -> None:
    with pytest.raises(InputError, match=r"a mask of shape \(4, 4\) in banks of 0 on 2 elements of 2; give a matrix, and sizes of 1 or more"):
        bank_cycles(np.ones((4, 4), np.bool_), 0, elements=2, lanes=2)
