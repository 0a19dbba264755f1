"""The reader's graph against onnxruntime on the model that it returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ridgeline.algorithm.onnx import runtime
from ridgeline.algorithm.onnx.host import with_outputs
from ridgeline.algorithm.onnx.network import Network
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.reference import run_float

Array = np.ndarray[Any, np.dtype[Any]]


def session(model: bytes, weights: Mapping[str, Array] | None = None) -> Any:
    return runtime.session(model, threads=1, optimise=False, weights=weights)


def run(model: bytes, feeds: dict[str, Array], weights: Mapping[str, Array] | None = None) -> dict[str, Array]:
    made = session(model, weights)
    wanted = {value.name for value in made.get_inputs()}
    given = {name: array for name, array in feeds.items() if name in wanted}
    return dict(zip([value.name for value in made.get_outputs()], made.run(None, given), strict=True))


def random_feeds(model: bytes, images: int, seed: int = 0, weights: Mapping[str, Array] | None = None) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for value in session(model, weights).get_inputs():
        shape = (images, *value.shape[1:])
        if value.type == "tensor(float)":
            feeds[value.name] = rng.standard_normal(shape).astype(np.float32)
        else:
            feeds[value.name] = rng.integers(0, 100, shape).astype(value.type.removeprefix("tensor(").removesuffix(")"))
    return feeds


def check_network(
    network: Network, images: int = 2, seed: int = 0, tolerance: float = 1e-4, original: bytes | None = None, varied: bool = True
) -> None:
    """The graph's outputs equal the model's values of the same names, and front, engine and back in a row equal the whole."""
    network.graph.verify()
    feeds = random_feeds(network.model, images, seed, network.weights)
    names = [*(port.name for port in network.graph.inputs), *(port.name for port in network.graph.outputs)]
    border = run(with_outputs(network.model, list(dict.fromkeys([*names]))), feeds, network.weights) if names else {}
    expected = run(network.model, feeds, network.weights)
    if original is not None:
        whole = run(original, feeds)
        for name, array in whole.items():
            np.testing.assert_allclose(expected[name], array, rtol=tolerance, atol=tolerance)
    entering = {**feeds, **({} if network.front is None else run(network.front, feeds))}
    tensors = run_float(network.graph, {port.name: entering[port.name].astype(np.float64) for port in network.graph.inputs})
    leaving: dict[str, Array] = {}
    for port in network.graph.outputs:
        found = port.to_array(tensors[port.tensor])
        assert found.shape == border[port.name].shape
        scale = max(1.0, float(np.abs(border[port.name]).max()))
        np.testing.assert_allclose(found, border[port.name], rtol=tolerance, atol=tolerance * scale)
        assert not varied or np.ptp(found) > 0 or found.size == 1, f"output {port.name} is constant and shows nothing"
        leaving[port.name] = found.astype(np.float32)
    if network.back is not None:
        leaving |= run(network.back, {**entering, **leaving})
    for name, array in expected.items():
        given = leaving if name in leaving else entering
        np.testing.assert_allclose(given[name], array, rtol=10 * tolerance, atol=10 * tolerance * max(1.0, float(np.abs(array).max())))


def kinds(network: Network) -> str:
    """The operators of the engine's nodes; "+" marks a unary function."""
    return " ".join(type(node.operator).__name__ + ("+" if node.function else "") for node in network.graph.nodes)


def check(model: bytes, images: int = 2, **options: Any) -> Network:
    network = read_network(model)
    check_network(network, images, **options)
    return network
