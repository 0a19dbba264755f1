"""The accelerator template: the parameters of one engine, and what follows from them.

docs/engine.md describes the microarchitecture. The emitted Verilog, the mapping and the cost model all read these fields and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ridgeline.errors import InputError
from ridgeline.hardware.engine import storage

PARAMETER_BYTES = 8  # of one output channel: bias 32 bits, multiplier 17, shift 6
TABLES = 8  # tables of 256 codes held at a time
TABLE_BYTES = 256
OUTSTANDING_READS = 16  # bursts
MOST_LANES = 1024  # of either kind, in C++
BURST_BYTES = 4096  # no AXI burst crosses such a boundary


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Sizes count bytes, which are elements of any format for the C++; the Verilog asks for powers of two: `require_powers_of_two`."""

    lanes_out: int  # output channels at a time
    lanes_in: int  # products summed for each of them in a cycle
    taps: int = 3  # depthwise taps a cycle
    bus_bytes: int  # width of the AXI port
    activation_bytes: int  # capacity of the activation buffer (both halves together)
    weight_bytes: int
    output_bytes: int
    accumulator_depth: int  # int32 vectors of lanes_out, in each of the two halves
    weight_format: str = storage.INT8  # beside int8, that of matrix blocks: a format of 4 bits, decoded where the weights enter the array
    sparsity: str = storage.NONE  # of matrix blocks beside dense ones

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value, most = getattr(self, name), MOST_LANES if name.startswith("lanes") else high
            if not 1 <= value <= most:
                raise InputError(f"engine: {name} is {value}; it must be in 1..{most}, and for Verilog a power of two in {low}..{high}")
        if self.bus_bytes & (self.bus_bytes - 1):
            raise InputError(f"engine: bus_bytes is {self.bus_bytes}; it must be a power of two in 1..128, and for Verilog in 4..128")
        if not 1 <= self.taps <= self.lanes_in:
            raise InputError(f"engine: taps is {self.taps}; it must be in 1..lanes_in ({self.lanes_in})")
        if self.packs:
            storage.levels(self.weight_format)
        if self.bank > self.sparse_lanes_in:
            least = self.bank // storage.KEPT_SHARE
            raise InputError(f"engine: lanes_in is {self.lanes_in}; sparsity {self.sparsity} needs at least {least}")

    def sizes(self, element_bytes: int = 1) -> dict[str, int]:
        """All fields that are numbers, sizes in bytes where elements have so many."""
        values = {field.name: int(getattr(self, field.name)) for field in fields(self) if field.name not in STORAGE_FIELDS}
        return {name: value * element_bytes if name.endswith("_bytes") else value for name, value in values.items()}

    def described(self) -> dict[str, int | str]:
        """`sizes`, and what is not plain of how weights are stored."""
        return {**self.sizes(), **self.storage()}

    def storage(self) -> dict[str, str]:
        """Weight format and sparsity where they are not those of dense int8."""
        found = {name: str(getattr(self, name)) for name in STORAGE_FIELDS}
        return {name: value for name, value in found.items() if value not in (storage.INT8, storage.NONE)}

    def require_powers_of_two(self) -> None:
        """Raises InputError for an engine that the Verilog cannot be."""
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high or value & (value - 1):
                raise InputError(f"engine: {name} is {value}; it must be a power of two in {low}..{high}")

    @property
    def macs(self) -> int:
        """Multiply-accumulates a cycle."""
        return self.lanes_out * self.lanes_in

    @property
    def vector_bytes(self) -> int:
        """Bytes that one read of the activation buffer gives, from any byte on."""
        return max(self.sparse_lanes_in if self.bank else self.lanes_in, self.lanes_out)

    @property
    def packs(self) -> bool:
        """Whether matrix blocks may be of 4 bits a weight."""
        return self.weight_format != storage.INT8

    @property
    def bank(self) -> int:
        """Weights in a bank of a sparse block, 0 where there are none."""
        return storage.bank(self.sparsity)

    @property
    def index_bits(self) -> int:
        """Of a kept weight's place in its bank."""
        return max(0, self.bank.bit_length() - 1)

    @property
    def sparse_lanes_in(self) -> int:
        """Input bytes that a sparse block covers: of each bank, half have a weight."""
        return storage.KEPT_SHARE * self.lanes_in

    @property
    def pixel_step_bytes(self) -> int:
        """Channels are padded to a multiple of it in DRAM: whole vectors of lanes_out, at least one read's."""
        return -(-self.vector_bytes // self.lanes_out) * self.lanes_out

    @property
    def weight_word_bytes(self) -> int:
        """Bytes that one read of the weight buffer gives: whole words of the bus."""
        return -(-max(self.lanes_in, self.lanes_out) // self.bus_bytes) * self.bus_bytes

    @property
    def block_words(self) -> int:
        """Weight words of one lanes_out x lanes_in block of int8."""
        return self.value_words(packed=False)

    def value_words(self, *, packed: bool) -> int:
        """Weight words of the values of one block."""
        return -(-self.macs * (storage.PACKED_BITS if packed else 8) // (8 * self.weight_word_bytes))

    @property
    def index_words(self) -> int:
        """Weight words of the places of a sparse block's values."""
        return -(-self.macs * self.index_bits // (8 * self.weight_word_bytes))

    def matrix_words(self, *, packed: bool, sparse: bool) -> int:
        """Weight words of one block of lanes_out x lanes_in weights: values, then places."""
        return self.value_words(packed=packed) + (self.index_words if sparse else 0)

    def run_bytes(self, *, sparse: bool) -> int:
        """Input bytes that a run with such a block covers."""
        return self.sparse_lanes_in if sparse else self.lanes_in

    @property
    def tap_block_words(self) -> int:
        """Weight words of one depthwise block of taps x lanes_out."""
        return -(-self.taps * self.lanes_out // self.weight_word_bytes)

    @property
    def parameter_words(self) -> int:
        """Weight words of the requantisation parameters of lanes_out channels."""
        return -(-PARAMETER_BYTES * self.lanes_out // self.weight_word_bytes)

    @property
    def weight_words(self) -> int:
        return self.weight_bytes // self.weight_word_bytes


STORAGE_FIELDS = ("weight_format", "sparsity")
_RANGES = (
    ("lanes_out", 4, 64),
    ("lanes_in", 4, 64),
    ("bus_bytes", 4, 128),
    ("activation_bytes", 1 << 10, 1 << 23),
    ("weight_bytes", 1 << 10, 1 << 23),
    ("output_bytes", 1 << 10, 1 << 22),
    ("accumulator_depth", 32, 4096),
)
