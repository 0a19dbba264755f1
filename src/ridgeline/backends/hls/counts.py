"""What the kernel does for a program, counted from the program alone: iterations of its pipelined loops and accesses of its memories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from ridgeline.hardware.engine.engine import TABLE_BYTES, Engine
from ridgeline.mapping.program import INSTRUCTION_BYTES, Compute, Instruction, Load, Mode, Store, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Adds. `iterations` are of the loops with an initiation interval of 1: their cycles, but for pipelines' depth and the memory's latency. The
    rest counts elements (sums, of the accumulators). A vector of activations is
    one read of every bank.
    """

    iterations: int = 0
    memory_reads: int = 0
    memory_writes: int = 0
    activation_reads: int = 0
    activation_writes: int = 0
    weight_reads: int = 0
    weight_writes: int = 0
    accumulator_reads: int = 0
    accumulator_writes: int = 0
    output_reads: int = 0
    output_writes: int = 0
    table_reads: int = 0
    table_writes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})


def counts(instructions: Sequence[Instruction], engine: Engine) -> Counts:
    return sum((_one(item, engine) for item in instructions), Counts())


def _one(item: Instruction, engine: Engine) -> Counts:
    fetched = Counts(iterations=INSTRUCTION_BYTES // 8)
    match item:
        case Load():
            return fetched + _load(item, engine)
        case Compute():
            return fetched + _compute(item, engine)
        case Store():
            elements = item.rows * item.pixels * item.vectors * engine.lanes_out
            return fetched + Counts(iterations=elements // engine.lanes_out, output_reads=elements, memory_writes=elements)
        case _:
            return fetched


def _load(load: Load, engine: Engine) -> Counts:
    if load.target is Target.TABLE:
        return Counts(iterations=TABLE_BYTES, memory_reads=TABLE_BYTES, table_writes=TABLE_BYTES * engine.lanes_out)
    beats = load.rows * load.beats
    elements = beats * engine.bus_bytes
    found = Counts(iterations=beats, memory_reads=elements)
    return found + (Counts(weight_writes=elements) if load.target is Target.WEIGHT else Counts(activation_writes=elements))


def _compute(compute: Compute, engine: Engine) -> Counts:
    runs = compute.ky_count * compute.kx_count * compute.chunk_count
    reads = compute.y_count * compute.x_count
    emitted = reads if compute.mode is Mode.MATRIX else compute.y_count * _emitted(compute)
    found = Counts(iterations=runs * reads, activation_reads=runs * reads * engine.weight_word_bytes)
    found += _words(_block_words(compute, engine) * (1 if compute.hold else runs), engine)
    added = 0 if compute.hold else runs - compute.first
    found += Counts(accumulator_writes=runs * emitted * engine.lanes_out, accumulator_reads=added * emitted * engine.lanes_out)
    if not compute.last:
        return found
    pixels = compute.output_rows * compute.output_columns
    vectors = pixels * engine.lanes_out
    looked_up = vectors if compute.use_table else 0
    drained = Counts(iterations=pixels, accumulator_reads=vectors, output_writes=vectors, table_reads=looked_up)
    return found + drained + _words(engine.parameter_words, engine)


def _emitted(compute: Compute) -> int:
    """Values of one row."""
    return max(0, -(-(compute.x_count - compute.emit_from) // max(1, compute.emit_stride)))


def _words(count: int, engine: Engine) -> Counts:
    """Words of the weight buffer, one a cycle."""
    return Counts(iterations=count, weight_reads=count * engine.weight_word_bytes)


def _block_words(compute: Compute, engine: Engine) -> int:
    """Of one run's weights."""
    if compute.mode is Mode.MATRIX:
        return engine.block_words
    return engine.tap_block_words if compute.mode is Mode.DEPTHWISE else 0
