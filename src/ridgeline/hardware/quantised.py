"""Accelerators whose multiply-accumulators take operands of several widths: an array, three double-buffered memories and DRAM."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from ridgeline.errors import InputError, unknown_name
from ridgeline.hardware.toml import read_toml

_FILE = Path(__file__).with_name("quantised.toml")
Count: TypeAlias = Annotated[int, msgspec.Meta(gt=0, le=1 << 20)]
Figure: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]


class Sram(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Half of it holds a tile while the other half is filled. Energies are of a word."""

    kib: Count
    word_bits: Count
    read_nj: Figure
    write_nj: Figure

    @property
    def half_bits(self) -> int:
        return self.kib * 1024 * 8 // 2

    @property
    def read_nj_per_bit(self) -> float:
        return self.read_nj / self.word_bits

    @property
    def write_nj_per_bit(self) -> float:
        return self.write_nj / self.word_bits


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all designs of a study have. DRAM's energies are of `dram_word_bits` bits."""

    clock_mhz: Figure
    dram_bits_per_cycle: Count
    output_bits: Count
    static_w: Figure
    dram_word_bits: Count
    dram_read_nj: Figure
    dram_write_nj: Figure
    weights: Sram
    activations: Sram
    outputs: Sram


class Design(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """rows x columns multiply-accumulators of `widest_bits`; what one leaks and uses while it works is in nW."""

    rows: Count
    columns: Count
    widest_bits: Count
    narrowest_bits: Count
    stationary: Literal["outputs", "weights"]
    leak_nw: Figure
    dynamic_nw: Figure

    def fold(self, bits: int) -> int:
        """How many times as many rows, and columns, operands of `bits` have. Raises InputError for wider ones than it takes."""
        if not 1 <= bits <= self.widest_bits:
            raise InputError(
                f"operands of {bits} bits on an array that takes {self.narrowest_bits} to {self.widest_bits}; choose fewer bits"
            )
        return self.widest_bits // max(bits, self.narrowest_bits)


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    machine: Machine
    designs: dict[str, Design]


@cache
def _file() -> _File:
    return read_toml(_FILE, _File, "design")


def read_machine() -> Machine:
    return _file().machine


def design_names() -> tuple[str, ...]:
    return tuple(_file().designs)


def read_design(name: str) -> Design:
    """Raises UnknownNameError."""
    if name not in _file().designs:
        raise unknown_name("design", name, design_names())
    return _file().designs[name]
