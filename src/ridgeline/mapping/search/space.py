"""The space of mappings of a nest on a chip: slots from the multipliers outwards, what each may hold, and the arrays that the kernel reads.

Named spaces: `timeloop` (every factor divides its axis; at every level a permutation, and keep or bypass of each tensor) and `full` (imperfect
factors too: tiles of f steps, the last one smaller). Both take every unrolling that the chip's constraints allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations, product
from math import ceil, prod
from typing import Any, Literal, TypeAlias

import numpy as np

from ridgeline.algorithm.nest import Nest, Operand
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.hardware.chip import TENSORS, Chip, Level, Loops, Unroll
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping
from ridgeline.mapping.search import kernel

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SpaceName = Literal["timeloop", "full"]
SPACES: tuple[SpaceName, ...] = ("timeloop", "full")
MOST_UNROLLED = 150_000  # choices of spatial factors
SHARES = (0.5, 0.75, 0.9)  # of what could be used of an axis of the array, below which a choice is left out when there are too many


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Loops in time at a level, or those over an axis of the array."""

    level: Level | None = None
    array: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of the loops of a slot, from inside. Those of `needed` have more than one trip: without them it is another order."""

    axes: tuple[int, ...]
    needed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """One choice of the levels that keep each tensor. `axes` are those of more than one step; `orders[slot]` are the orders, from inside, in which
    a slot's loops are tried: every class of orders with a reuse of its own."""

    nest: Nest
    chip: Chip
    conventions: Conventions
    name: SpaceName
    axes: tuple[str, ...]
    slots: tuple[Slot, ...]
    kept: tuple[tuple[str, ...], ...]  # by level, outermost first
    problem: Any  # kernel.PROBLEM
    modes: Array  # (slots, axes)
    orders: tuple[tuple[Order, ...], ...]

    def mapping(self, factors: Array, order: Array) -> LoopMapping:
        """The mapping that a state of the search stands for."""
        loops: list[Loop] = []
        begins: dict[int, int] = {}
        for number in range(len(self.slots) - 1, -1, -1):
            begins[number] = len(loops)
            slot = self.slots[number]
            axes = range(len(self.axes)) if slot.array is not None else reversed(self.orders[number][int(order[number])].axes)
            loops += [
                Loop(axis=self.axes[axis], size=int(factors[number, axis]), array=slot.array) for axis in axes if factors[number, axis] > 1
            ]
        positions: dict[str, dict[str, int]] = {tensor: {} for tensor in TENSORS}
        for level, kept in zip(self.chip.levels, self.kept, strict=True):
            number = next(i for i, slot in enumerate(self.slots) if slot.level is level)
            for tensor in kept:
                positions[tensor][level.name] = begins[number]
        return LoopMapping(loops=tuple(loops), positions=positions)


def spaces(nest: Nest, chip: Chip, conventions: Conventions, name: SpaceName) -> Iterator[Space]:
    """One for each choice of the levels that keep each tensor. Raises UnsupportedError for a chip or nest that this search does not cover."""
    _check(nest, chip, conventions)
    for kept in keeps(chip):
        yield _space(nest, chip, conventions, name, kept)


