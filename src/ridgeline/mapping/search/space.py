"""The space of mappings of a nest on a chip: slots from the multipliers outwards, what each may hold, and the arrays that the kernel reads.

Named spaces: `timeloop` (every factor divides its axis; at every level a permutation, and keep or bypass of each tensor), `zigzag` (factors that
divide, the unrolling that the chip fixes; the tensors of a level may hold the tiles of different loops, and of two levels that feed the same
multipliers with different tensors either may hold more) and `full` (both, and imperfect factors: tiles of f steps, the last one smaller). `timeloop`
and `full` take every unrolling that the chip's constraints allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations, pairwise, permutations, product
from math import ceil, inf, prod
from time import perf_counter
from typing import Any, Literal, TypeAlias

import numpy as np

from ridgeline.algorithm.nest import Nest, Operand
from ridgeline.errors import DoesNotFitError, InputError, UnsupportedError
from ridgeline.hardware.chip import TENSORS, Chip, Level, Loops, Unroll
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping, home
from ridgeline.mapping.search import kernel, records
from ridgeline.mapping.search.bounds import Least, Unrolled, fill_bounds, least_costs
from ridgeline.mapping.search.reason import why_none

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SpaceName = Literal["timeloop", "zigzag", "full"]
SPACES: tuple[SpaceName, ...] = ("timeloop", "zigzag", "full")
Split: TypeAlias = tuple[tuple[str, ...], ...]  # the tensors of a level, those that hold the tiles of the fewest loops first
Nesting: TypeAlias = tuple["Slot", ...]  # slots in time, from the multipliers outwards
MOST_UNROLLED = 150_000  # choices of spatial factors
SHARES = (0.5, 0.75, 0.9)  # of what could be used of an axis of the array, below which a choice is left out when there are too many
MOST_ARRAY_AXES = 4
MOST_BOUNDED = 5_000  # choices of spatial factors that a bound tells apart
MOST_SPACES = 40  # choices of kept tensors and splits of levels that are searched


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Loops in time at a level, or those over an axis of the array. The tensors of `holds` are held as the tile of the loops up to this slot. Where
    those of `within` could as well be held outside of it, there is another choice that does: here some loops part them."""

    level: Level | None = None
    array: str | None = None
    holds: tuple[str, ...] = ()
    within: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of the loops of a slot, from inside. Those of `needed` have more than one trip: without them it is another order."""

    axes: tuple[int, ...]
    needed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """One choice of the levels that keep each tensor, and of which of them hold more loops than others. `axes` are those of more than one step;
    `orders[slot]` are the orders, from inside, in which a slot's loops are tried: every class of orders with a reuse of its own."""

    nest: Nest
    chip: Chip
    conventions: Conventions
    name: SpaceName
    axes: tuple[str, ...]
    slots: tuple[Slot, ...]
    problems: Array  # one, of records.PROBLEM
    modes: Array  # (slots, axes)
    orders: tuple[tuple[Order, ...], ...]
    tables: dict[int, tuple[Array, Array]] = field(default_factory=dict[int, tuple[Array, Array]])  # what `ordered` has made

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
        positions = {tensor: {home(self.chip, tensor).name: 0} for tensor in TENSORS}
        for number, slot in enumerate(self.slots):
            for tensor in slot.holds:
                assert slot.level is not None
                positions[tensor][slot.level.name] = begins[number]
        return LoopMapping(loops=tuple(loops), positions=positions)

    def ordered(self, slot: int) -> tuple[Array, Array]:
        """The axes of every order of a slot in time (orders, axes), -1 where there are no more; and whether each is needed."""
        if slot not in self.tables:
            orders = self.orders[slot]
            axes, needed = np.full((len(orders), len(self.axes)), -1), np.zeros((len(orders), len(self.axes)), np.bool_)
            for row, order in enumerate(orders):
                axes[row, : len(order.axes)] = order.axes
                needed[row, : len(order.axes)] = [axis in order.needed for axis in order.axes]
            self.tables[slot] = axes, needed
        return self.tables[slot]

    @property
    def problem(self) -> Any:
        return self.problems[0]

    @property
    def state(self) -> np.dtype[Any]:
        """A partial mapping's record."""
        return records.state_for(self.problem)

    @property
    def spread_slots(self) -> list[int]:
        """The slots of the array's axes."""
        return [number for number, slot in enumerate(self.slots) if slot.array is not None]

    @property
    def kept(self) -> frozenset[tuple[str, str]]:
        """The levels that keep each tensor."""
        return frozenset((slot.level.name, tensor) for slot in self.slots if slot.level is not None for tensor in slot.holds)

    @property
    def is_empty(self) -> bool:
        """Whether nothing can part tensors that are to be parted by loops."""
        return any(slot.within and not orders for slot, orders in zip(self.slots, self.orders, strict=True))

    @property
    def is_even(self) -> bool:
        """Whether all tensors of a level hold the tile of the same loops."""
        return not any(slot.within for slot in self.slots)


