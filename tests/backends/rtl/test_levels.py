"""Engines of stored weights as Verilog: the decoder is the format's table, tools find nothing to warn of, and dense engines know nothing of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.backends.rtl.engines import SMALL

from ridgeline.backends.rtl import emit
from ridgeline.backends.rtl.emit import PATH
from ridgeline.backends.rtl.levels import verilog
from ridgeline.hardware.engine.timing import accumulate_latency, weight_latency
from ridgeline.testing import hardware
from ridgeline.tools.verilator import lint

# ANT (MICRO'22): sign, then flint of 3 bits; and the codes of two's complement.
TABLES = {
    "flint4": [0, 1, 2, 3, 16, 8, 4, 6, 0, -1, -2, -3, -16, -8, -4, -6],
    "int4": [0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1],
}


@pytest.mark.parametrize("name", TABLES)
def test_the_decoder_is_the_formats_table(name: str) -> None:
    cases = re.findall(r"4'd(\d+): level = (-?)8'sd(\d+);", verilog(name))
    assert [int(code) for code, _, _ in cases] == list(range(16))
    assert [int(sign + value) for _, sign, value in cases] == TABLES[name]


def test_lint_finds_nothing(tmp_path: Path) -> None:
    files = emit(replace(SMALL, weight_format="int4", sparsity="bank16:50%"))
    assert lint(files, "ridgeline_engine", tmp_path) == ()
    header = files[PATH].partition("/*")[0]
    assert "weight_format = int4" in header
    assert "sparsity = bank16:50%" in header


def test_dense_engines_have_none_of_it() -> None:
    text = hardware.verilog(SMALL)[PATH]
    assert not re.search(r"ridgeline_level|weight_format|sparsity|\bplace_|places|packed", text)


def test_weights_of_4_bits_change_no_latency() -> None:
    packed = replace(SMALL, weight_format="flint4")
    assert (weight_latency(packed), accumulate_latency(packed)) == (weight_latency(SMALL), accumulate_latency(SMALL))
