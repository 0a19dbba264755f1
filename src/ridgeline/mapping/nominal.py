"""What a mapping moves by ZigZag's rules (3.9.1, found by reading and running it; docs/zigzag.md): each level period by period.

A level's tile of a tensor is read or written once a period, by every instance in use, and whole: a last tile that is smaller counts as all
others, a window as all that it touches, and no tile keeps anything of the one before. Lanes are averages: an axis of N spread over f lanes runs on
N / ceil(N / f) of them. Loops that a tensor lacks, innermost at a level, belong to the level below, which holds its tile meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, gcd, prod
from typing import Literal, TypeAlias

from ridgeline.algorithm.nest import Nest, Operand
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.hardware.chip import Chip, Level, Port
from ridgeline.mapping.loops import LoopMapping

Move: TypeAlias = Literal["fill", "read", "update", "drain"]
Factor: TypeAlias = tuple[str, float]  # an axis, and iterations over it
Lanes: TypeAlias = Mapping[str, Sequence[Factor]]  # by the array's axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One instance of a level writes or reads `elements` of `bits` each, once in every `period` of cycles, `times` in all."""

    elements: int
    bits: int
    period: int
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A tensor's way through the levels that keep it, innermost first. `loops[level]` are its loops in time there, innermost first, `tiles` its
    elements in one instance and `bits` the width of each; `instances` are those in use, and `distinct` the different tiles that one instance gives or
    takes below. `partial[level]` says whether sums that reach the level from below are parts."""

    operand: Operand
    levels: tuple[Level, ...]
    loops: tuple[tuple[Factor, ...], ...]
    tiles: tuple[int, ...]
    bits: tuple[int, ...]
    instances: tuple[int, ...]
    distinct: tuple[int, ...]
    partial: tuple[bool, ...]
    flows: tuple[Mapping[Move, Flow], ...]


def sides(mapping: LoopMapping, nest: Nest, chip: Chip, lanes: Lanes, *, average: Lanes | None = None) -> dict[str, Side]:
    """By tensor. Sums are parts or not by the `average` lanes, if these are others. Raises UnsupportedError for a window of three axes or more."""
    return {operand.name: _side(mapping, nest, chip, operand, lanes, lanes if average is None else average) for operand in nest.operands}


def used_lanes(mapping: LoopMapping, chip: Chip) -> dict[str, dict[str, int]]:
    """Array's axis -> axis of the nest -> lanes that the mapping spreads it over."""
    found: dict[str, dict[str, int]] = {array: {} for array in chip.array}
    for loop in mapping.loops:
        if loop.array is not None and loop.size > 1:
            found[loop.array][loop.axis] = found[loop.array].get(loop.axis, 1) * loop.size
    return found


def average_lanes(used: Mapping[str, Mapping[str, int]], nest: Nest, *, whole: bool = False) -> dict[str, list[Factor]]:
    """An axis that is spread over several of the array's has its average on the one that gives it most; `whole` rounds averages down."""
    found: dict[str, list[Factor]] = {array: [] for array in used}
    for array, factors in used.items():
        for axis, lanes in factors.items():
            most = max(used, key=lambda other: used[other].get(axis, 0))
            elsewhere = prod(size for other, made in found.items() if other != array for name, size in made if name == axis)
            average = nest.axes[axis] / ceil(nest.axes[axis] / (lanes * elsewhere)) / elsewhere
            found[array].append((axis, lanes if array != most else int(average) if whole else average))
    return found


def elements(operand: Operand, nest: Nest, factors: Sequence[Factor]) -> float:
    """Of the tile that so many iterations over each axis touch; of a window no more than what lies inside the padding."""
    sizes: dict[str, float] = {}
    for axis, size in factors:
        sizes[axis] = sizes.get(axis, 1) * size
    total = 1.0
    for number, index in enumerate(operand.indices):
        present = operand.present[number] if operand.present else 1 + sum(step * (nest.axes[axis] - 1) for axis, step in index.items())
        total *= sizes.get(next(iter(index)), 1) if len(index) == 1 else min(present, _window(index, nest, sizes))
    return total


