"""From a part and its tiling to steps: tiles to load, computes and stores, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.group import Group, Piece, compute_fields, pieces, run_words
from ridgeline.mapping.layer import InputTile, Part, Rectangle, cuts, input_tile, weight_words
from ridgeline.mapping.program import Placement, Target
from ridgeline.mapping.stream import BEATS_LIMIT, NEVER, Block, ComputeOp, Op, Run, Step, StoreOp, TableLoad, Tile
from ridgeline.mapping.tiling import Order, Tiling

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SLICES = 8  # of a tile that is loaded little by little beside other tiles


@dataclass(slots=True, kw_only=True, eq=False)
class Plan:
    """All steps so far; the order of `tiles` within each buffer is the order of need."""

    engine: Engine
    placements: Mapping[str, Placement]
    steps: list[Step] = field(default_factory=list[Step])
    tiles: list[Tile] = field(default_factory=list[Tile])
    store_steps: list[int] = field(default_factory=list[int])
    row_stores: dict[str, Array] = field(default_factory=dict[str, Array])  # of each row of a tensor, the last store that writes to it
    previous: Tile | None = None  # the last tile of activations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Where a part's weights and table lie."""

    weights: int  # DRAM address of its first block of channels
    table: TableLoad | None  # to be loaded before them
    slot: int  # of its table


