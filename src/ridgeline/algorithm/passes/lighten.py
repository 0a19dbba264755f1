"""Weights that an engine stores in fewer bits: which layers of a float graph get a format of few bits, and which are pruned to a pattern.

Layers are convolutions and matrix products. The first and the last of a network stay as they are, in 8 bits, as in ANT (MICRO'22, section V), and so
do depthwise ones, whose weights are few, and those of networks that bring their own scales.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.algorithm.graph import Graph, Node
from ridgeline.algorithm.operators import Conv, ConvTranspose
from ridgeline.errors import InputError

if TYPE_CHECKING:
    from ridgeline.formats.sparsity import Pattern


def lightened(graph: Graph, *, weights: str = "int8", sparsity: str = "none") -> Graph:
    """The float graph with each layer's `weight_format` set, for `quantise`, and its weights pruned by magnitude along the input channels.

    Grouped and transposed convolutions are not pruned, nor layers of fewer input channels than a bank. Raises InputError where no layer is left.
    """
    chosen = {node.name for node in _layers(graph)}
    pattern = None if sparsity == "none" else _pattern(sparsity)
    pruned = {node.name for node in graph.nodes if node.name in chosen and pattern is not None and _divides(node, pattern)}
    for what, value, plain, found in (("weights", weights, "int8", chosen), ("sparsity", sparsity, "none", pruned)):
        if value != plain and not found:
            raise InputError(f"{what} {value}: '{graph.name}' has no layer for it between its first and its last; build it with {what} {plain}")
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name in chosen and weights != "int8":
            node = replace(node, weight_format=weights)
        if node.name in pruned and pattern is not None and node.weight is not None:
            mask = pattern.mask(np.abs(node.weight), axis=1)
            node = replace(node, weight=np.where(mask, node.weight, np.zeros((), node.weight.dtype)), sparsity=sparsity)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _pattern(name: str) -> Pattern:
    from ridgeline.formats.sparsity import read_pattern  # its kernels are slow to load

    return read_pattern(name)


def _layers(graph: Graph) -> list[Node]:
    """Those between the first and the last."""
    weighted = [node for node in graph.nodes if isinstance(node.operator, Conv | ConvTranspose)]
    return [node for node in weighted[1:-1] if node.weight_scale is None and not _depthwise(graph, node)]


def _depthwise(graph: Graph, node: Node) -> bool:
    assert isinstance(node.operator, Conv | ConvTranspose)
    return 1 < node.operator.groups == graph.tensors[node.inputs[0]].shape[0]


def _divides(node: Node, pattern: Pattern) -> bool:
    """Whether the layer has at least a whole bank of input channels."""
    if node.weight is None or not isinstance(node.operator, Conv) or node.operator.groups != 1:
        return False
    return pattern.padded_shape(1, 1)[1] <= node.weight.shape[1]
