"""A mapping: one total order of loops, and for every tensor the levels that keep it, each at a position in that order.

Loops stand outermost first. A loop runs over one axis of the nest, in time or spread over an axis of the chip's array. An iteration i of a loop
of axis a begins at i x step, where the step is the product of the sizes of all later loops of a: index = sum of i x step. The product of an axis'
loops may exceed the axis: iterations beyond its end do not happen, so that the last tile is smaller.

A tensor at position p of a level is held there as the tile that the loops inside it touch: the temporal loops p, p + 1, ..., and every spatial
loop whose array axis the level serves. A level where a tensor has no position is bypassed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import InputError
from ridgeline.hardware.chip import TENSORS, Chip, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """`size` iterations over `axis`; `array` is the array's axis that they are spread over, None for a loop in time."""

    axis: str
    size: int
    array: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopMapping:
    """positions: tensor -> level -> position in `loops`, 0 (outside all) to len(loops)."""

    loops: tuple[Loop, ...]
    positions: Mapping[str, Mapping[str, int]]

    def step(self, number: int) -> int:
        """How far one iteration of a loop moves along its axis."""
        axis = self.loops[number].axis
        return prod(loop.size for loop in self.loops[number + 1 :] if loop.axis == axis)

    def chain(self, tensor: str, chip: Chip) -> tuple[Level, ...]:
        """The levels that keep a tensor, outermost first."""
        return tuple(level for level in chip.levels if level.name in self.positions[tensor])


def home(chip: Chip, tensor: str) -> Level:
    """The level where a tensor begins or ends: the outermost, unless the chip says otherwise."""
    return chip.level(next((level for name, level in chip.homes.items() if name == tensor), chip.levels[0].name))


def is_inside(mapping: LoopMapping, number: int, level: Level, position: int) -> bool:
    """Whether a loop belongs to the tile that a level holds at a position."""
    array = mapping.loops[number].array
    return number >= position if array is None else array in level.serves


def check(mapping: LoopMapping, nest: Nest, chip: Chip) -> None:
    """Raises InputError where the mapping does not compute the nest, or is none for this chip; capacities are the cost model's to check."""
    _check_loops(mapping, nest, chip)
    for tensor in TENSORS:
        chain = mapping.chain(tensor, chip)
        unknown = set(mapping.positions[tensor]) - {level.name for level in chip.levels if tensor in level.keeps}
        if unknown:
            raise InputError(f"mapping: level '{min(unknown)}' of chip '{chip.name}' does not keep the {tensor}")
        first = home(chip, tensor)
        if not chain or chain[0] is not first or mapping.positions[tensor][first.name] != 0:
            raise InputError(f"mapping: the {tensor} must be kept at position 0 of '{first.name}'")
        for level in chip.levels[chip.levels.index(first) :]:
            if tensor in level.must_keep and level not in chain:
                raise InputError(f"mapping: level '{level.name}' may not be passed by the {tensor}")
        positions = [mapping.positions[tensor][level.name] for level in chain]
        if sorted(positions) != positions or positions[-1] > len(mapping.loops):
            raise InputError(f"mapping: the {tensor}'s positions {positions} must rise to at most {len(mapping.loops)}")
        for level in chain:
            _check_suffix(mapping, tensor, level)


def _check_loops(mapping: LoopMapping, nest: Nest, chip: Chip) -> None:
    for number, loop in enumerate(mapping.loops):
        if loop.axis not in nest.axes or loop.size < 1 or (loop.array is not None and loop.array not in chip.array):
            raise InputError(f"mapping: loop {number} ({loop}) names no axis of the nest, or none of the array, or has no size")
        if (loop.size - 1) * mapping.step(number) >= nest.axes[loop.axis]:
            raise InputError(f"mapping: loop {number} over '{loop.axis}' has iterations beyond its end of {nest.axes[loop.axis]}")
    for axis, size in nest.axes.items():
        covered = prod(loop.size for loop in mapping.loops if loop.axis == axis)
        if covered < size:
            raise InputError(f"mapping: the loops over '{axis}' cover {covered} of {size}")
    for axis, size in chip.array.items():
        used = prod(loop.size for loop in mapping.loops if loop.array == axis)
        if used > size:
            raise InputError(f"mapping: {used} multipliers along '{axis}' of chip '{chip.name}', which has {size}")


def _check_suffix(mapping: LoopMapping, tensor: str, level: Level) -> None:
    """A tile is one contiguous piece of each axis: of an axis' loops, those inside come last."""
    position = mapping.positions[tensor][level.name]
    inside: set[str] = set()
    for number, loop in enumerate(mapping.loops):
        if loop.size == 1:
            continue
        if is_inside(mapping, number, level, position):
            inside.add(loop.axis)
        elif loop.axis in inside:
            raise InputError(
                f"mapping: the {tensor} at level '{level.name}', position {position}: loop {number} over '{loop.axis}' is outside the tile, "
                "but an outer loop over it is inside"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """What is counted, where tools differ; docs/why.md says why these are the defaults.

    slide: a tile of the input that moves on to its neighbour along one axis fetches its new part only; else the whole tile.
    boxes: a window with gaps (stride, dilation) counts with what lies between; else only the elements that it touches.
    share_halo: of overlapping tiles that are fetched at once, an element in several is read once; else only equal tiles are shared.
    refill_all: partial sums come back to all instances that will be added up; else to one of them.
    drain_reads: a level that gives its outputs on is read for it.
    latch: an operand stays at the multiplier until it changes; else it is read for each multiplication.
    nominal: everything is counted by ZigZag's rules (`mapping/nominal.py`) instead: whole tiles on average lanes, through ports; none of the above.
    latency: `slowest` are the cycles of the array or of the slowest level, which all overlap (Timeloop); `stalls` are the array's, and stalls where a
        port cannot keep up, the first fill and the last drain (ZigZag, `mapping/stalls.py`).
    """

    slide: bool = True
    boxes: bool = False
    share_halo: bool = False
    refill_all: bool = False
    drain_reads: bool = True
    latch: bool = False
    nominal: bool = False
    latency: Literal["slowest", "stalls"] = "slowest"


TIMELOOP = Conventions(boxes=True, refill_all=True, drain_reads=False)
ZIGZAG = Conventions(nominal=True, latency="stalls")