def keeps(chip: Chip) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Every choice of tensors kept at each level."""
    choices: list[list[tuple[str, ...]]] = []
    for number, level in enumerate(chip.levels):
        free = [] if number == 0 else [tensor for tensor in level.keeps if tensor not in level.must_keep]
        fixed = level.keeps if number == 0 else level.must_keep
        choices.append(
            [
                tuple(tensor for tensor in TENSORS if tensor in fixed or (tensor in free and chosen[free.index(tensor)]))
                for chosen in product((True, False), repeat=len(free))
            ]
        )
    yield from product(*choices)


def _check(nest: Nest, chip: Chip, conventions: Conventions) -> None:
    if conventions.latch or conventions.share_halo:
        raise UnsupportedError("the search counts without `latch` and `share_halo`; use them to cost a given mapping")
    if len(chip.levels) > kernel.LEVELS or len(chip.array) > kernel.SLOTS - kernel.LEVELS:
        raise UnsupportedError(f"chip '{chip.name}': {len(chip.levels)} levels and {len(chip.array)} axes; the search takes {kernel.LEVELS} and 4")
    if len([size for size in nest.axes.values() if size > 1]) > kernel.AXES:
        raise UnsupportedError(f"nest '{nest.notation}': more than {kernel.AXES} axes of more than one step")
    served = set(chip.array)
    for level in chip.levels:
        extra = set(level.serves) - served
        if extra:
            raise UnsupportedError(
                f"chip '{chip.name}': level '{level.name}' serves '{min(extra)}', which a level outside it does not; the search needs nested levels"
            )
        served = set(level.serves)
    for operand in nest.operands:
        if any(len(index) > 2 for index in operand.indices):
            raise UnsupportedError(f"nest '{nest.notation}': an index of three axes or more")
    _check_axes(nest, chip)
    known = {"n", "g", "m", "c", "y", "x", "r", "q", "z", "t", *nest.axes}
    for where, names in _constraints(chip):
        wrong = next((name for name in names if name not in known), None)
        if wrong is not None:
            raise InputError(f"chip '{chip.name}': {where} names the loop axis '{wrong}'; axes are {', '.join(sorted(known))}")


def _check_axes(nest: Nest, chip: Chip) -> None:
    """Raises InputError for an axis that the chip's constraints let run nowhere."""
    if not all(level.name in chip.loops and chip.loops[level.name].axes is not None for level in chip.levels):
        return
    if any(array not in chip.unroll or chip.unroll[array].axes is None for array in chip.array):
        return
    somewhere = {axis for rule in (*chip.loops.values(), *chip.unroll.values()) for axis in rule.axes or ()}
    lost = next((axis for axis, size in nest.axes.items() if size > 1 and axis not in somewhere), None)
    if lost is not None:
        raise InputError(
            f"chip '{chip.name}': its constraints let axis '{lost}' of nest '{nest.notation}' run nowhere; add it to the axes of a level"
        )


def _constraints(chip: Chip) -> Iterator[tuple[str, tuple[str, ...]]]:
    for axis, unroll in chip.unroll.items():
        yield f"unroll.{axis}", (*(unroll.axes or ()), *unroll.whole, *unroll.factors)
    for name, loops in chip.loops.items():
        yield f"loops.{name}", (*(loops.axes or ()), *loops.whole, *loops.order)


def _slots(chip: Chip) -> tuple[Slot, ...]:
    """From the multipliers outwards. An axis of the array comes just outside the outermost level that does not serve it."""
    slots: list[Slot] = []
    left = list(chip.array)
    inner = chip.levels[-1]
    slots += [Slot(array=axis) for axis in left if axis in inner.serves]
    left = [axis for axis in left if axis not in inner.serves]
    for number in range(len(chip.levels) - 1, -1, -1):
        slots.append(Slot(level=chip.levels[number]))
        outer = chip.levels[number - 1].serves if number else ()
        slots += [Slot(array=axis) for axis in left if axis in outer]
        left = [axis for axis in left if axis not in outer]
    return tuple(slots)


def _space(nest: Nest, chip: Chip, conventions: Conventions, name: SpaceName, kept: tuple[tuple[str, ...], ...]) -> Space:
    axes = tuple(axis for axis, size in nest.axes.items() if size > 1) or tuple(nest.axes)[:1]
    slots = _slots(chip)
    levels = [number for number in range(len(chip.levels) - 1, -1, -1) if kept[number]]
    number_of = {id(slot.level): number for number, slot in enumerate(slots) if slot.level is not None}
    boundary_slot = np.array([number_of[id(chip.levels[level])] for level in levels], np.int64)
    flags = np.array([[tensor in kept[level] for tensor in TENSORS] for level in levels], np.bool_)
    parent, child = np.full(flags.shape, -1, np.int64), np.full(flags.shape, -1, np.int64)
    innermost = np.full(3, -1, np.int64)
    for tensor in range(3):
        chain = np.flatnonzero(flags[:, tensor])
        innermost[tensor] = chain[0]
        for inner, outer in pairwise(chain):
            parent[inner, tensor], child[outer, tensor] = outer, inner
    problem = _problem(nest, chip, conventions, axes)
    problem["slots"], problem["boundaries"] = len(slots), len(levels) - 1
    problem["last_spread"] = max((number for number, slot in enumerate(slots) if slot.array is not None), default=-1)
    problem["timed"][: len(slots)] = [slot.array is None for slot in slots]
    for field, row in (("boundary_slot", boundary_slot), ("boundary_level", levels), ("kept", flags), ("parent", parent), ("child", child)):
        problem[field][: len(levels)] = row
    problem["innermost"] = innermost
    _fill_floors(problem)
    _fill_beyond(problem)
    last = len(slots) - 1
    modes = np.array([[_mode(slot, axis, chip, name, outermost=number == last) for axis in axes] for number, slot in enumerate(slots)])
    return Space(
        nest=nest, chip=chip, conventions=conventions, name=name, axes=axes, slots=slots, kept=kept, problem=problem,
        modes=modes, orders=tuple(_orders(slot, nest, chip, axes, conventions) for slot in slots),
    )  # fmt: skip


