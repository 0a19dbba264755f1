"""How a layer is cut to fit the engine's buffers, and in which order the pieces run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import product

from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.layer import Pair, Work, block_words, input_tile_words, snap, weight_words

COUNT_LIMIT = 4095  # of the loops of a COMPUTE, 12 bits
CHUNK_LIMIT = (1 << 14) - 1
OVERLAPPED_TILES = 4  # tiles of a layer from which its ends overlap its neighbours well
GROUP_MINIMUM = 32  # pixels below which a group's fixed costs show


class Order(IntEnum):
    """Which loop over tiles is outside. All weights of a layer in one tile are loaded once, and so is an input in one tile."""

    PIXELS = 0  # activations stay while the weights' tiles pass
    CHANNELS = 1  # weights stay while the activations' tiles pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Sizes of the pieces by axis; each is clipped to the layer, so that one tiling serves all parts of a node."""

    y: int  # output rows of a tile
    x: int  # output columns of a tile
    m: int  # output channels of a tile of weights, a multiple of lanes_out
    c: int = 0  # runs of a piece of the reduction; 0: a block of output channels has all its weights in the buffer at once
    order: Order = Order.PIXELS
    group_y: int  # output rows and columns of one COMPUTE
    group_x: int

    def __str__(self) -> str:
        piece = f" c{self.c}" if self.c else ""
        return f"y{self.y} x{self.x} m{self.m}{piece} group {self.group_y}x{self.group_x}, {self.order.name.lower()} outer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The most that one tile takes of each resource."""

    activation_bytes: int
    weight_words: int
    output_vectors: int
    accumulators: int


def clipped(tiling: Tiling, work: Work, engine: Engine) -> Tiling:
    """The tiling with its sizes brought into this work's bounds."""
    y, x = snap(work, 0, tiling.y), snap(work, 1, tiling.x)
    return Tiling(
        y=y,
        x=x,
        m=min(max(tiling.m // engine.lanes_out, 1), work.blocks) * engine.lanes_out,
        c=0 if tiling.c >= work.runs or block_words(work, engine) == 0 else tiling.c,
        order=tiling.order,
        group_y=snap(work, 0, min(tiling.group_y, y)),
        group_x=snap(work, 1, min(tiling.group_x, x)),
    )


def need(tiling: Tiling, work: Work, engine: Engine) -> Need:
    """Of a clipped tiling."""
    blocks = tiling.m // engine.lanes_out
    words = blocks * weight_words(work, engine)
    if tiling.c:
        words = tiling.c * block_words(work, engine) + engine.parameter_words
    return Need(
        activation_bytes=input_tile_words(work, tiling.y, tiling.x, engine.bus_bytes) * engine.bus_bytes,
        weight_words=words,
        output_vectors=tiling.group_y * tiling.group_x,
        accumulators=tiling.group_y * tiling.group_x,
    )


def check(tiling: Tiling, work: Work, engine: Engine, where: str = "a layer") -> None:
    """Raises DoesNotFitError for the first buffer that is too small for one tile. `tiling` is clipped."""
    needed = need(tiling, work, engine)
    word = engine.weight_word_bytes
    for resource, bytes_, have in (
        ("activation_bytes", needed.activation_bytes, engine.activation_bytes),
        ("weight_bytes", needed.weight_words * word, engine.weight_words * word),
        ("output_bytes", needed.output_vectors * engine.lanes_out, engine.output_bytes),
        ("accumulator_depth", needed.accumulators, engine.accumulator_depth),
        ("a COMPUTE's y_count", tiling.group_y, COUNT_LIMIT),
        ("a COMPUTE's x_count", _x_count(tiling, work), COUNT_LIMIT),
        ("a COMPUTE's chunk_count", work.chunks, CHUNK_LIMIT),
    ):
        if bytes_ > have:
            raise DoesNotFitError(f"{where}: tiling {tiling} needs {bytes_:,} of {resource} but the engine has {have:,}; use smaller tiles")


def legal(tiling: Tiling, work: Work, engine: Engine) -> bool:
    """Whether one tile fits every buffer."""
    tiling = clipped(tiling, work, engine)
    needed = need(tiling, work, engine)
    return (
        needed.activation_bytes <= engine.activation_bytes
        and needed.weight_words <= engine.weight_words
        and needed.output_vectors <= engine.output_bytes // engine.lanes_out
        and needed.accumulators <= engine.accumulator_depth
        and max(tiling.group_y, _x_count(tiling, work)) <= COUNT_LIMIT
        and work.chunks <= CHUNK_LIMIT
    )


def _x_count(tiling: Tiling, work: Work) -> int:
    return tiling.group_x if work.window == 1 else (tiling.group_x - 1) * work.stride[1] + work.window


def tilings(work: Work, engine: Engine) -> Iterator[Tiling]:
    """Every legal tiling of a small, representative set: tiles that halve, groups that fill the accumulators or less."""
    blocks = _halvings(work.blocks)
    pieces = (0, *(size for size in _halvings(work.runs) if size < work.runs))
    for y, x in product(_halvings(work.size[0]), _halvings(work.size[1])):
        for group_y, group_x in product(_halvings(y), _halvings(x)):
            for m, c, order in product(blocks, pieces, Order):
                if c and m > 1:
                    continue
                tiling = Tiling(y=y, x=x, m=m * engine.lanes_out, c=c, order=order, group_y=group_y, group_x=group_x)
                if clipped(tiling, work, engine) == tiling and legal(tiling, work, engine):
                    yield tiling


def _halvings(size: int) -> tuple[int, ...]:
    sizes = [size]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 2))
    return tuple(sizes)