def spaces(nest: Nest, chip: Chip, conventions: Conventions, name: SpaceName, stop: float = inf) -> tuple[tuple[Space, ...], bool]:
    """One for each choice of the levels that keep each tensor and of their splits, even ones first, and others until a time of `perf_counter`; and
    whether there are more. Raises UnsupportedError for a chip or nest that this search does not cover."""
    _check(nest, chip, conventions, name)
    choices = [choice for kept in keeps(chip) for choice in _nestings(kept, chip, name)]
    choices.sort(key=lambda choice: sum(bool(slot.within) for slot in choice))
    bounds: dict[object, float] = {}
    found: list[Space] = []
    for choice in choices[:MOST_SPACES]:
        if found and any(slot.within for slot in choice) and perf_counter() > stop:
            break
        found.append(_space(nest, chip, conventions, name, choice, bounds))
    return tuple(space for space in found if not space.is_empty), len(choices) > len(found)


def keeps(chip: Chip) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Every choice of tensors kept at each level; none at and outside the level where they begin or end."""
    choices: list[list[tuple[str, ...]]] = []
    for number, level in enumerate(chip.levels):
        inside = [tensor for tensor in level.keeps if chip.levels.index(home(chip, tensor)) < number]
        free = [tensor for tensor in inside if tensor not in level.must_keep]
        choices.append(
            [
                tuple(tensor for tensor in inside if tensor not in free or chosen[free.index(tensor)])
                for chosen in product((True, False), repeat=len(free))
            ]
        )
    yield from product(*choices)


def _nestings(kept: tuple[tuple[str, ...], ...], chip: Chip, name: SpaceName) -> Iterator[Nesting]:
    """All tensors of a level hold the tile of the same loops, and an inner level no more than an outer one. But for `timeloop`, some of a level may
    also hold less than others, and of levels that serve the same part of the array, and keep different tensors, either may hold less. Where the chip
    fixes the loops of a level, it stays as it is."""
    for parts in product(*(list(_zone_nestings(zone, kept, chip, name)) for zone in _zones(chip))):
        yield tuple(slot for part in parts for slot in part)


def _zones(chip: Chip) -> list[list[int]]:
    """Neighbouring levels that serve the same axes of the array, all from the multipliers outwards."""
    zones: list[list[int]] = []
    for number in range(len(chip.levels) - 1, -1, -1):
        if zones and number and set(chip.levels[zones[-1][0]].serves) == set(chip.levels[number].serves):
            zones[-1].append(number)
        else:
            zones.append([number])
    return zones


def _zone_nestings(zone: Sequence[int], kept: Sequence[tuple[str, ...]], chip: Chip, name: SpaceName) -> Iterator[Nesting]:
    """Levels that keep nothing have no loops of their own, but where the chip says which."""
    fixed = {number for number in zone if chip.levels[number].name in chip.loops}
    used = [number for number in zone if kept[number] or number in fixed or not number]
    for order in [tuple(used)] if name == "timeloop" or fixed else permutations(used):
        if any(set(kept[a]) & set(kept[b]) for place, a in enumerate(order) for b in order[place + 1 :] if a < b):
            continue
        choices = [
            [(kept[number],)] if name == "timeloop" or number in fixed else list(_ordered_partitions(kept[number])) for number in order
        ]
        for splits in product(*choices):
            slots: list[Slot] = []
            for place, (number, split) in enumerate(zip(order, splits, strict=True)):
                within = slots[-1].holds if place and order[place - 1] < number else ()
                for tensors in split:
                    slots.append(Slot(level=chip.levels[number], holds=tensors, within=within))
                    within = tensors
            yield tuple(slots)


def _ordered_partitions(tensors: tuple[str, ...]) -> Iterator[Split]:
    """Undivided first."""
    yield (tensors,)
    for count in range(1, len(tensors)):
        for first in combinations(tensors, count):
            rest = tuple(tensor for tensor in tensors if tensor not in first)
            for after in _ordered_partitions(rest):
                yield (first, *after)


def _check(nest: Nest, chip: Chip, conventions: Conventions, name: SpaceName) -> None:
    if conventions.latch or conventions.share_halo:
        raise UnsupportedError("the search counts without `latch` and `share_halo`; use them to cost a given mapping")
    if conventions.nominal or conventions.latency != "slowest":
        raise UnsupportedError("the search counts exactly and takes the slowest level's cycles; cost a given mapping by ZigZag's rules or stalls")
    if len(chip.levels) > records.LEVELS or len(chip.array) > MOST_ARRAY_AXES:
        most = f"the search takes {records.LEVELS} and {MOST_ARRAY_AXES}"
        raise UnsupportedError(f"chip '{chip.name}': {len(chip.levels)} levels and {len(chip.array)} axes of its array; {most}")
    if len([size for size in nest.axes.values() if size > 1]) > records.AXES:
        raise UnsupportedError(f"nest '{nest.notation}': more than {records.AXES} axes of more than one step")
    check_unrolling(chip, name)
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


def check_unrolling(chip: Chip, name: SpaceName) -> None:
    """Raises InputError where the space `zigzag` is asked for, and the chip leaves its unrolling open."""
    loose = next((axis for axis in chip.array if axis not in chip.unroll or not chip.unroll[axis].factors), None)
    if name == "zigzag" and loose is not None:
        raise InputError(f"chip '{chip.name}': space 'zigzag' takes the unrolling that the chip fixes; give unroll.{loose} its factors")


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


def _slots(chip: Chip, nesting: Nesting) -> tuple[Slot, ...]:
    """With the axes of the array: each just outside the outermost level that does not serve it."""
    slots: list[Slot] = []
    left = list(chip.array)
    for slot in nesting:
        assert slot.level is not None
        slots += [Slot(array=axis) for axis in left if axis in slot.level.serves]
        left = [axis for axis in left if axis not in slot.level.serves]
        slots.append(slot)
    return tuple(slots)


def _space(
    nest: Nest, chip: Chip, conventions: Conventions, name: SpaceName, nesting: Nesting, bounds: dict[object, float]
) -> Space:
    """`bounds` are those of groups of boundaries that other spaces have too."""
    axes = tuple(axis for axis, size in nest.axes.items() if size > 1) or tuple(nest.axes)[:1]
    slots = _slots(chip, nesting)
    problems = np.zeros(1, records.PROBLEM)
    problem = problems[0]
    _fill_problem(problem, nest, chip, conventions, axes)
    problem["slots"] = len(slots)
    problem["last_spread"] = max((number for number, slot in enumerate(slots) if slot.array is not None), default=-1)
    problem["timed"][: len(slots)] = [slot.array is None for slot in slots]
    _fill_boundaries(problem, chip, slots)
    _fill_prior(problem, chip, slots)
    fill_bounds(problem, bounds)
    last = len(slots) - 1
    modes = np.array([[_mode(slot, axis, chip, name, outermost=number == last) for axis in axes] for number, slot in enumerate(slots)])
    return Space(
        nest=nest, chip=chip, conventions=conventions, name=name, axes=axes, slots=slots, problems=problems,
        modes=modes, orders=tuple(_orders(slot, nest, chip, axes, conventions) for slot in slots),
    )  # fmt: skip


def _fill_boundaries(problem: Any, chip: Chip, slots: Sequence[Slot]) -> None:
    """Those that are placed, from the multipliers outwards; then the levels where tensors begin or end, outside of all loops."""
    last = len(slots) - 1
    placed = [(chip.levels.index(slot.level), slot.holds, number) for number, slot in enumerate(slots) if slot.level is not None and slot.holds]
    ends: dict[int, tuple[str, ...]] = {}
    for tensor in TENSORS:
        level = chip.levels.index(home(chip, tensor))
        ends[level] = (*ends.get(level, ()), tensor)
    rows = [*placed, *((level, tensors, last) for level, tensors in sorted(ends.items()))]
    problem["boundaries"], problem["rows"] = len(placed), len(rows)
    for name in ("parent", "child", "innermost", "before", "prior"):
        problem[name] = -1
    for row, (level, tensors, slot) in enumerate(rows):
        problem["boundary_level"][row], problem["boundary_slot"][row] = level, slot
        problem["kept"][row] = [tensor in tensors for tensor in TENSORS]
        if row and row < len(placed) and placed[row - 1][0] == level:
            problem["before"][row] = row - 1
        for tensor in map(TENSORS.index, tensors):
            inner = next((other for other in range(row - 1, -1, -1) if problem["kept"][other, tensor]), -1)
            problem["child"][row, tensor] = inner
            if inner < 0:
                problem["innermost"][tensor] = row
            else:
                problem["parent"][inner, tensor] = row


def _fill_prior(problem: Any, chip: Chip, slots: Sequence[Slot]) -> None:
    """The boundary just inside a slot, where nothing but its level's capacity keeps it from holding the slot's first loop too."""
    for number, (inner, slot) in enumerate(pairwise(slots), 1):
        if inner.level is None or not inner.holds or slot.level is None or slot.level is inner.level or inner.level.name in chip.loops:
            continue
        rows = range(problem["boundaries"])
        problem["prior"][number] = next(row for row in rows if problem["boundary_slot"][row] == number - 1)


def _fill_problem(problem: Any, nest: Nest, chip: Chip, conventions: Conventions, axes: Sequence[str]) -> None:
    """All but slots and boundaries."""
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
                problem["gaps"] |= conventions.boxes and step > 1
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
    for name, row in values.items():
        problem[name][: len(levels)] = row
    problem["widths"] = [widths.input, widths.weight, widths.output, widths.partial]
    for rule in ("slide", "boxes", "refill_all", "drain_reads"):
        problem[rule] = getattr(conventions, rule)
    problem["fill_cycles"] = chip.systolic.fill_cycles if chip.systolic else 0
    problem["last_cycles"] = chip.systolic.last_cycles if chip.systolic else 0
    if chip.systolic:
        problem["shaped"][kernel.WEIGHT] = problem["relevant"][kernel.WEIGHT]
    problem["mac_pj"] = nest.iterations * chip.mac.pj


def _mode(slot: Slot, axis: str, chip: Chip, name: SpaceName, *, outermost: bool) -> int:
    if slot.array is not None:
        return kernel.NONE
    assert slot.level is not None
    rule = chip.loops.get(slot.level.name, Loops())
    if rule.axes is not None and axis not in rule.axes:
        return kernel.NONE
    if outermost or axis in rule.whole:
        return kernel.REST
    return kernel.ALL if name == "full" else kernel.DIVISORS


def _orders(slot: Slot, nest: Nest, chip: Chip, axes: Sequence[str], conventions: Conventions) -> tuple[Order, ...]:
    """What matters of an order: which loops come before the first that a tensor depends on, and for a window, which that one is and whether it goes
    on. The innermost loop ends the reuse of all tensors that depend on it; those of the others' free axes then best come next. No loops at all are
    the first order. Between tensors of a level there are some, and the tensors inside depend on the first: else they would be held outside of it."""
    if slot.array is not None:
        return ()
    found = _every_order(slot, nest, chip, axes, conventions)
    if not slot.within:
        return found
    ends = [place for place, axis in enumerate(axes) if all(axis in o.axes for o in nest.operands if o.name in slot.within)]
    return tuple(order for order in found if order.axes and order.needed and (order.axes[0] in ends or order.axes[0] not in order.needed))


def _every_order(slot: Slot, nest: Nest, chip: Chip, axes: Sequence[str], conventions: Conventions) -> tuple[Order, ...]:
    assert slot.level is not None
    rule = chip.loops.get(slot.level.name, Loops())
    everything = tuple(range(len(axes)))
    if rule.order:
        listed = [axes.index(axis) for axis in rule.order if axis in axes]
        return (Order(axes=_order(everything, listed)),)
    allowed = [axis for axis in everything if rule.axes is None or axes[axis] in rule.axes]
    if len(allowed) <= 1:
        return (Order(axes=everything, needed=frozenset(allowed if slot.within else ())),)
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


def least(space: Space) -> Least:
    """What every mapping of any space that keeps the same tensors at the same levels takes, with each choice of the factors by which levels have
    several instances."""
    return least_costs(space.problem, _bounded(space))


def _bounded(space: Space) -> Unrolled:
    """Choices of factors at the slots outside some boundary; where they are too many, and at the other slots, a slot is taken as it is best."""
    problem, sizes = space.problem, [space.nest.axes[axis] for axis in space.axes]
    inmost = min((int(slot) for slot in problem["boundary_slot"][: problem["boundaries"]]), default=len(space.slots))
    lacking = problem["relevant"][:, : len(space.axes)] == 0
    factors: Array = np.ones((1, len(space.slots), len(space.axes)))
    instances: Array = np.ones((1, len(space.slots)))
    shared: Array = np.ones((1, len(space.slots), 3))
    for number in space.spread_slots:
        array = space.slots[number].array
        assert array is not None
        rule, size = space.chip.unroll.get(array), space.chip.array[array]
        if number > inmost and (rule is None or not (rule.factors or rule.whole)):
            rows = _spread_factors(space, array, sizes, 1).astype(np.float64)
            if len(rows) * len(factors) <= MOST_BOUNDED:
                count = len(factors)
                factors, instances, shared = factors.repeat(len(rows), 0), instances.repeat(len(rows), 0), shared.repeat(len(rows), 0)
                factors[:, number] = np.tile(rows, (count, 1))
                instances[:, number] = factors[:, number].prod(axis=1)
                for tensor in range(3):
                    shared[:, number, tensor] = factors[:, number, lacking[tensor]].prod(axis=1)
                continue
        most = np.array([max(_spread_choices(rule, axis, steps, size, space.name)) for axis, steps in zip(space.axes, sizes, strict=True)])
        instances[:, number] = size
        for tensor in range(3):
            shared[:, number, tensor] = min(size, most[lacking[tensor]].prod(dtype=np.float64))
    return Unrolled(factors=factors, instances=instances, shared=shared)


def least_anywhere(space: Space) -> Least:
    """What every mapping takes, whatever levels keep the tensors: the multiplications, and every element at the level where it begins or ends."""
    problem, home_rows = space.problem, range(space.problem["boundaries"], space.problem["rows"])
    total = float(problem["mac_pj"])
    for row in home_rows:
        level = problem["boundary_level"][row]
        for tensor in map(int, np.flatnonzero(problem["kept"][row])):
            cost = problem["write_pj"][level] if tensor == kernel.OUTPUT else problem["read_pj"][level]
            total += float(problem["whole_bits"][tensor] * cost)
    return Least(energy=np.array([total]), cycles=np.array([space.nest.iterations / space.chip.macs]), outermost=np.zeros((1, 2)))


def unrollings(space: Space) -> tuple[Array, int]:
    """Choices of spatial factors (choices, axes of the array from the multipliers outwards, axes). Where they are too many, those that use little of
    an axis of the array are left out: with the most multipliers that one of those has in use, else 0. Raises DoesNotFitError where the chip's
    constraints collide."""
    every = _unrolled(space, {})
    if every is not None:
        return every[:, space.spread_slots], 0
    most: dict[str, int] = {}
    for slot in space.slots:
        if slot.array is not None:
            sizes = [space.nest.axes[axis] for axis in space.axes]
            most[slot.array] = int(_spread_factors(space, slot.array, sizes, 1).prod(axis=1).max(initial=1))
    for share in SHARES:
        fewer = _unrolled(space, {array: ceil(share * size) for array, size in most.items()})
        if fewer is not None:
            return fewer[:, space.spread_slots], int(share * prod(most.values()))
    return np.ones((1, len(space.spread_slots), len(space.axes)), np.int32), prod(most.values())


def _unrolled(space: Space, least: Mapping[str, int]) -> Array | None:
    """The choices that use so many multipliers along each axis of the array at least; None if they are too many."""
    chip, nest, axes = space.chip, space.nest, space.axes
    sizes = np.array([nest.axes[axis] for axis in axes], np.int64)
    rows = np.ones((1, len(space.slots), len(axes)), np.int32)
    for number, slot in enumerate(space.slots):
        if slot.array is None or not len(rows):
            continue
        every = -(-sizes // rows.prod(axis=1, dtype=np.int64))
        first, kind = _kinds(every)
        choices: list[Array] = []
        total, times = 0, np.bincount(kind)
        for each, count in zip(every[first], times, strict=True):
            choices.append(_spread_factors(space, slot.array, each.tolist(), least.get(slot.array, 1)))
            total += count * len(choices[-1])
            if total > MOST_UNROLLED:
                return None
        rows = np.repeat(rows, np.array([len(chosen) for chosen in choices])[kind], axis=0)
        if len(rows):
            rows[:, number] = np.concatenate([choices[int(each)] for each in kind])
            rows = _unlike(rows, number, space)
    if not len(rows) and not least:
        raise DoesNotFitError(why_none(nest, chip, space.conventions, split=space.name != "timeloop"))
    return rows if len(rows) else None


def _unlike(rows: Array, number: int, space: Space) -> Array:
    """Neighbouring slots of the array are one to the data: of choices with the same product along every axis, one."""
    start = number
    while start > 0 and space.slots[start - 1].array is not None:
        start -= 1
    if start == number:
        return rows
    together = rows[:, start : number + 1].prod(axis=1, dtype=np.int64)
    _, first = np.unique(_numbered(np.concatenate([rows[:, :start].reshape(len(rows), -1), together], axis=1)), return_index=True)
    return rows[np.sort(first)]


def _kinds(rows: Array) -> tuple[Array, Array]:
    """Equal rows are of one kind: where each kind comes first, and the kind of each row."""
    found: tuple[Array, Array, Array] = np.unique(_numbered(rows), return_index=True, return_inverse=True)
    return found[1:]


def _numbered(rows: Array) -> Array:
    """A number for each row of positive numbers: equal rows, and no others, have the same (rows)."""
    numbers, most = np.zeros(len(rows), np.int64), 1
    for column in rows.T:
        radix = int(column.max(initial=0)) + 1
        if most * radix > 2**62:
            values, numbers = np.unique(numbers, return_inverse=True)
            most = len(values)
        if radix > 2:
            numbers, most = numbers * radix + column, most * radix
    return numbers


def _spread_factors(space: Space, array: str, left: Sequence[int], least: int) -> Array:
    """Factors of every axis over one axis of the array, with so many multipliers in use at least (choices, axes)."""
    chip, axes = space.chip, space.axes
    rule, size = chip.unroll.get(array), chip.array[array]
    choices = [_spread_choices(rule, axis, left[place], size, space.name) for place, axis in enumerate(axes)]
    counts = np.array([len(chosen) for chosen in choices], np.int64)
    values = np.zeros((len(axes), counts.max(initial=1)), np.int64)
    for place, chosen in enumerate(choices):
        values[place, : len(chosen)] = chosen
    rows = np.empty((kernel.products(values, counts, size, least, np.empty((0, len(axes)), np.int32)), len(axes)), np.int32)
    kernel.products(values, counts, size, least, rows)
    return rows


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


@cache
def _factors(left: int, name: SpaceName) -> tuple[int, ...]:
    if name != "full":
        return tuple(factor for factor in range(1, left + 1) if left % factor == 0)
    found = [1]
    while -(-left // found[-1]) > 1:
        found.append(-(-left // (-(-left // found[-1]) - 1)))
    return tuple(found)
