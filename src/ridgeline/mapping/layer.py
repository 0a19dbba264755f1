"""A layer as the engine's loops: what one node asks of the engine, and the geometry of its tiles. The one place where sizes follow from shapes.

A node becomes one or more *parts* (`mapping.parts`): most one; a transposed convolution one for each phase, an average pool that does not count
its padding one for each rectangle of constant divisor, a concatenation one for each run of inputs. A part is a `Work`, its shape, which is equal
for equal layers, and the values that go with it (`Part`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np

from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.program import Mode

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Pair: TypeAlias = tuple[int, int]  # along y, along x


class Pattern(IntEnum):
    """How the loops of a COMPUTE run over the pixels."""

    WINDOW = 0  # ky, kx: kernel rows, passes along a row (or the operands of a sum); y, x: the group's pixels
    PRODUCT = 1  # ky: rows; y: columns; x: the two operands
    REPEAT = 2  # ky: input rows; kx: their repetitions; y: input columns; x: theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The loops of one part. Output pixel (y, x) reads input rows (y // repeat[0]) * stride[0] - pad[0] + [0, extent[0]), columns likewise."""

    mode: Mode
    pattern: Pattern = Pattern.WINDOW
    channels: int  # output channels, m
    blocks: int  # of lanes_out output channels
    size: Pair  # output height, width
    input_size: Pair
    pixel_bytes: tuple[int, ...]  # of a pixel of each operand in DRAM
    output_pixel_bytes: int
    ky: int = 1
    kx: int = 1
    chunks: int = 1  # of lanes_in bytes, or what a sparse block covers
    window: int = 1  # pixels of a row that one emitted value takes; above 1, every pixel of the row is read once a pass
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)  # input rows between two ky, pixels between two kx
    extent: Pair = (1, 1)
    pad: Pair = (0, 0)  # top, left; below 0 when the first pixel read is inside the input
    repeat: Pair = (1, 1)
    step: Pair = (1, 1)  # output pixels between two of this part
    macs: int = 0
    packed: bool = False  # matrix blocks of 4 bits a weight
    sparse: bool = False  # of half the weights of each bank, so that a chunk is twice lanes_in

    @property
    def operands(self) -> int:
        return len(self.pixel_bytes)

    @property
    def segments(self) -> int:
        """COMPUTEs that one group's reduction needs at least: a gather from several operands takes one each."""
        return self.operands if self.mode is Mode.MATRIX else 1

    @property
    def runs(self) -> int:
        """Weight blocks of one block of output channels (runs of the MAC unit; PRODUCT and MAXIMUM have runs but no weights)."""
        return self.segments * self.ky * self.kx * self.chunks

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]


def block_words(work: Work, engine: Engine) -> int:
    """Weight words of one weight block of this work's mode."""
    if work.mode is Mode.MATRIX:
        return engine.matrix_words(packed=work.packed, sparse=work.sparse)
    return engine.tap_block_words if work.mode is Mode.DEPTHWISE else 0


def weight_words(work: Work, engine: Engine) -> int:
    """Weight words of lanes_out output channels: their blocks, then their parameters."""
    return work.runs * block_words(work, engine) + engine.parameter_words


def input_range(work: Work, axis: int, start: int, count: int) -> Pair:
    """[first, stop) of the input rows (axis 0) or columns (axis 1) that output rows [start, start + count) read; at least one, inside the input."""
    first = start // work.repeat[axis] * work.stride[axis] - work.pad[axis]
    last = (start + count - 1) // work.repeat[axis] * work.stride[axis] - work.pad[axis] + work.extent[axis]
    limit = work.input_size[axis]
    first = min(max(first, 0), limit - 1)
    return first, max(min(last, limit), first + 1)


def input_extent(work: Work, axis: int, count: int) -> int:
    """The most input rows or columns that a tile of `count` output ones reads."""
    repeat = work.repeat[axis]
    inputs = count // repeat if count % repeat == 0 else (count - 1) // repeat + 1
    return min((inputs - 1) * work.stride[axis] + work.extent[axis], work.input_size[axis])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """Output pixels [y, y + rows) x [x, x + columns) of a part."""

    y: int
    x: int
    rows: int
    columns: int

    @property
    def pixels(self) -> int:
        return self.rows * self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTile:
    """The part of the input that a rectangle of output pixels needs, as it lies in the activation buffer: `rows` rows of `beats` bus words of
    each operand, one operand after another. The first column starts `skip` bytes into the first word.
    """

    row: int  # first input row
    column: int
    rows: int
    columns: int
    beats: tuple[int, ...]  # of a row of each operand
    skip: tuple[int, ...]
    offset: tuple[int, ...]  # bus words from the tile's start to each operand's
    words: int  # bus words of the whole tile


def input_tile(work: Work, rectangle: Rectangle, bus_bytes: int) -> InputTile:
    row, row_stop = input_range(work, 0, rectangle.y, rectangle.rows)
    column, column_stop = input_range(work, 1, rectangle.x, rectangle.columns)
    rows, columns = row_stop - row, column_stop - column
    skip = tuple(column * size % bus_bytes for size in work.pixel_bytes)
    beats = tuple(-(-(first + columns * size) // bus_bytes) for first, size in zip(skip, work.pixel_bytes, strict=True))
    offsets = [0]
    for count in beats:
        offsets.append(offsets[-1] + rows * count)
    return InputTile(
        row=row, column=column, rows=rows, columns=columns, beats=beats, skip=skip, offset=tuple(offsets[:-1]), words=offsets[-1]
    )


def input_tile_words(work: Work, rows: int, columns: int, bus_bytes: int) -> int:
    """The most bus words that the input tile of rows x columns output pixels takes."""
    high, wide = input_extent(work, 0, rows), input_extent(work, 1, columns)
    words = 0
    for size in work.pixel_bytes:
        unaligned = wide < work.input_size[1] and size % bus_bytes != 0
        words += high * (-(-wide * size // bus_bytes) + (1 if unaligned else 0))
    return words


def cuts(total: int, size: int) -> tuple[Pair, ...]:
    """[0, total) in pieces of `size`: (start, count) each, the last one shorter."""
    return tuple((start, min(size, total - start)) for start in range(0, total, size))


def snap(work: Work, axis: int, size: int) -> int:
    """The largest legal size of a tile or group along an axis that is at most `size`: repeated pixels are not cut unevenly."""
    size = max(1, min(size, work.size[axis]))
    repeat = work.repeat[axis]
    if repeat == 1 or work.input_size[axis] == 1:
        return size
    if size >= repeat:
        return size - size % repeat
    return max(divisor for divisor in range(1, size + 1) if repeat % divisor == 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A work with its values. `blocks` makes the weights: int8 (blocks, runs, rows, columns), a matrix or tap block each; None without weights."""

    work: Work
    node: str
    inputs: tuple[str, ...]  # the operands' tensors
    output: str
    origin: Pair = (0, 0)  # of the part's first pixel in the output
    first_block: int = 0  # of lanes_out channels of the output
    starts: Array  # int (blocks, operands): first byte that a block of output channels reads of each operand's pixels
    blocks: Callable[[], Array] | None = None
    bias: Array  # (channels,)
    multiplier: Array
    shift: Array
    fill: int = 0
    zero_points: Pair = (0, 0)  # of the two factors of a product
    zero_point: int
    low: int
    high: int
    table: Array | None = field(default=None)
