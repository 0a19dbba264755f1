"""The top of five pins around an engine: every port of the engine is connected, for any list of ports."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.backends.rtl.board import TOP, Port, constraints, read_ports, wrapper
from ridgeline.errors import InputError
from ridgeline.hardware.device import read_device

DEVICE = read_device("ulx3s-85f")
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("clk", "rst", "done", "input", "output", "module")
)
PORTS = st.lists(st.tuples(NAMES, st.integers(1, 70), st.booleans()), max_size=12, unique_by=lambda port: port[0]).map(
    lambda drawn: tuple(Port(name=name, bits=bits, output=output) for name, bits, output in drawn)
)
FIXED = (Port(name="start", bits=2, output=False), Port(name="done", bits=1, output=True), Port(name="clk", bits=1, output=False))


def declared(ports: tuple[Port, ...], *, ansi: bool) -> str:
    """A module as Amaranth writes it, or with its ports in the header."""
    texts = [f"{'output' if p.output else 'input'} {f'[{p.bits - 1}:0] ' if p.bits > 1 else ''}{p.name}" for p in ports]
    if ansi:
        return f"module ridgeline_engine ( // input gone\n  {', '.join(texts)});\nendmodule\n"
    body = "".join(f"  {text};\n  wire {text.split(' ', 1)[1]};\n" for text in texts)
    return f"module other(input lost);\nendmodule\nmodule ridgeline_engine({', '.join(p.name for p in ports)});\n{body}endmodule\n"


@given(PORTS, st.booleans())
def test_ports_are_read_as_declared(ports: tuple[Port, ...], ansi: bool) -> None:
    assert read_ports(["// module ridgeline_engine\n", declared(ports, ansi=ansi)]) == ports


@given(PORTS)
def test_each_port_is_connected_once_to_its_own_bits(drawn: tuple[Port, ...]) -> None:
    ports = tuple({port.name: port for port in (*FIXED, *drawn)}.values())
    text = wrapper(ports, DEVICE)
    for register, output in (("fed", False), ("outputs", True)):
        found = [(m[1], int(m[2]), int(m[3])) for m in re.finditer(rf"\.(\w+)\({register}\[(\d+):(\d+)\]\)", text)]
        assert {name: high - low + 1 for name, high, low in found} == {
            p.name: p.bits for p in ports if p.output == output and p.name != "clk"
        }
        bits = sorted(bit for _, high, low in found for bit in range(low, high + 1))
        width = re.search(rf"\[(\d+):0\] {register};", text)
        assert width is not None
        assert bits == list(range(int(width[1]) + 1))


def test_buttons_and_lights_that_are_active_low() -> None:
    high, low = (wrapper(FIXED, read_device(name)) for name in ("ulx3s-85f", "ecpix5-85f"))
    assert "{pressed[0], reset}" in high
    assert "led = done" in high
    assert "{pressed[0], ~reset}" in low
    assert "led = ~done" in low


def test_constraints() -> None:
    text = constraints(DEVICE)
    assert 'LOCATE COMP "clk" SITE "G2";\nIOBUF PORT "clk" IO_TYPE=LVCMOS33;' in text
    assert 'FREQUENCY PORT "clk" 100 MHZ;' in text
    assert text.count("LOCATE") == 5
    assert "LOCATE" not in constraints(read_device("vc707"))


def test_no_engine() -> None:
    with pytest.raises(InputError, match="no Verilog file holds a module 'ridgeline_engine'"):
        read_ports(["module other(); endmodule"])


def test_no_done() -> None:
    with pytest.raises(InputError, match="module 'ridgeline_engine' has no output 'done'; its outputs: busy"):
        wrapper((Port(name="start", bits=1, output=False), Port(name="busy", bits=1, output=True)), DEVICE)


def test_it_says_what_it_is() -> None:
    assert wrapper(FIXED, DEVICE).startswith("// Made by Ridgeline for ulx3s-85f")
    assert f"module {TOP} (" in wrapper(FIXED, DEVICE)
