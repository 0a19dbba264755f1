"""Which weights stay, how they are stored and multiplied: every pattern against definitions written out here."""

from __future__ import annotations

from itertools import pairwise
from itertools import product as pairs
from zlib import crc32

import numpy as np
import pytest
from bench.sparsity import GAUSSIAN
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.formats.sparsity import counts, from_bytes, product, read_pattern, wanda_scores
from ridgeline.formats.sparsity.grouped import Grouped
from ridgeline.formats.sparsity.packed import PREFIX

NAMES = ["none", "unstructured:75%", "row:62.5%", "balanced3:80%", "bank16:50%", "bank100:90%", "2:4", "3:7", "1:1"]
NAMES += ["transposable2:4", "4:2:8", "3:1:5", "block8x8:70%", "block2x3:50%", "bitmap", "bitmap4x4"]
SEEDS = st.integers(0, 10**6)
GROUPED = [name for name in NAMES if isinstance(read_pattern(name), Grouped) and name != "transposable2:4"]


@st.composite
def weights(draw: st.DrawFn, dims: int = 4) -> np.ndarray:
    """Few different values, so that ties and zeros are many."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=dims, min_side=1, max_side=11))
    kind = draw(st.sampled_from([np.float32, np.float64, np.float16, np.int8, np.int64, np.uint8]))
    return np.random.default_rng(draw(SEEDS)).integers(0 if kind is np.uint8 else -4, 5, shape).astype(kind)


def as_rows(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Reduction axes last, flattened."""
    moved = np.moveaxis(array, axes, range(array.ndim - len(axes), array.ndim))
    return moved.reshape(-1, int(np.prod([array.shape[one] for one in axes])))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=25)
def test_round_trip_and_product(name: str, data: st.DataObject) -> None:
    values, pattern = data.draw(weights()), read_pattern(name)
    order = data.draw(st.permutations(range(values.ndim)))
    axes = tuple(order[: data.draw(st.integers(1, values.ndim))])
    mask, packed = pattern.prune(values, axes)
    kept = np.where(mask, values, 0)
    assert np.array_equal(mask, pattern.mask(np.abs(values.astype(float)), axes))
    assert np.array_equal(packed.unpack(), kept)
    back = from_bytes(packed.to_bytes())
    assert back.values.dtype == values.dtype
    assert np.array_equal(back.unpack(), kept)
    dense = np.random.default_rng(0).integers(-9, 10, (packed.matrix_shape[1], 3)).astype(values.dtype)
    due = as_rows(kept, axes).astype(np.int64) @ dense.astype(np.int64)
    assert np.array_equal(product(back, dense).reshape(due.shape), due)
    bits = packed.values.size * 5 + 8 * packed.metadata.size - pattern.storage_bits(values.shape, 5, axis=axes, mask=mask)
    assert 0 <= bits < 8


@pytest.mark.parametrize("name", GROUPED)
@given(values=weights(dims=2))
@settings(max_examples=25)
def test_groups_keep_their_first_largest(name: str, values: np.ndarray) -> None:
    pattern, scores = read_pattern(name), np.abs(np.atleast_2d(values).astype(float))
    _, width, kept = pattern.groups(scores.shape[1])
    due = np.zeros(scores.shape, bool)
    for row, line in enumerate(scores):
        for first in range(0, len(line), width):
            group = sorted(range(first, min(first + width, len(line))), key=lambda at: (-line[at], at))
            due[row, group[:kept]] = True
    assert np.array_equal(pattern.mask(scores), due)
    assert np.array_equal(pattern.defined_mask(scores), due)
    stored, places = pattern.pack(scores, due), pattern.arranged(due)[0]
    assert np.array_equal(stored.places(), places)
    assert np.array_equal(stored.metadata, np.packbits(pattern.arranged(due)[1], bitorder="little"))


