"""A top of five pins around the engine, so that it can be placed, routed and timed by itself on a board with few pins.

Every port of the engine but its clock has a flip-flop beside it: the inputs come out of a cellular automaton that one pin feeds, the
outputs go into a signature register that shifts out through another. So nothing of the engine is optimised away (a plain shift register
would be merged with the engine's own input registers), and every path from and to a port is timed. There is no DRAM controller: what
comes of it proves timing and resources and is no running accelerator. For that, put the board's memory controller in the wrapper's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ridgeline.errors import InputError
from ridgeline.hardware.device import Board, Device

ENGINE = "ridgeline_engine"
TOP = "ridgeline_board"
CLOCK, RESET = "clk", "rst"
_PORT = re.compile(r"\b(input|output)\s+(?:(?:wire|reg|logic)\s+)?(?:\[\s*(\d+)\s*:\s*0\s*\]\s*)?(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    name: str
    bits: int
    output: bool


def read_ports(verilog: Iterable[str], module: str = ENGINE) -> tuple[Port, ...]:
    """The ports of `module` as the files declare them, in that order. Raises InputError where there is no such module."""
    for text in verilog:
        bare = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
        found = re.search(rf"\bmodule\s+{module}\b(.*?)\bendmodule\b", bare, re.DOTALL)
        if found:
            declared = _PORT.finditer(found[1])
            return tuple(Port(name=port[3], bits=int(port[2] or 0) + 1, output=port[1] == "output") for port in declared)
    raise InputError(f"no Verilog file holds a module '{module}'")


def wrapper(ports: Sequence[Port], device: Device) -> str:
    """The Verilog of TOP."""
    inputs = [port for port in ports if not port.output and port.name not in (CLOCK, RESET)]
    outputs = [port for port in ports if port.output]
    fed, seen = (sum(port.bits for port in side) for side in (inputs, outputs))
    inverted = device.board or Board(
        clock="-", oscillator_mhz=1, reset="-", led="-", serial_in="-", serial_out="-", io_type="-", source="-"
    )
    lines = [
        f"// Made by Ridgeline for {device.name}: five pins around {ENGINE}, to place, route and time it. There is no DRAM controller in it:",
        "// the engine's inputs come from a cellular automaton and its outputs go into a signature register, each bit beside its port.",
        f"module {TOP} (",
        "    input clk,",
        "    input reset,",
        "    input serial_in,",
        "    output serial_out,",
        "    output led",
        ");",
        "  reg [1:0] pressed;",
        f"  reg [{fed - 1}:0] fed;",
        f"  reg [{seen - 1}:0] seen;",
        f"  wire [{seen - 1}:0] outputs;",
        "  reg done;",
        "  always @(posedge clk) begin",
        f"    pressed <= {{pressed[0], {'~' if inverted.reset_active_low else ''}reset}};",
        f"    fed <= {{fed[{fed - 2}:0], serial_in}} ^ {{1'b0, fed[{fed - 1}:1]}};",
        f"    seen <= outputs ^ {{seen[{seen - 2}:0], seen[{seen - 1}]}};",
        f"    done <= outputs[{_place(outputs, 'done')}];",
        "  end",
        f"  assign serial_out = seen[{seen - 1}];",
        f"  assign led = {'~' if inverted.led_active_low else ''}done;",
        f"  {ENGINE} engine (",
        f"    .{CLOCK}(clk),",
        f"    .{RESET}(pressed[1]),",
        ",\n".join([*_connections(inputs, "fed"), *_connections(outputs, "outputs")]),
        "  );",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def constraints(device: Device) -> str:
    """The pins as an .lpf file: the device's board's, or only the clock where it names none."""
    board = device.board
    lines = [f"# Made by Ridgeline for {device.name}: the pins of {TOP}.", f'FREQUENCY PORT "clk" {device.clock_mhz:g} MHZ;']
    if board is None:
        return "\n".join([*lines, ""])
    lines.insert(1, f"# {board.source}; its oscillator gives {board.oscillator_mhz:g} MHz")
    pins = {"clk": board.clock, "reset": board.reset, "serial_in": board.serial_in, "serial_out": board.serial_out, "led": board.led}
    for port, pin in pins.items():
        lines += [f'LOCATE COMP "{port}" SITE "{pin}";', f'IOBUF PORT "{port}" IO_TYPE={board.io_type};']
    return "\n".join([*lines, ""])


def _place(ports: Sequence[Port], name: str) -> int:
    """The lowest bit of that port when all lie side by side."""
    names = [port.name for port in ports]
    if name not in names:
        raise InputError(f"module '{ENGINE}' has no output '{name}'; its outputs: {', '.join(names)}")
    return sum(port.bits for port in ports[: names.index(name)])


def _connections(ports: Sequence[Port], register: str) -> list[str]:
    lines: list[str] = []
    low = 0
    for port in ports:
        lines.append(f"    .{port.name}({register}[{low + port.bits - 1}:{low}])")
        low += port.bits
    return lines
