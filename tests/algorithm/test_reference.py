"""The reference run, and what it refuses."""

import numpy as np
import pytest
from tests.algorithm.floats import everything

from ridgeline.algorithm import zoo
from ridgeline.algorithm.graph import Graph, Quantisation
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.onnx.runtime import run
from ridgeline.algorithm.passes.calibrate import noise
from ridgeline.algorithm.reference import dequantise, float_steps, quantise, run_float, run_integer, sqnr_db
from ridgeline.errors import InputError
from ridgeline.testing.graphs import random_codes, random_network


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "ds-cnn"])
def test_floats_as_onnxruntime_has_them(name: str) -> None:
    network = read_network(zoo.reduced(name).SerializeToString())
    reals = noise(network.graph, np.random.default_rng(0), images=2)
    wanted = run(network.model, reals)
    tensors = run_float(network.graph, {name: array.astype(np.float64) for name, array in reals.items()})
    for port in network.graph.outputs:
        assert sqnr_db(wanted[port.name], port.to_array(tensors[port.tensor])) > 100


def test_both_float_types() -> None:
    graph = everything(np.random.default_rng(0))
    reals = noise(graph, np.random.default_rng(1), images=2)
    single = run_float(graph, reals)
    double = run_float(graph, {name: array.astype(np.float64) for name, array in reals.items()})
    assert {values.dtype for values in single.values()} == {np.dtype(np.float32)}
    assert {values.dtype for values in double.values()} == {np.dtype(np.float64)}
    assert min(sqnr_db(double[name], single[name]) for name in double) > 100
    assert [step.node.name for step in float_steps(graph, reals)] == [node.name for node in graph.nodes]


def test_images_do_not_depend_on_each_other() -> None:
    graph = random_network(np.random.default_rng(5))
    codes = random_codes(np.random.default_rng(6), graph, images=3)
    together = run_integer(graph, codes)
    for image in range(3):
        alone = run_integer(graph, {name: array[image : image + 1] for name, array in codes.items()})
        for name, values in alone.items():
            np.testing.assert_array_equal(values[0], together[name][image])


def test_signal_to_noise() -> None:
    assert sqnr_db(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(20.0)
    assert sqnr_db(np.array([1.0]), np.array([1.0])) == float("inf")
    assert sqnr_db(np.array([0.0]), np.array([1.0])) == float("-inf")


def test_codes_and_back() -> None:
    code = Quantisation(scale=0.5, zero_point=-3)
    reals = np.array([-100.0, -0.26, 0.0, 0.25, 0.75, 100.0])
    assert quantise(reals, code).tolist() == [-128, -4, -3, -3, -1, 127]  # halves to even: 0.5 -> 0, 1.5 -> 2
    assert dequantise(quantise(reals, code), code).tolist() == [-62.5, -0.5, 0.0, 0.0, 1.0, 65.0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "input 'x' of network 'floats' has no array; give one of shape (images, 3, 16, 16)"),
        ({"x": np.zeros((1, 3, 16, 16)), "z": np.zeros(1)}, "network 'floats' has no input 'z'; its inputs are x"),
        ({"x": np.zeros((1, 16, 16, 3), np.int8)}, "input 'x' is given shape (1, 16, 16, 3); it takes (images, 3, 16, 16)"),
        ({"x": np.zeros((1, 3, 16, 16))}, "input 'x' is given float64; an integer network takes int8"),
        ({"x": np.zeros((1, 3, 16, 16), np.int8)}, "tensor 'x' has no quantisation; quantise the graph first"),
    ],
)
def test_what_cannot_be_run(arrays: dict[str, np.ndarray], message: str) -> None:
    graph: Graph = everything(np.random.default_rng(0))
    with pytest.raises(InputError) as caught:
        run_integer(graph, arrays)
    assert str(caught.value) == message
