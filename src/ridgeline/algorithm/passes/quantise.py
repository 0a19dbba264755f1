"""Post-training quantisation: a float graph and calibration data give an integer graph.

Weights are symmetric, one scale an output channel, in int8 or a layer's own format. Activations have one scale and zero point a tensor, chosen
from a histogram of the calibration data: the range of least mean squared error (or all that was seen), with real zero on a code, so that
padding is exact. Tensors that a network quantised already has scales for keep them. Biases take off what the rounding of weights adds on
average.

`activations` of few levels are those that layers with a weight format of their own read: rounded to a code, clipped, then to the nearest level by
the stage's table. This double rounding is their definition. They stay bytes wherever they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from ridgeline.algorithm.graph import Array, Graph, Node, Quantisation, Tensor
from ridgeline.algorithm.operators import Concat, Copy, Join, Select
from ridgeline.algorithm.passes.calibrate import Observed, Progress, needs_table, observe
from ridgeline.algorithm.passes.histogram import Histogram, closest, including, levelled, merged, widest
from ridgeline.algorithm.passes.overflow import prove
from ridgeline.algorithm.passes.stages import MOVES, moved, quantised, target
from ridgeline.algorithm.reference import quantisation
from ridgeline.algorithm.reference import quantise as codes_of
from ridgeline.errors import InputError
from ridgeline.formats import Scalar, Search, read_format

Method = Literal["mse", "minmax"]
LEAST_RATIO = 0.2  # of a tensor's largest value that its largest level may stand for: outliers of activations are cut off more than those of weights


def quantise(
    graph: Graph, calibration: Mapping[str, Array], *, method: Method = "mse", activations: str = "int8", progress: Progress | None = None
) -> Graph:
    """The integer graph of a float graph; `calibration` holds an array (images, *shape) for each input port.

    Raises UnsupportedError, naming the node, where an accumulator could leave 32 bits or a scale cannot be reached.
    """
    observed = observe(graph, calibration, progress=progress)
    integer = _one_scale_a_join(replace(graph, tensors=_tensors(graph, observed, method, activations)))
    constants = {name: codes_of(values, quantisation(integer, name)) for name, values in graph.constants.items()}
    integer = replace(integer, constants=constants)
    nodes = tuple(_node(integer, node, observed, method) for node in integer.nodes)
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


def _one_scale_a_join(graph: Graph) -> Graph:
    """A Copy before every input of a Join whose scale is not the Join's: only scales that the network brings along keep them apart."""
    nodes: list[Node] = []
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        copies = _rescaling(graph, node) if isinstance(node.operator, Join) else {}
        for copy, wanted in copies.values():
            nodes.append(copy)
            tensors[copy.output] = replace(tensors[copy.inputs[0]], name=copy.output, quantisation=wanted)
        inputs = (copies[index][0].output if index in copies else name for index, name in enumerate(node.inputs))
        nodes.append(replace(node, inputs=tuple(inputs)))
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _rescaling(graph: Graph, node: Node) -> dict[int, tuple[Node, Quantisation]]:
    """Input number -> the Copy that gives it the scale of the Join."""
    wanted = _scale_of_join(graph, node)
    found: dict[int, tuple[Node, Quantisation]] = {}
    for index, name in enumerate(node.inputs):
        if quantisation(graph, name) != wanted:
            label, output = f"{node.name}/rescale{index}", f"{node.output}/rescaled{index}"
            found[index] = Node(name=label, operator=Copy(), inputs=(name,), output=output, source=node.source), wanted
    return found


def _scale_of_join(graph: Graph, node: Node) -> Quantisation:
    """The output's; that of the widest input where a table follows."""
    if not needs_table(node):
        return quantisation(graph, node.output)
    return max((quantisation(graph, name) for name in node.inputs), key=lambda found: found.scale)


def _tensors(graph: Graph, observed: Observed, method: Method, activations: str) -> dict[str, Tensor]:
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
    if activations != "int8":
        chosen |= {group: _levelled(seen[group], activations) for group in _light(graph, groups) if group in seen and group not in fixed}
    for node in graph.nodes:
        group = groups[node.inputs[0]]
        if isinstance(node.operator, Select) and node.operator.border is not None and group not in fixed:
            chosen[group] = including(chosen[group], node.operator.border)
    return {name: replace(tensor, quantisation=chosen[groups[name]]) for name, tensor in graph.tensors.items() if groups[name] in chosen}


def _light(graph: Graph, groups: Mapping[str, str]) -> set[str]:
    """The groups that layers with a weight format read. Those of the network's ends, of constants, and of borders with a value stay in int8."""
    read = {groups[node.inputs[0]] for node in graph.nodes if node.weight_format != "int8"}
    ends = {groups[name] for name in (*(port.tensor for port in (*graph.inputs, *graph.outputs)), *graph.constants)}
    bordered = (node.inputs[0] for node in graph.nodes if isinstance(node.operator, Select) and node.operator.border is not None)
    return read - ends - {groups[name] for name in bordered}


def _levelled(seen: Histogram, name: str) -> Quantisation:
    """Of the signed format, or where nothing is below zero of the unsigned one of as many bits. Raises InputError for levels that are no int8."""
    found = _with_levels(name, name)
    if seen.low >= 0 and found.levels[0] < 0:
        found = _with_levels(name, f"u{name}")
    return levelled(seen, found, Search(least=LEAST_RATIO).ratios)


def _with_levels(asked: str, name: str) -> Scalar:
    found = read_format(name)
    if not isinstance(found, Scalar) or not all(float(level).is_integer() and -128 <= level <= 127 for level in found.levels):
        raise InputError(f"activations {asked}: {name} has no table of int8 levels; take int8, int4 or flint4")
    return found


def _groups(graph: Graph) -> dict[str, str]:
    """Tensor -> the name of its group: tensors that share a scale because a node only moves codes from one to the other, or joins them.

    A tensor whose scale is given joins no group with another scale.
    """
    leader = {name: name for name in graph.tensors}
    given = {name: tensor.quantisation for name, tensor in graph.tensors.items()}
    for node in graph.nodes:
        *others, last = _sharing(node) or ("",)
        for name in others:
            first, second = leader[name], leader[last]
            if given[first] is not None and given[second] is not None and given[first] != given[second]:
                continue
            for other, known in leader.items():
                leader[other] = first if known == second else known
            given[first] = given[first] or given[second]
    return leader


def _sharing(node: Node) -> tuple[str, ...]:
    """The tensors of a node that share a scale."""
    ends = (*node.inputs, node.output)
    if isinstance(node.operator, Join):
        return node.inputs if needs_table(node) else ends
    if isinstance(node.operator, MOVES):
        return () if needs_table(node) else ends
    return ends if isinstance(node.operator, Concat) and node.function is None else ()
