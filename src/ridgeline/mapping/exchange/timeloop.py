"""Timeloop's mapping YAML, read and written.

A level has one factor for each dimension, an order of its loops in time, and a list of the tensors that pass it by; all that it keeps is held outside
of its loops. Loops over a fan-out stand between the level that it begins at and the next one. An imperfect factor `C=5,3` says that the last pass of
the loops outside has 3 iterations of 5 (Timeloop, src/mapping/parser.cpp: the residuals are N - 1 in the radices of the factors, each plus 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from ridgeline.algorithm.nest import Nest
from ridgeline.algorithm.timeloop import dimension_names
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.hardware.chip import TENSORS, Chip, Level
from ridgeline.mapping.loops import Loop, LoopMapping, check
from ridgeline.timeloop import DIMENSIONS, axis_of, container_name, convert, document, factors, permutation, tensor_names
from ridgeline.timeloop import TENSORS as NAMES

TENSOR_NAMES = {tensor: name for name, tensor in NAMES.items()}
KINDS = {"temporal": "temporal", "spatial": "spatial", "dataspace": "dataspace", "datatype": "dataspace", "bypass": "dataspace"}


class Directive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the file."""

    target: str | int
    type: str
    factors: Any = None
    permutation: Any = None
    split: int | None = None
    keep: Any = None
    keep_only: Any = None
    bypass: Any = None
    no_reuse: Any = None
    no_temporal_reuse: Any = None
    no_multicast_no_reduction: Any = None
    no_link_transfer: Any = None
    rmw_on_first_writeback: Any = None
    passthrough: Any = None
    no_coalesce: Any = None


