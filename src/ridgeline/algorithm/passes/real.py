"""A float graph as an engine of real numbers computes it: every node gets an output stage, `sum * multiplier + bias`, and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from ridgeline.algorithm.graph import Array, Graph, Node, Requantise
from ridgeline.algorithm.operators import AveragePool, Select
from ridgeline.errors import UnsupportedError

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Real:
    """`graph`: each stage's multiplier and bias are float64; its other fields mean nothing. `limits`: by node."""

    graph: Graph
    limits: Mapping[str, Limits]


def real(graph: Graph) -> Real:
    """Raises UnsupportedError, naming the node, for what needs a table."""
    nodes = tuple(replace(node, stage=_stage(graph, node)) for node in graph.nodes)
    return Real(graph=replace(graph, nodes=nodes), limits={node.name: limits(node, "float32") for node in graph.nodes})


def limits(node: Node, number: str) -> Limits:
    """Of the node's values. Raises UnsupportedError for a function that is more than limits, or a border that is not zero."""
    if isinstance(node.operator, Select) and node.operator.border:
        raise UnsupportedError(f"node '{node.name}': a border of {node.operator.border:g}; {number} has borders of zero only, use --format int8")
    if node.function is None:
        return -inf, inf
    if node.function.clip is None:
        what = node.source or type(node.operator).__name__
        raise UnsupportedError(f"node '{node.name}' ({what}): its function is a table, which {number} lacks; use --format int8")
    return node.function.clip


def _stage(graph: Graph, node: Node) -> Requantise:
    channels = graph.tensors[node.output].shape[0]
    divisor = np.ones((1, 1))
    if isinstance(node.operator, AveragePool):
        divisor = node.operator.counted(graph.input_shapes(node)[0]).astype(np.float64)
    multiplier = 1.0 / divisor[None]
    return Requantise(
        bias=np.zeros(channels) if node.bias is None else node.bias.astype(np.float64),
        multiplier=multiplier if multiplier.shape != (1, 1, 1) else np.broadcast_to(multiplier, (channels, 1, 1)),
        shift=np.zeros_like(multiplier) if multiplier.shape != (1, 1, 1) else np.zeros((channels, 1, 1)),
        zero_point=0,
        low=-128,
        high=127,
    )


def bias(node: Node) -> Array | None:
    """(1, channels, 1, 1), or None where there is none."""
    return None if node.bias is None or not np.any(node.bias) else node.bias.astype(np.float32).reshape(1, -1, 1, 1)
