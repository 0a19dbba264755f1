"""What rounding adds on average is found, and taken off by the bias."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.algorithm.floats import Floats

from ridgeline.algorithm.operators import Conv, ConvTranspose
from ridgeline.algorithm.passes.calibrate import noise
from ridgeline.algorithm.passes.moments import Moments, drift
from ridgeline.algorithm.passes.overflow import filters
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.algorithm.reference import dequantise, quantisation, run_float, run_integer, sqnr_db
from ridgeline.algorithm.reference import quantise as codes_of


def test_moments_add() -> None:
    values = np.random.default_rng(0).standard_normal((6, 3, 4, 5)) + np.array([0.0, 1.0, 50.0]).reshape(1, 3, 1, 1)
    found = Moments.of(values[:2]) + Moments.of(values[2:]) + Moments.none(3)
    assert found.count == 120
    np.testing.assert_allclose(found.mean(10**9), values.mean(axis=(0, 2, 3)), rtol=1e-4)
    few, mean = found.mean(1), values.mean(axis=(0, 2, 3))
    assert abs(few[0]) < 0.1 * abs(mean[0]) + 1e-3  # noise around zero: nothing is known
    assert few[2] == pytest.approx(mean[2], rel=0.01)


@given(seed=st.integers(0, 2**32 - 1), groups=st.integers(1, 3), transposed=st.booleans())
@settings(max_examples=30)
def test_drift_is_the_mean_of_a_convolution_of_constants(seed: int, groups: int, transposed: bool) -> None:
    """Each channel at its mean everywhere: the mean over the inner outputs is the drift."""
    rng = np.random.default_rng(seed)
    draft = Floats(rng=rng)
    x = draft.input("x", (2 * groups, 12, 12))
    if transposed:
        draft.add("up", ConvTranspose(strides=(2, 2), groups=groups), x, weight=draft.weight(2 * groups, 3, 4, 2))
    else:
        draft.add("conv", Conv(strides=(2, 1), groups=groups), x, weight=draft.weight(3 * groups, 2, 3, 2))
    (node,) = draft.nodes
    inner = slice(4, -4) if transposed else slice(None)
    means = rng.standard_normal(2 * groups)
    values = np.broadcast_to(means.reshape(1, -1, 1, 1), (1, 2 * groups, 12, 12)).copy()
    wanted = node.operator.accumulate(node, values, zero_points=(0,))[:, :, inner, inner]
    np.testing.assert_allclose(drift(node, filters(node).astype(np.float64), means), wanted.mean(axis=(0, 2, 3)), atol=1e-6)


def test_images_that_are_all_positive_gain() -> None:
    """Against the same weights whose biases are left alone, which is what weights with scales of their own get."""
    draft = Floats(rng=np.random.default_rng(0))
    x = draft.input("x", (32, 12, 12))
    floats = draft.graph(draft.add("conv", Conv(), x, weight=draft.weight(16, 32, 3, 3)))
    data = {name: np.abs(array) + 2 for name, array in noise(floats, np.random.default_rng(1)).items()}
    reals = {name: np.abs(array) + 2 for name, array in noise(floats, np.random.default_rng(2)).items()}
    scaled = replace(floats.nodes[0], weight_scale=np.abs(filters(floats.nodes[0])).max(axis=1) / 127)
    gains: list[float] = []
    for graph in (floats, replace(floats, nodes=(scaled,))):
        integers = quantise(graph, data)
        codes = {"x": codes_of(reals["x"], quantisation(integers, "x"))}
        found = dequantise(run_integer(integers, codes)["conv.out"], quantisation(integers, "conv.out"))
        gains.append(sqnr_db(run_float(floats, reals)["conv.out"], found))
    assert gains[0] > gains[1] + 2
