"""Networks in torch against onnxruntime. Skipped without torch, which is in the extra `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ridgeline.algorithm import zoo
from ridgeline.algorithm.onnx.compressed import lifted
from ridgeline.algorithm.onnx.compressible import array, constants_as_initialisers, read_weights
from ridgeline.algorithm.onnx.load import load_model
from ridgeline.algorithm.onnx.rounded import Rounded
from ridgeline.algorithm.onnx.runtime import call, session
from ridgeline.algorithm.onnx.trainable import OPERATORS
from ridgeline.algorithm.onnx.trainable.walk import Walk
from ridgeline.errors import UnsupportedError

pytest.importorskip("torch", reason="needs torch, of the extra `train`")

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
NEAR = 1e-4
Array = np.ndarray[Any, np.dtype[Any]]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def whole(*values: int) -> Array:
    return np.array(values, np.int64)


def network(nodes: list[onnx.NodeProto], constants: dict[str, Array], shape: tuple[int, ...], outputs: tuple[str, ...] = ("y",)) -> bytes:
    """Of one input `x`; the outputs' types are onnx's to find."""
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    made = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(nodes, "g", [taken], made, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model).SerializeToString()


def check(model: bytes, feeds: dict[str, Array], weights: tuple[str, ...] = (), rounded: dict[str, Rounded] | None = None) -> None:
    loaded = load_model(model)
    walk = Walk(loaded, weights, rounded)
    given = {tensor.name: walk.tensor(numpy_helper.to_array(tensor)) for tensor in loaded.model.graph.initializer if tensor.name in weights}
    made = walk.run({name: walk.tensor(value) for name, value in feeds.items()}, given)
    for name, expected in call(session(model, optimise=False), feeds).items():
        assert tuple(made[name].shape) == expected.shape, name
        np.testing.assert_allclose(made[name].detach().numpy(), expected, rtol=NEAR, atol=NEAR, err_msg=name)


MAP, ROWS = (2, 4, 9, 7), (3, 4, 6)
UNARY = ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Tanh", "Softplus",
         "HardSwish", "Mish", "Elu", "Gelu", "HardSigmoid", "LeakyRelu", "Softmax", "LogSoftmax", "Identity", "Dropout", "Flatten",
         "Transpose")  # fmt: skip
Case = tuple[str, dict[str, Array], dict[str, Any], tuple[int, ...]]
CASES: list[Case] = [
    *((name, {}, {}, ROWS) for name in UNARY),
    *((name, {"b": normal(4, 1, seed=1)}, {}, ROWS) for name in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "PRelu")),
    *((name, {"b": normal(4, 6, seed=1)}, {}, ROWS) for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    *((name, {"a": whole(1, -1)}, {"keepdims": keep}, ROWS) for keep in (0, 1) for name in OPERATORS if name.startswith("Reduce")),
    ("ReduceSum", {}, {}, ROWS),
    ("ReduceMean", {}, {"noop_with_empty_axes": 1}, ROWS),
    ("Gelu", {}, {"approximate": "tanh"}, ROWS),
    ("Softmax", {}, {"axis": 1}, ROWS),
    ("Flatten", {}, {"axis": 2}, ROWS),
    ("Transpose", {}, {"perm": [1, 2, 0]}, ROWS),
    ("Pow", {"b": np.array(2, np.float32)}, {}, ROWS),
    ("Clip", {"b": np.array(-0.5, np.float32), "c": np.array(0.7, np.float32)}, {}, ROWS),
    ("Cast", {}, {"to": TensorProto.INT32}, ROWS),
    ("MatMul", {"b": normal(6, 5, seed=1)}, {}, ROWS),
    ("Gemm", {"b": normal(5, 6, seed=1), "c": normal(5, seed=2)}, {"transB": 1, "alpha": 0.5, "beta": 2.0}, (4, 6)),
    ("Gemm", {"b": normal(4, 5, seed=1)}, {"transA": 1}, (4, 6)),
    ("Conv", {"b": normal(6, 4, 3, 2, seed=1), "c": normal(6, seed=2)}, {"pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2]}, MAP),
    ("Conv", {"b": normal(4, 1, 3, 3, seed=1)}, {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]}, MAP),
    ("Conv", {"b": normal(5, 4, 2, seed=1)}, {"auto_pad": "SAME_LOWER"}, (2, 4, 9)),
    ("ConvTranspose", {"b": normal(4, 3, 3, 3, seed=1)}, {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}, MAP),
    ("ConvTranspose", {"b": normal(4, 3, 2, 2, seed=1), "c": normal(6, seed=2)}, {"strides": [2, 2], "group": 2, "output_padding": [1, 0]}, MAP),
    ("BatchNormalization", {name: np.abs(normal(4, seed=seed)) for seed, name in enumerate("bcde")}, {}, MAP),
    ("LayerNormalization", {"b": normal(6, seed=1), "c": normal(6, seed=2)}, {"epsilon": 1e-3}, ROWS),
    ("LayerNormalization", {"b": normal(4, 6, seed=1)}, {"axis": 1}, ROWS),
    ("InstanceNormalization", {"b": normal(4, seed=1), "c": normal(4, seed=2)}, {}, MAP),
    ("MaxPool", {}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}, MAP),
    ("AveragePool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 1]}, MAP),
    ("AveragePool", {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, MAP),
    ("GlobalAveragePool", {}, {}, MAP),
    ("GlobalMaxPool", {}, {}, MAP),
    ("Reshape", {"b": whole(0, -1, 2)}, {}, ROWS),
    ("Squeeze", {"b": whole(0, 2)}, {}, (1, 4, 1)),
    ("Squeeze", {}, {}, (1, 4, 1)),
    ("Unsqueeze", {"b": whole(-1, 0)}, {}, ROWS),
    ("Concat", {"b": normal(3, 2, 6, seed=1)}, {"axis": 1}, ROWS),
    ("Slice", {"b": whole(1, -2), "c": whole(99, -9), "d": whole(0, 2), "e": whole(1, -2)}, {}, ROWS),
    ("Slice", {"b": whole(1), "c": whole(3)}, {}, ROWS),
    ("Gather", {"b": whole(2, -1).reshape(2, 1)}, {"axis": 1}, ROWS),
    ("Expand", {"b": whole(2, 1, 4, 1)}, {}, (3, 1, 6)),
    ("Tile", {"b": whole(1, 2, 1)}, {}, ROWS),
    ("Pad", {"b": whole(0, 1, 0, 2, 0, 1), "c": np.array(3, np.float32)}, {}, ROWS),
    ("Pad", {"b": whole(0, 0, 1, 2, 0, 0, 2, 1)}, {"mode": "reflect"}, MAP),
    ("Pad", {"b": whole(0, 0, 1, 2, 0, 0, 2, 1)}, {"mode": "edge"}, MAP),
    ("Shape", {}, {"start": 1}, ROWS),
    ("QuantizeLinear", {"b": np.array(0.05, np.float32), "c": np.array(3, np.int8)}, {}, ROWS),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "constants", "attributes", "shape"), CASES, ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)])
def test_operators(operator: str, constants: dict[str, Array], attributes: dict[str, Any], shape: tuple[int, ...]) -> None:
    node = helper.make_node(operator, ["x", *constants], ["y"], **attributes)
    check(network([node], constants, shape), {"x": 3 * normal(*shape, seed=9) if operator != "Exp" else normal(*shape)})


def test_operators_that_need_others() -> None:
    """Positive inputs, truth values, shapes that a graph works out, and codes."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Sqrt", ["square"], ["root"]),
        helper.make_node("Add", ["square", "one"], ["more"]),
        helper.make_node("Log", ["more"], ["log"]),
        helper.make_node("Greater", ["x", "root"], ["large"]),
        helper.make_node("Less", ["x", "one"], ["small"]),
        helper.make_node("Not", ["large"], ["other"]),
        helper.make_node("And", ["other", "small"], ["both"]),
        helper.make_node("Or", ["both", "large"], ["either"]),
        helper.make_node("Where", ["either", "log", "root"], ["chosen"]),
        helper.make_node("Split", ["chosen", "parts"], ["left", "right"], axis=1),
        helper.make_node("Split", ["chosen"], ["top", "bottom"], axis=0, num_outputs=2),
        helper.make_node("Shape", ["left"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["twos"], value=numpy_helper.from_array(np.array([2], np.float32))),
        helper.make_node("Mul", ["left", "twos"], ["y"]),
        helper.make_node("Constant", [], ["six"], value_int=6),
        helper.make_node("Range", ["zero", "six", "two"], ["even"]),
        helper.make_node("QuantizeLinear", ["x", "scale", "offset"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "offset"], ["z"]),
    ]  # fmt: skip
    constants = {
        "one": np.array(1, np.float32), "parts": whole(1, 3), "scale": np.array(0.1, np.float32), "offset": np.array(7, np.uint8),
        "zero": np.array(0, np.int64), "two": np.array(2, np.int64),
    }  # fmt: skip
    check(network(nodes, constants, ROWS, ("y", "right", "top", "bottom", "even", "z")), {"x": normal(*ROWS)})