def _window(index: Mapping[str, int], nest: Nest, sizes: Mapping[str, float]) -> int:
    """Positions that places and taps touch; ZigZag's formula, which counts some twice where taps lie further apart than the places reach."""
    if len(index) > 2:
        raise UnsupportedError(f"nest '{nest.notation}': ZigZag's rules know windows of two axes")
    tap, place = sorted(index, key=lambda axis: axis in nest.output.axes)
    shared = gcd(*index.values())
    places, taps = int(sizes.get(place, 1)), int(sizes.get(tap, 1))
    return places * taps - max(0, taps - index[place] // shared) * (places - index[tap] // shared)


def is_lacking(operand: Operand, nest: Nest, axis: str) -> bool:
    return axis not in operand.axes and nest.axes[axis] > 1


def spread(levels: Sequence[Level], lanes: Lanes) -> list[list[Factor]]:
    """The lanes below each level and above the one before, innermost first; at the end those above all."""
    left = dict(lanes)
    found: list[list[Factor]] = []
    for level in levels:
        found.append([factor for array in level.serves if array in left for factor in left.pop(array)])
    return [*found, [factor for array in left for factor in left[array]]]


def _side(mapping: LoopMapping, nest: Nest, chip: Chip, operand: Operand, lanes: Lanes, average: Lanes) -> Side:
    levels = mapping.chain(operand.name, chip)[::-1]
    loops, below = merged(mapping, nest, operand, levels), spread(levels, lanes)
    partial = _partial(nest, operand, loops, spread(levels, average))
    widths = chip.widths
    bits = [(widths.partial if partial[number + 1] else widths.output) if operand is nest.output else getattr(widths, operand.name)
            for number in range(len(levels))]  # fmt: skip
    held: list[Factor] = []
    tiles: list[int] = []
    for number in range(len(levels)):
        held += [*loops[number], *below[number]]
        tiles.append(round(elements(operand, nest, held)))
    instances, distinct = _instances(operand, nest, below)
    flows = _flows(nest, operand, loops, tiles=(1, *tiles), distinct=distinct, partial=partial, chip=chip)
    return Side(
        operand=operand, levels=levels, loops=tuple(map(tuple, loops)), tiles=tuple(tiles), bits=tuple(bits), instances=instances, distinct=distinct,
        partial=partial, flows=flows,
    )  # fmt: skip


def merged(mapping: LoopMapping, nest: Nest, operand: Operand, levels: Sequence[Level]) -> list[list[Factor]]:
    """The loops in time at each level, those that the tensor lacks moved to the level below where nothing lies between."""
    found: list[list[Factor]] = []
    inner = len(mapping.loops)
    for level in levels:
        position = mapping.positions[operand.name][level.name]
        own = [loop for loop in mapping.loops[position:inner] if loop.array is None and loop.size > 1]
        found.append([(loop.axis, loop.size) for loop in reversed(own)])
        inner = position
    for number in range(len(found) - 1, 0, -1):
        for lower in range(number, 0, -1):
            while found[lower] and is_lacking(operand, nest, found[lower][0][0]):
                found[lower - 1].append(found[lower].pop(0))
    return found


def _partial(nest: Nest, operand: Operand, loops: Sequence[Sequence[Factor]], below: Sequence[Sequence[Factor]]) -> tuple[bool, ...]:
    """For each level, and for what would be above all."""
    if operand is not nest.output:
        return (False,) * (len(loops) + 1)
    return (
        *(
            any(is_lacking(operand, nest, axis) and size > 1 for part in (*loops[number:], *below[number + 1 :]) for axis, size in part)
            for number in range(len(loops))
        ),
        False,
    )


def _instances(operand: Operand, nest: Nest, below: Sequence[Sequence[Factor]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of each level, those in use; and how many different tiles lie below one."""
    own: list[float] = []
    held: list[Factor] = []
    for part in below:
        before = elements(operand, nest, held)
        held += part
        own.append(elements(operand, nest, held) / before)
    every = [prod(size for _, size in part) for part in below]
    different = [prod(own[number:]) for number in range(len(own))]
    return (
        tuple(round(round(prod(every[number + 1 :]), 3)) for number in range(len(below) - 1)),
        tuple(round(different[number] / different[number + 1]) for number in range(len(below) - 1)),
    )


def _flows(
    nest: Nest, operand: Operand, loops: Sequence[Sequence[Factor]], *, tiles: Sequence[int], distinct: Sequence[int], partial: Sequence[bool],
    chip: Chip,
) -> tuple[Mapping[Move, Flow], ...]:  # fmt: skip
    """What each level reads and writes towards the multipliers and outwards; nothing lies outside the outermost."""
    covered = [prod(int(size) for part in loops[: number + 1] for _, size in part) for number in range(len(loops))]
    found: list[Mapping[Move, Flow]] = []
    for number in range(len(loops)):
        is_output, outermost = operand is nest.output, number == len(loops) - 1
        first = 1 if is_output else _stationary(operand, nest, loops[0])
        period = covered[number - 1] if number else first
        inwards, outwards = tiles[number] * distinct[number], tiles[number + 1]
        flow = _Flows(total=covered[-1], bits=getattr(chip.widths, operand.name), partial_bits=chip.widths.partial)
        made: dict[Move, Flow] = {}
        if not is_output:
            made["read"] = flow.of(inwards, period)
            if not outermost:
                made["fill"] = flow.of(outwards, covered[number])
        else:
            made["update"] = flow.of(inwards, period, partial=partial[number])
            if partial[number]:
                made["read"] = made["update"]
            if not outermost:
                made["drain"] = flow.of(outwards, covered[number], partial=partial[number + 1])
            if not outermost and partial[number + 1]:
                made["fill"] = made["drain"]
        found.append(made)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flows:
    """Flows of one tensor in `total` cycles."""

    total: int
    bits: int
    partial_bits: int

    def of(self, count: int, period: int, *, partial: bool = False) -> Flow:
        return Flow(elements=count, bits=self.partial_bits if partial else self.bits, period=period, times=self.total // period)


def _stationary(operand: Operand, nest: Nest, loops: Sequence[Factor]) -> int:
    """Cycles for which a multiplier keeps its operand."""
    cycles = 1
    for axis, size in loops:
        if not is_lacking(operand, nest, axis):
            break
        cycles *= int(size)
    return cycles


def port(level: Level, tensor: str, move: Move) -> Port | None:
    """The one that carries a move; None where the level has no limit. Raises InputError where its ports carry it not."""
    found = next((port for port in ports(level) if f"{tensor} {move}" in port.moves), None)
    if found is None and level.ports:
        raise InputError(f"level '{level.name}' has no port for '{tensor} {move}', which the mapping needs")
    return found


def ports(level: Level) -> tuple[Port, ...]:
    """Those that the chip lists; else one for both ways, or one each way, of the level's bandwidth."""
    if level.ports:
        return level.ports
    inwards = tuple(f"{tensor} {move}" for tensor in level.keeps for move in (("fill", "update") if tensor == "output" else ("fill",)))
    outwards = tuple(f"{tensor} {move}" for tensor in level.keeps for move in (("read", "drain") if tensor == "output" else ("read",)))
    if level.one_port:
        pairs = [((*inwards, *outwards), level.read_bits_per_cycle)]
    else:
        pairs = [(outwards, level.read_bits_per_cycle), (inwards, level.write_bits_per_cycle)]
    return tuple(Port(moves=moves, bits_per_cycle=max(1, int(bits))) for moves, bits in pairs if bits is not None)


def bits(side: Side, number: int, move: Move) -> float:
    """By all instances: whole accesses of the port's least width, which make a whole number of its greatest, rounded down."""
    flow, through = side.flows[number][move], port(side.levels[number], side.operand.name, move)
    if through is None or not side.levels[number].ports:
        return float(flow.elements * flow.bits * flow.times * side.instances[number])
    least, most = through.least_bits, through.bits_per_cycle
    return int(ceil(flow.elements * flow.bits / least) * (least / most) * flow.times * side.instances[number]) * float(most)


def energy_pj(side: Side, number: int, move: Move) -> float:
    """An access of any port of a level costs what one of its widest port does, that way."""
    level, through, is_read = side.levels[number], port(side.levels[number], side.operand.name, move), move in ("read", "drain")
    cost = level.read_pj_per_bit if is_read else level.write_pj_per_bit
    same_way = [other for other in level.ports if any((text.split()[1] in ("read", "drain")) is is_read for text in other.moves)]
    widest = max((other.bits_per_cycle for other in same_way), default=1)
    return bits(side, number, move) * cost * (widest / through.bits_per_cycle if through is not None and level.ports else 1)


def occupied_bytes(mapping: LoopMapping, nest: Nest, chip: Chip, lanes: Lanes) -> dict[str, float]:
    """Of one instance of each level but the outermost, as ZigZag allots it: outputs with the width of partial sums where any sum was incomplete in
    the level below; twice as much in a double-buffered level that is filled more than once."""
    found: dict[str, float] = {level.name: 0.0 for level in chip.levels[1:]}
    for operand in nest.operands:
        levels = mapping.chain(operand.name, chip)[::-1]
        below = spread(levels, lanes)
        for number, level in enumerate(levels):
            if level is chip.levels[0]:
                continue
            inner = mapping.positions[operand.name][levels[number - 1].name] if number else len(mapping.loops)
            loops = [(loop.axis, loop.size, place) for place, loop in enumerate(mapping.loops) if loop.array is None and loop.size > 1]
            lanes_inside = [factor for part in below[: number + 1] for factor in part]
            left = [axis for axis, _, place in loops if place < inner] + [axis for part in below[number + 1 :] for axis, _ in part]
            whole = elements(operand, nest, [*lanes_inside, *((axis, size) for axis, size, _ in loops)])
            inside = [(axis, size) for axis, size, place in loops if place >= mapping.positions[operand.name][level.name]]
            tile = elements(operand, nest, [*lanes_inside, *inside])
            is_partial = operand is nest.output and any(is_lacking(operand, nest, axis) for axis in left)
            twice = level.double_buffered and tile < whole
            width = chip.widths.partial if is_partial else getattr(chip.widths, operand.name)
            found[level.name] += tile * width / 8 * (2 if twice else 1)
    return found
