"""Names for ports that the generator leaves without one.

Where a module takes a part of a signal (a field of an instruction, one lane's code), Amaranth names the port after the cell that drives it:
`port$1831$10`. Here it gets the name of what it is connected to: `instruction_10`, the bits of `instruction` from 10 on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAME = r"\\\S+ |\w+"
_PART = rf"({_NAME}) ?(?:\[(?:\d+:)?(\d+)\])?"
_CONNECTION = re.compile(rf"^ *\.({_NAME}) ?\({_PART}\),?$", re.MULTILINE)
_OUTPUT = re.compile(rf"^ *assign (\\port\$\d+\$\d+ ) ?= {_PART};$", re.MULTILINE)
_USE = re.compile(rf"^ *assign ({_NAME}) ?= (.*);$", re.MULTILINE)
_UNNAMED = re.compile(r"\\port\$\d+\$\d+ ")
_MODULE = re.compile(r"^module .*?^endmodule", re.MULTILINE | re.DOTALL)


def with_port_names(verilog: str) -> str:
    """The same modules. Of several names that a port might get the first wins: what drives it, its net, another port of the net, a user."""
    modules = _MODULE.findall(verilog)
    taken = set(re.findall(r"[\w$]+", verilog))
    names: dict[str, str] = {}
    for candidates in (_driver, _net, _neighbour, _user):
        for module in modules:
            for port, name in candidates(module):
                if port not in names and not name.startswith("\\$"):
                    names[port] = _free(name, taken)
    return _UNNAMED.sub(lambda found: names.get(found[0], found[0]), verilog)


def _driver(module: str) -> Iterator[tuple[str, str]]:
    """Of an output: the signal inside, of which it is a part."""
    for port, signal, low in _OUTPUT.findall(module):
        yield port, f"{signal.strip()}_{low or 0}"


def _net(module: str) -> Iterator[tuple[str, str]]:
    """Of an instance's port: the signal around it."""
    for port, net, low in _CONNECTION.findall(module):
        if _UNNAMED.match(port) and not _UNNAMED.match(net):
            yield port, f"{net.strip()}_{low}" if low else net


def _neighbour(module: str) -> Iterator[tuple[str, str]]:
    """Of an instance's port on a net without a name: the port of another instance."""
    connections = _CONNECTION.findall(module)
    ports = {net: port for port, net, _ in connections if not _UNNAMED.match(port)}
    for port, net, _ in connections:
        if _UNNAMED.match(port) and net in ports:
            yield port, ports[net]


def _user(module: str) -> Iterator[tuple[str, str]]:
    """Of an input: the first named signal inside that it is part of."""
    for signal, value in _USE.findall(module):
        for port in _UNNAMED.findall(value):
            yield port, signal


def _free(name: str, taken: set[str]) -> str:
    """A plain identifier that nothing else has."""
    plain = re.sub(r"\W+", "_", name.strip().lstrip("\\"))
    number = 0
    while (unique := f"{plain}_{number}" if number else plain) in taken:
        number += 1
    taken.add(unique)
    return f"{unique} "
