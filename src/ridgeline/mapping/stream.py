"""The instruction stream: buffer space, tokens and the order of loads, for steps whose loops are already decided.

Steps run in order. The tiles that a step needs are loaded before its computes; tiles of later steps are loaded as early as there is room, so that
loads, computes and stores of different steps overlap. A tile goes where it waits least: every wait is for one known compute or store, and a token is
given only where a load, compute or store waits for it, so that the k-th token taken is the k-th given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.program import Compute, End, Instruction, Load, Store, Target

PREFETCHED_LOADS = 4  # ahead of a step's computes: as many as a unit's queue holds, so that they never keep the computes from their unit
AHEAD_STEPS = 2
BEATS_LIMIT = (1 << 16) - 1
UNTAKEN_STORES = 1 << 15  # `stored` tokens that no load has waited for; the engine counts them in 16 bits
NEVER = -1


@dataclass(slots=True, kw_only=True)
class Run:
    """One LOAD of a tile."""

    dram_address: int
    dram_pitch: int = 0
    offset: int = 0  # bus words from the tile's start
    pitch: int = 0
    rows: int = 1
    beats: int
    after: int = NEVER  # the last store, by number, that writes what it reads
    want: int = NEVER  # the first step before which it is worth while


@dataclass(slots=True, kw_only=True, eq=False)
class Tile:
    """Something to be loaded into one of the two input buffers, the steps that use it, and (once issued) where it lies."""

    target: Target
    words: int  # bus words
    runs: list[Run]
    table: TableLoad | None = None  # goes before it
    need: int = NEVER  # the first step that reads it
    last: int = NEVER  # the last one
    address: int = NEVER  # bus words
    issued: int = 0  # runs
    ready: int = NEVER  # the number of the load that completes it
    last_compute: int = NEVER


@dataclass(slots=True, kw_only=True, eq=False)
class TableLoad:
    slot: int
    dram_address: int
    beats: int
    after: int = NEVER  # the last store of the table that it replaces


@dataclass(slots=True, kw_only=True, eq=False)
class Block:
    """Vectors of the output buffer, written by computes and read by one store."""

    vectors: int
    address: int = NEVER
    last_compute: int = NEVER
    store: int = NEVER


@dataclass(slots=True, kw_only=True, eq=False)
class ComputeOp:
    fields: dict[str, Any]
    activation: Tile
    weight: Tile
    weight_offset: int  # weight words
    output: Block | None = None
    output_offset: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class StoreOp:
    fields: dict[str, Any]
    output: Block


Op: TypeAlias = ComputeOp | StoreOp


@dataclass(slots=True, kw_only=True, eq=False)
class Step:
    ops: list[Op]


@dataclass(slots=True, kw_only=True, eq=False)
class Tokens:
    """One kind of token. Both sides are in order, so that a wait for giver k also waits for all before it."""

    given: str  # the field of the giver
    taken: str
    waited: int = NEVER  # the last giver that was waited for

    def wait(self, givers: list[dict[str, Any]], giver: int, taker: dict[str, Any]) -> None:
        if giver > self.waited:
            givers[giver][self.given] = 1
            taker[self.taken] = 1
            self.waited = giver


@dataclass(slots=True, kw_only=True, eq=False)
class Space:
    """A buffer's room: what lies where. `Occupant` is a Tile or Block."""

    capacity: int
    occupants: list[tuple[int, int, Any]] = field(default_factory=list[tuple[int, int, Any]])

    def place(self, size: int, waits: Callable[[Any], int | None]) -> int | None:
        """The start at which `size` units wait least, or None when all wait for something still to come. `waits(occupant)`: the number of the event
        that frees it, None if that is still to come."""
        recent = self.occupants[-1][1] if self.occupants else 0
        candidates = [0, self.capacity - size, recent, *(start for start, _, _ in self.occupants[:1])]
        best: tuple[int, int] | None = None
        for order, start in enumerate(candidates):
            if start < 0 or start + size > self.capacity:
                continue
            events = [waits(occupant) for low, high, occupant in self.occupants if low < start + size and start < high]
            known = [event for event in events if event is not None]
            if len(known) < len(events):
                continue
            cost = (max(known, default=NEVER), order)
            if best is None or cost < best:
                best = cost
        return None if best is None else candidates[best[1]]

    def take(self, start: int, size: int, occupant: Any) -> list[Any]:
        """Puts the occupant there and returns those it replaces."""
        stop = start + size
        replaced = [old for low, high, old in self.occupants if low < stop and start < high]
        self.occupants = [entry for entry in self.occupants if not (entry[0] < stop and start < entry[1])]
        self.occupants.append((start, stop, occupant))
        return replaced


