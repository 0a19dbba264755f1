"""Verilog text of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ridgeline.hardware.device import Family
from ridgeline.hardware.engine.engine import Engine

PATH = "rtl/ridgeline_engine.v"
_TITLE = "// Ridgeline's engine, made by ridgeline.backends.rtl from"
_READ = "// The Amaranth source is what one reads. Verilator's warnings that are off, each looked into:"
# How the generator writes Verilog, not what it means.
_LINT = {
    "DECLFILENAME": "one file holds all modules",
    "UNUSEDSIGNAL": "fields and ports keep their names even where only some of their bits are used",
    "PROCASSINIT": "registers have the initial value 0 as well as a reset",
    "CASEINCOMPLETE": "values come from the assignment before the case",
    "WIDTHEXPAND": "operands of comparisons and sums keep their own widths, and are extended by their signs as Verilog does",
    "WIDTHTRUNC": "!x stands for x == 0",
}


def emit(engine: Engine, copies: int = 1) -> dict[str, str]:
    """{path: Verilog}; the top module is `ridgeline_engine`, or `ridgeline_engines` where there are several. Always the same bytes.

    Raises InputError for an engine whose sizes are not powers of two.
    """
    engine.require_powers_of_two()
    from ridgeline.backends.rtl import copies as several
    from ridgeline.backends.rtl import levels, memory, multiplier
    from ridgeline.backends.rtl.board import read_ports
    from ridgeline.backends.rtl.engine import RidgelineEngine
    from ridgeline.backends.rtl.hdl import convert
    from ridgeline.backends.rtl.lane import Lane
    from ridgeline.backends.rtl.names import with_port_names
    from ridgeline.backends.rtl.requantise import Requantise

    top, lane, requantise = RidgelineEngine(engine), Lane(engine), Requantise()
    parts = [
        convert(lane, "ridgeline_lane", ports=lane.ports(), strip_internal_attrs=True, emit_src=False),
        convert(requantise, "ridgeline_requantise", ports=requantise.ports(), strip_internal_attrs=True, emit_src=False),
        convert(top, "ridgeline_engine", ports=list(top.ports.values()), strip_internal_attrs=True, emit_src=False),
    ]
    own = levels.verilog(engine.weight_format) if engine.packs else ""
    files = {PATH: _header(engine) + memory.VERILOG + multiplier.VERILOG + own + "\n" + "\n".join(map(with_port_names, parts))}
    return files if copies == 1 else {**files, several.PATH: several.side_by_side(read_ports(files.values()), copies)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Primitives:
    """Files by path for Yosys: `modules` take the place of the engine's own of the same name; `cells` are mapped when all else is."""

    modules: Mapping[str, str]
    cells: Mapping[str, str]


def primitives(family: Family) -> Primitives:
    """What the engine is made of on `family` where Yosys does not find it by itself."""
    from ridgeline.backends.rtl import multiplier

    if family != "ecp5":
        return Primitives(modules={}, cells={})
    name = f"{multiplier.MODULE}_ecp5"
    return Primitives(modules={f"{name}.v": multiplier.ECP5}, cells={f"{name}_map.v": multiplier.ECP5_MAP})


def _header(engine: Engine) -> str:
    lines = [f"//     {name} = {value}" for name, value in engine.described().items()]
    return "\n".join([_TITLE, *lines, _READ, *(f"/* verilator lint_off {code} */  // {why}" for code, why in _LINT.items()), ""])
