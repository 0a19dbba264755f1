"""Every mapping of a small nest on a small chip, one by one: what an exhaustive search must equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from math import prod
from typing import Any

import numpy as np

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.hardware.chip import TENSORS, Chip, Level, Loops, Mac, Tensor, Widths
from ridgeline.mapping.estimate import Estimate, estimate
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping, home


def every_mapping(nest: Nest, chip: Chip, *, imperfect: bool, uneven: bool = False) -> Iterator[LoopMapping]:
    """Any factor at any level and on any axis of the array, any order of the loops of a level, any choice of kept tensors. At a level, the tile of
    all its tensors is the same; with `uneven`, that of any of the loops of all levels that serve the same axes of the array. The array's axes lie as
    near to the multipliers as the levels let them."""
    kept = {level.name: len(level.keeps) for level in chip.levels[1:]} if uneven else {}
    slots = [slot for slot in _slots(chip) for _ in range(kept.get(slot[0], 1))]
    axes = [axis for axis, size in nest.axes.items() if size > 1]
    per_axis = [list(_cuts(nest.axes[axis], axis, slots, chip, imperfect=imperfect)) for axis in axes]
    for cut in product(*per_axis):
        rows = [dict(zip(axes, row, strict=True)) for row in zip(*cut, strict=True)]
        if any(array and prod(row.values()) > chip.array[array] for (_, array), row in zip(slots, rows, strict=True)):
            continue
        yield from _ordered(chip, slots, rows, uneven=uneven)


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


def _ordered(chip: Chip, slots: Sequence[tuple[str, str]], rows: Sequence[dict[str, int]], *, uneven: bool) -> Iterator[LoopMapping]:
    groups: list[list[tuple[Loop, ...]]] = []
    for (_, array), row in zip(slots, rows, strict=True):
        loops = [Loop(axis=axis, size=size, array=array or None) for axis, size in row.items() if size > 1]
        groups.append([tuple(loops)] if array else [tuple(order) for order in permutations(loops)])
    begins, at = dict[str, list[int]](), 0
    zones = {level.name: repr(level.serves) if uneven and number else level.name for number, level in enumerate(chip.levels)}
    for (level, _), group in zip(slots, groups, strict=True):
        if level:
            begins.setdefault(zones[level], []).append(at)
        at += len(group[0])
    for kept in product(*(_kept(chip, number) for number in range(len(chip.levels)))):
        places = [(tensor, level.name) for level, names in zip(chip.levels, kept, strict=True) for tensor in names]
        places = [(tensor, level) for tensor, level in places if not _is_outside(level, home(chip, tensor), chip)]
        choices = ([0] if home(chip, tensor).name == level else sorted(set(begins[zones[level]])) for tensor, level in places)
        for chosen_places in product(*choices):
            positions: dict[str, dict[str, int]] = {tensor: {} for tensor in TENSORS}
            for (tensor, level), place in zip(places, chosen_places, strict=True):
                positions[tensor][level] = place
            for chosen in product(*groups):
                yield LoopMapping(loops=tuple(loop for group in chosen for loop in group), positions=positions)


def _is_outside(level: str, other: Level, chip: Chip) -> bool:
    return chip.levels.index(chip.level(level)) < chip.levels.index(other)


def _kept(chip: Chip, number: int) -> list[tuple[str, ...]]:
    level = chip.levels[number]
    if number == 0:
        return [level.keeps]
    free = [tensor for tensor in level.keeps if tensor not in level.must_keep]
    return [(*level.must_keep, *(t for t, k in zip(free, flags, strict=True) if k)) for flags in product((True, False), repeat=len(free))]


def random_uneven_case(rng: np.random.Generator) -> tuple[Nest, Chip, Conventions]:
    """A case for `uneven`: small levels, one of two or three tensors, or two that keep one tensor each; sometimes a tensor stays in one."""
    if rng.random() < 0.5:
        nest = parse("y c, c m -> y m", axes={axis: int(rng.integers(2, 4)) for axis in ("y", "c", "m")}, multiplies=True)
    else:
        axes = {"c": int(rng.integers(2, 4)), "y": int(rng.integers(2, 5)), "r": int(rng.integers(2, 4))}
        nest = parse("c (y+r), c r -> y", axes=axes, multiplies=True)
    rules = Conventions(slide=bool(rng.random() < 0.7), refill_all=bool(rng.random() < 0.3), drain_reads=bool(rng.random() < 0.7))
    groups: list[list[tuple[Tensor, ...]]] = [
        [("input", "weight")], [("input", "output")], [("weight", "output")], [("weight",), ("output",)], [("output",), ("input",)],
        [("input",), ("weight",)],
    ]  # fmt: skip
    chosen = groups[int(rng.integers(len(groups)))]
    levels = [_random_level(rng, "level0", TENSORS, None)]
    levels += [_random_level(rng, f"level{number}", keeps, int(rng.integers(2, 12))) for number, keeps in enumerate(chosen, 1)]
    chip = Chip(
        name="drawn", description="drawn", clock_mhz=100, node_nm=45, array={"rows": 1}, mac=Mac(pj=1, source="drawn"),
        widths=Widths(input=8, weight=8, output=8, partial=int(rng.choice([8, 16]))), levels=tuple(levels),
        homes={chosen[0][0]: "level1"} if rng.random() < 0.15 else {}, source="drawn",
    )  # fmt: skip
    return nest, chip, rules


def _random_level(rng: np.random.Generator, name: str, keeps: tuple[Tensor, ...], capacity: int | None) -> Level:
    cost = 10 if capacity is None else 1
    return Level(
        name=name, keeps=keeps, must_keep=keeps if capacity is not None and rng.random() < 0.7 else (), serves=("rows",), capacity_bytes=capacity,
        read_pj_per_bit=cost * float(rng.integers(1, 20)), write_pj_per_bit=cost * float(rng.integers(1, 20)),
        read_bits_per_cycle=float(rng.integers(4, 64)), write_bits_per_cycle=float(rng.integers(4, 64)), source="drawn",
    )  # fmt: skip


def best_of_all(nest: Nest, chip: Chip, conventions: Conventions, *, imperfect: bool, uneven: bool) -> tuple[dict[str, float], int]:
    """(least worth by objective, number of legal mappings)."""
    best = {"energy": float("inf"), "latency": float("inf"), "edp": float("inf")}
    count = 0
    for mapping in every_mapping(nest, chip, imperfect=imperfect, uneven=uneven):
        try:
            made: Estimate = estimate(mapping, nest, chip, conventions)
        except (DoesNotFitError, InputError):
            continue
        count += 1
        for name, value in (("energy", made.energy_pj), ("latency", made.cycles), ("edp", made.energy_pj * made.cycles)):
            best[name] = min(best[name], value)
    return best, count


def random_small_case(rng: np.random.Generator) -> tuple[Nest, Chip, Conventions]:
    """So small that every mapping can be looked at."""
    kind = int(rng.integers(0, 4))

    def size() -> int:
        return int(rng.integers(2, 4))

    match kind:
        case 0:
            nest = parse("y c, c m -> y m", axes={"y": size(), "c": size(), "m": size()}, multiplies=True)
        case 1:
            axes = {"m": 2, "c": 2, "y": size(), "r": int(rng.integers(1, 4))}
            factors = {"s": int(rng.integers(1, 4)), "d": int(rng.integers(1, 3))}
            nest = parse("c (y*s+r*d), m c r -> m y", axes=axes, factors=factors, multiplies=True)
        case 2:
            nest = parse("g (y+r) (x+q), g r q -> g y x", axes={"g": 2, "y": size(), "x": 2, "r": 2, "q": 1}, multiplies=True)
        case _:
            nest = parse("g y c, g c m -> g y m", axes={"g": 2, "y": size(), "c": size(), "m": 1}, multiplies=True)
    array = {"rows": int(rng.integers(1, 4))} if rng.random() < 0.6 else {"rows": 2, "columns": int(rng.integers(2, 4))}
    rules = Conventions(
        slide=bool(rng.random() < 0.7), boxes=bool(rng.random() < 0.3), refill_all=bool(rng.random() < 0.3), drain_reads=bool(rng.random() < 0.7)
    )
    return nest, _random_small_chip(rng, array), rules


def _random_small_chip(rng: np.random.Generator, array: dict[str, int]) -> Chip:
    levels: list[Level] = []
    serves: tuple[str, ...] = tuple(array)
    count = int(rng.integers(2, 4))
    for number in range(count):
        if number and rng.random() < 0.6:
            serves = tuple(axis for axis in serves if rng.random() < 0.5)
        some: tuple[Tensor, ...] = tuple(tensor for tensor in TENSORS if rng.random() < 0.6) or ("weight",)
        keeps = TENSORS if number == 0 or rng.random() < 0.6 else some
        must: tuple[Tensor, ...] = keeps if count == 3 else tuple(tensor for tensor in keeps if rng.random() < 0.6)
        cost = 10 if number == 0 else 1
        levels.append(
            Level(
                name=f"level{number}", keeps=keeps, must_keep=must, serves=serves,
                capacity_bytes=None if number == 0 else int(rng.integers(6, 60)),
                read_pj_per_bit=cost * float(rng.integers(1, 20)), write_pj_per_bit=cost * float(rng.integers(1, 20)),
                double_buffered=bool(rng.random() < 0.2), source="drawn", **_random_ports(rng),
            )
        )  # fmt: skip
    widths = Widths(input=8, weight=8, output=8, partial=int(rng.choice([8, 16])))
    return Chip(
        name="drawn", description="drawn", clock_mhz=100, node_nm=45, array=array, mac=Mac(pj=1, source="drawn"), widths=widths,
        levels=tuple(levels), source="drawn",
    )  # fmt: skip


def _random_ports(rng: np.random.Generator) -> dict[str, Any]:
    if rng.random() < 0.3:
        return {"one_port": True, "read_bits_per_cycle": float(rng.integers(4, 64))}
    rates = [None if rng.random() < 0.4 else float(rng.integers(4, 64)) for _ in range(2)]
    return {"read_bits_per_cycle": rates[0], "write_bits_per_cycle": rates[1]}
