"""Predicted resources against Yosys, on engines that nothing was fitted to: three families, four sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TypeAlias

from bench.row import Row, percent
from ridgeline.hardware.device import Family
from ridgeline.hardware.engine.engine import Engine

FAMILIES: tuple[Family, ...] = ("ecp5", "xc7", "xcup")
ENGINES = tuple(
    Engine(
        lanes_out=lanes_out, lanes_in=lanes_in, taps=taps, bus_bytes=bus, activation_bytes=activation << 10, weight_bytes=weight << 10,
        output_bytes=output << 10, accumulator_depth=depth,
    )
    for lanes_out, lanes_in, taps, bus, activation, weight, output, depth in (
        (8, 4, 3, 8, 16, 16, 8, 128),
        (8, 16, 4, 16, 64, 32, 16, 256),
        (16, 8, 3, 32, 64, 64, 32, 512),
        (16, 16, 5, 64, 128, 128, 64, 1024),
    )
)  # fmt: skip
Counts: TypeAlias = dict[str, int]
Pairs: TypeAlias = dict[tuple[Family, Engine], tuple[Counts, Counts]]
WITHIN = 0.20
RESOURCES = ("dsp", "bram", "lut", "ff")


def measure() -> list[Row]:
    pairs: Pairs = {
        (family, engine): (_predicted(engine, family), _synthesised(engine, family)) for family in FAMILIES for engine in ENGINES
    }
    return [_row(name, pairs) for name in RESOURCES]


def _predicted(engine: Engine, family: Family) -> Counts:
    from ridgeline.hardware.engine.resources import resources

    found = resources(engine, family)
    return {"dsp": found.dsp, "bram": found.bram_18kb, "lut": found.lut, "ff": found.ff}


def _synthesised(engine: Engine, family: Family) -> Counts:
    from ridgeline.backends.rtl import emit
    from ridgeline.backends.rtl.board import ENGINE
    from ridgeline.flows.synthesis import counted, netlist

    with tempfile.TemporaryDirectory() as name:
        return counted(netlist(emit(engine), ENGINE, family, Path(name)))


def _row(name: str, pairs: Pairs) -> Row:
    exact = name in ("dsp", "bram")
    errors = {key: predicted[name] / found[name] - 1 for key, (predicted, found) in pairs.items()}
    family, engine = worst = max(errors, key=lambda key: abs(errors[key]))
    predicted, found = pairs[worst]
    size = abs(errors[worst])
    return Row(
        figure=f"predicted against synthesised {name.upper()}, {len(pairs)} engines",
        value=f"{sum(error == 0 for error in errors.values())} exact" if exact else percent(size),
        target="all exact" if exact else f"within {WITHIN:.0%}",
        worst=f"{family} {engine.lanes_out} x {engine.lanes_in}: {predicted[name]:,} against {found[name]:,} ({errors[worst]:+.1%})",
        holds=size == 0 if exact else size <= WITHIN,
    )
