"""Histograms gathered in parts, and the range chosen from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.algorithm.passes.histogram import affine, closest, histogram, merged, widest
from ridgeline.algorithm.reference import dequantise, quantise, sqnr_db

REALS = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.lists(REALS, min_size=1, max_size=20), min_size=2, max_size=4))
def test_parts_add_up(parts: list[list[float]]) -> None:
    whole = histogram(np.array([value for part in parts for value in part]))
    joined = histogram(np.array(parts[0]))
    for part in parts[1:]:
        joined = merged(joined, histogram(np.array(part)))
    assert (joined.low, joined.high, joined.exponent) == (whole.low, whole.high, whole.exponent)
    np.testing.assert_array_equal(joined.counts, whole.counts)


@given(REALS, REALS)
def test_zero_and_both_ends_are_codes(first: float, second: float) -> None:
    low, high = min(first, second), max(first, second)
    code = affine(low, high)
    assert -128 <= code.zero_point <= 127
    assert quantise(np.zeros(1), code).item() == code.zero_point
    assert dequantise(quantise(np.zeros(1), code), code).item() == 0.0
    for end in (low, high):
        assert abs(dequantise(quantise(np.array([end]), code), code).item() - end) <= code.scale * 1.001


@pytest.mark.parametrize("draw", ["normal", "laplace", "exponential", "outlier"])
def test_near_the_best_range_there_is(draw: str) -> None:
    """Against all pairs of ends on a grid, tried on the values themselves."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal(20_000) if draw == "outlier" else getattr(rng, draw)(size=20_000)
    if draw == "outlier":
        values[0] = 30.0

    def quality(low: float, high: float) -> float:
        code = affine(low, high)
        return sqnr_db(values, dequantise(quantise(values, code), code))

    ends = np.linspace(0.1, 1, 19)
    best = max(quality(values.min() * below, values.max() * above) for below in ends for above in ends)
    chosen = closest(histogram(values))
    assert sqnr_db(values, dequantise(quantise(values, chosen), chosen)) >= best - 0.3


def test_an_even_spread_is_kept() -> None:
    even = np.random.default_rng(0).uniform(-1, 3, 100_000)
    assert closest(histogram(even)).scale == pytest.approx(4 / 255, rel=0.03)


def test_nothing_but_zeros() -> None:
    assert closest(histogram(np.zeros(5))) == widest(histogram(np.zeros(5))) == affine(0.0, 0.0)
