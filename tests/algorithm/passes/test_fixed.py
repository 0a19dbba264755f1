"""Float graph in, fixed point out: near to the float values, and the same integers in numpy and in onnxruntime."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.algorithm.floats import SIGMOID, Floats
from tests.algorithm.real_graphs import real_graph, real_inputs

from ridgeline.algorithm.function import RELU
from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.onnx.golden_check import check_golden
from ridgeline.algorithm.onnx.golden_fixed import back_fixed, code_name, front_fixed, golden_fixed
from ridgeline.algorithm.onnx.runtime import run
from ridgeline.algorithm.operators import AveragePool, Conv, Copy, MaxPool, Mul
from ridgeline.algorithm.passes.fixed import Fixed, codes, fixed, fixed_steps, fraction_of
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.testing.graphs import LAYER_KINDS, random_layer_graph, random_network


def one(operator, *, weight=None, bias=None, function=None, shape=(3, 6, 6)) -> Graph:
    floats = Floats(rng=np.random.default_rng(1))
    source = floats.input("x", shape)
    return floats.graph(floats.add("node", operator, source, weight=weight, bias=bias, function=function))


def extremes(rng: np.random.Generator, found: Fixed) -> dict[str, np.ndarray]:
    """int16 codes over the whole range, many of them at its ends."""
    made = {}
    for port in found.graph.inputs:
        values = rng.integers(-(1 << 15), 1 << 15, (2, *port.shape))
        ends = rng.choice([-(1 << 15), (1 << 15) - 1], values.shape)
        made[port.name] = np.where(rng.random(values.shape) < 0.3, ends, values).astype(np.int16)
    return made


@given(kind=st.sampled_from((*LAYER_KINDS, "network")), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_onnxruntime_makes_the_same_integers(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = real_graph(rng, random_network(rng) if kind == "network" else random_layer_graph(rng, kind))
    found = fixed(graph, real_inputs(rng, graph, images=2))
    inputs = extremes(rng, found)
    assert check_golden(found.graph, inputs, model=golden_fixed(found, boundaries=True), steps=fixed_steps(found, inputs)) is None


def test_a_wrong_integer_is_seen() -> None:
    rng = np.random.default_rng(3)
    graph = real_graph(rng, random_layer_graph(rng, "conv"))
    found = fixed(graph, real_inputs(rng, graph))
    (node,) = found.graph.nodes
    assert node.stage is not None
    other = replace(node, stage=replace(node.stage, bias=node.stage.bias + (1 << int(node.stage.shift.max()))))
    model = golden_fixed(replace(found, graph=replace(found.graph, nodes=(other,))), boundaries=True)
    inputs = extremes(rng, found)
    difference = check_golden(found.graph, inputs, model=model, steps=fixed_steps(found, inputs))
    assert difference is not None
    assert abs(difference.expected - difference.found) == 1


@pytest.mark.parametrize(
    ("largest", "fraction"), [(0.0, 15), (1.0, 14), (0.999, 15), (1.5, 14), (2.0, 13), (32767.0, 0), (1e5, -2), (1e-9, 30), (1e12, -16)]
)
def test_fractions(largest: float, fraction: int) -> None:
    assert fraction_of(largest) == fraction
    if 1e-8 < largest < 1e9:
        assert largest * 2.0**fraction < 2**15


def test_codes_round_to_even_and_saturate() -> None:
    assert codes(np.array([0.125, 0.375, -0.375, 1e9, -1e9]), 2).tolist() == [0, 2, -2, 32767, -32768]


def test_the_hosts_ends() -> None:
    graph = one(Copy())
    reals = {"x": np.linspace(-3, 3, 108, dtype=np.float32).reshape(1, 3, 6, 6)}
    found = fixed(graph, reals)
    assert found.fractions["x"] == 13
    coded = run(front_fixed(found), reals)[code_name("x")]
    assert np.array_equal(coded, codes(reals["x"], 13))
    (port,) = graph.outputs
    back = run(back_fixed(found), {code_name(port.name): coded})[port.name]
    assert np.array_equal(back, coded.astype(np.float32) / 2**13)


def test_rounding_is_half_up_and_saturates() -> None:
    """Relu of 2 ** -1 times codes: halves of both signs, and the largest."""
    weight = np.full((1, 1, 1, 1), 0.5, np.float32)
    found = fixed(one(Conv(), weight=weight, function=RELU, shape=(1, 1, 4)), {"x": np.full((1, 1, 1, 4), 1.9, np.float32)})
    assert found.fractions["x"] == 14
    inputs = {"x": np.array([3, -3, 1, 32767], np.int16).reshape(1, 1, 1, 4)}
    (step,) = fixed_steps(found, inputs)
    assert found.fractions["node.out"] == 15
    assert step.after.ravel().tolist() == [3, 0, 1, 32767]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (one(Copy(), function=SIGMOID), r"node 'node' \(node \(Test\)\): its function is a table, which fixed16 lacks; use --format int8"),
        (
            one(AveragePool(kernel=(3, 3), pads=(1, 1, 1, 1)), bias=np.ones(3, np.float32)),
            "node 'node': a bias after means over windows of different sizes; fixed16 has none, use --format int8",
        ),
        (
            one(Conv(), weight=np.ones((1, 1 << 18, 1, 1), np.float32), shape=(1 << 18, 1, 1)),
            "node 'node': a sum may reach .*, beyond the 48 bits of fixed16; use --format int8 or float32",
        ),
    ],
)
def test_refusals(graph: Graph, message: str) -> None:
    inputs = {port.name: np.ones((1, *port.shape), np.float32) for port in graph.inputs}
    with pytest.raises(UnsupportedError, match=message):
        fixed(graph, inputs)


def test_values_that_are_not_finite() -> None:
    with pytest.raises(InputError, match="tensor 'x' takes values that are not finite"):
        fixed(one(MaxPool(kernel=(2, 2))), {"x": np.full((1, 3, 6, 6), np.nan, np.float32)})


def test_a_product_of_two_tensors_needs_no_weight() -> None:
    floats = Floats(rng=np.random.default_rng(1))
    graph = floats.graph(floats.add("node", Mul(), floats.input("x", (2, 3, 3)), floats.input("y", (2, 3, 3))))
    inputs = {name: np.full((1, 2, 3, 3), 1.5, np.float32) for name in ("x", "y")}
    found = fixed(graph, inputs)
    (step,) = fixed_steps(found, {name: codes(values, found.fractions[name]) for name, values in inputs.items()})
    assert np.all(step.after == 2.25 * 2.0 ** found.fractions["node.out"])
