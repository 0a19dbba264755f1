"""The engine as Verilog, described in Amaranth: one file here for each unit of docs/engine.md."""

from ridgeline.backends.rtl.emit import emit, primitives

__all__ = ["emit", "primitives"]
