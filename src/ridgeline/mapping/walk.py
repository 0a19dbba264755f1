"""The accesses of a mapping, counted one multiplication at a time, with sets of elements: docs/counts.md as it stands, for nests of some thousands of
multiplications. It shares nothing with the closed form of `mapping/count.py` but the mapping itself; the two must come to equal integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ridgeline.algorithm.nest import Nest, Operand
from ridgeline.hardware.chip import Chip, Level
from ridgeline.mapping.access import Access, Counts
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping

Column: TypeAlias = npt.NDArray[np.int64]  # one number a multiplication
Indices: TypeAlias = tuple[int, ...]  # of some loops
Element: TypeAlias = tuple[int, ...]  # of a tensor: its place along each index
Tile: TypeAlias = frozenset[Element]


def walk(mapping: LoopMapping, nest: Nest, chip: Chip, conventions: Conventions) -> Counts:
    """Elements moved at every level that keeps a tensor, and time steps. Memory and time grow with the product of the loops."""
    run = _run(mapping, nest)
    accesses: dict[tuple[str, str], Access] = {}
    for operand in nest.operands:
        view = _View(run=run, operand=operand, is_output=operand is nest.output, conventions=conventions)
        positions = mapping.positions[operand.name]
        places = [_Place(level=level, position=positions[level.name]) for level in mapping.chain(operand.name, chip)]
        for place, access in _tensor(view, places):
            key = place.name, operand.name
            accesses[key] = accesses.get(key, Access()) + access
    return Counts(accesses=accesses, steps=len(set(run.joined(run.timed).tolist())))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """All multiplications, each with the index of every loop of more than one iteration; a loop's number is its place in the mapping."""

    loops: Mapping[int, Loop]
    timed: tuple[int, ...]
    spread: tuple[int, ...]
    indices: Mapping[int, Column]
    axes: Mapping[str, Column]

    def joined(self, numbers: Sequence[int]) -> Column:
        """The indices of some loops as one number, which rises as they do."""
        code = np.zeros(len(next(iter(self.axes.values()))), dtype=np.int64)
        for number in numbers:
            code = code * self.loops[number].size + self.indices[number]
        return code

    def parted(self, code: int, numbers: Sequence[int]) -> Indices:
        """What `joined` joined."""
        found: list[int] = []
        for number in reversed(numbers):
            code, index = divmod(code, self.loops[number].size)
            found.append(index)
        return tuple(reversed(found))


