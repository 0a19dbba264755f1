"""Random mappings of small nests on small chips, legal and strange: what two ways to count accesses are compared on.

case = random_case(np.random.default_rng(7))
nest, chip, mapping, conventions = case
print(sorted(features(case)))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import TypeAlias

import numpy as np

from ridgeline.algorithm.nest import Nest, Operand, parse
from ridgeline.hardware.chip import TENSORS, Chip, Level, Mac, Tensor, Widths
from ridgeline.mapping.count import count
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping, check, home, is_inside

Case: TypeAlias = tuple[Nest, Chip, LoopMapping, Conventions]
Place: TypeAlias = tuple[Level | None, int]  # None: the multiplier
ITERATIONS = 2_000  # at most, of a nest
FEW = 50  # iterations that only some nests have
COVERED = 4_000  # at most, the product of all loops
LOOPS = 3  # of one axis
HOMES = 0.1  # of tensors at a level on the chip that serves the whole array
TRIES = 6  # to put loops on the array
STYLES = ("any", "sliding", "sliding", "summed", "summed")  # of an order of loops


def random_case(rng: np.random.Generator) -> Case:
    """A legal mapping; the same for the same state of `rng`."""
    while True:
        nest, chip = _nest(rng), _chip(rng)
        loops = _loops(rng, nest, chip)
        positions = {tensor: _positions(rng, tensor, loops, chip) for tensor in TENSORS}
        inside = [(level, tensor) for tensor in TENSORS for level in chip.levels[chip.levels.index(home(chip, tensor)) + 1 :]]
        missing = any(tensor in level.must_keep and level.name not in positions[tensor] for level, tensor in inside)
        if nest.iterations < FEW and _chance(rng, 0.8):
            continue
        if nest.iterations > ITERATIONS or prod(loop.size for loop in loops) > COVERED or missing:
            continue
        mapping = LoopMapping(loops=loops, positions=positions)
        check(mapping, nest, chip)
        return nest, chip, mapping, _conventions(rng)


def _upto(rng: np.random.Generator, limit: int) -> int:
    return int(rng.integers(1, limit + 1))


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _tap(rng: np.random.Generator) -> int:
    return int(rng.choice((1, 2, 2, 3, 3, 3)))


def _conventions(rng: np.random.Generator) -> Conventions:
    """Each of them half of the time; `slide` is more often on and `latch` more often off, since others do nothing else."""
    return Conventions(
        slide=_chance(rng, 0.7),
        boxes=_chance(rng, 0.5),
        share_halo=_chance(rng, 0.6),
        refill_all=_chance(rng, 0.5),
        drain_reads=_chance(rng, 0.5),
        latch=_chance(rng, 0.3),
    )


# Nests


def _nest(rng: np.random.Generator) -> Nest:
    makers = (_image, _image, _image, _line, _line, _line, _attention, _product, _volume)
    return makers[int(rng.integers(len(makers)))](rng)


def _image(rng: np.random.Generator) -> Nest:
    """A convolution; in groups, depthwise among them, half of the time."""
    grouped = _chance(rng, 0.5)
    axes = {"n": _upto(rng, 2), "m": _upto(rng, 4), "c": _upto(rng, 4), "y": _upto(rng, 5), "x": _upto(rng, 7)}
    axes |= {"r": _tap(rng), "q": _tap(rng)} | ({"g": 1 + _upto(rng, 3)} if grouped else {})
    if grouped and _chance(rng, 0.5):
        axes |= {"m": 1, "c": 1}
    group = "g " if grouped else ""
    factors = {name: int(rng.choice((1, 1, 2, 3))) for name in "sdte"}
    return parse(f"n {group}c (y*s+r*d) (x*t+q*e), {group}m c r q -> n {group}m y x", axes=axes, factors=factors, multiplies=True)


def _line(rng: np.random.Generator) -> Nest:
    axes = {"n": _upto(rng, 2), "m": _upto(rng, 4), "c": _upto(rng, 4), "x": _upto(rng, 16), "q": 1 + _upto(rng, 4)}
    return parse("n c (x*t+q*e), m c q -> n m x", axes=axes, factors={name: int(rng.choice((1, 1, 2, 3))) for name in "te"}, multiplies=True)


def _volume(rng: np.random.Generator) -> Nest:
    """A window of three axes, as none of the operators has: what holds for two must not be written for two."""
    axes = {"m": _upto(rng, 3), "x": _upto(rng, 8), "q": _tap(rng), "r": _tap(rng)}
    return parse("(x*t+q*e+r*d), m q r -> m x", axes=axes, factors={name: _upto(rng, 4) for name in "ted"}, multiplies=True)


def _product(rng: np.random.Generator) -> Nest:
    axes = {"n": _upto(rng, 3), "m": _upto(rng, 9), "c": _upto(rng, 9), "y": _upto(rng, 9)}
    return parse("n y c, c m -> n y m", axes=axes, multiplies=True)


def _attention(rng: np.random.Generator) -> Nest:
    axes = {"n": _upto(rng, 2), "g": _upto(rng, 4), "m": _upto(rng, 7), "c": _upto(rng, 7), "y": _upto(rng, 7)}
    return parse("n g y c, n g c m -> n g y m", axes=axes, multiplies=True)


# Chips


def _chip(rng: np.random.Generator) -> Chip:
    array = {name: int(rng.choice((1, 2, 2, 3, 3, 4, 4, 4))) for name in ("rows", "columns")[: _upto(rng, 2)]}
    levels: list[Level] = []
    for number in range(1 + _upto(rng, 4)):
        levels.append(_level(rng, number, array, levels))
    inner = [level for level in levels[1:] if set(level.serves) == set(array)]
    homes: dict[Tensor, str] = {tensor: level.name for level in inner for tensor in level.keeps if _chance(rng, HOMES)}
    return Chip(
        name="random",
        description="random",
        clock_mhz=1000,
        node_nm=45,
        array=array,
        mac=Mac(pj=1.0, source="random"),
        widths=Widths(input=8, weight=8, output=8, partial=32),
        levels=tuple(levels),
        homes=homes,
        source="random",
    )


def _level(rng: np.random.Generator, number: int, array: Mapping[str, int], outer: Sequence[Level]) -> Level:
    """It serves no axis that a level above it, of a tensor that both keep, does not serve."""
    keeps: tuple[Tensor, ...] = TENSORS
    if number and _chance(rng, 0.4):
        kept = {str(tensor) for tensor in rng.permutation(TENSORS)[: _upto(rng, len(TENSORS) - 1)]}
        keeps = tuple(tensor for tensor in TENSORS if str(tensor) in kept)
    above = [set(level.serves) for level in outer if set(level.keeps) & set(keeps)]
    serves = [axis for axis in array if all(axis in some for some in above) and (not number or _chance(rng, 0.55))]
    return Level(
        name=f"level{number}",
        keeps=keeps,
        must_keep=tuple(tensor for tensor in keeps if _chance(rng, 0.15)),
        serves=tuple(serves),
        capacity_bytes=2**20 if number and _chance(rng, 0.5) else None,
        read_pj_per_bit=1.0,
        write_pj_per_bit=1.0,
        source="random",
    )


# Mappings


def _loops(rng: np.random.Generator, nest: Nest, chip: Chip) -> tuple[Loop, ...]:
    """In any order, those over one axis too; or, as designs have them, those in time first, those over an image together, or sums outside and on
    the array."""
    style = str(rng.choice(STYLES))
    lean = _leaning(rng, nest, style)
    drawn: list[tuple[str, bool]] = []
    for axis, size in nest.axes.items():
        share = 0.7 if style == "summed" and axis in nest.reduced else 0.2 if style == "sliding" and lean[axis] == 0 else 0.5
        drawn += [(axis, _chance(rng, share)) for _ in range(_upto(rng, LOOPS if size > 2 else 2))]
    inwards = float(rng.choice((0.0, 1.0)))
    order = sorted(drawn, key=lambda item: rng.random() + lean[item[0]] + inwards * item[1])
    axes = [str(axis) for axis in rng.permutation(sorted(nest.axes))]
    axes.sort(key=lambda axis: style == "summed" and axis not in nest.reduced)
    free = dict(chip.array)
    loops: dict[int, Loop] = {}
    for axis in axes:
        numbers = [number for number, (other, _) in enumerate(order) if other == axis]
        arrays = [str(rng.choice(list(free))) if order[number][1] else None for number in numbers]
        made = _split(rng, axis, nest.axes[axis], arrays, free)
        loops |= dict(zip(numbers, made, strict=True))
        for loop in made:
            if loop.array is not None:
                free[loop.array] //= loop.size
    return tuple(loop for _, loop in sorted(loops.items()) if loop.size > 1 or _chance(rng, 0.2))


def _leaning(rng: np.random.Generator, nest: Nest, style: str) -> dict[str, float]:
    """How far inside the loops over an axis stand."""
    lean = dict.fromkeys(nest.axes, 0.0)
    if style == "sliding":
        moving = str(rng.choice([axis for axis in "yx" if axis in nest.axes]))
        lean |= {axis: float(rng.choice((-1, 1))) for axis in nest.inputs[0].axes if axis != moving}
        lean |= {axis: 1.0 for axis in "rq" if axis in nest.axes}
    if style == "summed":
        lean |= dict.fromkeys(nest.reduced, -0.6)
    return lean


def _split(rng: np.random.Generator, axis: str, size: int, arrays: Sequence[str | None], free: Mapping[str, int]) -> list[Loop]:
    """The loops over one axis, outermost first; all in time where they do not fit on the array."""
    for _ in range(TRIES):
        left, inner = size, list[Loop]()
        for number, array in reversed(list(enumerate(arrays))):
            factor = _upto(rng, left if array is None else min(left, free[array])) if number else left
            inner.append(Loop(axis=axis, size=factor, array=array))
            left = -(-left // factor)
        if all(prod(loop.size for loop in inner if loop.array == array) <= room for array, room in free.items()):
            return inner[::-1]
    return _split(rng, axis, size, [None] * len(arrays), free)


def _positions(rng: np.random.Generator, tensor: Tensor, loops: Sequence[Loop], chip: Chip) -> dict[str, int]:
    """Level by level, from the one where the tensor begins or ends: bypassed now and then, and where no position would do; often just inside a loop
    over an image."""
    first = home(chip, tensor)
    found = {first.name: 0}
    for level in chip.levels[chip.levels.index(first) + 1 :]:
        least = max(found.values())
        legal = [position for position in range(least, len(loops) + 1) if _is_piece(loops, level, position)]
        moving = [position for position in legal if position and loops[position - 1].axis in "yx" and loops[position - 1].array is None]
        if moving and _chance(rng, 0.4):
            legal = moving
        bypassed = tensor not in level.must_keep and _chance(rng, 0.12)
        if tensor in level.keeps and legal and not bypassed:
            found[level.name] = legal[int(rng.integers(len(legal)))]
    return found


def _is_piece(loops: Sequence[Loop], level: Level, position: int) -> bool:
    """Whether of each axis' loops those inside the tile come last."""
    mapping = LoopMapping(loops=tuple(loops), positions={})
    inside: set[str] = set()
    for number, loop in enumerate(loops):
        if loop.size > 1 and is_inside(mapping, number, level, position):
            inside.add(loop.axis)
        elif loop.size > 1 and loop.axis in inside:
            return False
    return True


