"""Post-training quantisation: a float graph and calibration data give an integer graph.

Weights are symmetric, one scale an output channel. Activations have one scale and zero point a tensor, chosen from a histogram of the calibration
data: the range of least mean squared error (or all that was seen), with real zero on a code, so that padding is exact. Tensors that a network
quantised already has scales for keep them. Biases take off what the rounding of weights adds on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from ridgeline.algorithm.graph import Array, Graph, Node, Quantisation, Tensor
from ridgeline.algorithm.operators import Concat
from ridgeline.algorithm.passes.calibrate import Observed, Progress, needs_table, observe
from ridgeline.algorithm.passes.histogram import Histogram, closest, merged, widest
from ridgeline.algorithm.passes.overflow import prove
from ridgeline.algorithm.passes.stages import MOVES, moved, quantised, target

Method = Literal["mse", "minmax"]


def quantise(graph: Graph, calibration: Mapping[str, Array], *, method: Method = "mse", progress: Progress | None = None) -> Graph:
    """The integer graph of a float graph; `calibration` holds an array (images, *shape) for each input port.

    Raises UnsupportedError, naming the node, where an accumulator could leave 32 bits or a scale cannot be reached.
    """
    observed = observe(graph, calibration, progress=progress)
    tensors = _tensors(graph, observed, method)
    integer = replace(graph, tensors=tensors)
    nodes = tuple(_node(integer, node, observed, method) for node in graph.nodes)
    integer = replace(integer, nodes=nodes)
    integer.verify()
    prove(integer)
    return integer


def _node(graph: Graph, node: Node, observed: Observed, method: Method) -> Node:
    after = graph.tensors[node.output].quantisation
    assert after is not None
    if isinstance(node.operator, MOVES):
        return moved(graph, node, after)
    before: Quantisation | None = None
    if needs_table(node):
        seen = observed.before[node.name]
        before = widest(seen) if method == "minmax" else closest(seen, node.function)
    return quantised(graph, node, target(node, before, after), means=observed.means.get(node.inputs[0]))


def _tensors(graph: Graph, observed: Observed, method: Method) -> dict[str, Tensor]:
    groups = _groups(graph)
    seen: dict[str, Histogram] = {}
    fixed: dict[str, Quantisation] = {}
    for name, tensor in graph.tensors.items():
        group = groups[name]
        if tensor.quantisation is not None:
            fixed[group] = tensor.quantisation
        if name in observed.tensors:
            found = observed.tensors[name]
            seen[group] = merged(seen[group], found) if group in seen else found
    chosen = {group: fixed.get(group) or (widest(found) if method == "minmax" else closest(found)) for group, found in seen.items()}
    return {name: replace(tensor, quantisation=chosen[groups[name]]) for name, tensor in graph.tensors.items() if groups[name] in chosen}


def _groups(graph: Graph) -> dict[str, str]:
    """Tensor -> the name of its group: tensors that share a scale because a node only moves codes from one to the other, or joins them.

    A tensor whose scale is given joins no group with another scale.
    """
    leader = {name: name for name in graph.tensors}
    given = {name: tensor.quantisation for name, tensor in graph.tensors.items()}
    for node in graph.nodes:
        if not _shares(node):
            continue
        for name in node.inputs:
            first, second = leader[name], leader[node.output]
            if given[first] is not None and given[second] is not None and given[first] != given[second]:
                continue
            for other, known in leader.items():
                leader[other] = first if known == second else known
            given[first] = given[first] or given[second]
    return leader


def _shares(node: Node) -> bool:
    if isinstance(node.operator, MOVES):
        return not needs_table(node)
    return isinstance(node.operator, Concat) and node.function is None
