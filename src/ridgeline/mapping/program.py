"""Where and when: a program for one engine, its instructions bit by bit, and the memory image that goes with it.

An instruction is 64 bytes, little-endian; `FIELDS` is the one table of its fields, read by the encoder, the interpreter and the emitted
decoder alike. docs/engine.md says what each instruction does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, TypeAlias

from ridgeline.errors import InputError
from ridgeline.hardware.engine.engine import Engine

ALIGNMENT = 4096  # of the instructions and of every tensor
INSTRUCTION_BYTES = 64


class Opcode(IntEnum):
    END = 1
    LOAD = 2
    COMPUTE = 3
    STORE = 4


class Target(IntEnum):
    """Where a load goes."""

    ACTIVATION = 0
    WEIGHT = 1
    TABLE = 2


class Mode(IntEnum):
    MATRIX = 0  # lanes_in products of one broadcast vector for each of lanes_out channels
    DEPTHWISE = 1  # taps products of each channel with itself along a row
    MAXIMUM = 2  # the largest of the masked taps
    PRODUCT = 3  # the newest vector times the one before it, element by element


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    name: str
    bits: int
    signed: bool = False


def _unsigned(bits: int, *names: str) -> tuple[Field, ...]:
    return tuple(Field(name=name, bits=bits) for name in names)


def _signed(bits: int, *names: str) -> tuple[Field, ...]:
    return tuple(Field(name=name, bits=bits, signed=True) for name in names)


# After the 4 bits of the opcode, from the least significant bit on. On-chip addresses of the activation buffer are in bytes (24 bits);
# those of the weight buffer in bus words, of the output buffer in vectors of lanes_out bytes (20 bits).
FIELDS: Mapping[Opcode, tuple[Field, ...]] = {
    Opcode.END: (),
    Opcode.LOAD: (
        *_unsigned(2, "target"),
        *_unsigned(1, "wait_free", "signal_ready"),
        *_unsigned(16, "wait_stored"),
        *_unsigned(32, "dram_address", "dram_pitch"),
        *_unsigned(24, "buffer_address", "buffer_pitch"),
        *_unsigned(16, "rows", "beats"),
    ),
    Opcode.COMPUTE: (
        *_unsigned(2, "mode"),
        *_unsigned(1, "weight_wait", "weight_release", "activation_wait", "activation_release", "output_wait", "output_commit"),
        *_unsigned(1, "first", "last", "hold", "in_place", "use_table"),
        *_unsigned(3, "table"),
        *_unsigned(24, "address", "row_bytes"),
        *_unsigned(16, "rows"),
        *_signed(16, "row"),
        *_signed(24, "byte"),
        *_unsigned(12, "ky_count", "kx_count"),
        *_unsigned(14, "chunk_count"),
        *_unsigned(12, "y_count", "x_count"),
        *_signed(24, "ky_address", "y_address"),
        *_signed(10, "ky_row", "y_row"),
        *_signed(24, "kx_byte", "x_byte"),
        *_signed(8, "fill", "zero_a", "zero_b", "zero_point", "low", "high"),
        *_unsigned(4, "emit_from", "emit_stride"),
        *_unsigned(8, "tap_mask"),
        *_unsigned(20, "weight_address"),
        *_unsigned(20, "output_address", "output_row"),
        *_unsigned(16, "output_pixel"),
        *_unsigned(12, "output_rows", "output_columns"),
        *_unsigned(1, "packed", "sparse"),
    ),
    Opcode.STORE: (
        *_unsigned(1, "wait_ready", "signal_free"),
        *_unsigned(32, "dram_address", "dram_row", "dram_pixel"),
        *_unsigned(20, "buffer_address", "buffer_row", "buffer_pixel"),
        *_unsigned(16, "rows", "pixels", "vectors"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """DRAM -> buffer: `rows` runs of `beats` bus words. DRAM addresses and pitches are bytes, multiples of the bus; buffer ones are bus words."""

    opcode: ClassVar = Opcode.LOAD
    target: Target
    wait_free: int = 0
    wait_stored: int = 0
    signal_ready: int = 0
    dram_address: int
    dram_pitch: int = 0
    buffer_address: int
    buffer_pitch: int = 0
    rows: int = 1
    beats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """One group: a rectangle of output pixels of lanes_out channels, from (part of) its reduction to int8 vectors in the output buffer."""

    opcode: ClassVar = Opcode.COMPUTE
    mode: Mode
    weight_wait: int = 0
    weight_release: int = 0
    activation_wait: int = 0
    activation_release: int = 0
    output_wait: int = 0
    output_commit: int = 0
    first: int = 1
    last: int = 1
    hold: int = 0
    in_place: int = 0
    use_table: int = 0
    table: int = 0
    address: int
    row_bytes: int
    rows: int
    row: int = 0
    byte: int = 0
    ky_count: int = 1
    kx_count: int = 1
    chunk_count: int = 1
    y_count: int = 1
    x_count: int = 1
    ky_address: int = 0
    y_address: int = 0
    ky_row: int = 0
    y_row: int = 0
    kx_byte: int = 0
    x_byte: int = 0
    fill: int = 0
    zero_a: int = 0
    zero_b: int = 0
    zero_point: int = 0
    low: int = -128
    high: int = 127
    emit_from: int = 0
    emit_stride: int = 1
    tap_mask: int = 0
    weight_address: int = 0
    output_address: int = 0
    output_row: int = 0
    output_pixel: int = 1
    output_rows: int = 1
    output_columns: int = 1
    packed: int = 0  # how matrix blocks are stored: 4 bits a weight
    sparse: int = 0  # and half of each bank


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Output buffer -> DRAM: `rows` x `pixels` runs of `vectors` vectors of lanes_out bytes. DRAM addresses are bytes, multiples of lanes_out;
    buffer ones are vectors."""

    opcode: ClassVar = Opcode.STORE
    wait_ready: int = 0
    signal_free: int = 0
    dram_address: int
    dram_row: int = 0
    dram_pixel: int = 0
    buffer_address: int
    buffer_row: int = 0
    buffer_pixel: int = 0
    rows: int = 1
    pixels: int = 1
    vectors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Waits until every unit is idle, then raises `done`."""

    opcode: ClassVar = Opcode.END


Instruction: TypeAlias = Load | Compute | Store | End
_CLASSES: Mapping[Opcode, Callable[..., Instruction]] = {Opcode.LOAD: Load, Opcode.COMPUTE: Compute, Opcode.STORE: Store, Opcode.END: End}


def encode(instruction: Instruction) -> bytes:
    """64 bytes. Raises InputError when a value does not fit its field."""
    word, position = int(instruction.opcode), 4
    for field in FIELDS[instruction.opcode]:
        value = int(getattr(instruction, field.name))
        low, high = (-(1 << field.bits - 1), (1 << field.bits - 1) - 1) if field.signed else (0, (1 << field.bits) - 1)
        if not low <= value <= high:
            raise InputError(f"{instruction.opcode.name}: {field.name} is {value}, but its {field.bits} bits hold {low}..{high}")
        word |= (value & ((1 << field.bits) - 1)) << position
        position += field.bits
    return word.to_bytes(INSTRUCTION_BYTES, "little")


def decode(data: bytes) -> Instruction:
    """The inverse of `encode`. Raises InputError for an unknown opcode."""
    word = int.from_bytes(data, "little")
    if word & 15 not in set(Opcode):
        raise InputError(f"opcode {word & 15} is none of {', '.join(f'{code.value} ({code.name})' for code in Opcode)}")
    opcode, position, values = Opcode(word & 15), 4, dict[str, int]()
    for field in FIELDS[opcode]:
        value = word >> position & ((1 << field.bits) - 1)
        values[field.name] = value - (1 << field.bits) if field.signed and value >> field.bits - 1 else value
        position += field.bits
    kinds = {"target": Target, "mode": Mode}
    return _CLASSES[opcode](**{name: kinds.get(name, int)(value) for name, value in values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A tensor in DRAM: byte (y, x, c) lies at address + y * row_bytes + x * pixel_bytes + c."""

    name: str
    address: int
    shape: tuple[int, int, int]  # channels, height, width
    pixel_bytes: int  # channels, padded to the engine's vector (the network's input may be dense)
    row_bytes: int  # width * pixel_bytes, padded to the bus

    @property
    def bytes(self) -> int:
        return self.shape[1] * self.row_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The instructions [start, stop) of one node of the graph; `computes` and `stores` count those of its kind."""

    node: str
    operator: str
    macs: int
    start: int
    stop: int
    output: str  # the tensor it writes
    tiling: str = ""  # for reports: the tile sizes and loop order by axis name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """The memory image is `constants` at address 0 (weights, parameters, tables), then the instructions at `entry`, then the tensors, of which those
    that never change come first: their bytes are `fixed`.
    """

    engine: Engine
    network: str
    instructions: tuple[Instruction, ...]
    constants: bytes
    entry: int  # DRAM address of the first instruction, a multiple of 4096
    memory_bytes: int  # all that the program touches
    placements: Mapping[str, Placement]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    spans: tuple[Span, ...]
    fixed: bytes = b""

    def image(self) -> bytes:
        """Constants, encoded instructions and constant tensors, as they lie in DRAM from address 0; of int8, whose elements are bytes."""
        padding = bytes(self.entry - len(self.constants))
        image = self.constants + padding + self.encoded()
        return image + bytes(-len(image) % ALIGNMENT) + self.fixed if self.fixed else image

    def encoded(self) -> bytes:
        """The instructions."""
        return b"".join(encode(instruction) for instruction in self.instructions)

    def elements(self, element_bytes: int) -> bytes:
        """Constants and constant tensors of any format, as they lie in DRAM from element 0; the instructions' place is left empty."""
        if not self.fixed:
            return self.constants
        start = -(-(self.entry + len(self.instructions) * INSTRUCTION_BYTES) // ALIGNMENT) * ALIGNMENT * element_bytes
        return self.constants + bytes(start - len(self.constants)) + self.fixed

    def verify(self) -> None:
        """Raises CheckFailedError at the first instruction whose tokens can lock up or race (`mapping.verify`)."""
        from ridgeline.mapping.verify import verify  # it reads this module

        verify(self)
