"""The accesses of a mapping in closed form, exact: docs/counts.md says what is counted, and `mapping/walk.py` counts the same element by element.

Everything is a product over the nest's axes. An axis of N steps is cut by its loops into tiles: of P steps each, and a smaller one at the end.
A tensor's elements summed over the tiles of a relevant axis are the axis again (or, for windows, a sum over full and last tiles); an axis that the
tensor lacks contributes the number of different indices of those of its loops that make a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product
from math import gcd, prod

from ridgeline.algorithm.nest import Nest, Operand
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.hardware.chip import Chip, Level
from ridgeline.mapping.access import Access, Counts
from ridgeline.mapping.loops import Conventions, LoopMapping, is_inside

LARGEST = 2**62  # iterations


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A tensor between a level that keeps it and the next one inwards that does, None for the multipliers: accesses of either side."""

    tensor: str
    parent: str
    child: str | None
    above: Access
    below: Access


def transfers(mapping: LoopMapping, nest: Nest, chip: Chip, conventions: Conventions) -> list[Transfer]:
    """Elements moved, tensor by tensor from outside. Raises UnsupportedError for a nest that these counts do not cover."""
    check_nest(nest)
    cut = Cut.of(mapping, nest)
    found: list[Transfer] = []
    for operand in nest.operands:
        side = _Side(cut=cut, operand=operand, mapping=mapping, conventions=conventions)
        found += _tensor_transfers(side, mapping.chain(operand.name, chip), is_output=operand is nest.output)
    return found


def count(mapping: LoopMapping, nest: Nest, chip: Chip, conventions: Conventions) -> Counts:
    """Elements moved at every level that keeps a tensor, and time steps. Raises UnsupportedError for a nest that these counts do not cover."""
    found: dict[tuple[str, str], Access] = {}
    for moved in transfers(mapping, nest, chip, conventions):
        for name, access in ((moved.parent, moved.above), (moved.child, moved.below)):
            if name is not None:
                found[name, moved.tensor] = found.get((name, moved.tensor), Access()) + access
    cut = Cut.of(mapping, nest)
    timed = {number for number, loop in enumerate(mapping.loops) if loop.array is None}
    return Counts(accesses=found, steps=prod(cut.distinct(axis, timed) for axis in nest.axes))


