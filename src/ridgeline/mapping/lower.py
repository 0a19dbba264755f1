"""From an integer graph to a program: where everything lies in DRAM, and the instruction stream of all layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.graph import Graph, Node
from ridgeline.hardware.engine.engine import TABLE_BYTES, TABLES, Engine
from ridgeline.mapping.build import Plan, Source, add_part
from ridgeline.mapping.encoding import INT8, Encoding
from ridgeline.mapping.image import packed_bytes
from ridgeline.mapping.layer import Part, weight_words
from ridgeline.mapping.parts import layout, parts
from ridgeline.mapping.program import ALIGNMENT, INSTRUCTION_BYTES, Instruction, Load, Placement, Program, Span, Store, Target
from ridgeline.mapping.stream import NEVER, TableLoad, write
from ridgeline.mapping.tiling import Tiling, check, clipped, default_tiling
from ridgeline.mapping.weights import packed

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def lower(
    graph: Graph, engine: Engine, tilings: Mapping[str, Tiling] | None = None, *, pack: bool = True, encoding: Encoding = INT8
) -> Program:
    """The program of one image. `tilings` by node name; `default_tiling` for the rest. Without `pack` the constants are left empty and all else is
    the same, which is enough for a prediction and saves most of the time. Addresses count the elements of `encoding`.

    Raises DoesNotFitError when a tile is larger than a buffer, UnsupportedError for an operator that the engine does not have.
    """
    sizes = layout(graph, engine)
    placements = _placements(graph, engine, sizes)
    plan = Plan(engine=engine, placements=placements)
    constants = _Constants(engine=engine, pack=pack, encoding=encoding)
    ends: list[tuple[Node, int, str]] = []
    for node in graph.nodes:
        made = parts(graph, node, engine, sizes)
        used = [_tiling(part, engine, tilings or {}) for part in made]
        for part, tiling, source in zip(made, used, constants.add(node, made, plan), strict=True):
            add_part(plan, part, tiling, source)
        constants.close(plan)
        ends.append((node, len(plan.steps) - 1, str(used[0])))
    instructions, stops = write(engine, plan.steps, plan.tiles, plan.store_steps)
    return _program(graph, engine, _Draft(instructions=instructions, stops=stops, ends=ends, placements=placements), constants)


def _tiling(part: Part, engine: Engine, tilings: Mapping[str, Tiling]) -> Tiling:
    where = f"node '{part.node}'"
    if part.node not in tilings:
        return default_tiling(part.work, engine, where)
    tiling = clipped(tilings[part.node], part.work, engine)
    check(tiling, part.work, engine, where)
    return tiling


def _placements(graph: Graph, engine: Engine, sizes: Mapping[str, int]) -> dict[str, Placement]:
    """Every tensor at a place of its own, counted from the first one; constant ones first."""
    placed: dict[str, Placement] = {}
    address = 0
    for name in (*graph.constants, *(name for name in graph.tensors if name not in graph.constants)):
        tensor = graph.tensors[name]
        row = -(-tensor.shape[2] * sizes[name] // engine.bus_bytes) * engine.bus_bytes
        placed[name] = Placement(name=name, address=address, shape=tensor.shape, pixel_bytes=sizes[name], row_bytes=row)
        address = _aligned(address + placed[name].bytes)
    return placed


def _fixed(graph: Graph, placements: Mapping[str, Placement], dtype: str) -> bytes:
    """The constant tensors' bytes, from the first tensor's address on."""
    size = np.dtype(dtype).itemsize
    chunks = [packed_bytes(placements[name], values, dtype) for name, values in graph.constants.items()]
    return b"".join(chunk + bytes(size * _aligned(len(chunk) // size) - len(chunk)) for chunk in chunks)


def _aligned(address: int) -> int:
    return -(-address // ALIGNMENT) * ALIGNMENT


@dataclass(slots=True, eq=False)
class _Constants:
    """Weights, parameters and tables, one after another from DRAM address 0, and which table is in which slot."""

    engine: Engine
    chunks: list[Array]
    size: int
    slot_stores: list[int]  # the last store of the last node that used each slot
    slots: int  # tables so far
    pack: bool
    encoding: Encoding

    def __init__(self, *, engine: Engine, pack: bool = True, encoding: Encoding = INT8) -> None:
        self.pack, self.encoding = pack, encoding
        self.engine, self.chunks, self.size, self.slots = engine, [], 0, 0
        self.slot_stores = [NEVER] * TABLES

    def add(self, node: Node, made: tuple[Part, ...], plan: Plan) -> list[Source]:
        """Places a node's table and its parts' weights."""
        table, slot = None, 0
        if node.stage is not None and node.stage.table is not None:
            slot = self.slots % TABLES
            self.slots += 1
            address = self._append(node.stage.table.astype(np.int8))
            table = TableLoad(slot=slot, dram_address=address, beats=-(-TABLE_BYTES // self.engine.bus_bytes), after=self.slot_stores[slot])
        sources: list[Source] = []
        for number, part in enumerate(made):
            weights = self._append(self._weights(part))
            sources.append(Source(weights=weights, table=table if number == 0 else None, slot=slot))
        return sources

    def close(self, plan: Plan) -> None:
        """Remembers the last store of the node that was just built for the slot that it used."""
        if self.slots:
            self.slot_stores[(self.slots - 1) % TABLES] = len(plan.store_steps) - 1

    def _weights(self, part: Part) -> Array:
        if self.pack:
            return packed(part, self.engine, self.encoding.records(part, self.engine.lanes_out)).reshape(-1)
        size = part.work.blocks * weight_words(part.work, self.engine) * self.engine.weight_word_bytes
        return np.broadcast_to(np.zeros(1, np.int8), size)

    def _append(self, data: Array) -> int:
        address = self.size
        padding = -data.size % self.engine.weight_word_bytes
        if self.pack:
            self.chunks.append(data)
            self.chunks.append(np.zeros(padding, self.encoding.dtype))
        self.size += data.size + padding
        return address

    def bytes(self) -> bytes:
        return np.concatenate([*self.chunks, np.zeros(0, self.encoding.dtype)]).tobytes()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draft:
    instructions: list[Instruction]
    stops: list[int]  # instructions after each step
    ends: list[tuple[Node, int, str]]  # each node's last step
    placements: Mapping[str, Placement]


def _program(graph: Graph, engine: Engine, draft: _Draft, constants: _Constants) -> Program:
    """Everything at its final address."""
    entry = _aligned(constants.size)
    base = _aligned(entry + len(draft.instructions) * INSTRUCTION_BYTES)
    placements = {name: replace(place, address=place.address + base) for name, place in draft.placements.items()}
    spans: list[Span] = []
    start = 0
    for node, step, tiling in draft.ends:
        spans.append(
            Span(
                node=node.name,
                operator=type(node.operator).__name__,
                macs=graph.macs(node),
                start=start,
                stop=draft.stops[step],
                output=node.output,
                tiling=tiling,
            )
        )
        start = draft.stops[step]
    return Program(
        engine=engine,
        network=graph.name,
        instructions=tuple(_moved(instruction, base) for instruction in draft.instructions),
        constants=constants.bytes(),
        entry=entry,
        memory_bytes=max((_aligned(place.address + place.bytes) for place in placements.values()), default=base),
        placements=placements,
        inputs=tuple(port.tensor for port in graph.inputs),
        outputs=tuple(port.tensor for port in graph.outputs),
        spans=tuple(spans),
        fixed=_fixed(graph, placements, constants.encoding.dtype) if constants.pack else b"",
    )


def _moved(instruction: Instruction, base: int) -> Instruction:
    """With addresses of tensors counted from 0."""
    tensor = isinstance(instruction, Store) or (isinstance(instruction, Load) and instruction.target is Target.ACTIVATION)
    if tensor:
        assert isinstance(instruction, Store | Load)
        return replace(instruction, dram_address=instruction.dram_address + base)
    return instruction