@given(SEEDS, st.integers(1, 9), st.integers(1, 5), st.sampled_from([np.float32, np.int64, np.float64, np.uint8]))
def test_pairs_are_packed_as_any_group(seed: int, rows: int, eights: int, kind: type) -> None:
    rng, pattern = np.random.default_rng(seed), read_pattern("2:4")
    values = (
        (rng.normal(size=(rows, 8 * eights)) * 99).astype(kind) if kind is not np.uint8 else rng.integers(0, 255, (rows, 8 * eights), kind)
    )
    mask = pattern.mask(rng.random(values.shape)) & (rng.random(values.shape) < 0.8)
    places, bits = pattern.arranged(mask)
    packed = pattern.pack(values, mask)
    assert np.array_equal(packed.values, np.where(mask, values, 0).reshape(-1)[places])
    assert np.array_equal(packed.metadata, np.packbits(bits, bitorder="little"))


def test_wide_groups_are_sorted_alike() -> None:
    scores = np.random.default_rng(1).integers(0, 30, (9, 700)).astype(np.float32)
    for name in ("row:75%", "bank128:50%", "balanced3:80%"):
        assert np.array_equal(read_pattern(name).mask(scores), read_pattern(name).defined_mask(scores))


@given(weights())
def test_unstructured_keeps_the_first_largest(values: np.ndarray) -> None:
    scores = np.abs(values.astype(float))
    order = sorted(range(scores.size), key=lambda at: (-scores.reshape(-1)[at], at))
    mask = read_pattern("unstructured:75%").mask(scores, tuple(range(scores.ndim)))
    assert set(np.flatnonzero(mask)) == set(order[: max(1, int(scores.size / 4 + 0.5))])


def test_transposable_is_the_best_of_all_masks() -> None:
    legal = [np.array(bits).reshape(4, 4) for bits in pairs((1, 0), repeat=16) if sum(bits) == 8]
    legal = [mask for mask in legal if (mask.sum(0) == 2).all() and (mask.sum(1) == 2).all()]
    assert len(legal) == 90
    scores = np.random.default_rng(2).integers(0, 4, (20, 24)).astype(np.float32)
    mask = read_pattern("transposable2:4").mask(scores)
    for row, column in pairs(range(0, 20, 4), range(0, 24, 4)):
        block = scores[row : row + 4, column : column + 4]
        assert np.array_equal(mask[row : row + 4, column : column + 4], max(legal, key=lambda one: (one * block).sum()))


@given(SEEDS, st.integers(1, 9), st.integers(1, 21))
def test_venom_chooses_columns_then_two_of_four(seed: int, rows: int, columns: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 6, (rows, columns)).astype(np.float32)
    due = np.zeros(scores.shape, bool)
    for top, left in pairs(range(0, rows, 4), range(0, columns, 8)):
        across = range(left, min(left + 8, columns))
        kept = sorted(sorted(across, key=lambda at: (-scores[top : top + 4, at].sum(), at))[:4])
        for row in range(top, min(top + 4, rows)):
            due[row, sorted(kept, key=lambda at: (-scores[row, at], at))[:2]] = True
    assert np.array_equal(read_pattern("4:2:8").mask(scores), due)


@given(SEEDS, st.integers(1, 30), st.integers(1, 30))
def test_blocks_with_the_largest_sums_stay(seed: int, rows: int, columns: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 3, (rows, columns)).astype(np.float32)
    corners = list(pairs(range(0, rows, 8), range(0, columns, 8)))
    best = sorted(corners, key=lambda at: (-scores[at[0] : at[0] + 8, at[1] : at[1] + 8].sum(), at))
    due = np.zeros(scores.shape, bool)
    for row, column in best[: max(1, int(len(corners) * 0.3 + 0.5))]:
        due[row : row + 8, column : column + 8] = True
    assert np.array_equal(read_pattern("block8x8:70%").mask(scores), due)


def energy(name: str, values: np.ndarray) -> float:
    """Scored by squares: sums of magnitudes choose other blocks and keep less."""
    squares = values**2
    return float(squares[read_pattern(name).mask(squares)].sum() / squares.sum())


