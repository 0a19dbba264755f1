"""The float graph's stages, and its golden network beside numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.algorithm.floats import SIGMOID, Floats
from tests.algorithm.real_graphs import real_graph, real_inputs

from ridgeline.algorithm.function import clip
from ridgeline.algorithm.onnx.golden import boundary_names
from ridgeline.algorithm.onnx.golden_float import golden_float
from ridgeline.algorithm.onnx.runtime import run
from ridgeline.algorithm.operators import AveragePool, Copy, Select
from ridgeline.algorithm.passes.real import real
from ridgeline.algorithm.reference import run_float
from ridgeline.errors import UnsupportedError
from ridgeline.testing.graphs import LAYER_KINDS, random_layer_graph, random_network


@given(kind=st.sampled_from((*LAYER_KINDS, "network")), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_golden_network_is_the_float_graph(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = real_graph(rng, random_network(rng) if kind == "network" else random_layer_graph(rng, kind))
    inputs = real_inputs(rng, graph, images=2)
    found = run(golden_float(graph, boundaries=True), inputs)
    wanted = run_float(graph, {name: array.astype(np.float64) for name, array in inputs.items()})
    shown = boundary_names(graph)
    for node in graph.nodes:
        if shown[node.output] in found:
            values = wanted[node.output]
            difference = np.abs(found[shown[node.output]].reshape(values.shape) - values).max()
            assert difference <= 1e-5 * max(1e-30, np.abs(values).max())


def test_stages_and_limits() -> None:
    floats = Floats(rng=np.random.default_rng(1))
    mean = floats.add("mean", AveragePool(kernel=(3, 3), pads=(1, 1, 1, 1)), floats.input("x", (2, 3, 3)), function=clip(0.0, 6.0))
    found = real(floats.graph(mean))
    (node,) = found.graph.nodes
    assert node.stage is not None
    assert np.allclose(1 / node.stage.multiplier, [[[4, 6, 4], [6, 9, 6], [4, 6, 4]]])
    assert found.limits == {"mean": (0.0, 6.0)}


@pytest.mark.parametrize(
    ("operator", "function", "message"),
    [
        (Copy(), SIGMOID, r"node 'node' \(node \(Test\)\): its function is a table, which float32 lacks; use --format int8"),
        (
            Select(channels=(0, 1), origin=(-1, -1), size=(5, 5), border=2), None,
            "node 'node': a border of 2; float32 has borders of zero only, use --format int8",
        ),
    ],
)  # fmt: skip
def test_refusals(operator, function, message: str) -> None:
    floats = Floats(rng=np.random.default_rng(1))
    graph = floats.graph(floats.add("node", operator, floats.input("x", (2, 3, 3)), function=function))
    with pytest.raises(UnsupportedError, match=message):
        real(graph)
