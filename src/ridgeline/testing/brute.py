"""Every mapping of a small nest on a small chip, one by one: what an exhaustive search must equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from math import prod

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.hardware.chip import TENSORS, Chip, Loops
from ridgeline.mapping.estimate import Estimate, estimate
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping


def every_mapping(nest: Nest, chip: Chip, *, imperfect: bool) -> Iterator[LoopMapping]:
    """Any factor at any level and on any axis of the array, any order of the loops of a level, any choice of kept tensors. At a level, the tile of all
    its tensors is the same. The array's axes lie as near to the multipliers as the levels let them."""
    slots = _slots(chip)
    axes = [axis for axis, size in nest.axes.items() if size > 1]
    per_axis = [list(_cuts(nest.axes[axis], axis, slots, chip, imperfect=imperfect)) for axis in axes]
    for cut in product(*per_axis):
        rows = [dict(zip(axes, row, strict=True)) for row in zip(*cut, strict=True)]
        if any(array and prod(row.values()) > chip.array[array] for (_, array), row in zip(slots, rows, strict=True)):
            continue
        yield from _ordered(chip, slots, rows)


def _slots(chip: Chip) -> list[tuple[str, str]]:
    """(level, array axis), one of them empty, the outermost first."""
    slots: list[tuple[str, str]] = []
    placed: set[str] = set()
    for number, level in enumerate(chip.levels):
        inner = chip.levels[number + 1].serves if number + 1 < len(chip.levels) else ()
        slots.append((level.name, ""))
        for axis in chip.array:
            if axis in level.serves and axis not in inner and axis not in placed:
                slots.append(("", axis))
                placed.add(axis)
    return slots


def _cuts(size: int, axis: str, slots: Sequence[tuple[str, str]], chip: Chip, *, imperfect: bool) -> Iterator[tuple[int, ...]]:
    """Factors of one axis for all slots, from outside; each iteration happens somewhere."""

    def inner(left: int, number: int) -> Iterator[tuple[int, ...]]:
        if number == len(slots):
            if left == 1:
                yield ()
            return
        level, array = slots[number]
        for factor in range(1, left + 1):
            if not imperfect and left % factor:
                continue
            if array and factor > chip.array[array]:
                break
            if level and level in chip.loops and not _allows(chip.loops[level], axis, factor):
                continue
            rest = -(-left // factor)
            for below in inner(rest, number + 1):
                steps = prod(below)
                if (factor - 1) * steps < left and factor * steps >= left:
                    yield (factor, *below)

    yield from inner(size, 0)


def _allows(rule: Loops, axis: str, factor: int) -> bool:
    return factor == 1 or rule.axes is None or axis in rule.axes


def _ordered(chip: Chip, slots: Sequence[tuple[str, str]], rows: Sequence[dict[str, int]]) -> Iterator[LoopMapping]:
    groups: list[list[tuple[Loop, ...]]] = []
    for (_, array), row in zip(slots, rows, strict=True):
        loops = [Loop(axis=axis, size=size, array=array or None) for axis, size in row.items() if size > 1]
        groups.append([tuple(loops)] if array else [tuple(order) for order in permutations(loops)])
    begins, at = dict[str, int](), 0
    for (level, _), group in zip(slots, groups, strict=True):
        if level:
            begins[level] = at
        at += len(group[0])
    for kept in product(*(_kept(chip, number) for number in range(len(chip.levels)))):
        positions = {tensor: {level.name: begins[level.name] for level, names in zip(chip.levels, kept, strict=True) if tensor in names} for tensor in TENSORS}
        for chosen in product(*groups):
            yield LoopMapping(loops=tuple(loop for group in chosen for loop in group), positions=positions)


def _kept(chip: Chip, number: int) -> list[tuple[str, ...]]:
    level = chip.levels[number]
    if number == 0:
        return [level.keeps]
    free = [tensor for tensor in level.keeps if tensor not in level.must_keep]
    return [(*level.must_keep, *(t for t, k in zip(free, flags, strict=True) if k)) for flags in product((True, False), repeat=len(free))]


def best_of_all(nest: Nest, chip: Chip, conventions: Conventions, *, imperfect: bool) -> tuple[dict[str, float], int]:
    """(least worth by objective, number of legal mappings)."""
    best = {"energy": float("inf"), "latency": float("inf"), "edp": float("inf")}
    count = 0
    for mapping in every_mapping(nest, chip, imperfect=imperfect):
        try:
            made: Estimate = estimate(mapping, nest, chip, conventions)
        except (DoesNotFitError, InputError):
            continue
        count += 1
        for name, value in (("energy", made.energy_pj), ("latency", made.cycles), ("edp", made.energy_pj * made.cycles)):
            best[name] = min(best[name], value)
    return best, count