def _problem(nest: Nest, chip: Chip, conventions: Conventions, axes: Sequence[str]) -> Any:
    """The record, but for slots and boundaries."""
    problem = np.zeros(1, kernel.PROBLEM)[0]
    count, levels, widths = len(axes), chip.levels, chip.widths
    problem["axes"], problem["levels"] = count, len(levels)
    problem["sizes"][:count] = [nest.axes[axis] for axis in axes]
    problem["index_axes"] = -1
    problem["index_steps"] = 1
    for tensor, operand in enumerate(nest.operands):
        problem["relevant"][tensor, :count] = [axis in operand.axes for axis in axes]
        place = 0
        for index in operand.indices:
            used = [(axes.index(axis), step) for axis, step in index.items() if axis in axes]
            for position, (axis, step) in enumerate(used):
                problem["index_axes"][tensor, place, position], problem["index_steps"][tensor, place, position] = axis, step
                problem["window"][tensor, axis] = len(used) > 1
                problem["shaped"][tensor, axis] = len(used) > 1 or (conventions.boxes and step > 1)
            place += bool(used)
        problem["index_count"][tensor] = place
    values: dict[str, Sequence[float]] = {
        "capacity_bits": [np.inf if level.usable_bytes is None else 8.0 * level.usable_bytes for level in levels],
        "read_pj": [level.read_pj_per_bit for level in levels],
        "write_pj": [level.write_pj_per_bit for level in levels],
        "read_cycles": [1 / level.read_bits_per_cycle if level.read_bits_per_cycle else 0.0 for level in levels],
        "write_cycles": [1 / level.write_bits_per_cycle if level.write_bits_per_cycle else 0.0 for level in levels],
        "one_port": [level.one_port for level in levels],
    }
    for field, row in values.items():
        problem[field][: len(levels)] = row
    problem["widths"] = [widths.input, widths.weight, widths.output, widths.partial]
    for rule in ("slide", "boxes", "refill_all", "drain_reads"):
        problem[rule] = getattr(conventions, rule)
    problem["fill_cycles"] = chip.systolic.fill_cycles if chip.systolic else 0
    problem["last_cycles"] = chip.systolic.last_cycles if chip.systolic else 0
    if chip.systolic:
        problem["shaped"][kernel.WEIGHT] = problem["relevant"][kernel.WEIGHT]
    problem["mac_pj"] = nest.iterations * chip.mac.pj
    return problem


def _fill_floors(problem: Any) -> None:
    """The least that a boundary takes: every element of the tensor passes it once."""
    bits = [_whole_elements(problem, tensor) * problem["widths"][tensor] for tensor in range(3)]
    problem["whole_bits"] = bits
    for boundary, tensor, child, parent in _boundaries(problem):
        first, _ = _energies(problem, tensor, child, parent)
        problem["floor"][boundary, tensor] = first * bits[tensor]


def _boundaries(problem: Any) -> Iterator[tuple[int, int, int, int]]:
    """(boundary, tensor, its level, the level that feeds it)."""
    for boundary in range(problem["boundaries"]):
        for tensor in map(int, np.flatnonzero(problem["kept"][boundary])):
            above = problem["parent"][boundary, tensor]
            yield boundary, tensor, int(problem["boundary_level"][boundary]), int(problem["boundary_level"][above])


def _energies(problem: Any, tensor: int, child: int, parent: int) -> tuple[float, float]:
    """pJ a bit of the whole tensor to pass a boundary, and to pass it once more, where one instance feeds one."""
    read, write = problem["read_pj"], problem["write_pj"]
    if tensor != kernel.OUTPUT:
        return (write[child] + read[parent],) * 2
    given = read[child] if problem["drain_reads"] else 0.0
    _, _, whole, partial = problem["widths"]
    return write[parent] + given, (write[parent] + read[parent] + given + write[child]) * partial / whole


def _cycles(problem: Any, tensor: int, direction: int) -> tuple[float, float]:
    """Cycles a bit of the outermost level, as `_energies`; direction 0 reads, 1 writes, but of one port all is 0."""
    read, write = problem["read_cycles"][0], problem["write_cycles"][0]
    one_port = bool(problem["one_port"][0])
    if tensor != kernel.OUTPUT:
        return (read if direction == 0 else 0.0,) * 2
    _, _, whole, partial = problem["widths"]
    share = partial / whole
    if one_port:
        return (read, 2 * read * share) if direction == 0 else (0.0, 0.0)
    return (0.0, read * share) if direction == 0 else (write, write * share)


