"""golden.onnx in stock onnxruntime against plain numpy integers: every value of every node."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.graph import Graph, Node, Port, Quantisation, Requantise, Tensor
from ridgeline.algorithm.onnx.golden import boundary_names, golden
from ridgeline.algorithm.onnx.golden_check import check_golden
from ridgeline.algorithm.onnx.runtime import run
from ridgeline.algorithm.operators import Conv, Copy, Select
from ridgeline.algorithm.reference import run_integer
from ridgeline.testing.graphs import LAYER_KINDS, informative, random_codes, random_layer_graph, random_network

SEEDS = st.integers(0, 2**32 - 1)

# What onnxruntime must have: all of ONNX's own domain, and none on floats.
STANDARD = {
    *("Add", "Cast", "Clip", "Concat", "ConvInteger", "Div", "Expand", "Gather", "Identity", "Max", "MaxPool", "Min", "Mul", "Pad"),
    *("ReduceSum", "Reshape", "Resize", "Shape", "Sub", "Transpose"),
}


@pytest.mark.parametrize("kind", LAYER_KINDS)
@given(seed=SEEDS)
@settings(max_examples=25)
def test_every_operator_is_exact(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_layer_graph(rng, kind)
    assert check_golden(graph, random_codes(rng, graph, images=2)) is None


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_drawn_layers_say_something(kind: str) -> None:
    """At least two in five of the layers drawn above neither are constant nor saturate over half."""
    told = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        graph = random_layer_graph(rng, kind)
        told += informative(run_integer(graph, random_codes(rng, graph, images=2))[graph.nodes[-1].output])
    assert told >= 10


@given(seed=SEEDS)
@settings(max_examples=100)
def test_random_networks_are_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_network(rng)
    codes = random_codes(rng, graph, images=3)
    assert check_golden(graph, codes) is None
    tensors = run_integer(graph, codes)
    found = run(golden(graph), codes)
    for port in graph.outputs:
        np.testing.assert_array_equal(found[port.name], port.to_array(tensors[port.tensor]))


@given(
    seed=SEEDS,
    shift=st.integers(1, 63),
    multiplier=st.sampled_from([0, 1, 2, 65_537, 2**17 - 1]),
    zero_point=st.sampled_from([-128, -1, 0, 127]),
    limits=st.sampled_from([(-128, 127), (-128, -128), (0, 127), (-7, 90)]),
)
@settings(max_examples=200)
def test_any_output_stage_is_exact(seed: int, shift: int, multiplier: int, zero_point: int, limits: tuple[int, int]) -> None:
    """The whole range of int32 sums through every shift and the smallest and largest multipliers: nothing wraps."""
    rng = np.random.default_rng(seed)
    weight = rng.choice([-128, -127, -1, 0, 1, 127], (6, 4, 3, 3)).astype(np.int8)
    bias = rng.choice([-(2**31) + 600_000, -(2**20), -1, 0, 1, 2**15, 2**31 - 600_000], 6).astype(np.int32)
    ones = np.ones((6, 1, 1), np.int32)
    shifts = np.clip(shift + rng.integers(-1, 2, (6, 1, 1)), 1, 63).astype(np.int32)
    stage = Requantise(bias=bias, multiplier=multiplier * ones, shift=shifts, zero_point=zero_point, low=limits[0], high=limits[1])
    graph = one_node(Conv(pads=(1, 1, 1, 1)), weight=weight, stage=stage, zero_point=int(rng.choice([-128, 0, 127])))
    codes = {"x": rng.choice([-128, -127, 0, 126, 127], (2, 4, 5, 5)).astype(np.int8)}
    assert check_golden(graph, codes) is None


def one_node(operator: Conv | Copy | Select, *, stage: Requantise, weight: np.ndarray | None = None, zero_point: int = 0) -> Graph:
    node = Node(name="only", operator=operator, inputs=("x",), output="y", weight=weight, stage=stage)
    shape = operator.output_shape(node, (4, 5, 5))
    code = Quantisation(scale=0.5, zero_point=zero_point)
    after = Quantisation(scale=0.25, zero_point=stage.zero_point)
    tensors = {"x": Tensor(name="x", shape=(4, 5, 5), quantisation=code), "y": Tensor(name="y", shape=shape, quantisation=after)}
    ports = [
        Port(name=name, shape=tensor.shape, tensor=name, split=tensor.shape, permutation=(0, 1, 2)) for name, tensor in tensors.items()
    ]
    return Graph(name="one", inputs=(ports[0],), outputs=(ports[1],), nodes=(node,), tensors=tensors)


def identity() -> Requantise:
    ones = np.ones((4, 1, 1), np.int32)
    return Requantise(bias=np.zeros(4, np.int32), multiplier=2 * ones, shift=ones, zero_point=0, low=-128, high=127)


def test_rounds_half_up_below_zero_too() -> None:
    graph = one_node(Copy(), stage=replace(identity(), multiplier=np.ones((4, 1, 1), np.int32)))
    codes = np.resize(np.array([-3, -2, -1, 0, 1, 2, 3], np.int8), (1, 4, 5, 5))
    expected = np.resize(np.array([-1, -1, 0, 0, 1, 1, 2], np.int8), (1, 4, 5, 5))  # x / 2, halves toward plus infinity
    np.testing.assert_array_equal(run(golden(graph), {"x": codes})["y"], expected)
    np.testing.assert_array_equal(run_integer(graph, {"x": codes})["y"], expected)


def test_a_window_outside_the_image_is_all_zero_point() -> None:
    graph = one_node(Select(channels=(3, 2, 1, 0), origin=(7, 0), size=(2, 2)), stage=identity(), zero_point=-9)
    codes = {"x": np.ones((1, 4, 5, 5), np.int8)}
    assert run_integer(graph, codes)["y"].tolist() == [[[[-9, -9], [-9, -9]]] * 4]
    assert check_golden(graph, codes) is None


@given(seed=SEEDS)
@settings(max_examples=20)
def test_same_graph_same_bytes_standard_operators_only(seed: int) -> None:
    made = golden(random_network(np.random.default_rng(seed)))
    assert made == golden(random_network(np.random.default_rng(seed)))
    model = onnx.load_from_string(made)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= STANDARD
    assert {node.domain for node in model.graph.node} == {""}
    assert 13 <= model.opset_import[0].version <= 21
    assert model.ir_version <= 10
    for end in (*model.graph.input, *model.graph.output):
        assert end.type.tensor_type.elem_type == onnx.TensorProto.INT8
        assert end.type.tensor_type.shape.dim[0].dim_param == "batch"


@given(seed=SEEDS)
@settings(max_examples=20)
def test_boundaries_show_every_node(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_network(rng)
    codes = random_codes(rng, graph, images=2)
    found = run(golden(graph, boundaries=True), codes)
    tensors = run_integer(graph, codes)
    for tensor, name in boundary_names(graph).items():
        np.testing.assert_array_equal(found[name], tensors[tensor])


def test_a_tensor_named_as_a_port_gets_another_name() -> None:
    graph = one_node(Copy(), stage=identity())
    flat = replace(graph.outputs[0], name="y", shape=(100,))
    assert boundary_names(replace(graph, outputs=(flat,))) == {"y": "y/chw"}
    assert boundary_names(graph) == {"y": "y"}
    codes = {"x": np.arange(-100, 100, dtype=np.int8).reshape(2, 4, 5, 5)}
    found = run(golden(replace(graph, outputs=(flat,)), boundaries=True), codes)
    assert {name: values.shape for name, values in found.items()} == {"y": (2, 100), "y/chw": (2, 4, 5, 5)}


def test_a_difference_is_found_and_named() -> None:
    graph = one_node(Copy(), stage=identity())
    codes = {"x": np.zeros((2, 4, 5, 5), np.int8)}
    wrong = replace(graph, nodes=(replace(graph.nodes[0], stage=replace(identity(), bias=np.array([0, 0, 3, 0], np.int32))),))
    difference = check_golden(graph, codes, model=golden(wrong, boundaries=True))
    assert str(difference) == ("node 'only': value [0, 2, 0, 0] of tensor 'y' is 3, expected 0; 50 of its 200 values differ")
