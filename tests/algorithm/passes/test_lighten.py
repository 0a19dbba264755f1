"""Layers of few levels and of sparse weights: which they are, that golden.onnx computes what is meant, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ridgeline.algorithm import zoo
from ridgeline.algorithm.graph import Graph, Quantisation
from ridgeline.algorithm.onnx.golden_check import check_golden
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.passes.calibrate import noise
from ridgeline.algorithm.passes.lighten import lightened
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.algorithm.passes.stages import nearest_levels
from ridgeline.algorithm.reference import quantisation, run_integer
from ridgeline.algorithm.reference import quantise as codes_of
from ridgeline.errors import InputError

# ANT (MICRO'22), section IV: signed flint of 4 bits.
FLINT4 = (-16, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 16)


@pytest.fixture(scope="module")
def network() -> Graph:
    """Convolutions with and without Relu, depthwise ones and residual sums."""
    return read_network(zoo.reduced("mobilenetv2").SerializeToString(deterministic=True)).graph


@pytest.fixture(scope="module")
def small() -> Graph:
    """Residual blocks."""
    return read_network(zoo.reduced("resnet8").SerializeToString(deterministic=True)).graph


def inner(graph: Graph) -> list[str]:
    """The layers between the first and the last, depthwise ones left out."""
    weighted = [node for node in graph.nodes if type(node.operator).__name__ in ("Conv", "ConvTranspose")]
    return [node.name for node in weighted[1:-1] if node.weight.shape[1] > 1]


def mse(reals: np.ndarray, scales: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return ((reals - codes * scales) ** 2).reshape(len(reals), -1).sum(axis=1)


def test_inner_layers_have_levels_only_and_lose_least(network: Graph) -> None:
    light = lightened(network, weights="flint4")
    assert [node.name for node in light.nodes if node.weight_format == "flint4"] == inner(network)
    integer = quantise(light, noise(network, np.random.default_rng(1), images=2))
    for name in inner(network):
        before, after = network.node(name), integer.node(name)
        assert set(np.unique(after.weight).tolist()) <= set(FLINT4)
        scales = after.weight_scale.reshape(-1, 1, 1, 1)
        found = mse(before.weight, scales, after.weight)
        for ratio in (0.75, 1.0, 1.25, 1.49):  # no other scale of ANT's range loses less, whichever level is nearest
            other = np.abs(before.weight).max(axis=(1, 2, 3), keepdims=True) * ratio / 16
            nearest = np.array(FLINT4)[np.abs(before.weight[..., None] / other[..., None] - FLINT4).argmin(axis=-1)]
            assert (found <= mse(before.weight, other, nearest) * (1 + 1e-5) + 1e-12).all()


@pytest.mark.parametrize(("weights", "activations"), [("int4", "int8"), ("flint4", "flint4"), ("int4", "int4")])
def test_golden_is_the_plain_integers(small: Graph, weights: str, activations: str) -> None:
    rng = np.random.default_rng(2)
    integer = quantise(lightened(small, weights=weights), noise(small, rng, images=2), activations=activations)
    reals = noise(small, rng, images=2)
    assert check_golden(integer, {port.name: codes_of(reals[port.name], quantisation(integer, port.tensor)) for port in small.inputs}) is None


def test_layers_of_levels_read_levels(network: Graph) -> None:
    rng = np.random.default_rng(3)
    integer = quantise(lightened(network, weights="flint4"), noise(network, rng, images=2), activations="flint4")
    reals = noise(network, rng, images=2)
    tensors = run_integer(integer, {port.name: codes_of(reals[port.name], quantisation(integer, port.tensor)) for port in network.inputs})
    positive = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32, 64}  # unsigned flint of 4 bits, where a Relu came before
    seen = [set(np.unique(tensors[integer.node(name).inputs[0]]).tolist()) for name in inner(network)]
    assert all(values <= positive or values <= set(FLINT4) for values in seen)
    assert any(values <= set(FLINT4) and min(values) < 0 for values in seen)
    assert any(len(values & positive - set(FLINT4)) > 0 for values in seen)
    (port,) = network.outputs
    assert not integer.tensors[port.tensor].quantisation.levels


def test_rounding_twice_by_hand() -> None:
    code = Quantisation(scale=1.0, zero_point=0, levels=(0, 1, 2, 3, 4, 6, 8, 16))
    nearest = nearest_levels(code)
    assert [int(nearest[value + 128]) for value in (-5, 0, 4, 5, 7, 11, 12, 100)] == [0, 0, 4, 6, 8, 8, 16, 16]


@pytest.mark.parametrize(("sparsity", "bank"), [("2:4", 4), ("bank16:50%", 16)])
def test_the_largest_weights_of_each_bank_stay(network: Graph, sparsity: str, bank: int) -> None:
    light = lightened(network, sparsity=sparsity)
    pruned = [node for node in light.nodes if node.sparsity == sparsity]
    assert {node.name for node in pruned} == {name for name in inner(network) if network.node(name).weight.shape[1] >= bank}
    for node in pruned:
        whole = network.node(node.name).weight
        for start in range(0, whole.shape[1], bank):
            kept, all_of = node.weight[:, start : start + bank], np.sort(np.abs(whole[:, start : start + bank]), axis=1)
            assert np.count_nonzero(kept, axis=1).max() <= bank // 2
            largest = all_of[:, max(0, all_of.shape[1] - bank // 2) :].sum(axis=1)
            assert np.allclose(np.abs(kept).sum(axis=1), largest)


def test_nothing_to_lighten_is_refused(small: Graph) -> None:
    first = replace(small, nodes=small.nodes[:1])
    with pytest.raises(InputError, match=r"weights flint4: '.*' has no layer for it between its first and its last; build it with weights int8"):
        lightened(first, weights="flint4")


def test_formats_without_levels_are_refused(small: Graph) -> None:
    calibration = noise(small, np.random.default_rng(1), images=1)
    with pytest.raises(InputError, match="weights in nvfp4 have no table of levels"):
        quantise(lightened(small, weights="nvfp4"), calibration)
    with pytest.raises(InputError, match="activations float16: float16 has no table of int8 levels"):
        quantise(lightened(small, weights="flint4"), calibration, activations="float16")