@given(hnp.arrays(np.float64, st.tuples(st.sampled_from([4, 8, 12]), st.sampled_from([32, 64])), elements=st.floats(-8, 8, width=16)))
def test_orders_hold_for_any_tensor(scores: np.ndarray) -> None:
    if not scores.any():
        return
    names = ["unstructured:50%", "row:50%", "bank32:50%", "bank16:50%", "bank8:50%", "2:4", "transposable2:4"]
    kept = [energy(name, scores) for name in names]
    assert all(larger >= smaller - 1e-12 for larger, smaller in pairwise(kept))
    assert np.array_equal(read_pattern("bank8:50%").mask(np.abs(scores)), read_pattern("4:8").mask(np.abs(scores)))
    assert energy("2:8", scores) >= energy("4:2:8", scores) - 1e-12


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussian_energy(name: str) -> None:
    assert abs(energy(name, np.random.default_rng(5).normal(size=(1024, 1024))) - GAUSSIAN[name]) < 0.002


def test_csb_order_by_hand() -> None:
    values = np.array([[0, 5, 0, 6, 7, 0, 0, 8], [1, 2, 0, 0, 0, 0, 3, 4]], np.int8)
    packed = read_pattern("bank4:50%").pack(values, values != 0)
    assert packed.values.tolist() == [5, 7, 6, 8, 1, 3, 2, 4]
    indices = [1, 0, 3, 3, 0, 2, 1, 3]
    assert packed.metadata.tolist() == [sum(index << 2 * at for at, index in enumerate(indices[start : start + 4])) for start in (0, 4)]
    assert read_pattern("2:4").pack(values, values != 0).values.tolist() == [5, 6, 7, 8, 1, 2, 3, 4]


def test_storage() -> None:
    for bits, share in ((16, 0.5625), (8, 0.625), (4, 0.75)):
        assert read_pattern("2:4").storage_bits((64, 128), bits) == share * 64 * 128 * bits
    assert read_pattern("2:4").storage_bits((3, 5), 8) == 3 * 4 * (8 + 2)
    assert read_pattern("64:2:8").storage_bits((128, 64), 16) == 128 * 16 * (16 + 2) + 2 * 8 * 4 * 3
    assert read_pattern("block8x8:75%").storage_bits((64, 64), 8) == 16 * (64 * 8 + 6)
    assert read_pattern("unstructured:75%").storage_bits((8, 10), 8) == 20 * 8 + 80
    corner = np.zeros((64, 64), bool)
    corner[0, :3] = True
    assert read_pattern("bitmap").storage_bits((64, 64), 8, mask=corner) == 3 * 8 + 4 + 1024


def test_masks_that_keep_less_or_more() -> None:
    values, few = np.arange(1, 9, dtype=np.int8).reshape(1, 8), np.zeros((1, 8), bool)
    few[0, 3] = True
    for name in NAMES:
        assert read_pattern(name).pack(values, few).unpack().tolist() == np.where(few, values, 0).tolist() or name == "none"
    for name in ("2:4", "bank4:50%", "row:75%", "1:2:4", "block1x4:50%", "transposable2:4"):
        with pytest.raises(InputError, match=r"against|keeps"):
            read_pattern(name).pack(values, np.ones((1, 8), bool))