def check_nest(nest: Nest) -> None:
    """Raises UnsupportedError for what the axes cannot express, InputError for what overflows."""
    if tuple(operand.name for operand in nest.operands) != ("input", "weight", "output"):
        raise UnsupportedError(f"nest '{nest.notation}': a mapping needs the operands input and weight, and an output")
    for operand in nest.operands:
        axes = [axis for index in operand.indices for axis in index]
        twice = next((axis for axis in axes if axes.count(axis) > 1), None)
        if twice is not None:
            raise UnsupportedError(f"nest '{nest.notation}': axis '{twice}' is in two indices of the {operand.name}")
        if any(step < 1 for index in operand.indices for step in index.values()):
            raise UnsupportedError(f"nest '{nest.notation}': an index of the {operand.name} runs backwards")
    if any(len(index) > 1 for index in nest.output.indices):
        raise UnsupportedError(f"nest '{nest.notation}': an output that is scattered into overlapping windows")
    if nest.iterations > LARGEST:
        raise InputError(f"nest '{nest.notation}' has {nest.iterations:,} iterations; at most 2^62 can be counted")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A loop as a part of its axis' chain, the outermost first."""

    number: int
    step: int
    timed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How the loops cut each axis."""

    sizes: Mapping[str, int]
    chains: Mapping[str, tuple[_Part, ...]]

    @classmethod
    def of(cls, mapping: LoopMapping, nest: Nest) -> Cut:
        chains: dict[str, tuple[_Part, ...]] = {}
        for axis in nest.axes:
            numbers = [number for number, loop in enumerate(mapping.loops) if loop.axis == axis and loop.size > 1]
            chains[axis] = tuple(
                _Part(number=number, step=mapping.step(number), timed=mapping.loops[number].array is None) for number in numbers
            )
        return cls(sizes=nest.axes, chains=chains)

    def tile(self, axis: str, outside: Set[int]) -> int:
        """Steps of the axis inside all loops of `outside`."""
        inner = [part.step for part in self.chains[axis] if part.number in outside]
        return min(inner[-1] if inner else self.sizes[axis], self.sizes[axis])

    def distinct(self, axis: str, counted: Set[int]) -> int:
        """Different indices of the loops in `counted`, over all steps of the axis."""
        return _distinct(self.chains[axis], counted, self.sizes[axis])

    def active(self, axis: str, timed: Set[int], spread: Set[int], *, last: bool) -> int:
        """Different indices of the spatial loops `spread` at the first or last indices of the loops in time `timed`."""
        chain, size = self.chains[axis], self.sizes[axis]
        indices = dict.fromkeys(timed, 0)
        left = size
        for part in chain:
            if last and part.number in timed:
                indices[part.number] = -(-left // part.step) - 1
                left -= indices[part.number] * part.step
            else:
                left = min(left, part.step)
        return _active(chain, indices, spread, size)


def _distinct(chain: Sequence[_Part], counted: Set[int], steps: int) -> int:
    if not chain:
        return 1
    part, inner = chain[0], chain[1:]
    if part.number not in counted:
        return _distinct(inner, counted, min(steps, part.step))
    whole, rest = divmod(steps, part.step)
    return (whole * _distinct(inner, counted, part.step) if whole else 0) + (_distinct(inner, counted, rest) if rest else 0)


def _active(chain: Sequence[_Part], indices: Mapping[int, int], spread: Set[int], steps: int) -> int:
    if steps <= 0:
        return 0
    if not chain:
        return 1
    part, inner = chain[0], chain[1:]
    if part.number in indices:
        return _active(inner, indices, spread, min(steps - indices[part.number] * part.step, part.step))
    if part.number not in spread:
        return _active(inner, indices, spread, min(steps, part.step))
    whole, rest = divmod(steps, part.step)
    return (whole * _active(inner, indices, spread, part.step) if whole else 0) + _active(inner, indices, spread, rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """A tensor, and what its counts need of the mapping."""

    cut: Cut
    operand: Operand
    mapping: LoopMapping
    conventions: Conventions

    @property
    def lacking(self) -> tuple[str, ...]:
        """Axes over which the same element is used again."""
        return tuple(axis for axis in self.cut.sizes if axis not in self.operand.axes)

    def timed(self, position: int) -> set[int]:
        """The loops in time outside a position that move the tile, or are outside of one that does."""
        loops = self.mapping.loops
        own = [
            number for number in range(position) if loops[number].array is None and loops[number].size > 1
            and loops[number].axis in self.operand.axes
        ]  # fmt: skip
        innermost = own[-1] if own else -1
        return {number for number in range(innermost + 1) if loops[number].array is None and loops[number].size > 1}

    def spread(self, level: Level | None) -> set[int]:
        """The spatial loops that a level does not serve; the multiplier (None) serves none."""
        serves = level.serves if level is not None else ()
        return {number for number, loop in enumerate(self.mapping.loops) if loop.array is not None and loop.array not in serves}

    def outside(self, level: Level | None, position: int) -> set[int]:
        """All loops outside the tile at a level."""
        loops = self.mapping.loops
        if level is None:
            return set(range(len(loops)))
        return {number for number in range(len(loops)) if not is_inside(self.mapping, number, level, position)}

    def times(self, counted: Set[int]) -> int:
        """How often the axes that the tensor lacks bring the same elements."""
        return prod(self.cut.distinct(axis, counted) for axis in self.lacking)

    def present(self, timed: Set[int], spread: Set[int], *, last: bool) -> int:
        """The instances, as far as the axes that the tensor lacks tell them apart, that are active at the first or last of the indices `timed`."""
        return prod(self.cut.active(axis, timed, spread, last=last) for axis in self.lacking)


def _tensor_transfers(side: _Side, chain: Sequence[Level], *, is_output: bool) -> list[Transfer]:
    tensor = side.operand.name
    places = [(level, side.mapping.positions[tensor][level.name]) for level in chain]
    children: list[tuple[Level | None, int]] = [*places[1:]]
    if side.conventions.latch:
        children.append((None, len(side.mapping.loops)))
    found: list[Transfer] = []
    for (parent, _), (child, position) in zip(places, children, strict=False):
        above, below = (_drained if is_output else _fetched)(side, parent, child, position)
        found.append(Transfer(tensor=tensor, parent=parent.name, child=None if child is None else child.name, above=above, below=below))
    if not side.conventions.latch:
        outer = places[-2][0] if len(places) > 1 else None
        level, position = places[-1]
        own = _accumulated(side, outer, level, position) if is_output else _operands(side, level)
        found.append(Transfer(tensor=tensor, parent=level.name, child=None, above=own, below=Access()))
    return found


def _operands(side: _Side, level: Level) -> Access:
    """What the multipliers read of the innermost level, a time step at a time."""
    loops = side.mapping.loops
    timed = {number for number, loop in enumerate(loops) if loop.array is None}
    elements = _elements(side, set(range(len(loops))), _shared(side, level, None))
    return Access(reads=elements * side.times(timed | side.spread(level)))


def _fetched(side: _Side, parent: Level, child: Level | None, position: int) -> tuple[Access, Access]:
    """Reads of the parent and writes of the child, for tiles that come in."""
    timed, outside = side.timed(position), side.outside(child, position)
    shared = _shared(side, parent, child)
    apart, together = side.spread(child), side.spread(parent)
    writes = _elements(side, outside, set()) * side.times(timed | apart)
    reads = _elements(side, outside, shared) * side.times(timed | together)
    for number in _slides(side, timed, outside) if side.conventions.slide else ():
        earlier = {other for other in timed if other < number}
        writes -= _kept(side, number, outside, set()) * side.times(earlier | apart)
        reads -= _kept(side, number, outside, shared) * side.times(earlier | together)
    return Access(reads=reads), Access(writes=writes)


def _shared(side: _Side, parent: Level, child: Level | None) -> set[int]:
    """With `share_halo`, the spatial loops below one parent, whose overlapping tiles are read once."""
    return side.spread(child) - side.spread(parent) if side.conventions.share_halo else set()


def _slides(side: _Side, timed: Set[int], outside: Set[int]) -> list[int]:
    """The loops that move a tile on to its neighbour along one axis of a window."""
    loops = side.mapping.loops
    windows = {axis for index in side.operand.indices if len(index) > 1 for axis in index}
    found: list[int] = []
    axis = ""
    for number in sorted(timed, reverse=True):
        loop = loops[number]
        if loop.axis not in side.operand.axes:
            continue
        axis = axis or loop.axis
        blocked = any(
            other > number and other in outside and loops[other].array is not None and loops[other].axis == axis and loops[other].size > 1
            for other in range(len(loops))
        )
        if loop.axis != axis or axis not in windows or blocked:
            break
        found.append(number)
    return found


def _elements(side: _Side, outside: Set[int], shared: Set[int]) -> int:
    """Of the tensor, summed over all its different tiles; those that differ in the loops `shared` only are joined."""
    return prod(_index_elements(side, index, outside, shared) for index in side.operand.indices)


def _index_elements(side: _Side, index: Mapping[str, int], outside: Set[int], shared: Set[int]) -> int:
    if len(index) > 1 and any(part.number in shared for axis in index for part in side.cut.chains[axis]):
        groups = [_groups(side.cut, axis, outside, shared) for axis in index]
        return sum(_joined(index, ranges, side.conventions) for ranges in product(*groups))
    choices = [_tiles(side.cut.sizes[axis], side.cut.tile(axis, outside)) for axis in index]
    return sum(
        prod(times for _, times in tiles) * positions(tuple(index.values()), tuple(size for size, _ in tiles), side.conventions)
        for tiles in product(*choices)
    )


def _kept(side: _Side, number: int, outside: Set[int], shared: Set[int]) -> int:
    """Elements that the tiles keep when loop `number` moves them on to their neighbours, summed over its moves."""
    axis = side.mapping.loops[number].axis
    total = 1
    for index in side.operand.indices:
        total *= _index_kept(side, index, number, outside, shared) if axis in index else _index_elements(side, index, outside, shared)
    return total


def _index_kept(side: _Side, index: Mapping[str, int], number: int, outside: Set[int], shared: Set[int]) -> int:
    moving = side.mapping.loops[number].axis
    if any(part.number in shared for axis in index for part in side.cut.chains[axis]):
        return _joined_kept(side, index, number, outside, shared)
    tile = side.cut.tile(moving, outside)
    moves = _moves(side.cut.chains[moving], number, outside, side.cut.sizes[moving], tile)
    others = [axis for axis in index if axis != moving]
    choices = [_tiles(side.cut.sizes[axis], side.cut.tile(axis, outside)) for axis in others]
    total = 0
    for tiles in product(*choices):
        sizes = {axis: size for axis, (size, _) in zip(others, tiles, strict=True)}
        for size, times in moves:
            total += prod(count for _, count in tiles) * times * _overlap(index, sizes, moving, (tile, size), side.conventions)
    return total


def _overlap(index: Mapping[str, int], sizes: Mapping[str, int], moving: str, pair: tuple[int, int], conventions: Conventions) -> int:
    """Positions that two neighbouring tiles along `moving`, of the sizes `pair`, have in common."""
    steps = tuple(index.values())
    old, new, both = (
        positions(steps, tuple(extent if axis == moving else sizes[axis] for axis in index), conventions) for extent in (*pair, sum(pair))
    )
    return max(0, old + new - both)


def _moves(chain: Sequence[_Part], number: int, outside: Set[int], steps: int, tile: int) -> list[tuple[int, int]]:
    """(size of the tile that is moved on to, how often) for the moves of loop `number`."""
    found: dict[int, int] = {}
    _collect_moves(chain, number, outside, steps, tile, found, 1)
    return list(found.items())


def _collect_moves(
    chain: Sequence[_Part], number: int, outside: Set[int], steps: int, tile: int, found: dict[int, int], times: int,
) -> None:  # fmt: skip
    part, inner = chain[0], chain[1:]
    whole, rest = divmod(steps, part.step)
    if part.number == number:
        size = min(tile, part.step)
        if whole > 1:
            found[size] = found.get(size, 0) + times * (whole - 1)
        if whole and rest:
            size = min(tile, rest)
            found[size] = found.get(size, 0) + times
        return
    if whole:
        _collect_moves(inner, number, outside, part.step, tile, found, times * whole)
    if rest:
        _collect_moves(inner, number, outside, rest, tile, found, times)


def _tiles(steps: int, tile: int) -> list[tuple[int, int]]:
    """(size, how many) of the tiles that an axis is cut into."""
    whole, rest = divmod(steps, tile)
    return [(tile, whole), (rest, 1)] if rest else [(tile, whole)]


def positions(steps: tuple[int, ...], sizes: tuple[int, ...], conventions: Conventions) -> int:
    """Different values of a sum of axes that run over `sizes`, each value times its step. Two axes of steps s and d, once their greatest common
    divisor is taken out: a b - max(0, a - d) max(0, b - s), since (i, j) and (i - d, j + s) are the same."""
    if conventions.boxes:
        return 1 + sum(step * (size - 1) for step, size in zip(steps, sizes, strict=True))
    if len(steps) == 1:
        return sizes[0]
    if len(steps) > 2:
        return len({sum(item) for item in product(*(range(0, step * size, step) for step, size in zip(steps, sizes, strict=True)))})
    divisor = gcd(*steps)
    (s, d), (a, b) = (step // divisor for step in steps), sizes
    return a * b - max(0, a - d) * max(0, b - s)


_Range = tuple[int, int]  # start and size of a tile along its axis


def _groups(cut: Cut, axis: str, outside: Set[int], shared: Set[int]) -> list[list[_Range]]:
    """The tiles of an axis: in one group those that differ in the loops `shared` only."""
    groups: dict[tuple[int, ...], list[_Range]] = {}
    for start, key, size in _walk(cut.chains[axis], outside, cut.sizes[axis], cut.tile(axis, outside)):
        groups.setdefault(tuple(value for number, value in key if number not in shared), []).append((start, size))
    return list(groups.values())


def _walk(chain: Sequence[_Part], outside: Set[int], steps: int, tile: int) -> Iterable[tuple[int, tuple[tuple[int, int], ...], int]]:
    """(start, indices of the loops outside, size) of every tile of an axis."""
    parts = [part for part in chain if part.number in outside]
    for start in range(0, steps, tile):
        left = start
        key: list[tuple[int, int]] = []
        for part in parts:
            key.append((part.number, left // part.step))
            left %= part.step
        yield start, tuple(key), min(tile, steps - start)


def _touched(index: Mapping[str, int], ranges: Sequence[_Range], conventions: Conventions) -> set[int]:
    values = {0}
    for step, (start, size) in zip(index.values(), ranges, strict=True):
        values = {value + step * (start + i) for value in values for i in range(size)}
    return set(range(min(values), max(values) + 1)) if conventions.boxes else values


def _joined(index: Mapping[str, int], ranges: Sequence[Sequence[_Range]], conventions: Conventions) -> int:
    """Different positions of all tiles of one group each axis."""
    joined: set[int] = set()
    for tile in product(*ranges):
        joined |= _touched(index, tile, conventions)
    return len(joined)


def _joined_kept(side: _Side, index: Mapping[str, int], number: int, outside: Set[int], shared: Set[int]) -> int:
    """As `_index_kept`, where overlapping tiles are joined: what the whole new tiles have and the new parts have not."""
    moving = side.mapping.loops[number].axis
    tile = side.cut.tile(moving, outside)
    groups: list[list[list[_Range]]] = []
    for axis in index:
        found: dict[tuple[int, ...], list[_Range]] = {}
        for start, key, size in _walk(side.cut.chains[axis], outside, side.cut.sizes[axis], side.cut.tile(axis, outside)):
            later = any(value for loop, value in key if loop > number and axis == moving)
            own = next((value for loop, value in key if loop == number), 1)
            if own and not later:
                found.setdefault(tuple(value for loop, value in key if loop not in shared), []).append((start, size))
        groups.append(list(found.values()))
    total = 0
    for ranges in product(*groups):
        fresh: set[int] = set()
        for item in product(*ranges):
            old = tuple((start - tile, tile) if axis == moving else (start, size) for axis, (start, size) in zip(index, item, strict=True))
            fresh |= _touched(index, item, side.conventions) - _touched(index, old, side.conventions)
        total += _joined(index, ranges, side.conventions) - len(fresh)
    return total


def _drained(side: _Side, parent: Level, child: Level | None, position: int) -> tuple[Access, Access]:
    """Outputs that leave a child for its parent, and partial sums that come back."""
    elements = _elements(side, side.outside(child, position), set())
    timed = side.timed(position)
    apart, together = side.spread(child), side.spread(parent)
    visits, last = side.times(timed | together), side.present(timed, together, last=True)
    back = visits - side.present(timed, together, last=False)
    own, own_last = side.times(timed | apart), side.present(timed, apart, last=True)
    taken = own - side.present(timed, apart, last=False) if side.conventions.refill_all else back
    above = Access(writes=last * elements, partial_writes=(visits - last) * elements, partial_reads=back * elements)
    drained = side.conventions.drain_reads
    below = Access(
        reads=own_last * elements if drained else 0,
        partial_reads=(own - own_last) * elements if drained else 0,
        partial_writes=taken * elements,
    )
    return above, below


def _accumulated(side: _Side, parent: Level | None, level: Level, position: int) -> Access:
    """What the multipliers add to the innermost level, a time step at a time."""
    loops = side.mapping.loops
    elements = _elements(side, set(range(len(loops))), set())
    apart, visit = side.spread(level), side.timed(position)
    writes = side.times({number for number, loop in enumerate(loops) if loop.array is None} | apart)
    first = side.present(visit, apart, last=False)
    fresh = first
    if parent is not None and not side.conventions.refill_all:
        together = side.spread(parent)
        back = side.times(visit | together) - side.present(visit, together, last=False)
        fresh += side.times(visit | apart) - first - back
    return Access(partial_writes=writes * elements, partial_reads=(writes - fresh) * elements)
