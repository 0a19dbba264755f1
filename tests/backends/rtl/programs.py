"""Random programs that use every instruction and mode, for comparing the emitted engine with the interpreter."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ridgeline.hardware.engine.engine import PARAMETER_BYTES, TABLE_BYTES, Engine
from ridgeline.mapping.program import Compute, End, Instruction, Load, Mode, Program, Store, Target

DATA_BYTES = 1 << 16  # random codes and weights at the start of DRAM
PAGE = 4096


@dataclass(frozen=True, kw_only=True)
class Step:
    """One tile: what is loaded, computed and stored. Steps take turns in the two halves of every buffer."""

    loads: tuple[Load, ...]
    computes: tuple[Compute, ...]
    stores: tuple[Store, ...]


def random_program(engine: Engine, rng: np.random.Generator, steps: int) -> Program:
    """Steps are ordered as a lowering would: the loads of a step come before the computes of the one before."""
    data = _Data(engine=engine, rng=rng, bytes=bytearray(rng.integers(0, 256, DATA_BYTES, dtype=np.uint8).tobytes()))
    parts = [_step(data, k, steps) for k in range(steps)]
    order: list[Instruction] = [*parts[0].loads]
    for k, part in enumerate(parts):
        order += parts[k + 1].loads if k + 1 < steps else ()
        order += [*part.computes, *part.stores]
    entry = -(-len(data.bytes) // PAGE) * PAGE
    return Program(
        engine=engine,
        network="random",
        instructions=(*order, End()),
        constants=bytes(data.bytes),
        entry=entry,
        memory_bytes=data.output_start(steps),
        placements={},
        inputs=(),
        outputs=(),
        spans=(),
    )


@dataclass(kw_only=True)
class _Data:
    engine: Engine
    rng: np.random.Generator
    bytes: bytearray
    stored: int = 0  # tokens taken so far
    tables: int = 0

    def pick(self, low: int, high: int) -> int:
        """low..high, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float = 0.5) -> int:
        return int(self.rng.random() < share)

    def append(self, data: bytes) -> int:
        """Address of data put at the end, at a multiple of the bus."""
        self.bytes += bytes(-len(self.bytes) % self.engine.bus_bytes)
        address = len(self.bytes)
        self.bytes += data + bytes(-len(data) % self.engine.bus_bytes)
        return address

    def output_start(self, k: int) -> int:
        """Where step k's stores go: pages behind everything else."""
        return (1 << 20) + k * (self.engine.output_bytes // 2 * 4 + PAGE)


def _step(data: _Data, k: int, steps: int) -> Step:
    half = k % 2
    computes, weights, vectors = _groups(data, half)
    loads = [*_tables(data, computes), _weights_load(data, weights, half, k), _activation_load(data, half, k)]
    if data.chance():
        loads[-2:] = loads[:-3:-1]
    computes[0] = replace(computes[0], activation_wait=1, weight_wait=1, output_wait=int(k >= 2))
    computes[-1] = replace(computes[-1], activation_release=1, weight_release=1, output_commit=1)
    return Step(loads=tuple(loads), computes=tuple(computes), stores=_stores(data, k, half, vectors))


def _tables(data: _Data, computes: list[Compute]) -> list[Load]:
    """A new table for each compute that uses one; eight slots outlast the steps in flight."""
    loads: list[Load] = []
    for i, compute in enumerate(computes):
        if compute.last and data.chance(0.3) and len(loads) < 2:
            slot = data.tables % 8
            data.tables += 1
            address = data.append(data.rng.integers(0, 256, TABLE_BYTES, dtype=np.uint8).tobytes())
            loads.append(Load(target=Target.TABLE, dram_address=address, buffer_address=slot, beats=TABLE_BYTES // data.engine.bus_bytes))
            computes[i] = replace(compute, use_table=1, table=slot)
    return loads


def _weights_load(data: _Data, weights: bytes, half: int, k: int) -> Load:
    engine = data.engine
    size = max(len(weights), engine.weight_word_bytes)
    address = data.append(weights + bytes(size - len(weights)))
    start = half * engine.weight_bytes // 2 // engine.bus_bytes
    return Load(
        target=Target.WEIGHT,
        wait_free=int(k >= 2),
        signal_ready=1,
        dram_address=address,
        buffer_address=start,
        beats=-(-size // engine.bus_bytes),
    )


def _activation_load(data: _Data, half: int, k: int) -> Load:
    """The whole half of the buffer, in rows of random length, from the random data or from what an earlier step stored."""
    engine, bus = data.engine, data.engine.bus_bytes
    total = engine.activation_bytes // 2 // bus
    rows = 1 << data.pick(0, 3)
    beats = total // rows
    load = Load(
        target=Target.ACTIVATION,
        wait_free=int(k >= 2),
        signal_ready=1,
        dram_address=data.pick(0, 63) * bus,
        dram_pitch=data.pick(0, (DATA_BYTES // 4) // rows // bus) * bus,
        buffer_address=half * total,
        buffer_pitch=beats,
        rows=rows,
        beats=beats,
    )
    if k < 2 or data.chance():
        return load
    source = data.pick(0, k - 2)
    wait = max(0, _stores_until(source) - data.stored)
    data.stored += wait
    return replace(load, wait_stored=wait, dram_address=data.output_start(source), dram_pitch=0)


STORES_A_STEP = 2


def _stores_until(step: int) -> int:
    return STORES_A_STEP * (step + 1)


def _stores(data: _Data, k: int, half: int, vectors: int) -> tuple[Store, ...]:
    """All vectors of the half as one run, then a strided part of them again, elsewhere."""
    engine, lanes = data.engine, data.engine.lanes_out
    start = half * engine.output_bytes // 2 // lanes
    base = data.output_start(k)
    offset = data.pick(0, 31) * lanes
    whole = Store(wait_ready=1, dram_address=base + offset, buffer_address=start, vectors=vectors)
    length = data.pick(1, max(1, min(vectors, 5)))
    pixels = data.pick(1, max(1, min(6, vectors // length)))
    rows = data.pick(1, max(1, min(5, vectors // (length * pixels))))
    gap = data.pick(0, 3)
    again = Store(
        signal_free=1,
        dram_address=base + engine.output_bytes // 2 + PAGE // 2 + data.pick(0, 31) * lanes,
        dram_pixel=(length + gap) * lanes,
        dram_row=(length + gap) * pixels * lanes,
        buffer_address=start,
        buffer_pixel=length,
        buffer_row=length * pixels,
        rows=rows,
        pixels=pixels,
        vectors=length,
    )
    return whole, again


def _groups(data: _Data, half: int) -> tuple[list[Compute], bytes, int]:
    """Computes of one step, their weights, and how many vectors they write."""
    engine = data.engine
    computes: list[Compute] = []
    weights = bytearray()
    vectors, room = 0, engine.output_bytes // 2 // engine.lanes_out
    budget = engine.weight_bytes // 2
    for _ in range(data.pick(1, 5)):
        group, blob, count = _group(data, half, len(weights) // engine.weight_word_bytes)
        if len(weights) + len(blob) > budget or vectors + count > room:
            continue
        start = half * room + vectors
        last = group[-1]
        row, pixel = (last.output_columns, 1) if data.chance(0.7) else (1, last.output_rows)  # as they come, or turned
        group[-1] = replace(last, output_address=start, output_row=row, output_pixel=pixel)
        computes += group
        weights += blob
        vectors += count
    if computes:
        return computes, bytes(weights), vectors
    return _groups(data, half)


def _group(data: _Data, half: int, word: int) -> tuple[list[Compute], bytes, int]:
    """One rectangle: one compute, or a reduction in up to three of the same kind."""
    engine = data.engine
    compute = _shape(data, half)
    values = _values(compute)
    while values > min(engine.accumulator_depth, engine.output_bytes // 4 // engine.lanes_out) or values == 0:
        compute = _shape(data, half)
        values = _values(compute)
    pieces = 1 if compute.hold else data.pick(1, 3) if data.chance(0.4) else 1
    start = word + half * engine.weight_words // 2
    blob = bytearray()
    group: list[Compute] = []
    for i in range(pieces):
        piece = replace(compute, first=int(i == 0), last=int(i == pieces - 1), weight_address=start + len(blob) // engine.weight_word_bytes)
        if i > 0:
            piece = replace(piece, ky_count=data.pick(1, 2), kx_count=data.pick(1, 2), chunk_count=data.pick(1, 2))
        blob += _blocks(data, piece) + (_parameters(data, piece) if piece.last else b"")
        group.append(piece)
    rows, columns = _split(data, values)
    group[-1] = replace(
        group[-1],
        output_rows=rows,
        output_columns=columns,
        zero_point=data.pick(-128, 127),
        low=data.pick(-128, -60),
        high=data.pick(40, 127),
    )
    return group, bytes(blob), values


def _split(data: _Data, values: int) -> tuple[int, int]:
    rows = [r for r in range(1, values + 1) if values % r == 0]
    chosen = rows[data.pick(0, len(rows) - 1)]
    return chosen, values // chosen


def _shape(data: _Data, half: int) -> Compute:
    engine = data.engine
    mode = Mode(data.pick(0, 3)) if engine.taps > 1 else Mode.MATRIX
    size = engine.activation_bytes // 2
    row_bytes = data.pick(engine.vector_bytes, size // 4)
    compute = Compute(
        mode=mode,
        address=half * size + data.pick(0, size // 4),
        row_bytes=row_bytes,
        rows=data.pick(1, 6),
        row=data.pick(-2, 3),
        byte=data.pick(-2 * engine.vector_bytes, row_bytes),
        ky_count=data.pick(1, 3),
        kx_count=data.pick(1, 3),
        chunk_count=data.pick(1, 3),
        y_count=data.pick(1, 5),
        x_count=data.pick(1, 9),
        ky_address=data.pick(0, 40),
        y_address=data.pick(-20, 60),
        ky_row=data.pick(-1, 2),
        y_row=data.pick(-1, 2),
        kx_byte=data.pick(-9, 30),
        x_byte=data.pick(-5, 40),
        fill=data.pick(-128, 127),
        zero_a=data.pick(-128, 127),
        zero_b=data.pick(-128, 127),
        hold=data.chance(0.25),
    )
    if mode is not Mode.MATRIX:
        compute = replace(
            compute, emit_from=data.pick(1 if mode is Mode.PRODUCT else 0, 4), emit_stride=data.pick(1, 3), tap_mask=data.pick(0, 255)
        )
    if mode is Mode.MAXIMUM:
        reach = min(engine.taps, compute.emit_from + 1)
        compute = replace(compute, tap_mask=compute.tap_mask & ((1 << reach) - 1) | 1 << data.pick(0, reach - 1))
    if mode is Mode.PRODUCT:
        compute = replace(compute, hold=1)
    if _run_values(compute) == 1 and not compute.hold:
        compute = replace(compute, in_place=data.chance())
    return compute


def _run_values(compute: Compute) -> int:
    if compute.mode is Mode.MATRIX:
        return compute.y_count * compute.x_count
    emitted = len(range(compute.emit_from, compute.x_count, compute.emit_stride))
    return compute.y_count * emitted


def _values(compute: Compute) -> int:
    runs = compute.ky_count * compute.kx_count * compute.chunk_count if compute.hold else 1
    return _run_values(compute) * runs


def _blocks(data: _Data, compute: Compute) -> bytes:
    """Blocks as they lie in the weight buffer; a tap that would reach before the row's first byte gets weight 0."""
    engine = data.engine
    if compute.mode in (Mode.MAXIMUM, Mode.PRODUCT):
        return b""
    runs = 1 if compute.hold else compute.ky_count * compute.kx_count * compute.chunk_count
    rows, columns = (engine.lanes_out, engine.lanes_in) if compute.mode is Mode.MATRIX else (engine.taps, engine.lanes_out)
    blocks = data.rng.integers(-128, 128, (runs, rows, columns)).astype(np.int8)
    if compute.mode is Mode.DEPTHWISE:
        blocks[:, compute.emit_from + 1 :] = 0
    flat = blocks.reshape(runs, -1)
    return np.pad(flat, ((0, 0), (0, -flat.shape[1] % engine.weight_word_bytes))).tobytes()


def _parameters(data: _Data, compute: Compute) -> bytes:
    """Scaled so that codes vary; now and then extreme."""
    engine = data.engine
    record = bytearray()
    for _ in range(engine.lanes_out):
        wild = data.chance(0.1)
        bias = data.pick(-(1 << 20), 1 << 20) if wild else data.pick(-(1 << 10), 1 << 10)
        shift = data.pick(1, 63) if wild else data.pick(20, 28) if compute.mode is not Mode.MAXIMUM else data.pick(15, 18)
        multiplier = data.pick(0, (1 << 17) - 1) if wild else data.pick(1 << 16, (1 << 17) - 1)
        record += ((bias & 0xFFFFFFFF) | multiplier << 32 | shift << 49).to_bytes(PARAMETER_BYTES, "little")
    return bytes(record) + bytes(-len(record) % engine.weight_word_bytes)
