"""When everything happens: the predicted cycles of a program, from the program alone.

`predict` runs the program's instructions through a model of the engine's units (`schedule_kernel`): their queues and tokens, the runs of the
array and the blocks of weights that they wait for, the two halves of the accumulators, AXI bursts, and the memory's latency and bandwidth.
Its constants are those of the hardware's design (`hardware.engine.timing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any, Literal, TypeAlias

import numpy as np

from ridgeline.errors import InputError
from ridgeline.hardware.device import MOST_BURSTS
from ridgeline.hardware.engine import timing
from ridgeline.hardware.engine.engine import BURST_BYTES, OUTSTANDING_READS, Engine
from ridgeline.mapping import schedule_kernel as kernel
from ridgeline.mapping.program import INSTRUCTION_BYTES, Compute, Load, Mode, Opcode, Program, Span, Store

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Bound = Literal["compute", "memory", "latency"]


MOST_TIERS = MOST_BURSTS
TIER_UNITS = 1 << 20  # a cycle's credit in a memory with tiers


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """The bytes of a stretch up to position `bytes` that no earlier tier has move at `bytes_per_cycle`."""

    bytes: int
    bytes_per_cycle: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """The memory in whole numbers. A cycle gives `gain`, and a beat moves once there is `cost`, what the cheapest beat costs. Then it is charged
    what its position costs, and the next one waits for the rest: the first of `tiers` (end, cost) that ends beyond the position, or `rest`."""

    gain: int
    cost: int
    tiers: tuple[tuple[int, int], ...] = ()
    rest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DramTiming:
    """The memory as the engine sees it: in order, one beat a cycle each way, reads and writes share `bytes_per_cycle`.

    A stretch is what one direction reads or writes from one address on without a jump, whatever its bursts; a burst of instructions is one, and
    interrupts none. The memory does not know how long it will be, so that a byte costs what its position says: `tiers` are the first bytes' rates,
    and all later ones move at `bytes_per_cycle`. On the whole no stretch is faster than that. Raises InputError.
    """

    bytes_per_cycle: Fraction
    read_latency_cycles: int  # from an accepted address to the first beat
    write_latency_cycles: int  # from the last beat to the acknowledgement
    tiers: tuple[Tier, ...] = ()

    def __post_init__(self) -> None:
        if self.bytes_per_cycle <= 0:
            raise InputError(f"DRAM: bytes_per_cycle is {self.bytes_per_cycle}; it must be above 0")
        if len(self.tiers) > MOST_TIERS:
            raise InputError(f"DRAM: {len(self.tiers)} tiers; there may be {MOST_TIERS}")
        start = 0
        for tier in self.tiers:
            if tier.bytes <= start or tier.bytes_per_cycle <= 0:
                raise InputError(
                    f"DRAM: a tier from {start:,} to {tier.bytes:,} at {tier.bytes_per_cycle} bytes a cycle; its length and rate must be above 0"
                )
            start = tier.bytes
            if self.cycles(start) * self.bytes_per_cycle < start:
                taken = f"{start:,} bytes on end take {self.cycles(start)} cycles"
                raise InputError(f"DRAM: {taken}, less than at {self.bytes_per_cycle} bytes a cycle, which all later ones have")

    def cycles(self, length: int) -> Fraction:
        """Of a stretch of so many bytes, when nothing else moves."""
        total, start = Fraction(0), 0
        for tier in self.tiers:
            stop = max(start, min(length, tier.bytes))
            total += (stop - start) / tier.bytes_per_cycle
            start = stop
        return total + (length - start) / self.bytes_per_cycle

    def credit(self, bus_bytes: int) -> Credit:
        """Tiers end at whole beats, each as long as the bytes in between take, rounded up by a millionth of a cycle at most."""
        if not self.tiers:
            rate = self.bytes_per_cycle
            cost = bus_bytes * rate.denominator
            return Credit(gain=rate.numerator, cost=cost, rest=cost)
        ends = sorted({-(-tier.bytes // bus_bytes) * bus_bytes for tier in self.tiers})
        tiers: list[tuple[int, int]] = []
        for start, stop in pairwise((0, *ends)):
            beats = (stop - start) // bus_bytes
            tiers.append((stop, ceil((self.cycles(stop) - self.cycles(start)) * TIER_UNITS / beats)))
        rest = ceil(bus_bytes * TIER_UNITS / self.bytes_per_cycle)
        return Credit(gain=TIER_UNITS, cost=min(rest, *(cost for _, cost in tiers)), tiers=tuple(tiers), rest=rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrediction:
    """One node's share of the time: from the array's last read for the previous node to its last for this one, and for the last node to the
    end of the program. So the shares add up to the whole, and no node uses more of the array than there is."""

    node: str
    operator: str
    macs: int
    cycles: int
    start_cycle: int
    stop_cycle: int
    array_cycles: int  # in which the array is given vectors
    read_bytes: int
    write_bytes: int
    utilisation: float  # of the array's multiply-accumulates
    bound: Bound


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """`events` has a row an instruction: start and stop cycle, and those of the drain unit for a COMPUTE."""

    cycles: int  # from start to the last acknowledged write
    layers: tuple[LayerPrediction, ...]
    events: Array
    dispatched: Array
    read_bytes: int
    write_bytes: int
    macs: int
    utilisation: float


def predict(program: Program, dram: DramTiming) -> Prediction:
    """Raises InputError when the program never ends."""
    engine = program.engine
    tables = _Tables.of(program)
    constants = kernel_constants(engine, dram, program)
    state = np.zeros(1, kernel.STATE)
    events, dispatched, _, finished = kernel.simulate(
        constants, state[0], kernel_tiers(engine, dram), tables.opcodes, tables.loads, tables.computes, tables.stores, *tables.indices
    )
    if not finished:
        raise InputError(f"program of '{program.network}' never ends: {_stuck(program, state[0])}")
    stores: Array = events["stop"][tables.indices[2]]
    cycles = int(stores.max(initial=-1)) + 1
    layers = _layers(program, tables, events, dram)
    macs = sum(span.macs for span in program.spans)
    return Prediction(
        cycles=cycles,
        layers=layers,
        events=events,
        dispatched=dispatched,
        read_bytes=int(state[0]["read_beats"]) * engine.bus_bytes,
        write_bytes=int(state[0]["write_beats"]) * engine.bus_bytes,
        macs=macs,
        utilisation=macs / (max(1, cycles) * engine.macs),
    )


def kernel_constants(engine: Engine, dram: DramTiming, program: Program) -> Any:
    """The constants of the simulation, as a record."""
    k = np.zeros(1, kernel.CONSTANTS)[0]
    credit = dram.credit(engine.bus_bytes)
    values = {
        "bus": engine.bus_bytes,
        "burst_bytes": min(BURST_BYTES, BURST_BEATS * engine.bus_bytes),
        "credit_gain": credit.gain,
        "credit_cost": credit.cost,
        "credit_cap": credit.cost + credit.gain,
        "read_latency": dram.read_latency_cycles,
        "write_latency": dram.write_latency_cycles,
        "outstanding_reads": OUTSTANDING_READS,
        "outstanding_writes": timing.OUTSTANDING_WRITES,
        "queue": timing.QUEUE_DEPTH,
        "queue_latency": timing.QUEUE_LATENCY,
        "instructions": len(program.instructions),
        "instruction_beats": max(1, INSTRUCTION_BYTES // engine.bus_bytes),
        "beat_instructions": max(1, engine.bus_bytes // INSTRUCTION_BYTES),
        "fetch_beats": timing.FETCH_BURST_BYTES // engine.bus_bytes,
        "fetch_bursts": timing.FETCH_BURSTS,
        "fetch_start": timing.FETCH_START,
        "table_cycles": engine.bus_bytes + 1,  # a byte a cycle, and the one in which the next beat is taken
        "weight_latency": timing.weight_latency(engine),
        "weight_free": timing.weight_latency(engine) - 1,
        "parameter_words": engine.parameter_words,
        "parameter_free": timing.PARAMETER_FREE,
        "mac_start": timing.MAC_START,
        "mac_grant": timing.MAC_GRANT,
        "dispatch_rest": timing.DISPATCH_REST,
        "mac_gap": timing.MAC_GAP,
        "run_minimum": timing.RUN_MINIMUM,
        "run_period": timing.RUN_PERIOD,
        "cut_period": timing.CUT_PERIOD,
        "mac_latency": timing.accumulate_latency(engine),
        "drain_walk": timing.DRAIN_START,
        "drain_minimum": timing.DRAIN_MINIMUM,
        "drain_done": timing.DRAIN_LATENCY,
        "output_ready": timing.DRAIN_LATENCY + 1,
        "store_show": timing.store_rotate_stages(engine) + 5,  # address, memory, register, rotator, queue
        "store_queue": timing.WRITE_QUEUE,
        **timing.CROSSINGS,
    }
    for name, value in values.items():
        k[name] = value
    return k


def kernel_tiers(engine: Engine, dram: DramTiming) -> Array:
    """(tiers, 2): up to which position of a stretch a beat costs how much credit; the last one has no end."""
    credit = dram.credit(engine.bus_bytes)
    return np.array([*credit.tiers, (kernel.NEVER, credit.rest)], np.int64)


BURST_BEATS = 256  # AXI's most


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tables:
    """The program as the kernel reads it."""

    opcodes: Array
    loads: Array
    computes: Array
    stores: Array
    indices: tuple[Array, Array, Array]  # of the loads, computes and stores in the program

    @classmethod
    def of(cls, program: Program) -> _Tables:
        opcodes = np.array([int(instruction.opcode) for instruction in program.instructions], np.int64)
        loads = [_load_row(item, program.engine) for item in program.instructions if isinstance(item, Load)]
        computes = [compute_row(item, program.engine) for item in program.instructions if isinstance(item, Compute)]
        stores = [_store_row(item, program.engine) for item in program.instructions if isinstance(item, Store)]
        return cls(
            opcodes=opcodes,
            loads=np.array(loads, kernel.LOADS),
            computes=np.array(computes, kernel.COMPUTES),
            stores=np.array(stores, kernel.STORES),
            indices=(_places(opcodes, Opcode.LOAD), _places(opcodes, Opcode.COMPUTE), _places(opcodes, Opcode.STORE)),
        )


def _places(opcodes: Array, opcode: Opcode) -> Array:
    return np.flatnonzero(opcodes == opcode).astype(np.int64)


def _load_row(item: Load, engine: Engine) -> tuple[int, ...]:
    size = item.beats * engine.bus_bytes
    return (
        item.wait_free, item.wait_stored, item.signal_ready, int(item.target), item.dram_address, item.dram_pitch, item.rows, size,
    )  # fmt: skip


def compute_row(item: Compute, engine: Engine) -> tuple[int, ...]:
    """Runs, their cycles and blocks: `hold` is one run that goes on through all loops."""
    loops = item.ky_count * item.kx_count * item.chunk_count
    reads = item.y_count * item.x_count
    weighted = item.mode in (Mode.MATRIX, Mode.DEPTHWISE)
    words = engine.tap_block_words
    if item.mode is Mode.MATRIX:
        words = engine.matrix_words(packed=bool(item.packed), sparse=bool(item.sparse))
    runs = 1 if item.hold else loops
    cycles = loops * reads if item.hold else reads
    spacing = 0 if item.hold or item.in_place else timing.RUN_MINIMUM
    return (
        item.weight_wait, item.weight_release, item.activation_wait, item.activation_release, item.output_wait, item.output_commit,
        item.first, item.last, runs if weighted else 0, words, runs, cycles, spacing, item.output_rows * item.output_columns,
    )  # fmt: skip


def _store_row(item: Store, engine: Engine) -> tuple[int, ...]:
    size = item.vectors * engine.lanes_out
    return item.wait_ready, item.signal_free, item.dram_address, item.dram_row, item.dram_pixel, item.rows, item.pixels, size


def _stuck(program: Program, state: Any) -> str:
    """Where each unit waits."""
    kinds = (("load", Load), ("compute", Compute), ("store", Store))
    counts = (int(state["load"]), int(state["mac"]), int(state["store"]))
    parts: list[str] = []
    for (name, kind), done in zip(kinds, counts, strict=True):
        places = [i for i, item in enumerate(program.instructions) if isinstance(item, kind)]
        parts.append(f"{name} waits at instruction {places[done]}" if done < len(places) else f"{name} is done")
    return ", ".join(parts)


def _layers(program: Program, tables: _Tables, events: Array, dram: DramTiming) -> tuple[LayerPrediction, ...]:
    previous, gain = 0, dram.credit(program.engine.bus_bytes).gain
    layers: list[LayerPrediction] = []
    for span in program.spans:
        opcode = Opcode.STORE if span is program.spans[-1] else Opcode.COMPUTE
        charged = int(events["credit"][span.start : span.stop].sum()) / gain
        layer = _layer(program, span, (previous, _end(program, span, opcode, events)), dram, charged)
        previous = layer.stop_cycle
        layers.append(layer)
    return tuple(layers)


def _end(program: Program, span: Span, opcode: Opcode, events: Array) -> int:
    """The cycle after the last instruction of a kind."""
    return max(int(events[index]["stop"]) for index in range(span.start, span.stop) if program.instructions[index].opcode == opcode) + 1


def _layer(program: Program, span: Span, time: tuple[int, int], dram: DramTiming, charged: float) -> LayerPrediction:
    """`time`: the cycles after the last ones of the previous layer and of this one; `charged`: the cycles that its beats cost the memory."""
    engine, items = program.engine, program.instructions[span.start : span.stop]
    previous, stop = time
    array = sum(row[-4] * row[-3] for row in (compute_row(item, engine) for item in items if isinstance(item, Compute)))
    read, write = layer_bytes(items, engine)
    cycles = stop - previous
    memory = (read + write) / float(min(dram.bytes_per_cycle, 2 * engine.bus_bytes))
    if dram.tiers:
        memory = max(memory, charged)
    bound: Bound = "latency" if max(array, memory) < cycles / 2 else "compute" if array >= memory else "memory"
    return LayerPrediction(
        node=span.node,
        operator=span.operator,
        macs=span.macs,
        cycles=cycles,
        start_cycle=previous,
        stop_cycle=stop,
        array_cycles=array,
        read_bytes=read,
        write_bytes=write,
        utilisation=span.macs / (max(1, cycles) * engine.macs),
        bound=bound,
    )


def layer_bytes(items: Sequence[object], engine: Engine) -> tuple[int, int]:
    """Bus bytes read and written by instructions, whole beats; those of the instructions themselves are read too."""
    read = len(items) * INSTRUCTION_BYTES
    write = 0
    for item in items:
        match item:
            case Load():
                read += item.rows * item.beats * engine.bus_bytes
            case Store():
                write += _store_beats(item, engine) * engine.bus_bytes
            case _:
                pass
    return read, write


def _store_beats(item: Store, engine: Engine) -> int:
    """Beats of a store's runs: those that start within a bus word touch one more."""
    rows = item.dram_address + item.dram_row * np.arange(item.rows)[:, None]
    starts = (rows + item.dram_pixel * np.arange(item.pixels)) % engine.bus_bytes
    return int((-(-(starts + item.vectors * engine.lanes_out) // engine.bus_bytes)).sum())