def _fill_beyond(problem: Any) -> None:
    """What the levels outside the array must move beyond every element once, because they are too small: bounds of neighbouring boundaries, a tensor
    once in each group."""
    outside = [item for item in _boundaries(problem) if problem["boundary_slot"][item[0]] > problem["last_spread"]]
    groups: list[dict[int, tuple[int, int, int]]] = [{}]
    for boundary, tensor, child, parent in reversed(outside):
        if tensor in groups[-1]:
            groups.append({})
        groups[-1][tensor] = (boundary, child, parent)
    for group in groups:
        if not group or all(np.isinf(problem["capacity_bits"][child]) for _, child, _ in group.values()):
            continue
        inner = min(boundary for boundary, _, _ in group.values()) + 1
        problem["beyond"][:inner] += _beyond(problem, group, {t: _energies(problem, t, child, parent) for t, (_, child, parent) in group.items()})
        root = {tensor: item for tensor, item in group.items() if item[2] == 0}
        for direction in range(2):
            units = {tensor: _cycles(problem, tensor, direction) for tensor in root}
            if any(again for _, again in units.values()):
                problem["beyond_cycles"][:inner, direction] += _beyond(problem, root, units)


def _beyond(problem: Any, group: Mapping[int, tuple[int, int, int]], units: Mapping[int, tuple[float, float]]) -> float:
    """The least cost of a group, less the cost of passing once."""
    member, first, again = np.full(3, -1, np.int64), np.zeros(3), np.zeros(3)
    for tensor, (boundary, _, _) in group.items():
        member[tensor] = boundary
        first[tensor], again[tensor] = (unit * problem["whole_bits"][tensor] for unit in units[tensor])
    least = float(kernel.least_of_group(problem, member, first, again))
    return max(0.0, least - float(first.sum())) if np.isfinite(least) else 0.0


def _whole_elements(problem: Any, tensor: int) -> float:
    total = 1.0
    for place in range(problem["index_count"][tensor]):
        a, b = problem["index_axes"][tensor, place]
        s, d = problem["index_steps"][tensor, place]
        total *= float(kernel.positions(bool(problem["boxes"]), s, d if b >= 0 else 1, problem["sizes"][a], problem["sizes"][b] if b >= 0 else 1))
    return total


def _mode(slot: Slot, axis: str, chip: Chip, name: SpaceName, *, outermost: bool) -> int:
    if slot.array is not None:
        return kernel.NONE
    assert slot.level is not None
    rule = chip.loops.get(slot.level.name, Loops())
    if rule.axes is not None and axis not in rule.axes:
        return kernel.NONE
    if outermost or axis in rule.whole:
        return kernel.REST
    return kernel.DIVISORS if name == "timeloop" else kernel.ALL


def _orders(slot: Slot, nest: Nest, chip: Chip, axes: Sequence[str], conventions: Conventions) -> tuple[Order, ...]:
    """What matters of an order: which loops come before the first that a tensor depends on, and for a window, which that one is and whether it goes
    on. The innermost loop ends the reuse of all tensors that depend on it; those of the others' free axes then best come next. No loops at all are
    the first order."""
    if slot.array is not None:
        return ()
    assert slot.level is not None
    rule = chip.loops.get(slot.level.name, Loops())
    everything = tuple(range(len(axes)))
    if rule.order:
        listed = [axes.index(axis) for axis in rule.order if axis in axes]
        return (Order(axes=_order(everything, listed)),)
    allowed = [axis for axis in everything if rule.axes is None or axes[axis] in rule.axes]
    if len(allowed) <= 1:
        return (Order(axes=everything),)
    found: dict[Order, None] = {Order(axes=()): None}
    if len(allowed) <= 3:
        found |= {Order(axes=_order(everything, order), needed=frozenset(order[:1])): None for order in permutations(allowed)}
        return tuple(found)
    for operand in nest.operands:
        free = [axis for axis in allowed if axes[axis] not in operand.axes]
        others = [axis for axis in allowed if axes[axis] in operand.axes]
        windows = [axis for axis in others if conventions.slide and operand is not nest.output and _is_window(operand, axes[axis])]
        for first in free or others:
            found[Order(axes=_order(everything, [first], free), needed=frozenset([first]))] = None
        for window in windows if free else ():
            needed = frozenset([window, *(free if len(free) == 1 else ())])
            found[Order(axes=_order(everything, free, [window]), needed=needed)] = None
            found[Order(axes=_order(everything, [window], free), needed=needed)] = None
    return tuple(found)


