"""The fields of one COMPUTE: the addresses and loops of a group of output pixels, relative to the start of its tiles in the buffers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.layer import InputTile, Part, Pattern, Rectangle, Work, block_words
from ridgeline.mapping.program import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A box of the reduction's runs, contiguous in the weights."""

    segment: int
    ky: tuple[int, int]  # start, count
    kx: tuple[int, int]
    chunk: tuple[int, int]
    start: int  # the first run's number

    @property
    def runs(self) -> int:
        return self.ky[1] * self.kx[1] * self.chunk[1]


def pieces(work: Work, limit: int) -> tuple[Piece, ...]:
    """The reduction in boxes of at most `limit` runs (0: no limit), in the order of the weights."""
    row = work.kx * work.chunks
    limit = limit or work.runs
    sizes = (
        max(1, min(limit // row, work.ky)),
        work.kx if limit >= row else max(1, limit // work.chunks),
        work.chunks if limit >= work.chunks else limit,
    )
    found: list[Piece] = []
    for segment in range(work.segments):
        for ky in range(0, work.ky, sizes[0]):
            for kx in range(0, work.kx, sizes[1]):
                for chunk in range(0, work.chunks, sizes[2]):
                    found.append(
                        Piece(
                            segment=segment,
                            ky=(ky, min(sizes[0], work.ky - ky)),
                            kx=(kx, min(sizes[1], work.kx - kx)),
                            chunk=(chunk, min(sizes[2], work.chunks - chunk)),
                            start=((segment * work.ky + ky) * work.kx + kx) * work.chunks + chunk,
                        )
                    )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What one COMPUTE does: output pixels, a block of channels, (a piece of) the reduction."""

    tile: InputTile
    pixels: Rectangle
    block: int
    piece: Piece
    first: bool
    last: bool


def compute_fields(part: Part, engine: Engine, group: Group) -> dict[str, Any]:
    """All fields but tokens and bases: `address` counts bytes from the activation tile, `weight_address` is left out."""
    work, pixels = part.work, group.pixels
    fields = {Pattern.WINDOW: _window, Pattern.PRODUCT: _product, Pattern.REPEAT: _repeat}[work.pattern](part, engine, group)
    alone = group.first and group.last and group.piece.runs == 1 and work.pattern is Pattern.WINDOW
    hold = alone or work.pattern is not Pattern.WINDOW
    fields.update(
        mode=work.mode,
        first=int(group.first),
        last=int(group.last),
        hold=int(hold),
        in_place=int(pixels.pixels == 1 and not hold),
        fill=part.fill,
        packed=int(work.packed),
        sparse=int(work.sparse),
    )
    if group.last:
        fields.update(zero_point=part.zero_point, low=part.low, high=part.high, output_rows=pixels.rows, output_columns=pixels.columns)
    return fields


def _window(part: Part, engine: Engine, group: Group) -> dict[str, Any]:
    work, tile, pixels, piece = part.work, group.tile, group.pixels, group.piece
    bus, operand = engine.bus_bytes, group.piece.segment
    pitch, size = tile.beats[operand] * bus, work.pixel_bytes[operand]
    row = pixels.y * work.stride[0] - work.pad[0] - tile.row + piece.ky[0] * work.dilation[0]
    summed = work.operands > 1 and work.mode is not Mode.MATRIX
    kx_byte = (tile.offset[1] - tile.offset[0]) * bus if summed else work.dilation[1] * size
    byte = (pixels.x * work.stride[1] - work.pad[1] - tile.column) * size + int(part.starts[group.block, operand])
    sliding = work.window > 1
    return {
        "address": tile.offset[operand] * bus + tile.skip[operand] + row * pitch,
        "row": row,
        "rows": tile.rows,
        "row_bytes": tile.columns * size + (kx_byte if summed else 0),
        "byte": byte + piece.kx[0] * kx_byte + piece.chunk[0] * engine.run_bytes(sparse=work.sparse),
        "ky_count": piece.ky[1],
        "kx_count": piece.kx[1],
        "chunk_count": piece.chunk[1],
        "y_count": pixels.rows,
        "x_count": (pixels.columns - 1) * work.stride[1] + work.window if sliding else pixels.columns,
        "ky_address": work.dilation[0] * pitch,
        "ky_row": work.dilation[0] if piece.ky[1] > 1 else 0,
        "y_address": work.stride[0] * pitch if pixels.rows > 1 else 0,
        "y_row": work.stride[0] if pixels.rows > 1 else 0,
        "kx_byte": kx_byte if piece.kx[1] > 1 else 0,
        "x_byte": size if sliding else work.stride[1] * size,
        "emit_from": work.window - 1,
        "emit_stride": work.stride[1] if sliding else 1,
        "tap_mask": (1 << work.window) - 1 if work.mode is Mode.MAXIMUM else 0,
    }


def _product(part: Part, engine: Engine, group: Group) -> dict[str, Any]:
    work, tile, pixels = part.work, group.tile, group.pixels
    bus, size = engine.bus_bytes, work.pixel_bytes[0]
    pitch, distance = tile.beats[0] * bus, tile.offset[1] * bus
    return {
        "address": tile.skip[0] + (pixels.y - tile.row) * pitch + (pixels.x - tile.column) * size,
        "row": pixels.y - tile.row,
        "rows": tile.rows,
        "row_bytes": distance + size,
        "byte": int(part.starts[group.block, 0]),
        "ky_count": pixels.rows,
        "y_count": pixels.columns,
        "x_count": 2,
        "ky_address": pitch if pixels.rows > 1 else 0,
        "ky_row": 1 if pixels.rows > 1 else 0,
        "y_address": size,
        "x_byte": distance,
        "zero_a": part.zero_points[0],
        "zero_b": part.zero_points[1],
        "emit_from": 1,
        "emit_stride": 2,
    }


def _repeat(part: Part, engine: Engine, group: Group) -> dict[str, Any]:
    work, tile, pixels = part.work, group.tile, group.pixels
    size, pitch = work.pixel_bytes[0], tile.beats[0] * engine.bus_bytes
    rows = max(1, pixels.rows // work.repeat[0])
    columns = max(1, pixels.columns // work.repeat[1])
    row, column = pixels.y // work.repeat[0] - tile.row, pixels.x // work.repeat[1] - tile.column
    return {
        "address": tile.skip[0] + row * pitch + column * size,
        "row": row,
        "rows": tile.rows,
        "row_bytes": size,
        "byte": int(part.starts[group.block, 0]),
        "ky_count": rows,
        "kx_count": pixels.rows // rows,
        "y_count": columns,
        "x_count": pixels.columns // columns,
        "ky_address": pitch if rows > 1 else 0,
        "ky_row": 1 if rows > 1 else 0,
        "y_address": size,
    }


def run_words(work: Work, engine: Engine, piece: Piece) -> tuple[int, int]:
    """Weight words of a piece: its start within a block of channels, and its size without parameters."""
    words = block_words(work, engine)
    return piece.start * words, piece.runs * words
