"""Blocks as an engine stores them: what comes back, how many bytes they take, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ridgeline.algorithm.graph import Node
from ridgeline.algorithm.operators import Conv
from ridgeline.algorithm.reference import run_integer
from ridgeline.errors import InputError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.storage import levels
from ridgeline.mapping.image import memory, pack_input, unpack
from ridgeline.mapping.interpreter import run
from ridgeline.mapping.lower import lower
from ridgeline.mapping.parts import works
from ridgeline.mapping.storage import kept, stored, unpacked
from ridgeline.mapping.tiling import default_tiling
from ridgeline.testing.draft import Draft
from ridgeline.testing.graphs import random_codes, random_layer_graph

ENGINE = Engine(lanes_out=8, lanes_in=8, bus_bytes=16, activation_bytes=1 << 14, weight_bytes=1 << 13, output_bytes=1 << 11, accumulator_depth=64)
# ANT (MICRO'22), table of signed flint of 4 bits: sign, then 000..111 = 0 1 2 3 16 8 4 6.
FLINT4 = (0, 1, 2, 3, 16, 8, 4, 6, 0, -1, -2, -3, -16, -8, -4, -6)


def test_levels_are_the_formats_own() -> None:
    assert levels("flint4") == FLINT4
    assert levels("int4") == (*range(8), *range(-8, 0))
    assert sorted(set(levels("pot4"))) == sorted({0, *(sign << k if sign > 0 else -(1 << k) for sign in (1, -1) for k in range(7))})


@pytest.mark.parametrize("name", ["int5", "float16", "uflint8"])
def test_other_widths_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"weights of {name} have .* bits; take int8, or a format of 4 bits such as flint4"):
        replace(ENGINE, weight_format=name)


def test_levels_that_are_no_integers_are_refused() -> None:
    with pytest.raises(InputError, match=r"weights of e2m1 may be 0\.5 \(code 1\); the array multiplies integers"):
        replace(ENGINE, weight_format="e2m1")


def test_unknown_patterns_and_too_few_lanes_are_refused() -> None:
    with pytest.raises(InputError, match="sparsity 1:4 is none that the engine stores; take one of none, 2:4, bank16:50%"):
        replace(ENGINE, sparsity="1:4")
    with pytest.raises(InputError, match="engine: lanes_in is 4; sparsity bank16:50% needs at least 8"):
        replace(ENGINE, lanes_in=4, sparsity="bank16:50%")


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Engine, np.ndarray, bool, bool]:
    lanes_out, lanes_in, bus = (draw(st.sampled_from(sizes)) for sizes in ((4, 8, 16), (4, 8, 16), (4, 16, 64)))
    sparsity = draw(st.sampled_from(["none", "2:4", *(["bank16:50%"] if lanes_in >= 8 else [])]))
    name = draw(st.sampled_from(["int8", "int4", "flint4"]))
    engine = replace(ENGINE, lanes_out=lanes_out, lanes_in=lanes_in, bus_bytes=bus, weight_format=name, sparsity=sparsity)
    packed, sparse = name != "int8" and draw(st.booleans()), sparsity != "none" and draw(st.booleans())
    values = st.sampled_from(sorted(set(levels(name)))) if packed else st.integers(-128, 127)
    shape = (draw(st.integers(1, 3)), lanes_out, engine.run_bytes(sparse=sparse))
    made = draw(arrays.arrays(np.int8, shape, elements=values))
    if sparse:
        order = np.random.default_rng(draw(st.integers(0, 99))).random((*shape[:2], shape[2] // engine.bank, engine.bank))
        made = np.where((order.argsort(-1).argsort(-1) < engine.bank // 2).reshape(shape), made, np.int8(0))
    return engine, made, packed, sparse


@given(blocks())
def test_blocks_come_back_and_take_the_bytes_that_are_counted(case: tuple[Engine, np.ndarray, bool, bool]) -> None:
    engine, made, packed, sparse = case
    data = stored(made, engine, packed=packed, sparse=sparse)
    assert np.array_equal(unpacked(data, engine, packed=packed, sparse=sparse), made)
    assert data.shape[-1] == engine.matrix_words(packed=packed, sparse=sparse) * engine.weight_word_bytes
    word, macs = engine.weight_word_bytes, engine.lanes_out * engine.lanes_in
    bits = {"none": 0, "2:4": 2, "bank16:50%": 4}[engine.sparsity] if sparse else 0
    assert data.shape[-1] < macs * (4 if packed else 8) / 8 + macs * bits / 8 + 2 * word


def test_places_by_hand() -> None:
    values, places = kept(np.array([[0, 5, 0, -3, 7, 0, 0, 0]], np.int8), 4)
    assert values.tolist() == [[5, -3, 7, 0]]
    assert places.tolist() == [[1, 3, 0, 1]]


def test_the_bytes_of_a_sparse_flint4_block_by_hand() -> None:
    engine = replace(ENGINE, lanes_out=4, lanes_in=4, bus_bytes=4, weight_format="flint4", sparsity="2:4")
    block = np.zeros((4, 8), np.int8)
    block[0] = [0, 16, -1, 0, 0, 0, 3, 4]
    data = stored(block, engine, packed=True, sparse=True).view(np.uint8)
    assert data.tolist()[:2] == [0x94, 0x63]  # codes 4 9 3 6, the first one lowest
    assert data.tolist()[8:9] == [0b11_10_10_01]
    assert data.size == 8 + 4


def test_what_cannot_be_stored_is_refused() -> None:
    engine = replace(ENGINE, weight_format="flint4", sparsity="2:4")
    with pytest.raises(InputError, match="node 'a': weight 5 is no level of flint4"):
        stored(np.full((1, 8, 8), 5, np.int8), engine, packed=True, sparse=False, where="node 'a'")
    with pytest.raises(InputError, match="node 'a': 3 weights of a bank of 4 are not zero, but its pattern keeps 2"):
        stored(np.tile(np.array([1, 1, 1, 0], np.int8), (1, 8, 4)), engine, packed=False, sparse=True, where="node 'a'")


def _layer(channels: int, **how: str) -> Draft:
    draft = Draft(rng=np.random.default_rng(3))
    source = draft.input((channels, 8, 8))
    draft.add(Conv(pads=(1, 1, 1, 1)), [source], weight=np.zeros((16, channels, 3, 3), np.int8))
    node: Node = draft.nodes[0]
    draft.nodes[0] = replace(node, **how)
    return draft


def test_a_layer_takes_the_form_that_it_carries_and_gains_by() -> None:
    engine = replace(ENGINE, weight_format="flint4", sparsity="2:4")
    graph = _layer(32, weight_format="flint4", sparsity="2:4").graph("g", ["conv0.out"])
    dense = lower(graph, ENGINE)
    packed = lower(graph, replace(ENGINE, weight_format="flint4"))
    sparse = lower(graph, replace(ENGINE, sparsity="2:4"))
    both = lower(graph, engine)
    # 16 x 32 x 9 weights: bytes of 1, 1/2, 1/2 + 1/8 and 1/4 + 1/8 of them; parameters are 64 bytes for each 8 channels, and there is a table.
    sizes = [len(program.constants) - 2 * 64 - 256 for program in (dense, packed, sparse, both)]
    assert sizes == [4608, 2304, 2880, 1728]
    other = lower(_layer(32, weight_format="int4", sparsity="bank16:50%").graph("g", ["conv0.out"]), engine)
    assert len(other.constants) == len(dense.constants)
    narrow = lower(_layer(8, sparsity="2:4").graph("g", ["conv0.out"]), engine)
    assert not any(getattr(item, "sparse", 0) for item in narrow.instructions)  # one chunk in either form


def test_smaller_weights_make_larger_tiles() -> None:
    graph = _layer(64, weight_format="flint4").graph("g", ["conv0.out"])
    engine = replace(ENGINE, weight_format="flint4")
    plain, packed = (works(graph, each)["conv0"][0] for each in (ENGINE, engine))
    assert default_tiling(plain, ENGINE).c > 0
    assert default_tiling(packed, engine).c == 0


@pytest.mark.parametrize("how", [("int4", "none"), ("flint4", "2:4"), ("int8", "bank16:50%")])
def test_the_interpreter_gives_what_the_graph_gives(how: tuple[str, str]) -> None:
    name, sparsity = how
    engine = replace(ENGINE, weight_format=name, sparsity=sparsity)
    for seed, kind in enumerate(("conv", "conv", "conv", "grouped", "conv_transpose")):
        rng = np.random.default_rng(seed)
        graph = random_layer_graph(rng, kind, largest_channels=70, weight_format=name, sparsity=sparsity)
        codes = random_codes(rng, graph)
        program = lower(graph, engine)
        program.verify()
        image = memory(program)
        for port in graph.inputs:
            pack_input(program, image, port.tensor, port.to_tensor(codes[port.name], graph.tensors[port.tensor])[0])
        found, wanted = run(program, image), run_integer(graph, codes)
        for node in graph.nodes:
            assert np.array_equal(unpack(program, found, node.output), wanted[node.output][0])