def test_counts_and_scores() -> None:
    mask = np.random.default_rng(3).random((10, 13)) < 0.4
    due = [[int(mask[r : r + 4, c : c + 5].sum()) for c in range(0, 13, 5)] for r in range(0, 10, 4)]
    assert counts(mask, (4, 5)).tolist() == due
    assert wanda_scores(np.array([[-2.0, 1.0]]), np.array([1.0, 3.0])).tolist() == [[2.0, 3.0]]
    assert wanda_scores(np.array([[-128]], np.int8), np.ones(1)).tolist() == [[128.0]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bank:50%", "unknown sparsity pattern 'bank:50%'; did you mean one like 'bank16:50%'?"),
        ("", "unknown sparsity pattern ''; patterns are "),
        ("2:4 ", "unknown sparsity pattern '2:4 '; did you mean one like '2:4'?"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        read_pattern(name)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("name", ["5:4", "0:4", "0:2:8", "4:5:8", "4:2:3", "bank0:50%", "balanced0:50%", "block0x1:5%", "bitmap0x4"])
def test_numbers_that_make_no_pattern(name: str) -> None:
    with pytest.raises(InputError, match=r"^sparsity: [^\n]+$"):
        read_pattern(name)


@pytest.mark.parametrize("name", ["2:4", "bank16:50%", "transposable2:4", "3:2:8", "block8x8:70%", "bitmap"])
def test_refused_without_padding(name: str) -> None:
    for act in (lambda p, w: p.mask(w), lambda p, w: p.prune(w), lambda p, w: p.storage_bits(w.shape, 8)):
        with pytest.raises(InputError, match="do not divide"):
            act(read_pattern(name, pad=False), np.ones((5, 13), np.float32))


def test_refused_input() -> None:
    pattern, ones = read_pattern("2:4"), np.ones((4, 8), np.float32)
    acts = [
        lambda: pattern.mask(ones, 2),
        lambda: pattern.mask(ones, (0, 0)),
        lambda: pattern.mask(np.ones((0, 4))),
        lambda: pattern.mask(ones, ()),
    ]
    acts += [
        lambda: pattern.mask(np.full((2, 4), np.nan)),
        lambda: pattern.pack(ones, np.ones((4, 7), bool)),
        lambda: counts(ones > 0, (0, 1)),
    ]
    acts += [lambda: pattern.pack(ones.astype(complex), ones > 9), lambda: product(pattern.prune(ones)[1], np.ones((7, 2)))]
    acts += [lambda: wanda_scores(ones, np.ones(4)), lambda: pattern.storage_bits((4, 8), 8, mask=np.ones((4, 4), bool))]
    acts += [lambda: pattern.mask(ones.astype(complex)), lambda: pattern.mask(ones.astype(str))]
    for act in acts:
        with pytest.raises(InputError, match=r"^sparsity: [^\n]+$"):
            act()


@given(st.sampled_from(["row", "unstructured", "bank8", "balanced3", "block2x2"]), st.integers(0, 10**11 - 1))
def test_shares_of_nine_digits_are_read_as_named(stem: str, billionths: int) -> None:
    pattern = read_pattern(f"{stem}:{billionths // 10**9}.{billionths % 10**9:09d}%")
    assert read_pattern(pattern.name) == pattern


@pytest.mark.parametrize(("name", "last"), [("1:3", b"\xff"), ("bitmap", b"\xff"), ("unstructured:50%", b"")])
def test_metadata_that_places_no_values_is_refused(name: str, last: bytes) -> None:
    """Under a checksum that is right."""
    whole = read_pattern(name).prune(np.arange(1, 13, dtype=np.float32).reshape(2, 6))[1].to_bytes()
    body = whole[PREFIX.size : -1] + last
    prefix = PREFIX.pack(*PREFIX.unpack(whole[: PREFIX.size])[:4], crc32(body))
    read = from_bytes(prefix + body)
    with pytest.raises(InputError, match=r"^packed sparse tensor in [^\n]+ does not place"):
        read.unpack()
    if not isinstance(read.pattern, Grouped):
        with pytest.raises(InputError, match=r"^packed sparse tensor in [^\n]+ does not place"):
            product(read, np.ones(6))


@given(st.sampled_from(NAMES), st.data())
def test_damaged_bytes(name: str, data: st.DataObject) -> None:
    whole = read_pattern(name).prune(np.arange(24, dtype=np.float32).reshape(3, 8))[1].to_bytes()
    with pytest.raises(InputError, match="packed sparse tensor"):
        from_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    at = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(InputError, match="packed sparse tensor"):
        from_bytes(whole[:at] + bytes([whole[at] ^ 1 << data.draw(st.integers(0, 7))]) + whole[at + 1 :])
    with pytest.raises(InputError, match="is of version 7"):
        from_bytes(whole[:4] + b"\x07\x00" + whole[6:])
