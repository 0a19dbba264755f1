"""The host's ends: float32 to codes and back, as numpy does it."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.graph import Quantisation
from ridgeline.algorithm.onnx.golden_ends import back_onnx, code_name, front_onnx
from ridgeline.algorithm.onnx.runtime import run
from ridgeline.algorithm.reference import dequantise, quantisation, quantise
from ridgeline.testing.graphs import random_codes, random_network


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_both_ends(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_network(rng, blocks=2)
    (port,) = graph.inputs
    code = quantisation(graph, port.tensor)
    reals = (rng.standard_normal((2, *port.shape)) * 80 * np.float32(code.scale)).astype(np.float32)
    found = run(front_onnx(graph), {port.name: reals})
    np.testing.assert_array_equal(found[code_name(port.name)], quantise(reals, code))
    codes = {code_name(end.name): rng.integers(-128, 128, (2, *end.shape)).astype(np.int8) for end in graph.outputs}
    for end in graph.outputs:
        values = run(back_onnx(graph), codes)[end.name]
        expected = dequantise(codes[code_name(end.name)], quantisation(graph, end.tensor))
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert random_codes(rng, graph)[port.name].dtype == np.int8


def test_halves_round_to_even() -> None:
    graph = random_network(np.random.default_rng(3), blocks=1)
    (port,) = graph.inputs
    tensor = replace(graph.tensors[port.tensor], quantisation=Quantisation(scale=0.25, zero_point=3))
    graph = replace(graph, tensors={**graph.tensors, port.tensor: tensor})
    reals = np.resize(np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32) * 0.25, (1, *port.shape))
    found = run(front_onnx(graph), {port.name: reals})[code_name(port.name)].ravel()[:5]
    assert found.tolist() == [3, 5, 5, 3, 1]
