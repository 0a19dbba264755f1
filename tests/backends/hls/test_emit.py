"""The emitted text: what it is made from, what it names, and that it is always the same."""

import re
from dataclasses import replace

import numpy as np
import pytest

from ridgeline.backends.hls import Board, emit
from ridgeline.backends.hls.decoder import STORAGE, TOKENS, units
from ridgeline.backends.hls.emit import escaped
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.program import FIELDS, INSTRUCTION_BYTES, Opcode, Program
from ridgeline.testing.graphs import random_network

ENGINE = Engine(
    lanes_out=6, lanes_in=10, taps=2, bus_bytes=4, activation_bytes=9000, weight_bytes=7000, output_bytes=3000, accumulator_depth=35
)
BOARD = Board(name="zcu104", part="xczu7ev-ffvc1156-2-e", clock_mhz=200)


@pytest.fixture(scope="module")
def program() -> Program:
    return lower(random_network(np.random.default_rng(4)), ENGINE)


def test_the_same_program_gives_the_same_bytes(program: Program) -> None:
    assert emit(program, BOARD) == emit(program, BOARD)


def test_files(program: Program) -> None:
    names = {"engine.h", "engine.cpp", "main.cpp", "Makefile", "hls.tcl", "vivado.tcl"}
    assert set(emit(program, BOARD)) == {f"hls/{name}" for name in names}
    assert set(emit(program, replace(BOARD, has_vitis=False))) == {f"hls/{name}" for name in names if not name.endswith(".tcl")}


def test_headers_say_what_each_file_was_made_from(program: Program) -> None:
    for path, text in emit(program, BOARD).items():
        mark = "//" if path.endswith((".h", ".cpp")) else "#"
        head = text.splitlines()[:9]
        assert head[0] == f"{mark} Ridgeline's engine in C++, made by ridgeline.backends.hls for 'random-network' on 'zcu104', int8, from"
        assert head[1:9] == [
            f"{mark}     lanes_out = 6", f"{mark}     lanes_in = 10", f"{mark}     taps = 2", f"{mark}     bus_bytes = 4",
            f"{mark}     activation_bytes = 9000", f"{mark}     weight_bytes = 7000", f"{mark}     output_bytes = 3000",
            f"{mark}     accumulator_depth = 35",
        ]  # fmt: skip
        assert "/home" not in text
        assert "/work" not in text
        assert "/tmp" not in text
        assert all(len(line) < 200 for line in text.splitlines())


def test_pragmas_are_the_parameters(program: Program) -> None:
    kernel = emit(program, BOARD)["hls/engine.cpp"]
    assert "constexpr int BANKS = 12;" in emit(program, BOARD)["hls/engine.h"]
    for pragma in (
        "ARRAY_PARTITION variable = activations type = complete dim = 2",
        "ARRAY_PARTITION variable = weights type = complete dim = 2",
        "ARRAY_PARTITION variable = accumulators type = complete dim = 2",
        "ARRAY_PARTITION variable = outputs type = complete dim = 2",
    ):
        assert f"#pragma HLS {pragma}\n" in kernel
    assert re.search(r"m_axi port = memory bundle = gmem_memory", kernel)
    assert "#include <ap_" not in kernel
    assert "hls_stream" not in kernel


def test_every_array_index_of_the_memory_is_in_a_pipelined_loop(program: Program) -> None:
    """DRAM is reached by bursts only."""
    lines = emit(program, BOARD)["hls/engine.cpp"].splitlines()
    uses = [number for number, line in enumerate(lines) if re.search(r"\b(memory|instructions)\[", line)]
    assert len(uses) == 5
    for number in uses:
        assert any("PIPELINE II = 1" in line for line in lines[number - 7 : number])


def test_the_bench_names_the_layers(program: Program) -> None:
    bench = emit(program, BOARD)["hls/main.cpp"]
    for span in program.spans:
        place = program.placements[span.output]
        assert f'{{"{span.output}", "{span.node}", {place.address}, {place.shape[0]},' in bench


def test_the_decoder_has_every_field_but_tokens_and_storage() -> None:
    for unit in units():
        fields = FIELDS[Opcode[unit.name.upper()]]
        assert [field.name for field in unit.fields] == [field.name for field in fields if field.name not in TOKENS | STORAGE]
        assert unit.fields[-1].position + unit.fields[-1].bits <= 8 * INSTRUCTION_BYTES
    assert {field.name for fields in FIELDS.values() for field in fields} >= TOKENS | STORAGE


def test_names_of_any_characters() -> None:
    assert escaped('a"b\\c?\n') == 'a\\"b\\\\c\\?\\012'
    assert escaped("é") == "\\303\\251"
