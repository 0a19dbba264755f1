"""Programs against the integer reference: every operator, engine and tiling gives the same bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mapping.cases import codes_for, differences, random_engine, random_tilings

from ridgeline.algorithm.graph import Graph, Node, Port, Quantisation, Requantise, Tensor
from ridgeline.algorithm.operators import Conv, MaxPool, Operator
from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping import stream
from ridgeline.mapping.lower import lower
from ridgeline.mapping.program import Load, Store, Target
from ridgeline.mapping.tiling import Tiling
from ridgeline.testing.graphs import LAYERS, random_layer_graph, random_network

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("kind", sorted(LAYERS))
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_layer(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_layer_graph(rng, kind)
    engine = random_engine(rng)
    try:
        plain = lower(graph, engine)
    except DoesNotFitError:
        return
    codes = codes_for(rng, graph)
    for program in (plain, lower(graph, engine, random_tilings(rng, graph, engine))):
        program.verify()
        assert differences(program, graph, codes) == []


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_network(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_network(rng, blocks=int(rng.integers(1, 7)))
    engine = random_engine(rng)
    try:
        program = lower(graph, engine, random_tilings(rng, graph, engine))
    except DoesNotFitError:
        return
    program.verify()
    assert differences(program, graph, codes_for(rng, graph)) == []


def test_same_bytes_each_time() -> None:
    engine = random_engine(np.random.default_rng(0))
    first, second = (lower(random_network(np.random.default_rng(3)), engine).image() for _ in range(2))
    assert first == second


def test_spans_cover_the_program() -> None:
    graph = random_network(np.random.default_rng(5), blocks=5)
    program = lower(graph, random_engine(np.random.default_rng(1)))
    assert [span.node for span in program.spans] == [node.name for node in graph.nodes]
    assert [span.start for span in program.spans] == [0, *(span.stop for span in program.spans[:-1])]
    assert program.spans[-1].stop == len(program.instructions) - 1
    assert [span.macs for span in program.spans] == [graph.macs(node) for node in graph.nodes]


def test_many_tables_take_turns() -> None:
    """More tables than slots: a slot is loaded again only after its last user's results are stored."""
    rng = np.random.default_rng(11)
    checked = 0
    for _ in range(40):
        graph = random_network(rng, blocks=12)
        engine = Engine(
            lanes_out=8,
            lanes_in=8,
            bus_bytes=16,
            activation_bytes=1 << 15,
            weight_bytes=1 << 14,
            output_bytes=1 << 12,
            accumulator_depth=64,
        )
        program = lower(graph, engine)
        tables = [item for item in program.instructions if isinstance(item, Load) and item.target is Target.TABLE]
        if len(tables) > 8:
            program.verify()
            assert differences(program, graph, codes_for(rng, graph)) == []
            checked += 1
        if checked == 2:
            return
    pytest.fail("no network with more than 8 tables was drawn")


def test_stores_are_waited_for_before_they_are_too_many_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "UNTAKEN_STORES", 3)
    rng = np.random.default_rng(3)
    graph = random_layer_graph(rng, "conv", largest_channels=20, largest_size=12)
    engine = random_engine(rng)
    (_, height, width), name = graph.tensors[graph.nodes[0].output].shape, graph.nodes[0].name
    program = lower(graph, engine, {name: Tiling(y=1, x=width, m=engine.lanes_out, group_y=1, group_x=1)})
    program.verify()
    assert differences(program, graph, codes_for(rng, graph)) == []
    waits = [item.wait_stored for item in program.instructions if isinstance(item, Load)]
    stores = sum(isinstance(item, Store) for item in program.instructions)
    assert height * width <= stores <= sum(waits) + 3 + width


