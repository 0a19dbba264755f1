"""A channel's parameters as elements, and buffers cut to the tiles."""

from dataclasses import replace

import numpy as np
import pytest
from tests.algorithm.real_graphs import real_graph, real_inputs
from tests.mapping.cases import codes_for, differences, random_engine

from ridgeline.algorithm.passes.fixed import fixed
from ridgeline.algorithm.passes.real import real
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.encoding import fixed16, float32
from ridgeline.mapping.lower import lower
from ridgeline.mapping.parts import layout, parts
from ridgeline.mapping.snug import snug
from ridgeline.testing.graphs import random_layer_graph, random_network

ENGINE = Engine(
    lanes_out=5, lanes_in=4, taps=2, bus_bytes=4, activation_bytes=8192, weight_bytes=9000, output_bytes=4000, accumulator_depth=64
)


def test_records_of_float32() -> None:
    rng = np.random.default_rng(2)
    found = real(real_graph(rng, random_layer_graph(rng, "pointwise")))
    (node,) = found.graph.nodes
    (part,) = parts(found.graph, node, ENGINE, layout(found.graph, ENGINE))
    records = float32(found.limits).records(part, 5).reshape(-1, 8)
    channels = part.work.channels
    assert np.array_equal(records[:channels, 0], part.bias.astype(np.float32))
    assert np.all(records[:channels, 1] == 1)
    assert np.all(records[:channels, 2:4] == np.array(found.limits[node.name], np.float32))
    assert not records[channels:].any()
    assert not records[:, 4:].any()


def test_records_of_fixed16() -> None:
    rng = np.random.default_rng(2)
    graph = real_graph(rng, random_layer_graph(rng, "pointwise"))
    found = fixed(graph, real_inputs(rng, graph))
    (node,) = found.graph.nodes
    (part,) = parts(found.graph, node, ENGINE, layout(found.graph, ENGINE))
    records = fixed16(found.limits).records(part, 5).reshape(-1, 8)
    channels = part.work.channels
    assert np.array_equal(np.ascontiguousarray(records[:channels, :4]).view("<i8").ravel(), part.bias)
    assert np.array_equal(records[:channels, 4].view(np.uint16), part.multiplier)
    assert np.array_equal(records[:channels, 5], part.shift)
    assert np.all(records[:, 5] >= 1)
    assert np.all(records[:channels, 6:] == found.limits[node.name])


def test_a_program_of_reals_is_the_same_but_for_its_constants() -> None:
    """The loops do not depend on the format; tables are int8's alone."""
    rng = np.random.default_rng(4)
    integer = random_network(rng)
    integer = replace(integer, nodes=tuple(replace(node, stage=replace(node.stage, table=None)) for node in integer.nodes))
    found = real(real_graph(rng, integer))
    program, other = lower(integer, ENGINE), lower(found.graph, ENGINE, encoding=float32(found.limits))
    assert len(other.constants) == 4 * len(program.constants)
    assert len(other.instructions) == len(program.instructions)
    assert {name: place.address for name, place in other.placements.items()} == {
        name: place.address for name, place in program.placements.items()
    }
    assert other.elements(4)[: len(other.constants)] == other.constants
    assert len(other.encoded()) == 64 * len(other.instructions)


@pytest.mark.parametrize("seed", range(12))
def test_snug_buffers_hold_the_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_network(rng)
    engine = random_engine(rng)
    cut = snug(graph, engine, {})
    assert cut.activation_bytes <= engine.activation_bytes
    assert cut.weight_bytes <= engine.weight_bytes
    assert cut.accumulator_depth <= engine.accumulator_depth
    assert cut.activation_bytes % cut.weight_word_bytes == cut.weight_bytes % cut.weight_word_bytes == 0
    program = lower(graph, cut)
    program.verify()
    assert differences(program, graph, codes_for(rng, graph)) == []


@pytest.mark.parametrize("seed", range(12))
def test_lanes_of_any_number(seed: int) -> None:
    """Programs of engines that the Verilog cannot be."""
    rng = np.random.default_rng(seed)
    graph = random_network(rng)
    engine = Engine(
        lanes_out=int(rng.integers(1, 65)), lanes_in=int(rng.integers(2, 65)), taps=2, bus_bytes=1 << int(rng.integers(0, 8)),
        activation_bytes=int(rng.integers(9000, 30000)), weight_bytes=int(rng.integers(20000, 40000)), output_bytes=int(rng.integers(2000, 9000)),
        accumulator_depth=int(rng.integers(1, 90)),
    )  # fmt: skip
    program = lower(graph, engine)
    program.verify()
    assert differences(program, graph, codes_for(rng, graph)) == []
