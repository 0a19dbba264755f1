"""Programs against the integer reference: every operator, engine and tiling gives the same bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mapping.cases import codes_for, differences, random_engine, random_tilings

from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.program import Load, Target
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