# What a case has in it


def features(case: Case) -> frozenset[str]:
    """Names of `FEATURES`."""
    return frozenset(name for name, occurs in FEATURES.items() if occurs(case))


def _edges(case: Case) -> Iterator[tuple[Operand, Place, Place]]:
    """(tensor, parent, child) of all transfers."""
    nest, chip, mapping, conventions = case
    for operand in nest.operands:
        places: list[Place] = [(level, mapping.positions[operand.name][level.name]) for level in mapping.chain(operand.name, chip)]
        if conventions.latch:
            places.append((None, len(mapping.loops)))
        for parent, child in pairwise(places):
            yield operand, parent, child


def _apart(mapping: LoopMapping, level: Level | None) -> set[int]:
    """The spatial loops that tell the instances of a level apart."""
    serves = level.serves if level is not None else ()
    return {number for number, loop in enumerate(mapping.loops) if loop.array is not None and loop.array not in serves and loop.size > 1}


def _fans_out(case: Case, output: bool) -> bool:
    """Whether instances below one parent get the same data, or make parts of one sum."""
    nest, _, mapping, _ = case
    return any(
        (operand is nest.output) is output
        and any(mapping.loops[number].axis not in operand.axes for number in _apart(mapping, child) - _apart(mapping, parent))
        for operand, (parent, _), (child, _) in _edges(case)
    )