def test_tile_that_does_not_fit() -> None:
    engine = Engine(
        lanes_out=4, lanes_in=4, bus_bytes=4, activation_bytes=1 << 14, weight_bytes=1024, output_bytes=1024, accumulator_depth=32
    )
    graph = random_layer_graph(np.random.default_rng(7), "copy", largest_channels=4, largest_size=12)
    name, (_, height, width) = graph.nodes[0].name, graph.tensors[graph.nodes[0].output].shape
    assert height * width > 32
    message = (
        f"node '{name}': tiling y{height} x{width} m4 group {height}x{width}, pixels outer needs {height * width} of accumulator_depth "
    )
    with pytest.raises(DoesNotFitError, match=f"^{message}but the engine has 32; use smaller tiles$"):
        lower(graph, engine, {name: Tiling(y=height, x=width, m=4, group_y=height, group_x=width)})


def _one_node(operator: Operator, shape: tuple[int, int, int], output: tuple[int, int, int], weight: np.ndarray | None = None) -> Graph:
    """An integer graph of one node with one input, with a stage that keeps codes apart."""
    quantisation = Quantisation(scale=1.0, zero_point=3)
    tensors = {name: Tensor(name=name, shape=size, quantisation=quantisation) for name, size in (("in", shape), ("out", output))}
    channels = output[0]
    stage = Requantise(
        bias=np.arange(channels, dtype=np.int32),
        multiplier=np.full((channels, 1, 1), 70_000, np.int32),
        shift=np.full((channels, 1, 1), 23, np.int32),
        zero_point=-5,
        low=-128,
        high=127,
    )
    node = Node(name="node", operator=operator, inputs=("in",), output="out", weight=weight, stage=stage)
    ports = {
        name: Port(name=name, shape=size, tensor=name, split=size, permutation=(0, 1, 2)) for name, size in (("in", shape), ("out", output))
    }
    return Graph(name="one", inputs=(ports["in"],), outputs=(ports["out"],), nodes=(node,), tensors=tensors)


def test_rows_longer_than_a_load() -> None:
    """A sequence whose row is more bus words than one LOAD or COMPUTE takes."""
    length, rng = 40_000, np.random.default_rng(0)
    engine = Engine(
        lanes_out=8, lanes_in=8, bus_bytes=4, activation_bytes=1 << 20, weight_bytes=1 << 12, output_bytes=1 << 20, accumulator_depth=4096
    )
    weight = rng.integers(-127, 128, (16, 8, 1, 3), dtype=np.int8)
    graph = _one_node(Conv(pads=(0, 1, 0, 1)), (8, 1, length), (16, 1, length), weight)
    program = lower(graph, engine, {"node": Tiling(y=1, x=length, m=16, group_y=1, group_x=4095)})
    program.verify()
    assert any(item.beats == (1 << 16) - 1 for item in program.instructions if isinstance(item, Load))
    assert differences(program, graph, codes_for(rng, graph)) == []


def test_pool_as_tall_as_wide_groups_allow() -> None:
    rng = np.random.default_rng(1)
    engine = Engine(
        lanes_out=8, lanes_in=8, bus_bytes=16, activation_bytes=1 << 20, weight_bytes=1 << 12, output_bytes=1 << 20, accumulator_depth=4096
    )
    graph = _one_node(MaxPool(kernel=(2, 3), strides=(1, 2), pads=(1, 0, 0, 1)), (3, 5000, 2), (3, 5000, 1))
    program = lower(graph, engine)
    program.verify()
    assert differences(program, graph, codes_for(rng, graph)) == []


def test_product_needs_two_taps() -> None:
    graph = random_layer_graph(np.random.default_rng(2), "mul")
    engine = Engine(
        lanes_out=4, lanes_in=4, taps=1, bus_bytes=4, activation_bytes=1 << 14, weight_bytes=1024, output_bytes=1024, accumulator_depth=32
    )
    with pytest.raises(
        DoesNotFitError, match=r": a product of two tensors needs 2 taps but the engine has 1; use an engine with more taps$"
    ):
        lower(graph, engine)