def default_tiling(work: Work, engine: Engine, where: str = "a layer") -> Tiling:
    """A sensible tiling: double-buffered tiles of whole rows where they fit, some tiles a layer so that its ends overlap its neighbours.

    Raises DoesNotFitError when not even one output pixel of lanes_out channels fits.
    """
    m, c = _weights(work, engine)
    group_y, group_x = _group(work, engine, m // engine.lanes_out)
    smallest = clipped(Tiling(y=1, x=1, m=engine.lanes_out, c=1, group_y=1, group_x=1), work, engine)
    check(smallest, work, engine, where)
    y, x = _tile(work, engine, (group_y, group_x))
    resident = m >= work.blocks * engine.lanes_out and not c
    tiling = Tiling(y=y, x=x, m=m, c=c, order=Order.PIXELS, group_y=group_y, group_x=group_x)
    if not resident and not c and _weight_traffic(tiling, work, engine) > _activation_traffic(tiling, work, engine):
        tiling = Tiling(y=y, x=x, m=m, order=Order.CHANNELS, group_y=group_y, group_x=group_x)
    tiling = clipped(tiling, work, engine)
    check(tiling, work, engine, where)
    return tiling


def _group(work: Work, engine: Engine, blocks: int) -> Pair:
    """Rows and columns of a group: whole rows where they fit, evenly cut; small enough that all blocks of channels of its pixels lie in the output
    buffer at once and are stored as long runs, and that the layer has some groups.
    """
    least = max(GROUP_MINIMUM, 2 * block_words(work, engine))
    half = max(1, engine.output_bytes // engine.lanes_out // 2)
    most = min(engine.accumulator_depth, COUNT_LIMIT, max(half // blocks, min(least, half)))
    most_columns = min(most, (COUNT_LIMIT - work.window) // work.stride[1] + 1) if work.window > 1 else most
    height, width = work.size
    columns = snap(work, 1, _even(width, most_columns))
    rows = snap(work, 0, _even(height, max(1, most // columns)))
    tiles = min(OVERLAPPED_TILES, max(1, work.pixels // least))
    if columns >= width:
        rows = snap(work, 0, min(rows, -(-height // tiles)))
    return rows, columns


def _even(total: int, most: int) -> int:
    """The size of equal pieces of at most `most`."""
    return -(-total // -(-total // most))


def _tile(work: Work, engine: Engine, group: Pair) -> Pair:
    """Rows and columns of a tile of activations: two of them fit the buffer where possible; whole rows, as many groups as are well overlapped."""
    width, bus = work.size[1], engine.bus_bytes

    def fits(rows: int, columns: int, limit: int) -> bool:
        return input_tile_words(work, rows, columns, bus) * bus <= limit

    for limit in (engine.activation_bytes // 2, engine.activation_bytes):
        rows = group[0]
        while rows > 1 and not fits(rows, width, limit):
            rows = snap(work, 0, rows - 1)
        if fits(rows, width, limit):
            most = max(-(-work.size[0] // OVERLAPPED_TILES), rows)
            return max(size for size in range(rows, most + 1, rows) if size == rows or fits(size, width, limit)), width
    for limit in (engine.activation_bytes // 2, engine.activation_bytes):
        columns = width
        while columns > 1 and not fits(1, columns, limit):
            columns = snap(work, 1, columns - 1)
        if fits(1, columns, limit):
            return 1, columns
    return 1, 1


def _weights(work: Work, engine: Engine) -> Pair:
    """Output channels of a tile of weights, and the runs of a piece if one block of channels is too much."""
    words = weight_words(work, engine)
    half = engine.weight_words // 2
    if work.blocks * words <= half:
        return work.blocks * engine.lanes_out, 0
    if words <= half:
        return -(-work.blocks // -(-work.blocks // (half // words))) * engine.lanes_out, 0
    if block_words(work, engine) == 0 or (words <= engine.weight_words and half < engine.parameter_words + block_words(work, engine)):
        return engine.lanes_out, 0
    return engine.lanes_out, max(1, (half - engine.parameter_words) // block_words(work, engine))


def _weight_traffic(tiling: Tiling, work: Work, engine: Engine) -> int:
    """Bytes when pixels are outside."""
    tiles = -(-work.size[0] // tiling.y) * -(-work.size[1] // tiling.x)
    return tiles * work.blocks * weight_words(work, engine) * engine.weight_word_bytes


def _activation_traffic(tiling: Tiling, work: Work, engine: Engine) -> int:
    """Bytes when channels are outside."""
    tiles = -(-work.size[0] // tiling.y) * -(-work.size[1] // tiling.x)
    passes = 1 if tiles == 1 else -(-work.blocks * engine.lanes_out // tiling.m)
    tile = input_tile_words(work, tiling.y, tiling.x, engine.bus_bytes) * engine.bus_bytes
    return tiles * passes * tile + work.blocks * weight_words(work, engine) * engine.weight_word_bytes