def _moves(case: Case, **changed: bool) -> bool:
    """Whether the counts would be others with another convention."""
    nest, chip, mapping, conventions = case
    return count(mapping, nest, chip, conventions) != count(mapping, nest, chip, replace(conventions, **changed))


def _windows(case: Case, name: str) -> bool:
    """Whether a place (y, x) or a tap (r, q) of a window moves by more than one."""
    nest = case[0]
    return any(
        step > 1 and axis in name and nest.axes[axis] > 1
        for index in nest.inputs[0].indices if len([other for other in index if nest.axes[other] > 1]) > 1
        for axis, step in index.items()
    )  # fmt: skip


def _overlaps(case: Case) -> bool:
    """Whether neighbouring tiles of the input have elements in common."""
    nest, _, mapping, _ = case
    for operand, _, (level, position) in _edges(case):
        outside = {number for number in range(len(mapping.loops)) if level is None or not is_inside(mapping, number, level, position)}
        inner = [loop for number, loop in enumerate(mapping.loops) if number not in outside]
        tile = {axis: prod(loop.size for loop in inner if loop.axis == axis) for axis in nest.axes}
        for index in operand.indices:
            for number in outside:
                axis, size = mapping.loops[number].axis, mapping.loops[number].size
                if size > 1 and axis in index and sum(step * (tile[other] - 1) for other, step in index.items()) >= index[axis] * tile[axis]:
                    return True
    return False


