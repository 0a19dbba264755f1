"""Cutting a graph: its sections one after another are the whole, and what crosses is what the later ones read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.algorithm import zoo
from ridgeline.algorithm.cut import alive, crossing_bytes, port_name, run_sections, section, sections
from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.passes.calibrate import noise
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.algorithm.reference import run_integer
from ridgeline.errors import InputError
from ridgeline.testing.graphs import LAYER_KINDS, random_codes, random_layer_graph, random_network


def _stops(rng: np.random.Generator, graph: Graph) -> tuple[int, ...]:
    count = len(graph.nodes)
    cuts = rng.choice(np.arange(1, count), size=int(rng.integers(0, min(count, 5))), replace=False) if count > 1 else []
    return (*sorted(int(cut) for cut in cuts), count)


def _check(graph: Graph, stops: tuple[int, ...], rng: np.random.Generator) -> None:
    codes = random_codes(rng, graph, images=2)
    whole = run_integer(graph, codes)
    made = sections(graph, stops)
    for piece in made:
        piece.verify()
    found = run_sections(graph, made, codes)
    assert set(found) == {port.name for port in graph.outputs}
    for port in graph.outputs:
        expected = port.to_array(whole[port.tensor])
        assert found[port.name].tobytes() == expected.tobytes()


@given(seed=st.integers(0, 2**32 - 1))
def test_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_network(rng, blocks=int(rng.integers(1, 7)))
    _check(graph, _stops(rng, graph), rng)


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_a_section_of_one_node_is_the_graph(kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    graph = random_layer_graph(rng, kind)
    _check(graph, (1,), rng)
    assert section(graph, 0, 1).inputs == graph.inputs
    assert section(graph, 0, 1).outputs == graph.outputs


@pytest.mark.parametrize("name", [entry.name for entry in zoo.describe() if entry.engine])
def test_zoo(name: str) -> None:
    """Cut after every node, and at a few nodes."""
    rng = np.random.default_rng(1)
    network = read_network(zoo.reduced(name).SerializeToString(deterministic=True))
    graph = quantise(network.graph, noise(network.graph, rng))
    _check(graph, tuple(range(1, len(graph.nodes) + 1)), rng)
    for _ in range(3):
        _check(graph, _stops(rng, graph), rng)


def _alive(graph: Graph, position: int) -> set[str]:
    """Tensor by tensor: made before the cut, and read or shown after it."""
    found: set[str] = set()
    for name in graph.tensors:
        producers = [index for index, node in enumerate(graph.nodes) if node.output == name]
        made = -1 if any(port.tensor == name for port in graph.inputs) else producers[0] if producers else len(graph.nodes)
        read = max([index for index, node in enumerate(graph.nodes) if name in node.inputs], default=-1)
        shown = any(port.tensor == name for port in graph.outputs)
        if made < position and (read >= position or shown):
            found.add(name)
    return found


@given(seed=st.integers(0, 2**32 - 1))
def test_what_crosses(seed: int) -> None:
    graph = random_network(np.random.default_rng(seed), blocks=6)
    for position in range(len(graph.nodes) + 1):
        names = alive(graph, position)
        assert len(set(names)) == len(names)
        assert set(names) == _alive(graph, position)
        assert crossing_bytes(graph, position) == sum(int(np.prod(graph.tensors[name].shape)) for name in names)


def test_a_residual_edge_crosses_every_cut_of_its_block() -> None:
    network = read_network(zoo.reduced("resnet18").SerializeToString(deterministic=True))
    graph = network.graph
    add = next(index for index, node in enumerate(graph.nodes) if type(node.operator).__name__ == "Add")
    skipped = next(name for name in graph.nodes[add].inputs if graph.producer(name) is not graph.nodes[add - 1])
    for position in range(add - 1, add + 1):
        assert skipped in alive(graph, position)
    assert skipped not in alive(graph, add + 1)


def test_ports_of_other_names_than_the_networks() -> None:
    """A tensor that crosses is not taken for one of the network's ports."""
    graph = random_network(np.random.default_rng(3), blocks=4)
    names = {port.name for port in (*graph.inputs, *graph.outputs)}
    assert all(port_name(graph, tensor) not in names for tensor in graph.tensors)
    assert len({port_name(graph, tensor) for tensor in graph.tensors}) == len(graph.tensors)


def test_sections_outside_the_graph() -> None:
    graph = random_network(np.random.default_rng(3), blocks=2)
    for start, stop in ((0, 0), (2, 1), (-1, 1), (0, len(graph.nodes) + 1)):
        with pytest.raises(InputError, match=r"is not within its \d+ nodes"):
            section(graph, start, stop)
