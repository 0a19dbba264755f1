"""The bounds of accumulators are proven, and reached."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.graph import Array, Node
from ridgeline.algorithm.operators import AveragePool, Conv, ConvTranspose
from ridgeline.algorithm.passes.overflow import accumulator_bounds, filters, prove
from ridgeline.algorithm.reference import integer_steps
from ridgeline.errors import UnsupportedError
from ridgeline.testing.graphs import LAYER_KINDS, random_codes, random_layer_graph


def extremes(rng: np.random.Generator, images: int, shape: tuple[int, ...]) -> Array:
    return rng.choice([-128, 127], (images, *shape)).astype(np.int8)


@pytest.mark.parametrize("kind", LAYER_KINDS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_no_input_leaves_the_bounds(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_layer_graph(rng, kind)
    (node,) = graph.nodes
    bounds = accumulator_bounds(graph, node)
    for codes in (random_codes(rng, graph, images=4), {port.name: extremes(rng, 4, port.shape) for port in graph.inputs}):
        for step in integer_steps(graph, codes):
            assert (step.before.min(axis=(0, 2, 3)) >= bounds.low).all()
            assert (step.before.max(axis=(0, 2, 3)) <= bounds.high).all()


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["conv", "depthwise", "grouped", "dense"]))
@settings(max_examples=40)
def test_some_input_reaches_each_bound(seed: int, kind: str) -> None:
    """Codes chosen by the signs of one channel's weights, at a window without padding."""
    graph = random_layer_graph(np.random.default_rng(seed), kind)
    (node,) = graph.nodes
    assert isinstance(node.operator, Conv)
    whole = replace(node.operator, pads=(0, 0, 0, 0), strides=(1, 1))
    assert node.weight is not None
    bounds = accumulator_bounds(graph, node)
    ((channels, height, width),) = graph.input_shapes(node)
    extent = [dilation * (taps - 1) + 1 for dilation, taps in zip(whole.dilations, node.weight.shape[2:], strict=True)]
    assume(extent[0] <= height)
    assume(extent[1] <= width)
    for channel in range(node.weight.shape[0]):
        group = channel // (node.weight.shape[0] // whole.groups)
        first = group * node.weight.shape[1]
        codes = np.zeros((1, channels, *extent), np.int8)
        signs = codes[0, first : first + node.weight.shape[1], :: whole.dilations[0], :: whole.dilations[1]]
        signs[...] = np.where(node.weight[channel] > 0, 127, -128)
        assert whole.accumulate(node, codes, zero_points=(0,))[0, channel].item() == bounds.high[channel]
        signs[...] = np.where(node.weight[channel] > 0, -128, 127)
        assert whole.accumulate(node, codes, zero_points=(0,))[0, channel].item() == bounds.low[channel]


def test_the_filters_of_a_transposed_convolution() -> None:
    weight = np.arange(2 * 3 * 2 * 2, dtype=np.int8).reshape(4, 3, 2, 1)
    node = Node(name="up", operator=ConvTranspose(groups=2), inputs=("x",), output="y", weight=weight)
    assert filters(node).sum(axis=1).tolist() == [
        int(weight[2 * group : 2 * group + 2, out].sum()) for group in (0, 1) for out in (0, 1, 2)
    ]


def test_the_bias_counts() -> None:
    graph = random_layer_graph(np.random.default_rng(0), "average_pool")
    (node,) = graph.nodes
    assert isinstance(node.operator, AveragePool)
    assert node.stage is not None
    prove(graph)
    bias = np.full_like(node.stage.bias, 2**31 - 1)
    over = replace(graph, nodes=(replace(node, stage=replace(node.stage, bias=bias)),))
    with pytest.raises(
        UnsupportedError, match=r"^node 'averagepool0' .*: its accumulator and bias can reach \[.*\], beyond 32 bits; split it"
    ):
        prove(over)
