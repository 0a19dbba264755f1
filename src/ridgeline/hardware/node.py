"""Process nodes: what an operation takes, and a bit from a memory or over a wire, read from TOML; a source beside each figure.

They are what a chip's energies are made from where nobody has published them. Public tables exist for 45 and for 7 nm; the figures of 28 and 16 nm
lie on the straight line between, in logarithms of energy and feature size.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from math import exp, log
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ridgeline.errors import InputError
from ridgeline.hardware.chip import Count, Struct, Text
from ridgeline.hardware.toml import names_in, read_named

Operation = Literal["add", "multiply"]
NumberFormat = Literal["int8", "int16", "int32", "bf16", "fp16", "fp32"]
DramKind = Literal["ddr4", "hbm2"]
Energy = Annotated[float, msgspec.Meta(gt=0, le=1e6)]  # pJ
NODES = Path(__file__).parent / "nodes"


class Arithmetic(Struct, frozen=True, kw_only=True):
    """One operation on numbers of a format."""

    operation: Operation
    format: NumberFormat
    pj: Energy
    source: Text


class Memory(Struct, frozen=True, kw_only=True):
    """A bit of an access to a memory of so many bytes."""

    capacity_bytes: Count
    pj_per_bit: Energy
    source: Text


class Dram(Struct, frozen=True, kw_only=True):
    """A bit from another chip's memory, the link included."""

    kind: DramKind
    pj_per_bit: Energy
    source: Text


class Wire(Struct, frozen=True, kw_only=True):
    """A bit moved over a millimetre on the chip; half of the bits change."""

    pj_per_bit_mm: Energy
    source: Text


class Node(Struct, frozen=True, kw_only=True):
    """One process node. The smallest memory is a register file; from there through `sram`, capacity and energy rise."""

    name: Text
    description: Text
    node_nm: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    arithmetic: tuple[Arithmetic, ...]
    register: Memory
    sram: Annotated[tuple[Memory, ...], msgspec.Meta(min_length=1)]
    dram: tuple[Dram, ...]
    wire: Wire
    source: Text

    def __post_init__(self) -> None:
        """Raises ValueError, which the reader makes an InputError."""
        for less, more in pairwise((self.register, *self.sram)):
            if less.capacity_bytes >= more.capacity_bytes or less.pj_per_bit > more.pj_per_bit:
                raise ValueError(f"memories of {less.capacity_bytes:,} and {more.capacity_bytes:,} bytes: capacity and pj_per_bit must rise")
        figures = [*((item.operation, item.format) for item in self.arithmetic), *((item.kind, "dram") for item in self.dram)]
        twice = next((figure for figure in figures if figures.count(figure) > 1), None)
        if twice is not None:
            raise ValueError(f"two figures for {twice[1]} {twice[0]}")

    def operation_pj(self, operation: Operation, number: NumberFormat) -> float:
        found = next((item.pj for item in self.arithmetic if (item.operation, item.format) == (operation, number)), None)
        if found is None:
            known = ", ".join(f"{item.format} {item.operation}" for item in self.arithmetic)
            raise InputError(f"process node '{self.name}' has no figure for {number} {operation}; it has {known}")
        return found

    def mac_pj(self, number: NumberFormat, total: NumberFormat) -> float:
        """A multiplication, and an addition to a sum of the format `total`."""
        return self.operation_pj("multiply", number) + self.operation_pj("add", total)

    def dram_pj_per_bit(self, kind: DramKind) -> float:
        found = next((item.pj_per_bit for item in self.dram if item.kind == kind), None)
        if found is None:
            raise InputError(f"process node '{self.name}' has no figure for {kind}; it has {', '.join(item.kind for item in self.dram) or 'none'}")
        return found

    def memory_pj_per_bit(self, capacity_bytes: int) -> float:
        """A straight line between two capacities in logarithms of both, drawn on beyond the largest; below the register file, its figure."""
        if capacity_bytes < 1:
            raise InputError(f"process node '{self.name}': a memory of {capacity_bytes:,} bytes; it must hold at least one")
        points = (self.register, *self.sram)
        place = bisect_left([point.capacity_bytes for point in points], capacity_bytes)
        place = min(max(place, 1), len(points) - 1)
        less, more = points[place - 1], points[place]
        slope = log(more.pj_per_bit / less.pj_per_bit) / log(more.capacity_bytes / less.capacity_bytes)
        return less.pj_per_bit * exp(slope * max(0.0, log(capacity_bytes / less.capacity_bytes)))


def node_names() -> tuple[str, ...]:
    """The process nodes that Ridgeline comes with."""
    return names_in(NODES)


def read_node(name_or_path: str | Path) -> Node:
    """The process node of that name, or the one that a TOML file describes. Raises InputError."""
    return read_named(name_or_path, NODES, Node, "process node")
