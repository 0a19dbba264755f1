"""What an engine takes of an FPGA, from the structure of the emitted Verilog.

Multipliers and memories are counted exactly: each multiplier is one DSP (written so that Yosys infers one), each memory is cut into the family's
block RAMs as Yosys cuts it. LUTs and flip-flops are sums over the design's structures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from ridgeline.hardware.device import Family
from ridgeline.hardware.engine import timing
from ridgeline.hardware.engine.engine import TABLE_BYTES, TABLES, Engine

# (data bits, words) that an 18 Kb block RAM can be: DP16KD and PDPW16KD on ECP5, RAMB18 on Xilinx (a RAMB36 is two of them).
BLOCK_RAM_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
SMALL_QUEUE = 32  # entries up to which a queue is made of LUTs


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceCount:
    """Adds."""

    dsp: int = 0
    bram_18kb: int = 0
    lut: int = 0
    ff: int = 0

    def __add__(self, other: ResourceCount) -> ResourceCount:
        return ResourceCount(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """`count` block memories of one write and one read port."""

    name: str
    width_bits: int
    depth: int
    count: int = 1

    @property
    def bram_18kb(self) -> int:
        return self.count * block_rams_18kb(self.width_bits, self.depth)


def block_rams_18kb(width_bits: int, depth: int) -> int:
    """18 Kb block RAMs of one memory: the shape that needs least, as Yosys's memory_libmap chooses."""
    return min(-(-width_bits // width) * -(-depth // words) for width, words in BLOCK_RAM_SHAPES)


def memories(engine: Engine) -> Iterator[Memory]:
    """Every block memory of the emitted design."""
    vector, bus, lanes = engine.vector_bytes, engine.bus_bytes, engine.lanes_out
    banks = timing.activation_banks(engine)
    columns = max(1, vector // bus)
    yield Memory(
        name="activation", width_bits=8 * min(bus, vector), depth=engine.activation_bytes // (vector * banks), count=banks * columns
    )
    yield Memory(name="weight", width_bits=8 * bus, depth=engine.weight_words, count=engine.weight_word_bytes // bus)
    slots = timing.output_banks(engine)
    yield Memory(name="output", width_bits=8 * lanes, depth=engine.output_bytes // lanes // slots, count=slots)
    yield Memory(name="accumulators", width_bits=32 * lanes, depth=engine.accumulator_depth, count=2)
    yield Memory(name="tables", width_bits=8, depth=TABLES * TABLE_BYTES, count=lanes)
    entries = timing.FETCH_BURST_BYTES * timing.FETCH_BURSTS // bus
    if entries > SMALL_QUEUE:
        yield Memory(name="fetch", width_bits=8 * bus, depth=entries)


def multipliers(engine: Engine) -> int:
    """Of the array, and two for each lane's requantisation: the halves of the 32-bit accumulator by the 17-bit multiplier."""
    return engine.macs + 2 * engine.lanes_out


def resources(engine: Engine, family: Family) -> ResourceCount:
    """All of the engine."""
    memory = sum(item.bram_18kb for item in memories(engine))
    lut, ff = logic(engine, family)
    return ResourceCount(dsp=multipliers(engine), bram_18kb=memory, lut=lut, ff=ff)


def logic(engine: Engine, family: Family) -> tuple[int, int]:
    """(LUTs, flip-flops)."""
    macs, lanes, vector, bus = engine.macs, engine.lanes_out, engine.vector_bytes, engine.bus_bytes
    lut = 3000 + 30 * macs + 350 * lanes + 40 * bus + 30 * vector
    return lut, 3000 + 60 * macs + 400 * lanes + 40 * bus + 40 * vector
