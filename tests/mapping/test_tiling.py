"""Tilings and the geometry of their tiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mapping.cases import random_engine

from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.layer import Rectangle, Work, cuts, input_range, input_tile, input_tile_words, snap
from ridgeline.mapping.parts import works
from ridgeline.mapping.program import Mode
from ridgeline.mapping.tiling import Order, Tiling, clipped, default_tiling, legal, need, tilings
from ridgeline.testing.graphs import LAYERS, random_layer_graph

ENGINE = Engine(
    lanes_out=8, lanes_in=8, bus_bytes=16, activation_bytes=1 << 14, weight_bytes=1 << 14, output_bytes=1 << 12, accumulator_depth=64
)
WORK = Work(
    mode=Mode.MATRIX, channels=32, blocks=4, size=(16, 16), input_size=(16, 16), pixel_bytes=(16,), output_pixel_bytes=32,
    ky=3, kx=3, chunks=2, extent=(3, 3), pad=(1, 1), macs=16 * 16 * 32 * 9 * 16,
)  # fmt: skip


def _works(seed: int) -> tuple[list[Work], Engine]:
    rng = np.random.default_rng(seed)
    graph = random_layer_graph(rng, str(rng.choice(sorted(LAYERS))))
    engine = random_engine(rng)
    return [work for made in works(graph, engine).values() for work in made], engine


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_default_tiling_is_legal(seed: int) -> None:
    made, engine = _works(seed)
    for work in made:
        try:
            tiling = default_tiling(work, engine)
        except DoesNotFitError:
            continue
        assert legal(tiling, work, engine)
        assert clipped(tiling, work, engine) == tiling


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_tile_needs_at_most_what_is_said(seed: int) -> None:
    made, engine = _works(seed)
    rng = np.random.default_rng(seed)
    for work in made:
        rows, columns = (snap(work, axis, int(rng.integers(1, work.size[axis] + 1))) for axis in (0, 1))
        most = input_tile_words(work, rows, columns, engine.bus_bytes)
        for y, high in cuts(work.size[0], rows):
            for x, wide in cuts(work.size[1], columns):
                tile = input_tile(work, Rectangle(y=y, x=x, rows=high, columns=wide), engine.bus_bytes)
                assert 0 < tile.words <= most
                assert 0 <= tile.row < tile.row + tile.rows <= work.input_size[0]


def test_input_range_counts_halo_and_padding() -> None:
    assert input_range(WORK, 0, 0, 4) == (0, 5)
    assert input_range(WORK, 0, 4, 4) == (3, 9)
    assert input_range(WORK, 0, 12, 4) == (11, 16)


def test_need_of_a_tiling() -> None:
    tiling = Tiling(y=4, x=16, m=16, group_y=4, group_x=16)
    needed = need(tiling, WORK, ENGINE)
    assert needed.activation_bytes == 6 * 16 * 16
    assert needed.weight_words == 2 * (3 * 3 * 2 * 4 + 4)  # blocks of 64 bytes and 64 bytes of parameters in words of 16
    assert needed.output_vectors == needed.accumulators == 64


def test_enumerated_tilings_are_legal_and_differ() -> None:
    found = list(tilings(WORK, ENGINE))
    assert len(found) == len(set(found)) > 100
    assert all(legal(tiling, WORK, ENGINE) for tiling in found)
    assert {tiling.order for tiling in found} == set(Order)
    assert any(tiling.c for tiling in found)


def test_equal_layers_have_equal_works() -> None:
    first, second = (works(random_layer_graph(np.random.default_rng(4), "conv"), ENGINE) for _ in range(2))
    assert set(first.values()) == set(second.values())
    assert hash(next(iter(first.values()))) == hash(next(iter(second.values())))


def test_nothing_fits() -> None:
    small = Engine(lanes_out=8, lanes_in=8, bus_bytes=16, activation_bytes=1024, weight_bytes=1024, output_bytes=1024, accumulator_depth=32)
    work = Work(
        mode=Mode.MATRIX,
        channels=8,
        blocks=1,
        size=(1, 1),
        input_size=(9, 9),
        pixel_bytes=(16,),
        output_pixel_bytes=8,
        ky=9,
        kx=9,
        extent=(9, 9),
    )
    message = r"^node 'fc': tiling y1 x1 m8 c1 group 1x1, pixels outer needs 1,296 of activation_bytes but the engine has 1,024; use smaller tiles$"
    with pytest.raises(DoesNotFitError, match=message):
        default_tiling(work, small, "node 'fc'")
