"""A graph cut into consecutive sub-graphs: what each computes, and what crosses between two of them.

Running the sections one after another gives the same bytes as the whole graph. A tensor that is made in one section and read in a later one crosses
every cut between the two; a section that neither makes nor reads it is not concerned, whoever carries it past is. The network's inputs are there
before the first section, and its outputs are wanted after the last one, so both may cross too. Constants do not: a section has those it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ridgeline.algorithm.graph import Array, Graph, Port
from ridgeline.algorithm.reference import run_integer
from ridgeline.errors import InputError


def alive(graph: Graph, position: int) -> tuple[str, ...]:
    """The tensors that cross a cut before node `position` (0: before the first, the number of nodes: after the last), in the order in which they
    are made."""
    made = [*(port.tensor for port in graph.inputs), *(node.output for node in graph.nodes[:position])]
    wanted = {name for node in graph.nodes[position:] for name in node.inputs} | {port.tensor for port in graph.outputs}
    return tuple(dict.fromkeys(name for name in made if name in wanted))


def crossing_bytes(graph: Graph, position: int) -> int:
    """Of int8 elements."""
    return sum(graph.tensors[name].elements for name in alive(graph, position))


def section(graph: Graph, start: int, stop: int) -> Graph:
    """Nodes [start, stop) as a graph of their own. Its inputs are what they read of what is made before, its outputs what is wanted after them.

    The whole graph's ports stay as they are in the first and the last section; all others hold a tensor as (channels, height, width).
    """
    if not 0 <= start < stop <= len(graph.nodes):
        raise InputError(f"section [{start}, {stop}) of network '{graph.name}' is not within its {len(graph.nodes)} nodes")
    nodes = graph.nodes[start:stop]
    made = {node.output for node in nodes}
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name not in made)
    given = [name for name in read if name not in graph.constants]
    wanted = [name for name in alive(graph, stop) if name in made]
    used = {*read, *made}
    return Graph(
        name=f"{graph.name}/{nodes[0].name}..{nodes[-1].name}",
        inputs=_ports(graph, given, graph.inputs if start == 0 else ()),
        outputs=_ports(graph, wanted, graph.outputs if stop == len(graph.nodes) else ()),
        nodes=nodes,
        tensors={name: tensor for name, tensor in graph.tensors.items() if name in used},
        constants={name: values for name, values in graph.constants.items() if name in read},
    )


def sections(graph: Graph, stops: Sequence[int]) -> tuple[Graph, ...]:
    """The whole graph, each section ending before the node that `stops` names; the last stop is the number of nodes."""
    return tuple(section(graph, start, stop) for start, stop in zip((0, *stops[:-1]), stops, strict=True))


def _ports(graph: Graph, tensors: Sequence[str], own: Sequence[Port]) -> tuple[Port, ...]:
    """`own` are the whole graph's ports, which may show one tensor several times."""
    kept = tuple(port for port in own if port.tensor in tensors)
    shown = {port.tensor for port in kept}
    return (*kept, *(_plain(graph, name) for name in tensors if name not in shown))


def _plain(graph: Graph, tensor: str) -> Port:
    shape = graph.tensors[tensor].shape
    return Port(name=port_name(graph, tensor), shape=shape, tensor=tensor, split=shape, permutation=(0, 1, 2))


def port_name(graph: Graph, tensor: str) -> str:
    """Of a tensor where it crosses: its own, unless one of the network's ports has that name."""
    taken = {port.name for port in (*graph.inputs, *graph.outputs)}
    name = tensor
    while name in taken or (name != tensor and name in graph.tensors):
        name = f"{name}/crossing"
    return name


def run_sections(graph: Graph, made: Sequence[Graph], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The network's outputs (batch, *shape) by port, given its inputs' int8 codes: each section run on what crosses from the sections before it."""
    tensors = {port.tensor: port.to_tensor(inputs[port.name], graph.tensors[port.tensor]) for port in graph.inputs}
    for piece in made:
        found = run_integer(piece, {port.name: port.to_array(tensors[port.tensor]) for port in piece.inputs})
        tensors |= {port.tensor: found[port.tensor] for port in piece.outputs}
    return {port.name: port.to_array(tensors[port.tensor]) for port in graph.outputs}
