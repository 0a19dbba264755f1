"""Several equal engines side by side, each with its own port to the memory, for a design that was chosen for throughput."""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.backends.rtl.board import CLOCK, ENGINE, RESET, Port

PATH = "rtl/ridgeline_engines.v"
TOP = "ridgeline_engines"


def side_by_side(ports: Sequence[Port], copies: int) -> str:
    """The Verilog of TOP: of every port of an engine but clock and reset there are `copies`, the first one in the lowest bits."""
    own = [port for port in ports if port.name not in (CLOCK, RESET)]
    declared = [f"    {'output' if port.output else 'input'} [COPIES*{port.bits}-1:0] {port.name}" for port in own]
    connected = [f"            .{port.name}({port.name}[index*{port.bits} +: {port.bits}])" for port in own]
    lines = [
        f"// Made by Ridgeline: {copies} engines, each at its own image. Every engine's program lies at its own base_address, and the memory",
        "// serves their AXI ports in equal shares, as the prediction assumes.",
        f"module {TOP} #(",
        f"    parameter COPIES = {copies}",
        ") (",
        f"    input {CLOCK},",
        f"    input {RESET},",
        ",\n".join(declared),
        ");",
        "    genvar index;",
        "    generate",
        "        for (index = 0; index < COPIES; index = index + 1) begin : copy",
        f"            {ENGINE} engine (",
        f"            .{CLOCK}({CLOCK}),",
        f"            .{RESET}({RESET}),",
        ",\n".join(connected),
        "            );",
        "        end",
        "    endgenerate",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"
