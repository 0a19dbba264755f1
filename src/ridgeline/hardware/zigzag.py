"""Reads the accelerator YAML of ZigZag 3.9 (and the mapping YAML that fixes its unrolling) as a chip.

ZigZag's memories come lowest first; I1, I2 and O are the input, the weight and the output; an access costs what a port's full width does. What a chip
cannot say is refused by name: in-memory computing, costs that CACTI would fill in. What ZigZag does not say is assumed: 1 GHz, and 8-bit operands
with 16-bit partial sums, its defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from ridgeline.errors import InputError, UnsupportedError
from ridgeline.hardware.chip import MOVES, Chip, Level, Mac, Tensor, Unroll, Widths
from ridgeline.hardware.chip import Port as ChipPort

OPERANDS: dict[str, Tensor] = {"I1": "input", "I2": "weight", "O": "output"}
DIMENSIONS = {"B": "n", "G": "g", "K": "m", "C": "c", "OY": "y", "OX": "x", "FY": "r", "FX": "q"}  # of a layer, in this project's names
DIRECTIONS = {"fh": "fill", "tl": "read", "fl": "update", "th": "drain"}  # from high, to low, from low, to high
CLOCK_MHZ, NODE_NM = 1000, 28
Count = Annotated[int, msgspec.Meta(gt=0)]
Cost = Annotated[float, msgspec.Meta(ge=0)]


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file."""


class Port(Struct, frozen=True, kw_only=True):
    """Bits of one access, least and most."""

    name: str
    type: Literal["read", "write", "read_write"]
    bandwidth_min: Count
    bandwidth_max: Count
    allocation: tuple[str, ...] = ()


class Memory(Struct, frozen=True, kw_only=True):
    """`size` in bits; costs in pJ an access of bandwidth_max bits."""

    size: Count
    r_cost: Cost | None = None
    w_cost: Cost | None = None
    area: Cost = 0.0
    latency: int = 1
    operands: tuple[Literal["I1", "I2", "O"], ...]
    ports: tuple[Port, ...]
    served_dimensions: tuple[str, ...]
    force_double_buffering: bool = False
    auto_cost_extraction: bool = False
    mem_type: str = "sram"


class ArrayOf(Struct, frozen=True, kw_only=True):
    """The multipliers."""

    unit_energy: Cost
    unit_area: Cost = 0.0
    dimensions: tuple[str, ...]
    sizes: tuple[Count, ...]
    systolic_dimensions: tuple[str, ...] = ()
    is_imc: bool = False
    input_precision: Any = None


class Accelerator(Struct, frozen=True, kw_only=True):
    """The whole file."""

    name: str
    memories: dict[str, Memory]
    operational_array: ArrayOf
    dataflows: Any = None


class Entry(Struct, frozen=True, kw_only=True):
    """What a mapping file says of one kind of layer."""

    name: str
    spatial_mapping: dict[str, tuple[str, ...]] | None = None
    memory_operand_links: dict[str, str] | None = None
    spatial_mapping_hint: Any = None
    temporal_ordering: Any = None


Kind = TypeVar("Kind")


def read_zigzag(accelerator: Path, mapping: Path | None = None) -> Chip:
    """The entry `default` of `mapping` fixes the unrolling. Raises InputError for a file that is none, UnsupportedError for what a chip cannot
    say."""
    found = _read(accelerator, Accelerator)
    array = found.operational_array
    if array.is_imc:
        raise UnsupportedError(f"'{accelerator}': in-memory computing (is_imc) has no counterpart in a chip")
    if len(array.dimensions) != len(array.sizes):
        raise InputError(f"'{accelerator}': operational_array has {len(array.dimensions)} dimensions and {len(array.sizes)} sizes")
    memories = list(reversed(found.memories.items()))
    levels = tuple(_level(name, memory, accelerator, outermost=place == 0) for place, (name, memory) in enumerate(memories))
    try:
        return Chip(
            name=found.name.replace("_", "-"),
            description=f"read from ZigZag's {accelerator.name}",
            clock_mhz=CLOCK_MHZ,
            node_nm=NODE_NM,
            array=dict(zip(array.dimensions, array.sizes, strict=True)),
            mac=Mac(pj=array.unit_energy, source=f"{accelerator.name}: unit_energy"),
            widths=Widths(input=8, weight=8, output=8, partial=16),
            levels=levels,
            unroll=_unroll(mapping, array) if mapping is not None else {},
            systolic_axes=array.systolic_dimensions,
            source=f"{accelerator.name}; clock, node and widths are assumed",
        )
    except ValueError as error:
        raise InputError(f"'{accelerator}': {error}") from error


