"""Verilog text of an engine."""
# pyright: basic

from __future__ import annotations

from dataclasses import fields

from ridgeline.hardware.engine.engine import Engine

PATH = "rtl/ridgeline_engine.v"


def emit(engine: Engine) -> dict[str, str]:
    """{path: Verilog}; the top module is `ridgeline_engine`. Always the same bytes for the same engine."""
    from amaranth.back import verilog

    from ridgeline.backends.rtl.engine import RidgelineEngine
    from ridgeline.backends.rtl.lane import Lane
    from ridgeline.backends.rtl.memory import VERILOG
    from ridgeline.backends.rtl.requantise import Requantise

    top, lane, requantise = RidgelineEngine(engine), Lane(engine), Requantise()
    parts = [
        verilog.convert(lane, "ridgeline_lane", ports=lane.ports(), strip_internal_attrs=True, emit_src=False),
        verilog.convert(requantise, "ridgeline_requantise", ports=requantise.ports(), strip_internal_attrs=True, emit_src=False),
        verilog.convert(top, "ridgeline_engine", ports=list(top.ports.values()), strip_internal_attrs=True, emit_src=False),
    ]
    return {PATH: _header(engine) + VERILOG + "\n" + "\n".join(parts)}


def _header(engine: Engine) -> str:
    lines = [f"//     {field.name} = {getattr(engine, field.name)}" for field in fields(engine)]
    return "// Ridgeline's engine, made by ridgeline.backends.rtl from\n" + "\n".join(lines) + "\n// The Amaranth source is what one reads.\n"
