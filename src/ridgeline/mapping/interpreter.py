"""What a program means, in numpy: its instructions one after another, exactly as docs/engine.md says, without time.

The emitted hardware must leave the same bytes in DRAM. In checked mode, a read of a byte of a buffer that was never written, an accumulator
that does not fit int32 and an address outside a buffer raise CheckFailedError; without it only the last does. On-chip byte addresses of the
activation buffer wrap at its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np

from ridgeline.errors import CheckFailedError
from ridgeline.hardware.engine.engine import PARAMETER_BYTES, TABLE_BYTES, TABLES, Engine
from ridgeline.mapping.program import Compute, Instruction, Load, Mode, Program, Store, Target
from ridgeline.mapping.storage import unpacked

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
INT32 = (-(1 << 31), (1 << 31) - 1)


@dataclass(slots=True, kw_only=True, eq=False)
class Machine:
    """The engine's memories between two instructions; each `known` mask tells which bytes were ever written."""

    engine: Engine
    memory: Array  # uint8, DRAM
    checked: bool
    activation: Array  # int8 (bytes,)
    activation_known: Array
    weight: Array  # int8 (bytes,)
    weight_known: Array  # (bus words,)
    output: Array  # int8 (vectors, lanes_out)
    output_known: Array  # (vectors,)
    accumulators: Array  # int64 (2, depth, lanes_out)
    accumulated: Array  # int64 (2,): how many of a half's accumulators are in use
    tables: Array  # int8 (8, 256)
    half: int = 0
    where: str = ""

    def fail(self, message: str) -> NoReturn:
        raise CheckFailedError(f"{self.where}: {message}")