def _read(path: Path, kind: type[Kind]) -> Kind:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}': {' '.join(str(error).split())}") from error


def _level(name: str, memory: Memory, path: Path, *, outermost: bool) -> Level:
    if memory.auto_cost_extraction or memory.r_cost is None or memory.w_cost is None:
        raise UnsupportedError(f"'{path}': memory '{name}' leaves its costs to CACTI; give r_cost and w_cost")
    both = [port for port in memory.ports if port.type == "read_write"]
    reads = [port for port in memory.ports if port.type == "read"] or both
    writes = [port for port in memory.ports if port.type == "write"] or both
    if not reads or not writes:
        raise InputError(f"'{path}': memory '{name}' has no port to {'read' if not reads else 'write'}")
    one_port = reads is both and writes is both
    keeps: tuple[Tensor, ...] = tuple(OPERANDS[operand] for operand in ("I1", "I2", "O") if operand in memory.operands)
    return Level(
        name=name.lower(),
        keeps=keeps,
        must_keep=() if outermost else keeps,
        serves=memory.served_dimensions,
        capacity_bytes=None if outermost else max(1, memory.size // 8),
        read_pj_per_bit=memory.r_cost / max(port.bandwidth_max for port in reads),
        write_pj_per_bit=memory.w_cost / max(port.bandwidth_max for port in writes),
        read_bits_per_cycle=sum(port.bandwidth_max for port in reads),
        write_bits_per_cycle=None if one_port else sum(port.bandwidth_max for port in writes),
        one_port=one_port,
        ports=_ports(name, memory, path),
        double_buffered=memory.force_double_buffering,
        source=f"{path.name}: {name}",
    )


def _ports(name: str, memory: Memory, path: Path) -> tuple[ChipPort, ...]:
    """A move that two ports offer goes through the last, as in ZigZag; moves stand in the order of the memory's operands."""
    found: dict[str, int] = {}
    for operand in memory.operands:
        for number, port in enumerate(memory.ports):
            for text in port.allocation:
                whose, _, direction = (part.strip() for part in text.partition(","))
                if whose not in OPERANDS or direction not in DIRECTIONS or (whose != "O" and DIRECTIONS[direction] not in MOVES[:2]):
                    raise InputError(
                        f"'{path}': memory '{name}', port '{port.name}': allocation '{text}' is no operand (I1, I2, O) and direction "
                        "(fh, tl; for O fl and th too)"
                    )
                if whose == operand:
                    move = f"{OPERANDS[whose]} {DIRECTIONS[direction]}"
                    found.pop(move, None)
                    found[move] = number
    return tuple(
        ChipPort(moves=moves, bits_per_cycle=port.bandwidth_max, least_bits=port.bandwidth_min)
        for number, port in enumerate(memory.ports)
        if (moves := tuple(move for move, chosen in found.items() if chosen == number))
    )


def _unroll(path: Path, array: ArrayOf) -> dict[str, Unroll]:
    entries = _read(path, list[Entry])
    entry = next((entry for entry in entries if entry.name == "default"), None)
    if entry is None:
        raise InputError(f"'{path}' has no entry 'default'")
    found: dict[str, Unroll] = {}
    for dimension, texts in (entry.spatial_mapping or {}).items():
        factors: dict[str, int] = {}
        for text in texts:
            name, _, size = (part.strip() for part in text.partition(","))
            if dimension not in array.dimensions or name not in DIMENSIONS or not size.isdigit() or int(size) < 1:
                known = ", ".join(DIMENSIONS)
                raise InputError(f"'{path}': spatial_mapping {dimension}: '{text}' is no layer dimension ({known}) and size")
            factors[DIMENSIONS[name]] = int(size)
        found[dimension] = Unroll(factors=factors)
    return found