NONE = Directive(target="", type="")
REFUSED = Directive.__struct_fields__[Directive.__struct_fields__.index("no_reuse") :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """A fan-out and its axes of the array; y lies outside of x. An axis of which nothing says which side it is is x."""

    name: str
    x: str | None = None
    y: str | None = None

    @property
    def arrays(self) -> tuple[str, ...]:
        """The outermost first."""
        return tuple(axis for axis in (self.y, self.x) if axis is not None)


Place: TypeAlias = Level | Fan


def places(chip: Chip) -> tuple[Place, ...]:
    """Levels and fan-outs, the outermost first. Raises UnsupportedError for levels that do not lie within each other, and for tensors that begin or
    end inside."""
    if chip.homes:
        tensor, level = next(iter(chip.homes.items()))
        raise UnsupportedError(f"chip '{chip.name}': homes.{tensor} is '{level}'; Timeloop's tensors begin and end at the outermost level")
    found: list[Place] = []
    for outer, inner in pairwise((*chip.levels, None)):
        assert outer is not None
        serves = inner.serves if inner is not None else ()
        extra = next((axis for axis in serves if axis not in outer.serves), None)
        if extra is not None and inner is not None:
            raise UnsupportedError(
                f"chip '{chip.name}': level '{inner.name}' serves '{extra}', which '{outer.name}' outside of it does not; "
                "Timeloop's memories lie within each other"
            )
        found.append(outer)
        found += _fans([axis for axis in reversed(chip.array) if axis in outer.serves and axis not in serves])
    return tuple(found)


def _fans(axes: Sequence[str]) -> Iterator[Fan]:
    for axis in axes:
        base = axis[:-2]
        if axis.endswith("_y") and base:
            yield Fan(name=base, x=f"{base}_x" if f"{base}_x" in axes else None, y=axis)
        elif not (axis.endswith("_x") and f"{base}_y" in axes):
            yield Fan(name=axis, x=axis)


# Reading


def read_timeloop_mapping(path: Path, nest: Nest, chip: Chip, dimensions: Mapping[str, str] | None = None) -> LoopMapping:
    """`dimensions` gives the axis of each name, by default those of `ridgeline.timeloop`. Raises InputError for a file that is none or does not fit
    the nest and the chip, UnsupportedError for what a mapping cannot say."""
    where = f"'{path}'"
    entries = convert(document(path, "mapping"), list[Directive], f"{where}: mapping")
    parts = _Parts(where=where, nest=nest, chip=chip, dimensions=dimensions or DIMENSIONS, places=places(chip))
    found = _by_place(parts, entries)
    loops: list[Loop] = []
    residuals: list[int | None] = []
    begins: dict[str, int] = {}
    for place in parts.places:
        if isinstance(place, Level):
            begins[place.name] = len(loops)
            _check_split(found.get(("temporal", place.name)), where)
            made = list(parts.loops(found.get(("temporal", place.name), NONE), (None,)))
        else:
            made = list(parts.loops(found.get(("spatial", place.name), NONE), place.arrays))
        loops += [loop for loop, _ in made]
        residuals += [residual for _, residual in made]
    sized = parts.sized(loops, residuals)
    mapping = _without_idle(sized, parts.positions(found, begins))
    try:
        check(mapping, nest, chip)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return mapping


def _check_split(directive: Directive | None, where: str) -> None:
    if directive is not None and directive.split is not None:
        raise InputError(f"{where}: {directive.target}: a split is of spatial loops")


def _by_place(parts: _Parts, entries: Sequence[Directive]) -> dict[tuple[str, str], Directive]:
    """(kind, name of the level or fan-out) -> directive."""
    found: dict[tuple[str, str], Directive] = {}
    for entry in entries:
        here = f"{parts.where}: {entry.target}"
        refused = next((name for name in REFUSED if getattr(entry, name)), None)
        if refused is not None or entry.type not in KINDS:
            what = f"'{refused}'" if refused is not None else f"type '{entry.type}'"
            raise UnsupportedError(f"{here}: {what} has no counterpart; types are temporal, spatial and dataspace")
        kind = KINDS[entry.type]
        if isinstance(entry.target, int):
            raise UnsupportedError(f"{here}: a target is the name of a level or container, not its number")
        name = parts.target(kind, entry)
        if name is None:
            continue
        if (kind, name) in found:
            raise InputError(f"{here}: a second '{entry.type}' of one target")
        found[kind, name] = entry
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the directives of a file are read with."""

    where: str
    nest: Nest
    chip: Chip
    dimensions: Mapping[str, str]
    places: tuple[Place, ...]

    def target(self, kind: str, entry: Directive) -> str | None:
        """The level or fan-out that a directive is for; None for the empty directives of a fan-out in time. Raises InputError."""
        asked, here = str(entry.target), f"{self.where}: {entry.target}"
        name = container_name(asked)
        levels = [place.name for place in self.places if isinstance(place, Level)]
        fans = [place.name for place in self.places if isinstance(place, Fan)]
        if kind != "spatial" and asked in levels:
            return asked
        if kind == "spatial":
            below = self._below(asked)
            chosen = name if name in fans else below[0] if len(below) == 1 else None
            if chosen is None and any(factor != 1 for factor, _ in factors(entry.factors, here).values()):
                raise InputError(f"{here}: no fan-out of chip '{self.chip.name}' has this name; there are {', '.join(fans)}")
            return chosen
        if name in fans or asked != name:
            idle = not tensor_names(entry.keep, here) and all(factor == 1 for factor, _ in factors(entry.factors, here).values())
            if not idle:
                raise UnsupportedError(f"{here}: a fan-out keeps nothing and has no loops in time")
            return None
        raise InputError(f"{here}: chip '{self.chip.name}' has no such level; there are {', '.join(levels)}")

    def _below(self, level: str) -> list[str]:
        """The fan-outs that begin at a level."""
        names: list[str] = []
        inside = False
        for place in self.places:
            if isinstance(place, Level):
                inside = place.name == level
            elif inside:
                names.append(place.name)
        return names

    def loops(self, directive: Directive, arrays: Sequence[str | None]) -> Iterator[tuple[Loop, int | None]]:
        """A place's loops and their residuals, the outermost first."""
        here = f"{self.where}: {directive.target}"
        given = factors(directive.factors, here)
        named = permutation(directive.permutation, here)
        for name in (*named, *given):
            axis_of(name, self.dimensions, here)
        order = [*named, *(name for name in given if name not in named)]
        split = len(order) if directive.split is None else directive.split
        sides = ((None, order),) if len(arrays) == 1 else ((arrays[0], order[split:]), (arrays[1], order[:split]))
        for array, names in sides:
            for name in reversed(names):
                size, residual = given.get(name, (1, None))
                axis = self.dimensions[name]
                if axis not in self.nest.axes:
                    if size > 1:
                        raise InputError(
                            f"{here}: factor {name}={size}, but the layer has no such axis; it has {', '.join(self.nest.axes)}"
                        )
                    continue
                yield Loop(axis=axis, size=size or self.nest.axes[axis], array=array if len(arrays) > 1 else arrays[0]), residual

    def sized(self, loops: Sequence[Loop], residuals: Sequence[int | None]) -> list[Loop]:
        """The loops, once their factors and residuals are found to make each axis. A loop that runs but once to its residual has that size."""
        made = list(loops)
        for axis, steps in self.nest.axes.items():
            numbers = [number for number, loop in enumerate(loops) if loop.axis == axis]
            total, first = 0, True
            for number in numbers:
                size, given = loops[number].size, residuals[number]
                residual = size if given is None else given
                if not 1 <= residual <= size:
                    raise InputError(f"{self.where}: a factor over '{axis}' is {size},{residual}; the residual must be in 1..{size}")
                total = total * size + residual - 1
                if first:
                    made[number] = replace(loops[number], size=residual)
                    first = residual == 1
            if total + 1 != steps:
                raise InputError(
                    f"{self.where}: the factors over '{axis}' make {total + 1:,}, but the layer has {steps:,}; an imperfect factor needs its "
                    "residual, such as C=5,3"
                )
        return made

    def positions(self, found: Mapping[tuple[str, str], Directive], begins: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """What nothing is said of is kept wherever the chip lets it."""
        positions: dict[str, dict[str, int]] = {tensor: {} for tensor in TENSORS}
        for level in self.chip.levels:
            directive = found.get(("dataspace", level.name), NONE)
            here = f"{self.where}: {level.name}"
            keep, only, bypass = (tensor_names(value, here) for value in (directive.keep, directive.keep_only, directive.bypass))
            for tensor in TENSORS:
                if tensor in bypass and tensor in (*keep, *only):
                    raise InputError(f"{here}: the {tensor} is in keep and in bypass")
                passes = tensor in bypass or (only and tensor not in only)
                if tensor in (*keep, *only) or (tensor in level.keeps and not passes):
                    positions[tensor][level.name] = begins[level.name]
        return positions


def _without_idle(loops: Sequence[Loop], positions: Mapping[str, Mapping[str, int]]) -> LoopMapping:
    """Without the loops of one iteration."""
    before = [sum(loop.size > 1 for loop in loops[:number]) for number in range(len(loops) + 1)]
    return LoopMapping(
        loops=tuple(loop for loop in loops if loop.size > 1),
        positions={tensor: {level: before[at] for level, at in levels.items()} for tensor, levels in positions.items()},
    )


# Writing


def timeloop_mapping(mapping: LoopMapping, nest: Nest, chip: Chip, dimensions: Mapping[str, str] | None = None) -> str:
    """The YAML text: the same counts in Timeloop's form. Raises UnsupportedError for a mapping that has no such form: tensors of one level at
    different loops, two loops of one level over one axis, levels that do not lie within each other, tensors that begin or end inside."""
    check(mapping, nest, chip)
    all_places = places(chip)
    names = dimension_names(nest) if dimensions is None else {axis: name for name, axis in dimensions.items() if axis in nest.axes}
    mapping = _without_idle(mapping.loops, mapping.positions)
    timed = [loop for loop in mapping.loops if loop.array is None]
    ends = _ends(mapping, nest, chip)
    slots: dict[str, list[Loop]] = {}
    begin = 0
    for place in all_places:
        if isinstance(place, Level):
            slots[place.name] = _merged(timed[begin : ends[place.name]], nest, place.name)
            begin = ends[place.name]
        else:
            for array in place.arrays:
                slots[f"{place.name}/{array}"] = _merged([loop for loop in mapping.loops if loop.array == array], nest, place.name)
    written = [loop for slot in slots.values() for loop in slot]
    _check_order(mapping, written, nest)
    residuals = dict(zip(map(id, written), _residuals(written, nest), strict=True))
    lines = ["mapping:"]
    for place in all_places:
        if isinstance(place, Level):
            kept = [tensor for tensor in TENSORS if place.name in mapping.positions[tensor]]
            passing = [TENSOR_NAMES[tensor] for tensor in TENSORS if tensor not in kept]
            keep = ", ".join(TENSOR_NAMES[tensor] for tensor in kept)
            lines.append(f"- {{target: {_text(place.name)}, type: dataspace, keep: [{keep}], bypass: [{', '.join(passing)}]}}")
            lines.append(_line(place.name, "temporal", [slots[place.name]], names, residuals))
        elif any(chip.array[array] > 1 for array in place.arrays):
            split = "" if place.y is None else f", split: {0 if place.x is None else len(slots[f'{place.name}/{place.x}'])}"
            lines.append(_line(place.name, "spatial", [slots[f"{place.name}/{array}"] for array in place.arrays], names, residuals, split))
    return "\n".join(lines) + "\n"


def _ends(mapping: LoopMapping, nest: Nest, chip: Chip) -> dict[str, int]:
    """Where each level's loops in time end among all of them. A tensor's position moves freely over loops that it does not depend on, as its tile and
    its visits stay: a level's is one that all its tensors can have."""
    timed = [number for number, loop in enumerate(mapping.loops) if loop.array is None]
    least, most, want = list[int](), list[int](), list[int]()
    for level in chip.levels:
        low, high, own = 0, len(timed), 0
        for operand in nest.operands:
            if level.name in mapping.positions[operand.name]:
                at = sum(number < mapping.positions[operand.name][level.name] for number in timed)
                relevant = [place for place, number in enumerate(timed) if mapping.loops[number].axis in operand.axes]
                first = max((place + 1 for place in relevant if place < at), default=0)
                last = min((place for place in relevant if place >= at), default=len(timed))
                if max(low, first) > min(high, last):
                    raise UnsupportedError(
                        f"the {operand.name} at level '{level.name}' is held at other loops than the level's other tensors"
                    )
                low, high, own = max(low, first), min(high, last), max(own, at)
        least.append(low)
        most.append(high)
        want.append(own)
    caps = [min(most[number:]) for number in range(len(most))]
    begins: list[int] = []
    for number, level in enumerate(chip.levels):
        floor = max(least[number], begins[-1] if begins else 0)
        if floor > caps[number]:
            tensor = next(tensor for tensor in TENSORS if level.name in mapping.positions[tensor])
            raise UnsupportedError(
                f"the {tensor} at level '{level.name}' is held inside loops that a level further in must have outside of it"
            )
        begins.append(min(max(floor, want[number]), caps[number]) if number else 0)
    return {level.name: end for level, end in zip(chip.levels, (*begins[1:], len(timed)), strict=True)}


def _merged(loops: Sequence[Loop], nest: Nest, place: str) -> list[Loop]:
    """Neighbours over one axis as one loop."""
    found: list[Loop] = []
    for loop in loops:
        if found and found[-1].axis == loop.axis:
            found[-1] = replace(found[-1], size=found[-1].size * loop.size)
        else:
            found.append(replace(loop))
    twice = next((loop.axis for number, loop in enumerate(found) if loop.axis in {other.axis for other in found[:number]}), None)
    if twice is not None:
        raise UnsupportedError(f"'{place}' has two loops over axis '{twice}', with others between them; Timeloop has one")
    return found


def _check_order(mapping: LoopMapping, written: Sequence[Loop], nest: Nest) -> None:
    """An axis' loops must come in the order in which Timeloop has them."""
    for axis in nest.axes:
        ours = _merged_neighbours([loop for loop in mapping.loops if loop.axis == axis])
        theirs = _merged_neighbours([loop for loop in written if loop.axis == axis])
        if ours != theirs:
            raise UnsupportedError(
                f"the loops over axis '{axis}' in time and over the array stand in another order than Timeloop's levels do"
            )


def _merged_neighbours(loops: Sequence[Loop]) -> list[tuple[str | None, int]]:
    """(array, size) with neighbours of one kind as one."""
    found: list[tuple[str | None, int]] = []
    for loop in loops:
        if found and found[-1][0] == loop.array:
            found[-1] = loop.array, found[-1][1] * loop.size
        else:
            found.append((loop.array, loop.size))
    return found


def _residuals(written: Sequence[Loop], nest: Nest) -> list[tuple[int, int]]:
    """(factor, residual) of each loop: N - 1 in the radices of the factors, each plus 1; the outermost runs to its residual."""
    found = [(1, 1)] * len(written)
    for axis, steps in nest.axes.items():
        numbers = [number for number, loop in enumerate(written) if loop.axis == axis]
        for number in numbers:
            step = prod(written[other].size for other in numbers if other > number)
            outside = -(-steps // (step * written[number].size))
            residual = (steps - 1) // step % written[number].size + 1
            found[number] = (residual if outside == 1 else written[number].size), residual
    return found


def _line(
    target: str,
    kind: str,
    sides: Sequence[Sequence[Loop]],
    names: Mapping[str, str],
    residuals: Mapping[int, tuple[int, int]],
    split: str = "",
) -> str:
    """All dimensions, those without a loop last; sides and loops come outermost first, a permutation innermost first."""
    loops = {names[loop.axis]: residuals[id(loop)] for side in sides for loop in side}
    if len(loops) < sum(map(len, sides)):
        raise UnsupportedError(f"'{target}' has loops over one axis along both of its sides; Timeloop has one")
    order = [names[loop.axis] for side in reversed(sides) for loop in reversed(side)]
    idle = [name for name in names.values() if name not in order]
    written = [f"{name}={size}" if size == residual else f'"{name}={size},{residual}"' for name, (size, residual) in loops.items()]
    parts = ", ".join((*written, *(f"{name}=1" for name in idle)))
    return f"- {{target: {_text(target)}, type: {kind}, factors: [{parts}], permutation: [{', '.join((*order, *idle))}]{split}}}"


def _text(name: str) -> str:
    """As YAML."""
    plain = name.replace("_", "a").isalnum() and name.isascii() and name[0].isalpha()
    words = ("yes", "no", "on", "off", "true", "false", "null")
    return name if plain and name.lower() not in words else msgspec.json.encode(name).decode()