def add_part(plan: Plan, part: Part, tiling: Tiling, source: Source) -> None:
    """Appends the part's steps. `tiling` is clipped and checked."""
    builder = _Builder(plan=plan, part=part, tiling=tiling, source=source)
    tiles = [
        Rectangle(y=y, x=x, rows=rows, columns=columns)
        for (y, rows), (x, columns) in product(cuts(part.work.size[0], tiling.y), cuts(part.work.size[1], tiling.x))
    ]
    blocks = cuts(part.work.blocks, tiling.m // plan.engine.lanes_out)
    if tiling.c:
        builder.in_pieces(tiles)
    elif tiling.order is Order.PIXELS:
        builder.pixels_outside(tiles, blocks)
    else:
        builder.channels_outside(tiles, blocks)


@dataclass(slots=True, kw_only=True, eq=False)
class _Builder:
    plan: Plan
    part: Part
    tiling: Tiling
    source: Source
    loaded_table: bool = False
    shapes: dict[Rectangle, InputTile] = field(default_factory=dict[Rectangle, InputTile])

    def pixels_outside(self, tiles: list[Rectangle], blocks: tuple[tuple[int, int], ...]) -> None:
        weight: Tile | None = None
        for pixels in tiles:
            activation: Tile | None = None
            for first, count in blocks:
                if weight is None or len(blocks) > 1:
                    weight = self._weight_tile(first, count)
                activation = activation or self._activation_tile(pixels)
                self._step(pixels, activation, weight, (first, count))

    def channels_outside(self, tiles: list[Rectangle], blocks: tuple[tuple[int, int], ...]) -> None:
        activation: Tile | None = None
        for first, count in blocks:
            weight = self._weight_tile(first, count)
            for pixels in tiles:
                if activation is None or len(tiles) > 1:
                    activation = self._activation_tile(pixels)
                self._step(pixels, activation, weight, (first, count))

    def in_pieces(self, tiles: list[Rectangle]) -> None:
        """Each group's reduction takes several COMPUTEs, whose weights come piece by piece."""
        boxes = pieces(self.part.work, self.tiling.c)
        for pixels in tiles:
            activation: Tile | None = None
            for block in range(self.part.work.blocks):
                for group in self._groups(pixels):
                    output = Block(vectors=group.pixels)
                    for piece in boxes:
                        last = piece is boxes[-1]
                        weight = self._weight_tile(block, 1, piece, last=last)
                        activation = activation or self._activation_tile(pixels)
                        box = self._box(pixels, group, block, piece, first=piece is boxes[0], last=last)
                        op = self._compute(box, activation, weight, 0, (output, 0, 1) if last else None)
                        ops: list[Op] = [op, *([self._store(output, group, (block, 1))] if last else [])]
                        self._add_step(ops, activation, weight)

    def _step(self, pixels: Rectangle, activation: Tile, weight: Tile, blocks: tuple[int, int]) -> None:
        """One tile of pixels by one tile of output channels; group by group, each stored as soon as it is complete."""
        ops: list[Op] = []
        for group in self._groups(pixels):
            vectors = min(max(1, self.plan.engine.output_bytes // self.plan.engine.lanes_out // 2), BEATS_LIMIT)
            for first, count in _even_cuts(blocks, max(1, vectors // group.pixels)):
                output = Block(vectors=group.pixels * count)
                for block in range(first, first + count):
                    ops.extend(self._reduction(pixels, group, block, (activation, weight, blocks[0]), (output, block - first, count)))
                ops.append(self._store(output, group, (first, count)))
        self._add_step(ops, activation, weight)

    def _reduction(
        self, pixels: Rectangle, group: Rectangle, block: int, tiles: tuple[Tile, Tile, int], output: tuple[Block, int, int]
    ) -> Iterator[ComputeOp]:
        activation, weight, first_block = tiles
        boxes = pieces(self.part.work, 0)
        for piece in boxes:
            last = piece is boxes[-1]
            box = self._box(pixels, group, block, piece, first=piece is boxes[0], last=last)
            offset = (block - first_block) * weight_words(self.part.work, self.plan.engine)
            offset += run_words(self.part.work, self.plan.engine, piece)[0]
            yield self._compute(box, activation, weight, offset, output if last else None)

    def _box(self, pixels: Rectangle, group: Rectangle, block: int, piece: Piece, *, first: bool, last: bool) -> Group:
        return Group(tile=self._input_tile(pixels), pixels=group, block=block, piece=piece, first=first, last=last)

    def _compute(
        self, group: Group, activation: Tile, weight: Tile, weight_offset: int, output: tuple[Block, int, int] | None
    ) -> ComputeOp:
        fields = compute_fields(self.part, self.plan.engine, group)
        op = ComputeOp(fields=fields, activation=activation, weight=weight, weight_offset=weight_offset)
        if output is not None:
            op.output, op.output_offset, pitch = output
            fields.update(output_row=group.pixels.columns * pitch if group.pixels.rows > 1 else 0, output_pixel=pitch)
            if self.part.table is not None:
                fields.update(use_table=1, table=self.source.slot)
        return op

    def _groups(self, pixels: Rectangle) -> Iterator[Rectangle]:
        for (y, rows), (x, columns) in product(cuts(pixels.rows, self.tiling.group_y), cuts(pixels.columns, self.tiling.group_x)):
            yield Rectangle(y=pixels.y + y, x=pixels.x + x, rows=rows, columns=columns)

    def _input_tile(self, pixels: Rectangle) -> InputTile:
        if pixels not in self.shapes:
            self.shapes[pixels] = input_tile(self.part.work, pixels, self.plan.engine.bus_bytes)
        return self.shapes[pixels]

    def _add_step(self, ops: list[Op], activation: Tile, weight: Tile) -> None:
        number = len(self.plan.steps)
        for tile in (activation, weight):
            if tile.need == NEVER:
                tile.need = number
                self.plan.tiles.append(tile)
                _spread(tile, self.plan)
            tile.last = number
        self.plan.steps.append(Step(ops=ops))

    def _weight_tile(self, block: int, count: int, piece: Piece | None = None, *, last: bool = True) -> Tile:
        engine, work = self.plan.engine, self.part.work
        size = weight_words(work, engine)
        start, words = block * size, count * size
        if piece is not None:
            first, runs = run_words(work, engine, piece)
            start, words = start + first, runs + (engine.parameter_words if last else 0)
        word, ratio = engine.weight_word_bytes, engine.weight_word_bytes // engine.bus_bytes
        runs = [
            Run(dram_address=self.source.weights + start * word + offset * engine.bus_bytes, offset=offset, beats=beats)
            for offset, beats in cuts(words * ratio, BEATS_LIMIT)
        ]
        table = None if self.loaded_table else self.source.table
        self.loaded_table = True
        return Tile(target=Target.WEIGHT, words=words * ratio, runs=runs, table=table)

    def _activation_tile(self, pixels: Rectangle) -> Tile:
        shape = self._input_tile(pixels)
        runs: list[Run] = []
        for operand, name in enumerate(self.part.inputs):
            runs.extend(self._rows(shape, operand, self.plan.placements[name]))
        return Tile(target=Target.ACTIVATION, words=shape.words, runs=runs)

    def _rows(self, shape: InputTile, operand: int, tensor: Placement) -> Iterator[Run]:
        """The rows of one operand; whole ones as a single run of bytes."""
        bus, beats = self.plan.engine.bus_bytes, shape.beats[operand]
        start = tensor.address + shape.column * tensor.pixel_bytes - shape.skip[operand]
        stores = self.plan.row_stores.get(tensor.name)
        whole = beats * bus == tensor.row_bytes and beats <= BEATS_LIMIT
        most = max(1, BEATS_LIMIT // beats) if whole else shape.rows
        for first, count in cuts(shape.rows, most):
            row = shape.row + first
            for word, words in [(0, beats * count)] if whole else cuts(beats, BEATS_LIMIT):
                yield Run(
                    dram_address=start + row * tensor.row_bytes + word * bus,
                    dram_pitch=0 if whole else tensor.row_bytes,
                    offset=shape.offset[operand] + first * beats + word,
                    pitch=0 if whole else beats,
                    rows=1 if whole else count,
                    beats=words,
                    after=NEVER if stores is None else int(stores[row : row + count].max()),
                )

    def _store(self, output: Block, group: Rectangle, blocks: tuple[int, int]) -> StoreOp:
        """The block's vectors, as few runs as the layout allows."""
        part, work, lanes = self.part, self.part.work, self.plan.engine.lanes_out
        tensor = self.plan.placements[part.output]
        row, column = part.origin[0] + group.y * work.step[0], part.origin[1] + group.x * work.step[1]
        address = tensor.address + row * tensor.row_bytes + column * tensor.pixel_bytes + (part.first_block + blocks[0]) * lanes
        vectors = blocks[1]
        fields: dict[str, Any] = {"dram_address": address, "dram_row": work.step[0] * tensor.row_bytes, "rows": group.rows}
        if vectors * lanes == tensor.pixel_bytes and work.step[1] == 1:
            fields.update(vectors=group.columns * vectors, buffer_row=group.columns * vectors)
            if group.columns * tensor.pixel_bytes == tensor.row_bytes and work.step[0] == 1 and group.pixels * vectors <= BEATS_LIMIT:
                fields.update(rows=1, dram_row=0, buffer_row=0, vectors=group.pixels * vectors)
        else:
            fields.update(
                pixels=group.columns,
                vectors=vectors,
                dram_pixel=work.step[1] * tensor.pixel_bytes,
                buffer_pixel=vectors,
                buffer_row=group.columns * vectors,
            )
        number = len(self.plan.store_steps)
        self.plan.store_steps.append(len(self.plan.steps))
        rows = self.plan.row_stores.setdefault(tensor.name, np.full(tensor.shape[1], NEVER))
        rows[row : row + group.rows * work.step[0] : work.step[0]] = number
        return StoreOp(fields=fields, output=output)


def _even_cuts(blocks: tuple[int, int], most: int) -> Iterator[tuple[int, int]]:
    first, count = blocks
    for start, size in cuts(count, -(-count // -(-count // most))):
        yield first + start, size


def _spread(tile: Tile, plan: Plan) -> None:
    """When the tile's loads are worth while: weights just before they are needed; activations from after the tile before was first used, in
    slices, so that they do not hold up the weights that come between.
    """
    step = tile.need
    if tile.target is Target.WEIGHT:
        for run in tile.runs:
            run.want = step - 1
        return
    before, plan.previous = plan.previous, tile
    free = 0 if before is None else step - before.need - 1
    if free > 1:
        tile.runs = [piece for run in tile.runs for piece in _sliced(run, min(free, SLICES), plan.engine.bus_bytes)]
    count = len(tile.runs)
    for number, run in enumerate(tile.runs):
        run.want = step - 1 - max(0, free) * (count - 1 - number) // count
        if run.after != NEVER:
            run.want = min(step - 1, max(run.want, plan.store_steps[run.after] + 1))


def _sliced(run: Run, count: int, bus_bytes: int) -> list[Run]:
    """The same transfer in at most `count` parts."""
    if run.rows > 1:
        sizes = cuts(run.rows, -(-run.rows // count))
        return [
            replace(run, dram_address=run.dram_address + i * run.dram_pitch, offset=run.offset + i * run.pitch, rows=n) for i, n in sizes
        ]
    sizes = cuts(run.beats, -(-run.beats // count))
    return [replace(run, dram_address=run.dram_address + i * bus_bytes, offset=run.offset + i, beats=n) for i, n in sizes]
