"""The decoder of 4-bit weights, made from the format's own table of levels."""

from __future__ import annotations

from ridgeline.backends.rtl.hdl import Instance, Module, Signal, Value, signed
from ridgeline.hardware.engine import storage

MODULE = "ridgeline_level"


def verilog(weight_format: str) -> str:
    """The module that gives a code's level."""
    cases = "\n".join(
        f"            {storage.PACKED_BITS}'d{code}: level = {'-' if level < 0 else ''}8'sd{abs(level)};"
        for code, level in enumerate(storage.levels(weight_format))
    )
    return f"""
// The levels of {weight_format}.
module {MODULE} (
    input [{storage.PACKED_BITS - 1}:0] code,
    output reg signed [7:0] level
);
    always @* begin
        case (code)
{cases}
        endcase
    end
endmodule
"""


def decoded(m: Module, word: Signal) -> list[Value]:
    """The bytes that a word of codes stands for."""
    bits = storage.PACKED_BITS
    values: list[Value] = []
    for i in range(len(word) // bits):
        level = Signal(signed(8), name=f"level_{i}")
        m.submodules[f"level_{i}"] = Instance(MODULE, i_code=word[bits * i : bits * (i + 1)], o_level=level)
        values.append(level)
    return values
