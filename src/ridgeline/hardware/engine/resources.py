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
from ridgeline.hardware.engine.storage import KEPT_SHARE

# (data bits, words) that an 18 Kb block RAM can be: DP16KD and PDPW16KD on ECP5, RAMB18 on Xilinx (a RAMB36 is two of them).
BLOCK_RAM_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
PLACE_CONTROLS = 3  # of a lane with sparse weights
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
    if _fetch_entries(engine) > SMALL_QUEUE:
        yield Memory(name="fetch", width_bits=8 * bus, depth=_fetch_entries(engine))


def multipliers(engine: Engine) -> int:
    """Of the array, and two for each lane's requantisation: the halves of the 32-bit accumulator by the 17-bit multiplier."""
    return engine.macs + 2 * engine.lanes_out


def resources(engine: Engine, family: Family) -> ResourceCount:
    """All of the engine."""
    memory = sum(item.bram_18kb for item in memories(engine))
    lut, ff = logic(engine, CELLS[family])
    return ResourceCount(dsp=multipliers(engine), bram_18kb=memory, lut=lut, ff=ff)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """LUTs and flip-flops of one of each structure, as Yosys maps it for a family. A lane is that of the array with its adder tree, comparators
    and accumulation; the rest is what every engine has once: control, address generators and queues of instructions."""

    lane_lut: float
    lane_input_lut: float  # for each of lanes_in: its share of the adder tree and its operand's choice
    tap_lut: float
    requantise_lut: float
    queue_bit_lut: float  # for each bit of 16 entries
    multiplexer_lut: float  # of two bits
    bus_byte_lut: float
    rest_lut: float
    lane_ff: float
    lane_input_ff: float  # next and present weight, operand and product where the multiplier does not hold them
    requantise_ff: float
    bus_byte_ff: float
    vector_byte_ff: float
    rest_ff: float
    level_lut: float  # of a bit of a decoded row of weights
    place_lut: float  # of a bit of each datum beyond the first that a sparse weight chooses from


# Found by `python -m bench.fit_cells`: the lane's and the requantiser's figures from those modules alone, the others from what then remains of
# whole engines. `level_lut` and `place_lut` are what engines of 8 x 8 lanes with flint4, 2:4 and bank16:50% have more than the same ones without.
CELLS: dict[Family, Cells] = {
    "ecp5": Cells(
        lane_lut=222, lane_input_lut=23.1, tap_lut=46.7, requantise_lut=298, queue_bit_lut=1.5, multiplexer_lut=1, bus_byte_lut=8.6,
        rest_lut=4659.9, lane_ff=139.5, lane_input_ff=19.3, requantise_ff=296, bus_byte_ff=63.5, vector_byte_ff=80.1, rest_ff=3995.7,
        level_lut=1.6, place_lut=1.0,
    ),
    "xc7": Cells(
        lane_lut=130.5, lane_input_lut=10, tap_lut=35.9, requantise_lut=157, queue_bit_lut=0.67, multiplexer_lut=0.5, bus_byte_lut=10,
        rest_lut=3240.8, lane_ff=115.1, lane_input_ff=7.1, requantise_ff=229, bus_byte_ff=63.9, vector_byte_ff=61.6, rest_ff=3812.5,
        level_lut=1.3, place_lut=0.6,
    ),
    "xcup": Cells(
        lane_lut=131.5, lane_input_lut=18, tap_lut=35.9, requantise_lut=174, queue_bit_lut=0.67, multiplexer_lut=0.5, bus_byte_lut=8.9,
        rest_lut=3163.9, lane_ff=114, lane_input_ff=50.9, requantise_ff=413, bus_byte_ff=64, vector_byte_ff=75.5, rest_ff=3738.5,
        level_lut=1.3, place_lut=0.6,
    ),
}  # fmt: skip
CELLS["xcu"] = CELLS["xcup"]  # the same LUTs and DSP48E2


def logic(engine: Engine, cells: Cells) -> tuple[int, int]:
    """(LUTs, flip-flops)."""
    lanes, bus = engine.lanes_out, engine.bus_bytes
    lane_lut = cells.lane_lut + cells.lane_input_lut * engine.lanes_in + cells.tap_lut * engine.taps + cells.requantise_lut
    lane_ff = cells.lane_ff + cells.lane_input_ff * engine.lanes_in + tree_bits(engine) + 8 * max(2, engine.taps) + cells.requantise_ff
    small_fetch = 0 if _fetch_entries(engine) > SMALL_QUEUE else 8 * bus
    queue_bits = 9 * bus + small_fetch * -(-_fetch_entries(engine) // 16)  # written beats with their strobes, and fetched ones
    multiplexers = 8 * _rotator_bytes(engine) + 8 * engine.lanes_out * timing.output_banks(engine) * timing.log2(
        timing.output_banks(engine)
    )
    lut = (
        lanes * lane_lut
        + cells.queue_bit_lut * queue_bits
        + cells.multiplexer_lut * multiplexers
        + cells.bus_byte_lut * bus
        + cells.rest_lut
    )
    ff = lanes * lane_ff + small_fetch + cells.bus_byte_ff * bus + cells.vector_byte_ff * engine.vector_bytes + cells.rest_ff
    more_lut, more_ff = _storage_logic(engine, cells)
    return round(lut + more_lut), round(ff + more_ff)


def _storage_logic(engine: Engine, cells: Cells) -> tuple[float, float]:
    """What decodes weights of 4 bits, and chooses the data of sparse ones: a multiplier has two registers of its weight's place, and as many data to
    choose from as half a bank and one."""
    decoded_bits = 2 * 8 * engine.weight_word_bytes if engine.packs else 0
    choices = engine.macs * 8 * (engine.bank // KEPT_SHARE)
    places = 2 * engine.macs * engine.index_bits + (PLACE_CONTROLS * engine.lanes_out if engine.bank else 0)
    early = 8 * engine.weight_word_bytes * timing.weight_lead(engine)
    return cells.level_lut * decoded_bits + cells.place_lut * choices, decoded_bits + places + early


def tree_bits(engine: Engine) -> int:
    """Bits of the registers of a lane's adder tree."""
    terms, bits, total = engine.lanes_in, 16, 0
    for levels in timing.tree_levels(engine):
        terms, bits = terms >> levels, bits + levels
        total += terms * bits
    return total


def _rotator_bytes(engine: Engine) -> int:
    """Two-way multiplexers, of bytes, that bring any `vector` neighbours of all banks' bytes to the front: each level keeps what the later ones
    can still reach."""
    vector, total = engine.vector_bytes, timing.activation_banks(engine) * engine.vector_bytes
    return sum(min(total, vector + (total >> level) - 1) for level in range(1, timing.log2(total) + 1))


def _fetch_entries(engine: Engine) -> int:
    """Bus words that the queue of fetched instructions holds."""
    return timing.FETCH_BURST_BYTES * timing.FETCH_BURSTS // engine.bus_bytes
