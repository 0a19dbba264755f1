"""What engines of 4-bit and sparse weights take over dense int8's, by Yosys, and beside their prediction; on lanes that nothing was fitted to."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.resources import WITHIN
from bench.row import Row, percent
from ridgeline.backends.rtl import emit
from ridgeline.backends.rtl.board import ENGINE as TOP
from ridgeline.flows.synthesis import counted, netlist
from ridgeline.hardware.device import Family
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.resources import resources

FAMILIES: tuple[Family, ...] = ("ecp5", "xcup")
ENGINE = Engine(
    lanes_out=4, lanes_in=16, bus_bytes=16, activation_bytes=32 << 10, weight_bytes=16 << 10, output_bytes=8 << 10, accumulator_depth=128
)
STORAGES = (("flint4", "none"), ("int8", "2:4"), ("int4", "bank16:50%"), ("flint4", "2:4"))
Counts = Mapping[str, int]


def measure() -> list[Row]:
    return [row for family in FAMILIES for row in _rows(family)]


def _rows(family: Family) -> list[Row]:
    plain = _synthesised(ENGINE, family)
    return [_row(family, plain, replace(ENGINE, weight_format=weights, sparsity=sparsity)) for weights, sparsity in STORAGES]


def _row(family: Family, plain: Counts, engine: Engine) -> Row:
    found, need = _synthesised(engine, family), resources(engine, family)
    predicted = {"dsp": need.dsp, "bram": need.bram_18kb, "lut": need.lut, "ff": need.ff}
    error = max((abs(predicted[name] / found[name] - 1), name) for name in ("lut", "ff"))
    same = (found["dsp"], found["bram"]) == (predicted["dsp"], predicted["bram"]) and found["dsp"] == plain["dsp"]
    return Row(
        figure=f"{engine.lanes_out} x {engine.lanes_in} lanes on {family}: {engine.weight_format}, sparsity {engine.sparsity}, over dense int8",
        value=", ".join(f"{name.upper()} {found[name]:,} ({found[name] / plain[name] - 1:+.1%})" for name in ("lut", "ff")),
        target=f"DSP equal, predicted within {WITHIN:.0%}",
        worst=f"{error[1]} predicted {predicted[error[1]]:,}: {percent(error[0])} off; {found['dsp']} DSP, {found['bram']} BRAM",
        holds=same and error[0] <= WITHIN,
    )


def _synthesised(engine: Engine, family: Family) -> Counts:
    with tempfile.TemporaryDirectory() as name:
        return counted(netlist(emit(engine), TOP, family, Path(name)))
