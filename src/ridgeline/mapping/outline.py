"""What stands where in a mapping, level by level: its tiles, the loops over them, and what moves to the next level. For people and reports; it costs
nothing that `mapping/estimate.py` does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ridgeline.algorithm.nest import Nest
from ridgeline.hardware.chip import Chip, Level, Widths
from ridgeline.mapping.access import Access
from ridgeline.mapping.count import Transfer, transfers
from ridgeline.mapping.estimate import tile_bytes, tile_elements, used_instances
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping, home, is_inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """The largest tile of a tensor that one instance of a level holds. shape: first axis of an index -> positions from its lowest to its highest."""

    shape: Mapping[str, int]
    elements: int
    bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What one tensor moves between a level and the next one inwards that keeps it (None: the multipliers), both ways. `parent_bytes` are read or
    written at the level, `child_bytes` at all instances of the next one: more where one read serves several. `back_bytes` are those of `parent_bytes`
    that are partial sums on their way in again."""

    tensor: str
    child: str | None
    parent_bytes: float
    child_bytes: float
    back_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One level. `loops` are those between its tiles and the next level's, outermost first; where tensors stand at different positions, the
    outermost one of this level and all inside it counts, but for tensors that have their home there while others have tiles."""

    level: str
    instances: int
    used: int
    tiles: Mapping[str, Tile]
    loops: tuple[Loop, ...]
    links: tuple[Link, ...]


def outline(mapping: LoopMapping, nest: Nest, chip: Chip, conventions: Conventions) -> tuple[Outline, ...]:
    """The levels that keep a tensor, outermost first."""
    kept = [level for level in chip.levels if any(level.name in levels for levels in mapping.positions.values())]
    own = [_outermost(mapping, chip, level) for level in kept]
    begins = [min(own[number:]) for number in range(len(own))]
    bytes_of, moved = tile_bytes(mapping, nest, chip, conventions), transfers(mapping, nest, chip, conventions)
    return tuple(
        Outline(
            level=level.name,
            instances=chip.instances(level),
            used=used_instances(mapping, level),
            tiles={
                tensor: _tile(mapping, nest, (tensor, level), bytes_of[level.name][tensor], conventions) for tensor in bytes_of[level.name]
            },
            loops=tuple(loop for loop in mapping.loops[start:stop] if loop.size > 1),
            links=tuple(_link(transfer, chip.widths) for transfer in moved if transfer.parent == level.name),
        )
        for level, start, stop in zip(kept, begins, [*begins[1:], len(mapping.loops)], strict=True)
    )


def _outermost(mapping: LoopMapping, chip: Chip, level: Level) -> int:
    """Where a level's tiles stand; outside of all loops if it holds whole tensors only."""
    tiled = [levels[level.name] for tensor, levels in mapping.positions.items() if level.name in levels and home(chip, tensor) is not level]
    return min(tiled, default=0)


def _tile(mapping: LoopMapping, nest: Nest, place: tuple[str, Level], size: float, conventions: Conventions) -> Tile:
    tensor, level = place
    sizes = dict.fromkeys(nest.axes, 1)
    for number, loop in enumerate(mapping.loops):
        if is_inside(mapping, number, level, mapping.positions[tensor][level.name]):
            sizes[loop.axis] = min(sizes[loop.axis] * loop.size, nest.axes[loop.axis])
    operand = next(operand for operand in nest.operands if operand.name == tensor)
    shape = {next(iter(index)): extent for index, extent in zip(operand.indices, operand.extents(sizes), strict=True) if index}
    return Tile(shape=shape, elements=tile_elements(mapping, nest, tensor, level, conventions), bytes=size)


def _link(moved: Transfer, widths: Widths) -> Link:
    above, below = (_bytes(access, moved.tensor, widths) for access in (moved.above, moved.below))
    return Link(
        tensor=moved.tensor, child=moved.child, parent_bytes=above, child_bytes=above if moved.child is None else below,
        back_bytes=moved.above.partial_reads * widths.partial / 8,
    )  # fmt: skip


def _bytes(access: Access, tensor: str, widths: Widths) -> float:
    whole, partial = access.reads + access.writes, access.partial_reads + access.partial_writes
    return (whole * getattr(widths, tensor) + partial * widths.partial) / 8