def test_every_operator_is_met() -> None:
    import inspect

    named = {case[0] for case in CASES} | {name for name in OPERATORS if f'"{name}"' in inspect.getsource(test_operators_that_need_others)}
    assert named == OPERATORS.keys()


STEPS = ("Relu", "Tanh", "Neg", "Softmax", "Transpose", "MatMul", "Add", "LayerNormalization", "Concat", "ReduceMean")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6), st.integers(0, 99))
def test_random_graphs(operators: list[str], seed: int) -> None:
    """Chains on rows of 4, with branches back to the input."""
    nodes, last = list[onnx.NodeProto](), "x"
    more = {"MatMul": ["w"], "LayerNormalization": ["s"], "Concat": ["x"], "Add": ["x"], "ReduceMean": ["a"]}
    for number, operator in enumerate(operators):
        attributes: dict[str, Any] = {"Transpose": {"perm": [0, 2, 1]}, "Concat": {"axis": 1}}.get(operator, {})
        nodes.append(helper.make_node(operator, [last, *more.get(operator, [])], [f"v{number}"], **attributes))
        last = f"v{number}"
        if operator in ("Concat", "Transpose"):  # back to (2, 4, 4)
            nodes.append(helper.make_node("Slice", [last, "from", "to", "axis"], [f"{last}cut"]))
            last = f"{last}cut"
    constants = {
        "w": normal(4, 4, seed=seed), "s": normal(4, seed=seed), "a": whole(1), "from": whole(0), "to": whole(4), "axis": whole(1)
    }  # fmt: skip
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    check(network(nodes, constants, (2, 4, 4)), {"x": normal(2, 4, 4, seed=seed)}, weights=("w",))