def _is_window(operand: Operand, axis: str) -> bool:
    return any(len(index) > 1 and axis in index for index in operand.indices)


def _order(axes: Sequence[int], *first: Sequence[int]) -> tuple[int, ...]:
    """All axes, those of `first` first."""
    return tuple(dict.fromkeys([*(axis for group in first for axis in group), *axes]))


def least_energy(space: Space) -> float:
    """That no mapping goes below: the multiplications, and every element through every level that keeps it, once."""
    return float(space.problem["mac_pj"] + space.problem["floor"].sum() + space.problem["beyond"][0])


def unrollings(space: Space) -> tuple[Array, int]:
    """Choices of spatial factors, as the slots' factors (choices, slots, axes). Where they are too many, those that use little of an axis of the
    array are left out: with the most multipliers that one of those has in use, else 0. Raises InputError where the chip's constraints collide."""
    every = _unrolled(space, {})
    if every is not None:
        return every, 0
    most: dict[str, int] = {}
    for slot in space.slots:
        if slot.array is not None:
            sizes = [space.nest.axes[axis] for axis in space.axes]
            most[slot.array] = max(int(prod(factors)) for factors in _spread_factors(space, slot.array, sizes))
    for share in SHARES:
        fewer = _unrolled(space, {array: ceil(share * size) for array, size in most.items()})
        if fewer is not None:
            return fewer, int(share * prod(most.values()))
    return np.ones((1, len(space.slots), len(space.axes)), np.int32), prod(most.values())


def _unrolled(space: Space, least: Mapping[str, int]) -> Array | None:
    """The choices that use so many multipliers along each axis of the array at least; None if they are too many."""
    chip, nest, axes = space.chip, space.nest, space.axes
    rows: list[Array] = [np.ones((len(space.slots), len(axes)), np.int32)]
    for number, slot in enumerate(space.slots):
        if slot.array is None:
            continue
        grown: list[Array] = []
        for row in rows:
            left = [-(-nest.axes[axis] // int(prod(row[:, place].tolist()))) for place, axis in enumerate(axes)]
            for chosen in _spread_factors(space, slot.array, left):
                if prod(chosen) < least.get(slot.array, 1):
                    continue
                copy = row.copy()
                copy[number] = chosen
                grown.append(copy)
            if len(grown) > MOST_UNROLLED:
                return None
        rows = _unlike(grown, number, space)
    if not rows and not least:
        raise InputError(f"chip '{chip.name}': the unrolling that its constraints ask for does not suit the nest {dict(nest.axes)}")
    return np.stack(rows) if rows else None


def _unlike(rows: Sequence[Array], number: int, space: Space) -> list[Array]:
    """Neighbouring slots of the array are one to the data: of choices with the same product along every axis, one."""
    start = number
    while start > 0 and space.slots[start - 1].array is not None:
        start -= 1
    kept: dict[bytes, Array] = {}
    for row in rows:
        kept.setdefault(row[:start].tobytes() + row[start : number + 1].prod(axis=0).tobytes(), row)
    return list(kept.values())


def _spread_factors(space: Space, array: str, left: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Factors of every axis over one axis of the array."""
    chip, axes = space.chip, space.axes
    rule, size = chip.unroll.get(array), chip.array[array]
    choices = [_spread_choices(rule, axis, left[place], size, space.name) for place, axis in enumerate(axes)]
    yield from _products(choices, size)


def _spread_choices(rule: Unroll | None, axis: str, left: int, size: int, name: SpaceName) -> list[int]:
    if rule is not None:
        if axis in rule.factors:
            return [min(rule.factors[axis], left)]
        if axis in rule.whole:
            return [left]
        closed = rule.axes is None and (rule.factors or rule.whole)
        if closed or (rule.axes is not None and axis not in rule.axes):
            return [1]
    return [factor for factor in _factors(left, name) if factor <= size]


def _products(choices: Sequence[Sequence[int]], most: int) -> Iterator[tuple[int, ...]]:
    if not choices:
        yield ()
        return
    for factor in choices[0]:
        if factor <= most:
            for rest in _products(choices[1:], most // factor):
                yield (factor, *rest)


def _factors(left: int, name: SpaceName) -> list[int]:
    if name == "timeloop":
        return [factor for factor in range(1, left + 1) if left % factor == 0]
    found = [1]
    while -(-left // found[-1]) > 1:
        found.append(-(-left // (-(-left // found[-1]) - 1)))
    return found