def machine(engine: Engine, memory: Array, *, checked: bool = True) -> Machine:
    lanes = engine.lanes_out
    return Machine(
        engine=engine,
        memory=memory,
        checked=checked,
        activation=np.zeros(engine.activation_bytes, np.int8),
        activation_known=np.zeros(engine.activation_bytes, np.bool_),
        weight=np.zeros(engine.weight_bytes, np.int8),
        weight_known=np.zeros(engine.weight_bytes // engine.bus_bytes, np.bool_),
        output=np.zeros((engine.output_bytes // lanes, lanes), np.int8),
        output_known=np.zeros(engine.output_bytes // lanes, np.bool_),
        accumulators=np.zeros((2, engine.accumulator_depth, lanes), np.int64),
        accumulated=np.zeros(2, np.int64),
        tables=np.zeros((TABLES, TABLE_BYTES), np.int8),
    )


def run(program: Program, memory: bytearray | Array, *, checked: bool = True) -> Array:
    """DRAM after the program, as uint8 (bytes,); `memory` itself is changed. It must hold the program's image and the inputs."""
    view = np.frombuffer(memory, np.uint8) if isinstance(memory, bytearray) else memory
    state = machine(program.engine, view, checked=checked)
    for number, instruction in enumerate(program.instructions):
        state.where = f"instruction {number} ({instruction.opcode.name})"
        step(state, instruction)
    return view


def step(state: Machine, instruction: Instruction) -> None:
    """One instruction, from start to end."""
    match instruction:
        case Load():
            _load(state, instruction)
        case Compute():
            _compute(state, instruction)
        case Store():
            _store(state, instruction)
        case _:
            pass


def _load(state: Machine, load: Load) -> None:
    bus = state.engine.bus_bytes
    size = load.beats * bus
    for row in range(load.rows):
        start = load.dram_address + row * load.dram_pitch
        if start % bus or start + size > state.memory.size:
            state.fail(f"reads DRAM bytes {start}..{start + size}, of {state.memory.size}, in words of {bus}")
        data = state.memory[start : start + size].view(np.int8)
        address = load.buffer_address + row * load.buffer_pitch
        if load.target is Target.TABLE:
            state.tables[load.buffer_address] = data[:TABLE_BYTES]
        elif load.target is Target.WEIGHT:
            _check_end(state, "weight buffer", (address + load.beats) * bus, state.engine.weight_bytes)
            state.weight[address * bus : address * bus + size] = data
            state.weight_known[address : address + load.beats] = True
        else:
            _check_end(state, "activation buffer", (address + load.beats) * bus, state.engine.activation_bytes)
            state.activation[address * bus : address * bus + size] = data
            state.activation_known[address * bus : address * bus + size] = True


def _check_end(state: Machine, what: str, end: int, have: int) -> None:
    if end > have:
        state.fail(f"reaches byte {end} of the {what}, which holds {have}")


def _weights(state: Machine, word: int, words: int) -> Array:
    """int8 (words, word bytes) of the weight buffer."""
    size = state.engine.weight_word_bytes
    _check_end(state, "weight buffer", (word + words) * size, state.engine.weight_bytes)
    bus = state.engine.bus_bytes
    if state.checked and not state.weight_known[word * size // bus : (word + words) * size // bus].all():
        state.fail(f"reads weight words {word}..{word + words}, which were never all loaded")
    return state.weight[word * size : (word + words) * size].reshape(words, size)


def _blocks(state: Machine, word: int, count: int, shape: tuple[int, int]) -> Array:
    """int64 (count, *shape): `count` blocks of int8 from weight word `word` on."""
    size = shape[0] * shape[1]
    words = -(-size // state.engine.weight_word_bytes)
    data = _weights(state, word, count * words).reshape(count, words * state.engine.weight_word_bytes)
    return data[:, :size].reshape(count, *shape).astype(np.int64)


def _matrix_blocks(state: Machine, compute: Compute, word: int, count: int) -> Array:
    """int64 (count, lanes_out, bytes of a run): `count` matrix blocks, as they are stored, from weight word `word` on."""
    engine = state.engine
    words = engine.matrix_words(packed=bool(compute.packed), sparse=bool(compute.sparse))
    data = _weights(state, word, count * words).reshape(count, -1)
    return unpacked(data, engine, packed=bool(compute.packed), sparse=bool(compute.sparse)).astype(np.int64)


def _vectors(state: Machine, compute: Compute, run_: tuple[int, int, int], lanes: int) -> tuple[Array, Array]:
    """(y_count * x_count, lanes) of the codes read in one run from byte b on, and whether each was ever loaded."""
    ky, kx, chunk = run_
    y = np.arange(compute.y_count)[:, None, None]
    x = np.arange(compute.x_count)[None, :, None]
    r = compute.row + ky * compute.ky_row + y * compute.y_row
    b = compute.byte + kx * compute.kx_byte + chunk * state.engine.run_bytes(sparse=bool(compute.sparse)) + x * compute.x_byte + np.arange(lanes)
    base = compute.address + ky * compute.ky_address + y * compute.y_address
    inside = (r >= 0) & (r < compute.rows) & (b >= 0) & (b < compute.row_bytes)
    index = (base + b) % state.engine.activation_bytes
    codes = np.where(inside, state.activation[index], compute.fill).reshape(-1, lanes)
    return codes, (~inside | state.activation_known[index]).reshape(-1, lanes)


def _compute(state: Machine, compute: Compute) -> None:
    by_chunks = compute.mode is Mode.MATRIX and not compute.hold
    word = _matrix(state, compute) if by_chunks else _elementwise(state, compute)
    if state.checked and abs(state.accumulators[state.half, : state.accumulated[state.half]]).max() > INT32[1]:
        state.fail("an accumulator does not fit in 32 bits")
    if compute.last:
        _drain(state, compute, word)
        state.accumulated[state.half] = 0
        state.half ^= 1


def _matrix(state: Machine, compute: Compute) -> int:
    """All runs of a MATRIX compute, the chunks of one (ky, kx) in one product (exact in float64). Returns the weight word after the blocks."""
    engine = state.engine
    lanes, word = engine.run_bytes(sparse=bool(compute.sparse)), compute.weight_address
    words = engine.matrix_words(packed=bool(compute.packed), sparse=bool(compute.sparse))
    first = bool(compute.first)
    for ky in range(compute.ky_count):
        for kx in range(compute.kx_count):
            blocks = _matrix_blocks(state, compute, word, compute.chunk_count)
            matrix = blocks.transpose(0, 2, 1).reshape(-1, engine.lanes_out).astype(np.float64)
            codes, known = _vectors(state, compute, (ky, kx, 0), compute.chunk_count * lanes)
            if state.checked and not known.all() and ((~known) @ np.abs(matrix)).any():
                state.fail(f"ky {ky}, kx {kx} reads bytes of the activation buffer that were never loaded")
            _accumulate(state, compute, (codes.astype(np.float64) @ matrix).astype(np.int64), 0, first=first)
            word += compute.chunk_count * words
            first = False
    return word


def _elementwise(state: Machine, compute: Compute) -> int:
    """All runs, one by one: those of the window's modes, and held ones. Returns the weight word after the blocks."""
    engine = state.engine
    matrix = compute.mode is Mode.MATRIX
    weighted = matrix or compute.mode is Mode.DEPTHWISE
    run = engine.run_bytes(sparse=bool(compute.sparse))
    shape = (engine.lanes_out, run) if matrix else (engine.taps, engine.lanes_out)
    words = engine.matrix_words(packed=bool(compute.packed), sparse=bool(compute.sparse)) if matrix else engine.tap_block_words
    index, word, done = 0, compute.weight_address, 0
    block: Array = np.zeros(shape, np.int64)
    window = np.zeros((engine.taps - 1, engine.lanes_out), np.int64)
    known = np.zeros((engine.taps - 1, engine.lanes_out), np.bool_)
    for ky in range(compute.ky_count):
        for kx in range(compute.kx_count):
            for chunk in range(compute.chunk_count):
                if weighted and (done == 0 or not compute.hold):
                    block = (_matrix_blocks(state, compute, word, 1) if matrix else _blocks(state, word, 1, shape))[0]
                    word += words
                codes, loaded = _vectors(state, compute, (ky, kx, chunk), run if matrix else engine.lanes_out)
                if matrix:
                    values = codes.astype(np.int64) @ block.T
                else:
                    history, seen = np.concatenate([window, codes]), np.concatenate([known, loaded])
                    values = _tap_values(state, compute, block, (history, seen))
                    window, known = history[codes.shape[0] :], seen[codes.shape[0] :]
                _accumulate(state, compute, values, index, first=bool(compute.hold or (compute.first and done == 0)))
                index, done = index + (values.shape[0] if compute.hold else 0), done + 1
    return word


def _tap_values(state: Machine, compute: Compute, block: Array, history: tuple[Array, Array]) -> Array:
    """The emitted values (count, lanes_out) of one run; history is taps - 1 older vectors and the run's own, oldest first, with their known masks."""
    taps = state.engine.taps
    codes, known = history
    length = codes.shape[0] - (taps - 1)
    windows = np.stack([codes[taps - 1 - j : taps - 1 - j + length] for j in range(taps)], axis=1).astype(np.int64)
    seen = np.stack([known[taps - 1 - j : taps - 1 - j + length] for j in range(taps)], axis=1)
    x = np.tile(np.arange(compute.x_count), compute.y_count)
    emitted = (x >= compute.emit_from) & ((x - compute.emit_from) % max(1, compute.emit_stride) == 0)
    windows, seen = windows[emitted], seen[emitted]
    mask = np.array([compute.tap_mask >> j & 1 for j in range(taps)], np.bool_)
    if compute.mode is Mode.DEPTHWISE:
        used, values = block != 0, (windows * block).sum(axis=1)
    elif compute.mode is Mode.MAXIMUM:
        used, values = mask[:, None], np.where(mask[None, :, None], windows, -(1 << 31)).max(axis=1)
    else:
        used = (np.arange(taps) < 2)[:, None]
        values = (windows[:, 0] - compute.zero_b) * (windows[:, 1] - compute.zero_a)
    if state.checked and (~seen & used).any():
        state.fail("a window holds bytes that were never loaded")
    return values


def _accumulate(state: Machine, compute: Compute, values: Array, index: int, *, first: bool) -> None:
    stop = index + values.shape[0]
    half = state.half
    if stop > state.engine.accumulator_depth:
        state.fail(f"accumulator {stop - 1} of {state.engine.accumulator_depth}")
    target = state.accumulators[half, index:stop]
    if first:
        target[:] = values
        state.accumulated[half] = stop
        return
    if stop != state.accumulated[half]:
        state.fail(f"adds to {stop} accumulators, but the first run of this reduction wrote {state.accumulated[half]}")
    target[:] = np.maximum(target, values) if compute.mode is Mode.MAXIMUM else target + values


def _drain(state: Machine, compute: Compute, word: int) -> None:
    engine = state.engine
    count = compute.output_rows * compute.output_columns
    if count > state.accumulated[state.half]:
        state.fail(f"drains {count} accumulators, but {state.accumulated[state.half]} were written")
    bias, multiplier, shift = parameters(_weights(state, word, engine.parameter_words).tobytes(), engine.lanes_out)
    total = state.accumulators[state.half, :count] + bias
    if state.checked and (total.min() < INT32[0] or total.max() > INT32[1]):
        state.fail("accumulator + bias does not fit in 32 bits")
    rounded = (total * multiplier + (np.int64(1) << (shift - 1))) >> shift
    codes = np.clip(rounded + compute.zero_point, compute.low, compute.high).astype(np.int8)
    if compute.use_table:
        codes = state.tables[compute.table][codes.astype(np.int64) + 128]
    rows, columns = np.divmod(np.arange(count), compute.output_columns)
    index = compute.output_address + rows * compute.output_row + columns * compute.output_pixel
    _check_end(state, "output buffer", (int(index.max()) + 1) * engine.lanes_out, engine.output_bytes)
    state.output[index] = codes
    state.output_known[index] = True


def parameters(data: bytes, lanes: int) -> tuple[Array, Array, Array]:
    """bias, multiplier, shift (lanes,), int64, from records of 8 bytes."""
    words = np.frombuffer(data[: lanes * PARAMETER_BYTES], "<i8").reshape(lanes)
    bias = words.astype(np.int32).astype(np.int64)
    return bias, words >> 32 & 0x1FFFF, words >> 49 & 0x3F


def _store(state: Machine, store: Store) -> None:
    lanes = state.engine.lanes_out
    r, p, v = np.ix_(np.arange(store.rows), np.arange(store.pixels), np.arange(store.vectors))
    source = (store.buffer_address + r * store.buffer_row + p * store.buffer_pixel + v).ravel()
    target = (store.dram_address + r * store.dram_row + p * store.dram_pixel + v * lanes).ravel()
    _check_end(state, "output buffer", (int(source.max()) + 1) * lanes, state.engine.output_bytes)
    _check_end(state, "DRAM", int(target.max()) + lanes, state.memory.size)
    if lanes & (lanes - 1) == 0 and (target % lanes).any():
        state.fail(f"stores to DRAM byte {store.dram_address}, which is no multiple of {lanes}")
    if state.checked and not state.output_known[source].all():
        state.fail("stores vectors of the output buffer that were never written")
    state.memory[target[:, None] + np.arange(lanes)] = state.output[source].view(np.uint8)