def _refills(case: Case) -> bool:
    nest, chip, mapping, conventions = case
    found = count(mapping, nest, chip, conventions).accesses
    chain = mapping.chain(nest.output.name, chip)
    outer = chain if conventions.latch else chain[:-1]
    return any(found[level.name, nest.output.name].partial_reads for level in outer[:1])


def _is_imperfect(case: Case) -> bool:
    nest, _, mapping, _ = case
    return any(prod(loop.size for loop in mapping.loops if loop.axis == axis) > size for axis, size in nest.axes.items())


def _is_uneven(case: Case) -> bool:
    _, chip, mapping, _ = case
    places = [{mapping.positions[tensor][level.name] for tensor in TENSORS if level.name in mapping.positions[tensor]} for level in chip.levels]
    return any(len(place) > 1 for place in places)


def _bypasses(case: Case) -> bool:
    _, chip, mapping, _ = case
    return any(level.name not in mapping.positions[tensor] for level in chip.levels for tensor in level.keeps)


def _orders(case: Case, outer: bool) -> bool:
    """Whether an axis has a spatial loop outside of one in time; or, if not `outer`, inside."""
    loops = case[2].loops
    pairs = [(first, second) for number, first in enumerate(loops) for second in loops[number + 1 :] if first.axis == second.axis]
    return any(
        first.size > 1 and second.size > 1 and (first.array is None) is not outer and (second.array is None) is outer for first, second in pairs
    )


FEATURES: Mapping[str, Callable[[Case], bool]] = {
    "stride": lambda case: _windows(case, "yx"),
    "dilation": lambda case: _windows(case, "rq"),
    "groups": lambda case: case[0].axes.get("g", 1) > 1,
    "batch": lambda case: case[0].axes.get("n", 1) > 1,
    "bypass": _bypasses,
    "uneven positions": _is_uneven,
    "home on the chip": lambda case: bool(case[1].homes),
    "one level only": lambda case: any(len(levels) == 1 for levels in case[2].positions.values()),
    "imperfect factors": _is_imperfect,
    "spatial outside temporal": lambda case: _orders(case, True),
    "spatial inside temporal": lambda case: _orders(case, False),
    "several parents": lambda case: any(_apart(case[2], parent) for _, (parent, _), _ in _edges(case)),
    "multicast": lambda case: _fans_out(case, False),
    "spatial reduction": lambda case: _fans_out(case, True),
    "halo": _overlaps,
    "slide": lambda case: case[3].slide and _moves(case, slide=False),
    "boxes": lambda case: case[3].boxes and _moves(case, boxes=False),
    "shared halo": lambda case: case[3].share_halo and _moves(case, share_halo=False),
    "refill": _refills,
    "refill of all": lambda case: case[3].refill_all and _moves(case, refill_all=False),
    "no drain reads": lambda case: not case[3].drain_reads and _moves(case, drain_reads=True),
    "latch": lambda case: case[3].latch,
}