@dataclass(slots=True, kw_only=True, eq=False)
class Stream:
    """The stream being written: instructions as dictionaries, because a token is only asked for after its giver was issued."""

    engine: Engine
    steps: list[Step]
    store_steps: list[int]  # the step of each store
    instructions: list[tuple[type[Instruction], dict[str, Any]]] = field(default_factory=list[tuple[type[Instruction], dict[str, Any]]])
    loads: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    computes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    stores: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    stored: int = 0  # `stored` tokens taken so far


@dataclass(slots=True, kw_only=True, eq=False)
class _Side:
    """One input buffer: its room, what is still to be loaded, and its tokens."""

    space: Space
    waiting: deque[tuple[Tile, Run]]
    ready: Tokens
    free: Tokens


def write(engine: Engine, steps: list[Step], tiles: list[Tile], store_steps: list[int]) -> tuple[list[Instruction], list[int]]:
    """The instructions, END included, and the number of instructions after each step. Tiles in the order of need, buffer by buffer."""
    stream = Stream(engine=engine, steps=steps, store_steps=store_steps)
    words = engine.weight_words * (engine.weight_word_bytes // engine.bus_bytes)
    sides = {
        Target.WEIGHT: _side(tiles, Target.WEIGHT, words, "weight"),
        Target.ACTIVATION: _side(tiles, Target.ACTIVATION, engine.activation_bytes // engine.bus_bytes, "activation"),
    }
    output = Space(capacity=engine.output_bytes // engine.lanes_out)
    output_ready, output_free = Tokens(given="output_commit", taken="wait_ready"), Tokens(given="signal_free", taken="output_wait")
    ends: list[int] = []
    for number, step in enumerate(steps):
        _issue_loads(stream, sides, number)
        for op in step.ops:
            if isinstance(op, ComputeOp):
                _issue_compute(stream, sides, op, output, output_free)
            else:
                _issue_store(stream, op, output_ready)
        ends.append(len(stream.instructions))
    made = [kind(**fields) for kind, fields in stream.instructions]
    return [*made, End()], ends


def _side(tiles: list[Tile], target: Target, capacity: int, name: str) -> _Side:
    return _Side(
        space=Space(capacity=capacity),
        waiting=deque((tile, run) for tile in tiles if tile.target is target for run in tile.runs),
        ready=Tokens(given="signal_ready", taken=f"{name}_wait"),
        free=Tokens(given=f"{name}_release", taken="wait_free"),
    )


def _issue_loads(stream: Stream, sides: dict[Target, _Side], step: int) -> None:
    """What the step needs, then a few of what later steps need, in the order in which they want it."""
    for side in sides.values():
        while side.waiting and side.waiting[0][0].need <= step:
            tile, run = side.waiting.popleft()
            if not _issue_load(stream, side, tile, run, step):
                raise AssertionError(f"step {step}: no room for a tile of {tile.words} bus words; the tiling was not checked")
    for _ in range(PREFETCHED_LOADS):
        heads = [(side.waiting[0][1].want, order, side) for order, side in enumerate(sides.values()) if side.waiting]
        heads = [head for head in sorted(heads, key=lambda head: head[:2]) if head[0] <= step + AHEAD_STEPS - 1]
        for _, _, side in heads:
            if _issue_load(stream, side, *side.waiting[0], step):
                side.waiting.popleft()
                break
        else:
            return


def _issue_load(stream: Stream, side: _Side, tile: Tile, run: Run, step: int) -> bool:
    """False when it would have to wait for something that is not yet in the stream."""
    after = max(run.after, tile.table.after if tile.table and not tile.issued else NEVER)
    if after != NEVER and stream.store_steps[after] >= step:
        return False
    fields: dict[str, Any] = {}
    if not tile.issued:
        address = side.space.place(tile.words, lambda old: old.last_compute if old.last < step else None)
        if address is None:
            return False
        replaced = side.space.take(address, tile.words, tile)
        if tile.table is not None:
            _issue_table(stream, tile.table)
        freed = max((old.last_compute for old in replaced), default=NEVER)
        side.free.wait(stream.computes, freed, fields)
        tile.address = address
    fields.update(
        target=tile.target,
        wait_stored=_stored_wait(stream, max(run.after, len(stream.stores) - 1 - UNTAKEN_STORES)),
        dram_address=run.dram_address,
        dram_pitch=run.dram_pitch,
        buffer_address=tile.address + run.offset,
        buffer_pitch=run.pitch,
        rows=run.rows,
        beats=run.beats,
    )
    _append(stream, Load, fields, stream.loads)
    tile.issued += 1
    tile.ready = len(stream.loads) - 1
    return True


def _issue_table(stream: Stream, table: TableLoad) -> None:
    wait = _stored_wait(stream, table.after)
    fields = {"wait_stored": wait, "target": Target.TABLE, "dram_address": table.dram_address}
    _append(stream, Load, {**fields, "buffer_address": table.slot, "beats": table.beats}, stream.loads)


def _stored_wait(stream: Stream, store: int) -> int:
    count = max(0, store + 1 - stream.stored)
    stream.stored += count
    return count


def _append(stream: Stream, kind: type[Instruction], fields: dict[str, Any], same: list[dict[str, Any]]) -> None:
    same.append(fields)
    stream.instructions.append((kind, fields))


def _issue_compute(stream: Stream, sides: dict[Target, _Side], op: ComputeOp, output: Space, free: Tokens) -> None:
    fields, number, engine = op.fields, len(stream.computes), stream.engine
    ratio = engine.weight_word_bytes // engine.bus_bytes
    for target, tile in ((Target.ACTIVATION, op.activation), (Target.WEIGHT, op.weight)):
        sides[target].ready.wait(stream.loads, tile.ready, fields)
        tile.last_compute = number
    base = op.activation.address * engine.bus_bytes
    fields["address"] = (base + fields["address"]) % engine.activation_bytes
    fields["weight_address"] = op.weight.address // ratio + op.weight_offset
    if op.output is not None:
        if op.output.address == NEVER:
            _place_output(stream, op, output, free)
        op.output.last_compute = number
        fields["output_address"] = op.output.address + op.output_offset
    _append(stream, Compute, fields, stream.computes)


def _place_output(stream: Stream, op: ComputeOp, output: Space, free: Tokens) -> None:
    block = op.output
    assert block is not None
    address = output.place(block.vectors, lambda old: old.store if old.store != NEVER else None)
    if address is None:
        raise AssertionError(f"no room for {block.vectors} vectors in the output buffer; the tiling was not checked")
    freed = max((old.store for old in output.take(address, block.vectors, block)), default=NEVER)
    free.wait(stream.stores, freed, op.fields)
    block.address = address


def _issue_store(stream: Stream, op: StoreOp, ready: Tokens) -> None:
    fields = op.fields
    fields["buffer_address"] = op.output.address
    ready.wait(stream.computes, op.output.last_compute, fields)
    op.output.store = len(stream.stores)
    _append(stream, Store, fields, stream.stores)
