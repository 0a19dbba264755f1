"""The host's side in onnxruntime: the float network, and the codes that enter and leave the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ridgeline.flows.data import Input

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.algorithm.onnx.network import Network

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
CHUNK = 16  # images at a time


def network_inputs(network: Network) -> tuple[Input, ...]:
    """The inputs of the file."""
    return model_inputs(network.model)


def model_inputs(model: bytes) -> tuple[Input, ...]:
    from ridgeline.algorithm.onnx.inputs import input_shapes, input_types

    types = input_types(model)
    return tuple(Input(name=name, shape=shape, dtype=types[name]) for name, shape in input_shapes(model).items())


def values(network: Network, names: Sequence[str], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Values of the float model, (images, *shape), for the file's inputs `arrays`."""
    from ridgeline.algorithm.onnx.host import with_outputs

    given = {name: arrays[name] for name in names if name in arrays}
    wanted = [name for name in names if name not in given]
    return given | (_run(with_outputs(network.model, wanted), arrays, network.weights) if wanted else {})


def engine_inputs(network: Network, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """What the engine's part is given, real values (images, *shape) by port."""
    return values(network, [port.name for port in network.graph.inputs], arrays)


def codes(graph: Graph, reals: Mapping[str, Array]) -> dict[str, Array]:
    """golden.onnx's inputs, int8, as the host computes them."""
    from ridgeline.algorithm.onnx.golden_ends import code_name, front_onnx

    found = _run(front_onnx(graph), {name: array.astype(np.float32) for name, array in reals.items()})
    return {port.name: found[code_name(port.name)] for port in graph.inputs}


def reals(graph: Graph, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Real values, float32, of golden.onnx's outputs, as the host computes them."""
    from ridgeline.algorithm.onnx.golden_ends import back_onnx, code_name

    return _run(back_onnx(graph), {code_name(name): array for name, array in outputs.items()})


def finals(network: Network, engine_outputs: Mapping[str, Array], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The file's outputs, given the engine's (real values) and the file's inputs: what the host makes of them."""
    from ridgeline.algorithm.onnx.inputs import input_shapes

    known = {**arrays, **engine_outputs}
    made = {} if network.back is None else _run(network.back, {name: known[name] for name in input_shapes(network.back)})
    return {**engine_outputs, **made}


def _run(model: bytes, feeds: Mapping[str, Array], weights: Mapping[str, Array] | None = None) -> dict[str, Array]:
    from ridgeline.algorithm.onnx.runtime import call, session

    loaded = session(model, weights=weights)
    images = len(next(iter(feeds.values())))
    parts = [call(loaded, {name: array[start : start + CHUNK] for name, array in feeds.items()}) for start in range(0, images, CHUNK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