@pytest.mark.parametrize("kind", ["none", "int8", "e4m3", "e5m2"])
def test_digits(kind: str) -> None:
    """With what meets the weights as it is, or rounded as the compressed file rounds it."""
    from ridgeline.algorithm.onnx.rounded import round_inputs

    loaded = lifted(constants_as_initialisers(load_model(DIGITS / "digits.onnx")))
    weights = read_weights(loaded)
    rounded = {} if kind == "none" else {weight.name: Rounded(format=kind, scale=0.05) for weight in weights}
    walk = Walk(loaded, {weight.name for weight in weights}, rounded)
    with np.load(DIGITS / "test.npz") as held:
        images = held["images"][:8].astype(np.float32)
    made = walk.run({"images": walk.tensor(images)}, {weight.name: walk.tensor(array(loaded, weight)) for weight in weights})
    model = onnx.ModelProto()
    model.CopyFrom(loaded.model)
    round_inputs(model, rounded, switched=False)
    expected = call(session(model.SerializeToString(), optimise=False, exact=True), {"images": images})
    for name in expected:
        near = NEAR if kind == "none" else 0.02 * float(np.abs(expected[name]).max())  # a sum beside a threshold may go to the other code
        np.testing.assert_allclose(made[name].numpy(), expected[name], rtol=NEAR, atol=near)


@pytest.mark.parametrize("name", ["resnet18", "bert-base"])
def test_networks_of_the_zoo(name: str) -> None:
    """Of fewer channels and layers."""
    model = zoo.reduced(name).SerializeToString()
    rng = np.random.default_rng(0)
    loaded = lifted(constants_as_initialisers(load_model(model)))
    feeds: dict[str, Array] = {}
    for value in session(loaded.model.SerializeToString(), weights=loaded.weights).get_inputs():
        shape = [size if isinstance(size, int) else 2 for size in value.shape]
        feeds[value.name] = normal(*shape) if value.type == "tensor(float)" else rng.integers(0, 2, shape).astype(np.int64)
    walk = Walk(loaded, ())
    made = walk.run({key: walk.tensor(value) for key, value in feeds.items()}, {})
    for key, expected in call(session(model), feeds).items():
        np.testing.assert_allclose(made[key].numpy(), expected, rtol=NEAR, atol=NEAR)


def test_what_is_refused() -> None:
    """By name, all at once."""
    nodes = [helper.make_node("Det", ["x"], ["d"]), helper.make_node("Tan", ["x"], ["y"])]
    with pytest.raises(UnsupportedError, match=r"^--fine-tune does not differentiate Det, Tan, which "):
        Walk(load_model(network(nodes, {}, (3, 3))), ())
    pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], ceil_mode=1)
    walk = Walk(load_model(network([pool], {}, MAP)), ())
    with pytest.raises(UnsupportedError, match="does not differentiate MaxPool with ceil_mode=1"):
        walk.run({"x": walk.tensor(normal(*MAP))}, {})
