"""Whether a program means the same however fast its units are.

Units run apart and meet only through tokens. Both sides of a token are in order, so which instruction gives the token that another one takes is
known from the program alone; from that follows what has surely happened before each instruction starts (a vector clock). A program is sound when
every token is given by an earlier instruction, so that it cannot lock up, and when every overwrite of a buffer surely comes after all reads of what
it replaces, and every read after the write that it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import numpy as np

from ridgeline.errors import CheckFailedError
from ridgeline.hardware.engine.engine import TABLES
from ridgeline.mapping.program import Compute, Load, Mode, Program, Store, Target, encode

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Clock: TypeAlias = tuple[int, ...]

# What a clock counts: loads complete; computes whose weights are read, whose activations are read, that are drained; stores read, acknowledged.
LOADED, WEIGHED, READ, DRAINED, FETCHED, STORED = range(6)
START: Clock = (0,) * 6
TOKEN_LIMIT = (1 << 16) - 1


def _join(*clocks: Clock) -> Clock:
    return tuple(max(values) for values in zip(*clocks, strict=True))


def _tick(clock: Clock, unit: int, count: int) -> Clock:
    return (*clock[:unit], max(clock[unit], count), *clock[unit + 1 :])


@dataclass(slots=True, kw_only=True, eq=False)
class _Memory:
    """A buffer, or DRAM, word by word: the last writer and the last reader of each, by number within their kind; -1 for none."""

    name: str
    word_bytes: int
    writer: Array
    reader: Array


@dataclass(slots=True, kw_only=True, eq=False)
class _State:
    program: Program
    activation: _Memory
    weight: _Memory
    output: _Memory
    dram: _Memory
    tables: _Memory
    where: str = ""
    tokens: dict[str, list[Clock]] = field(default_factory=dict[str, list[Clock]])
    taken: dict[str, int] = field(default_factory=dict[str, int])
    loads: int = 0
    computes: int = 0
    stores: int = 0
    load_start: Clock = START
    load_done: Clock = START
    weighed: Clock = START
    read: Clock = START
    drained: Clock = START
    fetched: Clock = START
    acknowledged: Clock = START
    halves: list[Clock] = field(default_factory=lambda: [START, START])  # when each half of the accumulators was last emptied
    half: int = 0

    def fail(self, message: str) -> NoReturn:
        raise CheckFailedError(f"{self.where}: {message}")

    def give(self, token: str, clock: Clock) -> None:
        given = self.tokens.setdefault(token, [])
        given.append(clock)
        if len(given) - self.taken.get(token, 0) > TOKEN_LIMIT:
            self.fail(f"gives a '{token}' token when {TOKEN_LIMIT:,} wait to be taken; the engine counts no further")

    def take(self, token: str, count: int = 1) -> Clock:
        """The clock of the last of `count` tokens."""
        if count == 0:
            return START
        given = self.tokens.get(token, [])
        self.taken[token] = self.taken.get(token, 0) + count
        if self.taken[token] > len(given):
            self.fail(f"waits for {self.taken[token]} '{token}' tokens, but only {len(given)} were given before it; it would wait for ever")
        return given[self.taken[token] - 1]

    def write(self, memory: _Memory, words: slice | Array, number: int, start: Clock, unit: int) -> None:
        """`unit` reads what is overwritten."""
        reader = int(memory.reader[words].max(initial=-1))
        if reader >= start[unit]:
            self.fail(f"may overwrite {memory.name} {_extent(words)} before {_KINDS[unit]} {reader} has {_phrase(unit)} it")
        memory.writer[words] = number

    def use(self, memory: _Memory, words: slice | Array, number: int, start: Clock, unit: int) -> None:
        """`unit` wrote what is read."""
        writer = int(memory.writer[words].max(initial=-1))
        if writer >= start[unit]:
            self.fail(f"may read {memory.name} {_extent(words)} before {_KINDS[unit]} {writer} has {_phrase(unit)} it")
        memory.reader[words] = number


_KINDS = ("LOAD", "COMPUTE", "COMPUTE", "COMPUTE", "STORE", "STORE")


def _phrase(unit: int) -> str:
    return {LOADED: "loaded", DRAINED: "drained", STORED: "stored"}.get(unit, "read")


def _extent(words: slice | Array) -> str:
    if isinstance(words, slice):
        return f"words {words.start}..{words.stop}"
    return f"words {int(words.min())}..{int(words.max()) + 1}"


def verify(program: Program) -> None:
    """Raises CheckFailedError at the first instruction whose tokens can lock up, or that a faster or slower unit would make read or overwrite
    something else; InputError for a value that does not fit its field.
    """
    state = _start(program)
    for number, instruction in enumerate(program.instructions):
        state.where = f"instruction {number} ({instruction.opcode.name})"
        encode(instruction)
        match instruction:
            case Load():
                _load(state, instruction)
            case Compute():
                _compute(state, instruction)
            case Store():
                _store(state, instruction)
            case _:
                pass


def _start(program: Program) -> _State:
    engine = program.engine
    granule = min(engine.bus_bytes, engine.lanes_out)

    def memory(name: str, word_bytes: int, words: int) -> _Memory:
        return _Memory(name=name, word_bytes=word_bytes, writer=np.full(words, -1, np.int32), reader=np.full(words, -1, np.int32))

    return _State(
        program=program,
        activation=memory("the activation buffer's", engine.bus_bytes, engine.activation_bytes // engine.bus_bytes),
        weight=memory("the weight buffer's", engine.bus_bytes, engine.weight_bytes // engine.bus_bytes),
        output=memory("the output buffer's", engine.lanes_out, engine.output_bytes // engine.lanes_out),
        dram=memory("DRAM's", granule, -(-program.memory_bytes // granule)),
        tables=memory("the tables'", 256, TABLES),
    )


def _load(state: _State, load: Load) -> None:
    engine, number = state.program.engine, state.loads
    side = {Target.ACTIVATION: "activation", Target.WEIGHT: "weight", Target.TABLE: "table"}[load.target]
    tokens = [state.take(f"{side} free", load.wait_free), state.take("stored", load.wait_stored)]
    start = state.load_start = _join(state.load_start, *tokens)
    for row in range(load.rows):
        first = (load.dram_address + row * load.dram_pitch) // state.dram.word_bytes
        stop = first + load.beats * engine.bus_bytes // state.dram.word_bytes
        if stop > state.dram.writer.size:
            state.fail(f"reads DRAM beyond the program's {state.program.memory_bytes:,} bytes")
        state.use(state.dram, slice(first, stop), number, start, STORED)
        address = load.buffer_address + row * load.buffer_pitch
        if load.target is Target.TABLE:
            if address >= TABLES:
                state.fail(f"loads table {address} of {TABLES}")
            state.write(state.tables, slice(address, address + 1), number, start, DRAINED)
            continue
        memory, unit = (state.weight, WEIGHED) if load.target is Target.WEIGHT else (state.activation, READ)
        if address + load.beats > memory.writer.size:
            state.fail(f"writes {memory.name} words {address}..{address + load.beats} of {memory.writer.size}")
        state.write(memory, slice(address, address + load.beats), number, start, unit)
    state.loads += 1
    state.load_done = _tick(_join(start, state.load_done), LOADED, state.loads)
    if load.signal_ready:
        state.give(f"{side} ready", state.load_done)


def _compute(state: _State, compute: Compute) -> None:
    number = state.computes
    state.computes += 1
    weighing = _join(state.weighed, state.take("weight ready", compute.weight_wait))
    words = _weight_words(state, compute)
    state.use(state.weight, words, number, weighing, LOADED)
    state.weighed = _tick(weighing, WEIGHED, state.computes)
    if compute.weight_release:
        state.give("weight free", state.weighed)

    reading = _join(state.read, state.take("activation ready", compute.activation_wait), state.halves[state.half])
    for span in _activation_words(state, compute):
        state.use(state.activation, span, number, reading, LOADED)
    weighted = compute.mode in (Mode.MATRIX, Mode.DEPTHWISE)
    state.read = _tick(_join(reading, weighing) if weighted else reading, READ, state.computes)
    if compute.activation_release:
        state.give("activation free", state.read)
    if compute.last:
        _drain(state, compute, number)
    elif compute.output_wait or compute.output_commit:
        state.fail("has output tokens, but its results are not drained (it is not `last`)")


def _drain(state: _State, compute: Compute, number: int) -> None:
    start = _join(state.drained, state.read, state.weighed, state.take("output free", compute.output_wait))
    rows, columns = np.ix_(np.arange(compute.output_rows), np.arange(compute.output_columns))
    words = (compute.output_address + rows * compute.output_row + columns * compute.output_pixel).ravel()
    if int(words.max()) >= state.output.writer.size:
        state.fail(f"writes vector {int(words.max())} of the output buffer's {state.output.writer.size}")
    if compute.use_table:
        state.use(state.tables, slice(compute.table, compute.table + 1), number, start, LOADED)
    state.write(state.output, words, number, start, FETCHED)
    state.drained = _tick(start, DRAINED, state.computes)
    state.halves[state.half] = state.drained
    state.half ^= 1
    if compute.output_commit:
        state.give("output ready", state.drained)


def _weight_words(state: _State, compute: Compute) -> slice:
    """Bus words."""
    engine = state.program.engine
    runs = 1 if compute.hold else compute.ky_count * compute.kx_count * compute.chunk_count
    matrix = engine.matrix_words(packed=bool(compute.packed), sparse=bool(compute.sparse))
    size = {Mode.MATRIX: matrix, Mode.DEPTHWISE: engine.tap_block_words}.get(compute.mode, 0)
    words = runs * size + (engine.parameter_words if compute.last else 0)
    ratio = engine.weight_word_bytes // engine.bus_bytes
    stop = (compute.weight_address + words) * ratio
    if stop > state.weight.writer.size:
        state.fail(f"reads weight words up to {stop // ratio} of {engine.weight_words}")
    return slice(compute.weight_address * ratio, stop)


def _activation_words(state: _State, compute: Compute) -> Iterator[slice]:
    """Spans of bus words that hold everything that is read, row by row (what lies between two operands included)."""
    engine = state.program.engine
    run = engine.run_bytes(sparse=bool(compute.sparse))
    lanes = run if compute.mode is Mode.MATRIX else engine.lanes_out
    steps = ((compute.kx_count - 1) * compute.kx_byte, (compute.x_count - 1) * compute.x_byte)
    low = compute.byte + sum(min(0, step) for step in steps)
    high = compute.byte + sum(max(0, step) for step in steps) + (compute.chunk_count - 1) * run + lanes
    low, high = max(low, 0), min(high, compute.row_bytes)
    if low >= high:
        return
    ky, y = np.ix_(np.arange(compute.ky_count), np.arange(compute.y_count))
    row = compute.row + ky * compute.ky_row + y * compute.y_row
    base = compute.address + ky * compute.ky_address + y * compute.y_address + low
    starts = np.unique(base[(row >= 0) & (row < compute.rows)] % engine.activation_bytes)
    for first, stop in _merged(starts, high - low):
        if stop > engine.activation_bytes:
            state.fail(f"reads byte {stop} of the activation buffer's {engine.activation_bytes}")
        yield slice(first // engine.bus_bytes, -(-stop // engine.bus_bytes))


def _merged(starts: Array, size: int) -> Iterator[tuple[int, int]]:
    """Disjoint spans that cover [start, start + size) of all sorted starts."""
    breaks = np.flatnonzero(np.diff(starts) > size)
    firsts = starts[np.concatenate([[0], breaks + 1])] if starts.size else starts
    lasts = starts[np.concatenate([breaks, [starts.size - 1]])] if starts.size else starts
    for first, last in zip(firsts, lasts, strict=True):
        yield int(first), int(last) + size


def _store(state: _State, store: Store) -> None:
    lanes, number = state.program.engine.lanes_out, state.stores
    state.stores += 1
    start = _join(state.fetched, state.take("output ready", store.wait_ready))
    rows, pixels, vectors = np.ix_(np.arange(store.rows), np.arange(store.pixels), np.arange(store.vectors))
    words = (store.buffer_address + rows * store.buffer_row + pixels * store.buffer_pixel + vectors).ravel()
    if int(words.max()) >= state.output.writer.size:
        state.fail(f"reads vector {int(words.max())} of the output buffer's {state.output.writer.size}")
    state.use(state.output, words, number, start, DRAINED)
    bytes_ = (store.dram_address + rows * store.dram_row + pixels * store.dram_pixel + vectors * lanes).ravel()
    if int(bytes_.min()) < state.program.entry or int(bytes_.max()) + lanes > state.program.memory_bytes:
        state.fail(f"writes DRAM bytes {int(bytes_.min())}..{int(bytes_.max()) + lanes}, outside the tensors")
    granule = state.dram.word_bytes
    state.write(state.dram, (bytes_[:, None] + np.arange(0, lanes, granule)).ravel() // granule, number, start, LOADED)
    state.fetched = _tick(start, FETCHED, state.stores)
    state.acknowledged = _tick(_join(state.fetched, state.acknowledged), STORED, state.stores)
    state.give("stored", state.acknowledged)
    if store.signal_free:
        state.give("output free", state.fetched)
