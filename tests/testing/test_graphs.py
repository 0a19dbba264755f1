"""The random graphs that tests are made of: the same for the same seed, varied, and sound."""

import numpy as np
import pytest

from ridgeline.algorithm.passes.overflow import prove
from ridgeline.algorithm.reference import run_integer
from ridgeline.errors import UnknownNameError
from ridgeline.testing.graphs import BLOCKS, LAYER_KINDS, informative, random_codes, random_layer_graph, random_network


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_layers_are_sound(kind: str) -> None:
    shapes: set[tuple[int, ...]] = set()
    for seed in range(12):
        graph = random_layer_graph(np.random.default_rng(seed), kind)
        graph.verify()
        prove(graph)
        assert len(graph.nodes) == 1
        shapes.add(graph.tensors[graph.nodes[0].output].shape)
    assert len(shapes) >= 6


def test_networks_are_sound_and_most_say_something() -> None:
    told = 0
    operators: set[str] = set()
    for seed in range(40):
        graph = random_network(np.random.default_rng(seed))
        prove(graph)
        operators |= {type(node.operator).__name__ for node in graph.nodes}
        tensors = run_integer(graph, random_codes(np.random.default_rng(seed), graph, images=2))
        told += all(informative(tensors[port.tensor]) for port in graph.outputs)
    assert told >= 30
    assert operators >= {"Add", "AveragePool", "Concat", "Conv", "Copy", "Expand", "MaxPool", "Mul"}
    assert len(BLOCKS) == 6


def test_same_seed_same_graph() -> None:
    first, second = (random_network(np.random.default_rng(7)) for _ in range(2))
    assert [node.operator for node in first.nodes] == [node.operator for node in second.nodes]
    assert first.tensors == second.tensors


def test_unknown_kind() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown kind of layer 'convv'; did you mean 'conv'\?$"):
        random_layer_graph(np.random.default_rng(0), "convv")


def test_what_says_nothing() -> None:
    assert not informative(np.zeros((2, 8), np.int8))
    assert not informative(np.array([-128] * 6 + [0, 1, 2, 127], np.int8))
    assert informative(np.arange(20, dtype=np.int8))