def _run(mapping: LoopMapping, nest: Nest) -> _Run:
    """Every combination of the loops' indices that lies inside all axes."""
    loops = {number: loop for number, loop in enumerate(mapping.loops) if loop.size > 1}
    sizes = tuple(loop.size for loop in loops.values())
    grid = np.indices(sizes, dtype=np.int64).reshape(len(loops), prod(sizes))
    axes = {axis: np.zeros(prod(sizes), dtype=np.int64) for axis in nest.axes}
    for row, (number, loop) in zip(grid, loops.items(), strict=True):
        axes[loop.axis] = axes[loop.axis] + row * mapping.step(number)
    happens = np.all([places < nest.axes[axis] for axis, places in axes.items()], axis=0)
    return _Run(
        loops=loops,
        timed=tuple(number for number, loop in loops.items() if loop.array is None),
        spread=tuple(number for number, loop in loops.items() if loop.array is not None),
        indices={number: row[happens] for row, number in zip(grid, loops, strict=True)},
        axes={axis: places[happens] for axis, places in axes.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A level that keeps a tensor at a position; without a level, the multiplier."""

    level: Level | None
    position: int

    @property
    def name(self) -> str:
        return self.level.name if self.level is not None else ""

    def apart(self, run: _Run) -> tuple[int, ...]:
        """The spatial loops that tell its instances apart."""
        return tuple(number for number in run.spread if self.level is None or run.loops[number].array not in self.level.serves)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One tensor of a run."""

    run: _Run
    operand: Operand
    is_output: bool
    conventions: Conventions

    def relevant(self, numbers: Sequence[int]) -> tuple[int, ...]:
        axes = self.operand.axes
        return tuple(number for number in numbers if self.run.loops[number].axis in axes)

    def reduced(self, numbers: Sequence[int]) -> tuple[int, ...]:
        axes = self.operand.axes
        return tuple(number for number in numbers if self.run.loops[number].axis not in axes)

    def visited(self, place: _Place) -> tuple[int, ...]:
        """The temporal loops 0..b, which part one visit from the next."""
        outside = [number for number in self.run.timed if number < place.position]
        innermost = max(self.relevant(outside), default=-1)
        return tuple(number for number in outside if number <= innermost)

    def elements(self) -> tuple[list[Element], Column]:
        """All elements that are touched, and the one that each multiplication touches, as a number in that list."""
        rows = np.zeros((len(next(iter(self.run.axes.values()))), len(self.operand.indices)), dtype=np.int64)
        for column, index in enumerate(self.operand.indices):
            for axis, step in index.items():
                rows[:, column] += step * self.run.axes[axis]
        extents = rows.max(axis=0) + 1
        code = np.zeros(len(rows), dtype=np.int64)
        for column in range(rows.shape[1]):
            code = code * extents[column] + rows[:, column]
        _, first, which = np.unique(code, return_index=True, return_inverse=True)
        return [tuple(int(place) for place in row) for row in rows[first]], which.reshape(-1)

    def boxed(self, tile: Tile) -> Tile:
        """With what lies between, along each index."""
        if len(tile) == 1 or not self.conventions.boxes:
            return tile
        return frozenset(product(*(range(min(place), max(place) + 1) for place in map(set, zip(*tile, strict=True)))))


def _distinct(*columns: Column) -> set[tuple[int, ...]]:
    """Different rows."""
    return set(zip(*(column.tolist() for column in columns), strict=True))


def _tensor(view: _View, places: Sequence[_Place]) -> Iterator[tuple[_Place, Access]]:
    latched = [_Place(level=None, position=1 + max(view.run.loops, default=0))] if view.conventions.latch else []
    for place in places:
        yield place, Access()
    for parent, child in pairwise([*places, *latched]):
        above, below = (_given if view.is_output else _fetched)(view, parent, child)
        yield parent, above
        if child.level is not None:
            yield child, below
    if not view.conventions.latch:
        parent = places[-2] if len(places) > 1 else None
        yield places[-1], _accumulated(view, parent, places[-1]) if view.is_output else _used(view, places[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """An instance of a child in a visit in which it is active, and the elements that it touches. `group` are its indices of relevant spatial loops,
    `rank` those of the others; `parent` is the parent's instance above it. It `starts` where all temporal loops that the tensor lacks are at 0."""

    starts: bool
    indices: Indices
    instance: Indices
    parent: Indices
    group: Indices
    rank: Indices
    tile: Tile


def _visits(view: _View, parent: _Place, child: _Place) -> list[_Visit]:
    """In the order of time."""
    run, outer, apart = view.run, view.visited(child), child.apart(view.run)
    names, elements = view.elements()
    tiles: dict[tuple[int, int], set[Element]] = {}
    for at, where, element in sorted(_distinct(run.joined(outer), run.joined(apart), elements)):
        tiles.setdefault((at, where), set()).add(names[element])
    above, group, rank, again = parent.apart(run), view.relevant(apart), view.reduced(apart), view.reduced(outer)
    times = {at: dict(zip(outer, run.parted(at, outer), strict=True)) for at in {at for at, _ in tiles}}
    spots = {where: dict(zip(apart, run.parted(where, apart), strict=True)) for where in {where for _, where in tiles}}
    return [
        _Visit(
            starts=not any(times[at][number] for number in again),
            indices=tuple(times[at].values()),
            instance=tuple(spots[where].values()),
            parent=tuple(spots[where][number] for number in above),
            group=tuple(spots[where][number] for number in group),
            rank=tuple(spots[where][number] for number in rank),
            tile=frozenset(tile),
        )
        for (at, where), tile in tiles.items()
    ]


def _fetched(view: _View, parent: _Place, child: _Place) -> tuple[Access, Access]:
    """Reads of the parent and writes of the child, for tiles that come in."""
    writes = 0
    held: dict[Indices, Tile] = {}
    below: dict[tuple[Indices, Indices], dict[Indices, Tile]] = {}  # (visit, parent's instance) -> group -> what it fetches
    visits = _visits(view, parent, child)
    times = sorted({visit.indices for visit in visits})
    sliding = _sliding(view, child) if view.conventions.slide else set[int]()
    moves = {after for before, after in pairwise(times) if _is_slide(before, after, sliding)}
    for visit in visits:
        tile = view.boxed(visit.tile)
        fetched = tile - held.get(visit.instance, frozenset()) if visit.indices in moves else tile
        held[visit.instance] = tile
        writes += len(fetched)
        same = below.setdefault((visit.indices, visit.parent), {}).setdefault(visit.group, fetched)
        assert same == fetched
    if view.conventions.share_halo:
        reads = sum(len(frozenset[Element].union(*groups.values())) for groups in below.values())
    else:
        reads = sum(len(fetched) for groups in below.values() for fetched in groups.values())
    return Access(reads=reads), Access(writes=writes)


def _sliding(view: _View, child: _Place) -> set[int]:
    """Of the loops that part the visits, counted from outside, those that move a tile on to its neighbour along one axis."""
    loops = view.run.loops
    found: set[int] = set()
    for which, moved in enumerate(view.visited(child)):
        axis = loops[moved].axis
        inner = [number for number in view.relevant(view.run.timed) if moved < number < child.position]
        spread = [number for number in child.apart(view.run) if number > moved and loops[number].axis == axis]
        if axis in view.operand.axes and all(loops[number].axis == axis for number in inner) and not spread:
            found.add(which)
    return found


def _is_slide(before: Indices, after: Indices, sliding: Set[int]) -> bool:
    moved = next(which for which, (old, new) in enumerate(zip(before, after, strict=True)) if old != new)
    return moved in sliding and after[moved] == before[moved] + 1


def _used(view: _View, level: _Place) -> Access:
    """What the multipliers read of the innermost level, a time step at a time."""
    run = view.run
    _, elements = view.elements()
    operands = elements if view.conventions.share_halo else run.joined(view.relevant(run.spread))
    return Access(reads=len(_distinct(run.joined(run.timed), run.joined(level.apart(run)), operands)))


def _given(view: _View, parent: _Place, child: _Place) -> tuple[Access, Access]:
    """Outputs that leave a child for its parent, and partial sums that come back."""
    visits = _visits(view, parent, child)
    latest = {element: visit.indices for visit in visits for element in visit.tile}
    seen: set[tuple[Indices, Indices, Indices]] = set()  # instances with the same tile count once
    above, below = Access(), Access()
    for visit in visits:
        size, last = len(visit.tile), all(latest[element] == visit.indices for element in visit.tile)
        tile = visit.indices, visit.parent, visit.group
        if tile not in seen:
            above += Access(writes=size) if last else Access(partial_writes=size)
        if tile not in seen and not visit.starts:
            above += Access(partial_reads=size)
        if not visit.starts and (view.conventions.refill_all or tile not in seen):
            below += Access(partial_writes=size)
        if view.conventions.drain_reads:
            below += Access(reads=size) if last else Access(partial_reads=size)
        seen.add(tile)
    return above, below


def _accumulated(view: _View, parent: _Place | None, level: _Place) -> Access:
    """What the multipliers add to the innermost level, a time step at a time."""
    run, outer, apart = view.run, view.visited(level), level.apart(view.run)
    empty = _starting(view, parent, level)
    _, elements = view.elements()
    rows = _distinct(run.joined(run.timed), run.joined(outer), run.joined(apart), elements)
    writes = reads = 0
    occurred: set[tuple[int, int, int]] = set()
    for _, visit, instance, element in sorted(rows):
        writes += 1
        is_new = (visit, instance, element) not in occurred
        occurred.add((visit, instance, element))
        reads += not (is_new and (run.parted(visit, outer), run.parted(instance, apart)) in empty)
    return Access(partial_reads=reads, partial_writes=writes)


def _starting(view: _View, parent: _Place | None, level: _Place) -> set[tuple[Indices, Indices]]:
    """(visit, instance) of the innermost level in which its outputs start from nothing."""
    visits = _visits(view, parent or level, level)
    refilled: dict[tuple[Indices, Indices, Indices], Indices] = {}
    for visit in visits:
        key = (visit.indices, visit.parent, visit.group)
        refilled[key] = min(refilled.get(key, visit.rank), visit.rank)
    empty: set[tuple[Indices, Indices]] = set()
    for visit in visits:
        elsewhere = refilled[visit.indices, visit.parent, visit.group] != visit.rank
        if visit.starts or (elsewhere and parent is not None and not view.conventions.refill_all):
            empty.add((visit.indices, visit.instance))
    return empty
