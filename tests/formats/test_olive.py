"""Outlier-victim pairs against a walk over single pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ridgeline.errors import InputError
from ridgeline.formats import ABSMAX, Keep, Search, quantise, read_format
from ridgeline.formats.olive import Olive, pair_codes, pair_values

# (normal levels, limit, outliers): OliVe, section III and its figure of abfloat.
INT4 = ([*range(-7, 8)], 9.5, [12, 16, 24, 32, 48, 64, 96])
FLINT4 = ([-16, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 16], 20.0, [24, 32, 48, 64, 96, 128, 192])
E4M3 = [(8 + mantissa) << (exponent + 4) for exponent in range(16) for mantissa in range(8)][1:]
E2M5 = [(32 + mantissa) << (exponent + 2) for exponent in range(4) for mantissa in range(32)][1:]
TABLES = {
    "olive4": INT4,
    "olive-flint4": FLINT4,
    "olive8": ([*range(-127, 128)], (127 + 144) / 2, E4M3),
    "olive8-e2m5": ([*range(-127, 128)], (127 + 132) / 2, E2M5),
}


@st.composite
def tensors(draw: st.DrawFn) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    values = rng.standard_t(2, size=draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=13)))
    return (np.round(values * 2) / 2 if draw(st.booleans()) else values).astype(np.float32)


def nearest(levels: list[float], value: float) -> float:
    """The larger of equals."""
    return min(levels, key=lambda level: (abs(level - value), -level))


def pair(name: str, keep: Keep, left: float, right: float) -> tuple[float, float]:
    """What a scaled pair decodes to."""
    normal, limit, outliers = TABLES[name]
    signed = [-level for level in outliers] + outliers
    if abs(left) > limit and (abs(right) <= limit or keep is Keep.LEFT or abs(left) >= abs(right)):
        return nearest(signed, left), 0
    if abs(right) > limit:
        return 0, nearest(signed, right)
    return tuple(nearest(normal, max(min(value, normal[-1]), normal[0])) for value in (left, right))


def test_published_pairs() -> None:
    number = replace(read_format("olive4"), keep=Keep.LEFT)
    codes = pair_codes(number, np.float32([3.2, -5.4, 20, 1, 2, -50, 15, 40]))
    assert pair_values(number, codes).tolist() == [3, -5, 24, 0, 0, -48, 16, 0]
    assert codes[3] == codes[4] == codes[7] == 0b1000
    larger = read_format("olive4")
    assert pair_values(larger, pair_codes(larger, np.float32([15, 40, 40, -40]))).tolist() == [0, 48, 48, 0]


@pytest.mark.parametrize("name", TABLES)
def test_every_pair_of_codes(name: str) -> None:
    number = read_format(name)
    assert isinstance(number, Olive)
    normal, limit, outliers = TABLES[name]
    assert number.limit == limit
    assert number.outlier.levels.tolist() == sorted([-level for level in outliers] + outliers)
    count = 1 << number.bits
    left, right = (part.reshape(-1).astype(np.uint8) for part in np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
    values = pair_values(number, np.stack([left, right], axis=1).reshape(-1)).reshape(-1, 2)
    victim = count // 2
    both = (left != victim) & (right != victim)
    assert set(np.unique(values[both])) == set(normal)
    assert not values[(left == victim) & (right == victim)].any()
    assert set(np.unique(values[(left == victim) & (right != 0)][:, 1])) == {0, *outliers, *(-level for level in outliers)}
    stable = pair_codes(number, values.reshape(-1).astype(np.float32))
    assert (pair_values(number, stable).reshape(-1, 2) == values).all()


@given(st.sampled_from(sorted(TABLES)), st.sampled_from(list(Keep)), *[st.floats(-60, 60, width=16)] * 2)
@settings(max_examples=200)
def test_pairs_by_trying_all_levels(name: str, keep: Keep, left: float, right: float) -> None:
    number = replace(read_format(name), keep=keep)
    values = np.float32([left, right]) * np.float32(8 if number.bits == 8 else 1)
    got = pair_values(number, pair_codes(number, values))
    assert tuple(got) == pair(name, keep, *values.tolist())


def test_ties_and_the_limit() -> None:
    number = read_format("olive4")
    values = np.float32([9.5, 0, -9.5, 0, np.nextafter(np.float32(9.5), np.float32(10)), 0, 20, 0, -20, 0, 0.5, -0.5])
    assert pair_values(number, pair_codes(number, values)).tolist() == [7, 0, -7, 0, 12, 0, 24, 0, -16, 0, 1, 0]


@given(st.data(), tensors(), st.sampled_from(sorted(TABLES)), st.sampled_from(list(Keep)))
@settings(max_examples=80)
def test_kernels_equal_the_definition(data: st.DataObject, values: np.ndarray, name: str, keep: Keep) -> None:
    number, axis = replace(read_format(name), keep=keep), data.draw(st.integers(-values.ndim, values.ndim - 1))
    wide = values.shape[axis] >= 4 and data.draw(st.booleans())
    how = {"granularity": "group", "axis": axis, "group": 4} if wide else {"granularity": "channel", "axis": axis}
    fast, plain = quantise(values, number, **how), quantise(values, number, plain=True, **how)
    if (fast.scales == plain.scales).all():
        assert fast.stored.packed.tolist() == plain.stored.packed.tolist()
    else:  # errors that are equal but for the order of adding up
        assert fast.squared_error(values) == pytest.approx(plain.squared_error(values), rel=1e-9, abs=1e-12)


@given(tensors(), st.sampled_from(sorted(TABLES)))
@settings(max_examples=40)
def test_rows_are_padded_to_pairs_and_counted(values: np.ndarray, name: str) -> None:
    number, search = read_format(name), Search(least=0.9, most=1.1, step=0.1)
    encoded = quantise(values, number, granularity="channel", search=search)
    rows, length = values.shape[0], values.size // values.shape[0]
    stored = rows * (length + length % 2)
    assert encoded.bits == number.bits * stored + 32 * rows
    assert encoded.codes.shape == (rows, length + length % 2)
    decoded = encoded.decode().reshape(rows, length)
    for row, got, scale in zip(values.reshape(rows, length), decoded, encoded.scales, strict=True):
        scaled = [*(row / scale).tolist(), 0.0]
        wanted = [level for at in range(0, length, 2) for level in pair(name, Keep.LARGER, *scaled[at : at + 2])]
        assert got.tolist() == (np.float32(wanted[:length]) * scale).tolist()


@pytest.mark.parametrize("name", TABLES)
def test_the_search_is_the_brute_force(name: str) -> None:
    values = np.random.default_rng(3).standard_t(3, (2, 80)).astype(np.float32)
    encoded, top = quantise(values, read_format(name), granularity="channel"), TABLES[name][0][-1]
    for row, scale in zip(values, encoded.scales, strict=True):
        exact = row.astype(np.float64)
        reach = max(abs(exact.mean() + 3 * exact.std()), abs(exact.mean() - 3 * exact.std()))
        tried = [np.float32(ratio * reach / top) for ratio in 0.75 + 0.02 * np.arange(87)]
        errors = []
        for each in tried:
            levels = [level for left, right in (row / each).reshape(-1, 2).tolist() for level in pair(name, Keep.LARGER, left, right)]
            errors.append(float(np.sum((exact - np.array(levels) * float(each)) ** 2)))
        assert scale == pytest.approx(tried[int(np.argmin(errors))], rel=1e-6)


def test_a_long_vector_is_searched_like_short_ones() -> None:
    values = np.random.default_rng(6).standard_t(4, 150_001).astype(np.float32)
    search = Search(least=0.8, most=1.6, step=0.2)
    fast, plain = (quantise(values, read_format("olive4"), search=search, plain=plain) for plain in (False, True))
    assert fast.scales == plain.scales
    assert fast.stored.packed.tolist() == plain.stored.packed.tolist()


@pytest.mark.parametrize("name", TABLES)
def test_codes_of_pairs(name: str) -> None:
    number = read_format(name)
    normal, _, outliers = TABLES[name]
    assert number.levels.tolist() == sorted({*normal, *outliers, *(-level for level in outliers)})
    values = np.random.default_rng(4).standard_t(2, (3, 8)).astype(np.float32)
    wanted = [pair(name, Keep.LARGER, *each) for each in (values / np.float32(0.1)).reshape(-1, 2).tolist()]
    assert number.decode(number.encode(values, 0.1)).reshape(-1, 2).tolist() == [list(each) for each in wanted]
    with pytest.raises(InputError, match=rf"^{name} codes pairs along the last axis, and shape \(3,\) has an odd one; add a zero$"):
        number.encode([1, 2, 3])
    with pytest.raises(InputError, match=r"has no code for NaN"):
        number.encode([np.nan, 2])
    with pytest.raises(InputError, match=r"are integers from 0 to"):
        number.decode([256, 0])


def test_pairs_are_not_parted() -> None:
    with pytest.raises(InputError, match=r"^olive4 codes pairs, and groups of 3 elements part them; take an even group$"):
        quantise([1.0, 2, 3], read_format("olive4"), granularity="group", group=3)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("search", [None, ABSMAX])
def test_zeros_and_constants(name: str, search: Search | None) -> None:
    values = np.float32([[0, 0, 0], [2, 2, 2]])
    encoded = quantise(values, read_format(name), granularity="channel", search=search)
    assert encoded.scales[0] == 1
    assert not encoded.decode()[0].any()
    assert encoded.decode()[1] == pytest.approx([2, 2, 2], rel=0.07)
