"""Random float graphs: the shapes of random integer ones, with real weights, biases and limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ridgeline.algorithm.function import clip
from ridgeline.algorithm.graph import Array, Graph, Node
from ridgeline.algorithm.operators import Add, AveragePool, Concat, Conv, ConvTranspose, Join, Mul, Select


def real_graph(rng: np.random.Generator, graph: Graph) -> Graph:
    tensors = {name: replace(tensor, quantisation=None) for name, tensor in graph.tensors.items()}
    constants = {name: rng.standard_normal(values.shape).astype(np.float32) for name, values in graph.constants.items()}
    return replace(graph, nodes=tuple(_node(rng, graph, node) for node in graph.nodes), tensors=tensors, constants=constants)


def real_inputs(rng: np.random.Generator, graph: Graph, *, images: int = 1) -> dict[str, Array]:
    return {port.name: rng.standard_normal((images, *port.shape), dtype=np.float32) for port in graph.inputs}


def _node(rng: np.random.Generator, graph: Graph, node: Node) -> Node:
    operator, weight, bias = node.operator, node.weight, None
    if weight is not None:
        fan_in = 1 if isinstance(operator, Add) else int(np.prod(weight.shape[1:]))
        weight = (rng.standard_normal(weight.shape) / np.sqrt(fan_in)).astype(np.float32)
    one_size = isinstance(operator, AveragePool) and operator.counted(graph.input_shapes(node)[0]).size == 1
    if (one_size or isinstance(operator, Conv | ConvTranspose | Add | Mul)) and rng.random() < 0.7:
        bias = rng.standard_normal(graph.tensors[node.output].shape[0]).astype(np.float32)
    low, high = -float(rng.uniform(0, 2)), float(rng.uniform(0.5, 3))
    limited = clip(low if rng.random() < 0.5 else -np.inf, high if rng.random() < 0.5 else np.inf)
    function = limited if rng.random() < 0.5 and not isinstance(operator, Concat | Join) else None
    if isinstance(operator, Select) and operator.border is not None:
        operator = replace(operator, border=0)
    return replace(node, operator=operator, weight=weight, bias=bias, function=function, stage=None)
