"""Unary functions as data."""

import numpy as np
import pytest

from ridgeline.algorithm.function import RELU, Function, clip, compose

X = np.array([-3.0, -0.5, 0.0, 0.5, 7.0])


def test_values() -> None:
    np.testing.assert_array_equal(RELU(X), [0, 0, 0, 0.5, 7])
    np.testing.assert_array_equal(clip(-1, 6)(X), [-1, -0.5, 0, 0.5, 6])
    swish = Function(expression=("mul", "x", ("sigmoid", "x")))
    np.testing.assert_allclose(swish(X), X / (1 + np.exp(-X)), rtol=1e-12)
    gelu = Function(expression=("mul", ("mul", "x", 0.5), ("add", 1.0, ("erf", ("div", "x", 2**0.5)))))
    assert gelu(np.array([1.0])).item() == pytest.approx(0.8413447460685429)
    assert gelu(X.astype(np.float32)).dtype == np.float64


def test_a_constant_has_the_shape_of_its_argument() -> None:
    np.testing.assert_array_equal(Function(expression=2.5)(X), [2.5] * 5)


def test_only_a_limit_of_x_itself_is_a_clip() -> None:
    assert RELU.clip == (0.0, float("inf"))
    assert Function(expression=("clip", ("neg", "x"), 0.0, 1.0)).clip is None
    assert Function(expression=("max", "x", 0.0)).clip is None


def test_composition() -> None:
    double = Function(expression=("mul", "x", 2.0))
    np.testing.assert_array_equal(compose(RELU, double)(X), [0, 0, 0, 1, 14])
    np.testing.assert_array_equal(compose(double, RELU)(X), [0, 0, 0, 1, 14])
    np.testing.assert_array_equal(compose(double, clip(-1, 1))(X), [-2, -1, 0, 1, 2])
