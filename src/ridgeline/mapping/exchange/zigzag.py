"""ZigZag's mapping YAML (3.9.1), both ways: a list of entries, each with a layer's unrolling and the order of its loops in time.

    - name: conv1
      spatial_mapping: {D1: ["K, 32"], D2: ["C, 32"]}
      temporal_ordering: [[FX, 3], [OX, 28], ...]     # the innermost first

D1, D2, ... are the array's axes in the chip's order. Which loops a level holds is not in the file: ZigZag fills the memories from the innermost, each
with as many of the loops as fit, for all tensors at once those that leave the fewest accesses to the level above (`allotted`). A mapping that it
would allot otherwise cannot be written. Its layers are convolutions (dimensions B G K C OY OX FY FX) and products (D K C, and B or H of several).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, inf, prod
from pathlib import Path
from typing import Any, cast

import msgspec

from ridgeline.algorithm.layers import Layer
from ridgeline.algorithm.nest import Nest
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.hardware.chip import TENSORS, Chip, Level
from ridgeline.hardware.zigzag import DIMENSIONS, Entry
from ridgeline.mapping.loops import Loop, LoopMapping, check
from ridgeline.mapping.nominal import Factor, average_lanes, elements, is_lacking, merged, port, spread, used_lanes

PRODUCT = {"C": "c", "D": "y", "K": "m", "B": "g", "H": "g"}  # dimensions of a product
OPERATORS = ("Conv", "QLinearConv", "Gemm", "MatMul")  # that ZigZag reads
MOST_AXES = 4  # of an array, D1 to D4
LINKS = {"O": "O", "W": "I2", "I": "I1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What ZigZag's file says of one layer, in this project's names: lanes by axis of the array, and loops in time, the innermost first."""

    lanes: Mapping[str, Mapping[str, int]]
    loops: tuple[tuple[str, int], ...]


def is_zigzag(found: object) -> bool:
    """Whether the content of a YAML file is ZigZag's mapping: a list of entries with a spatial_mapping or temporal_ordering."""
    items = cast("list[object]", found) if isinstance(found, list) else []
    return any(isinstance(item, dict) and not item.keys().isdisjoint(("temporal_ordering", "spatial_mapping")) for item in items)


def read_mappings(path: Path, layers: Sequence[Layer], chip: Chip) -> tuple[LoopMapping, ...]:
    """One for each layer: the entry of its name, else of its operator, else `default`. Raises InputError, or UnsupportedError for what ZigZag would
    search."""
    entries = _entries(path)
    known = {entry.name: entry for entry in reversed(entries)}
    found: list[LoopMapping] = []
    for layer in layers:
        entry = known.get(layer.name) or known.get(layer.operator) or known.get("default")
        if entry is None:
            raise InputError(f"'{path}' has no entry '{layer.name}', '{layer.operator}' or 'default'")
        where = f"'{path}', entry '{entry.name}' for layer '{layer.name}'"
        try:
            found.append(placed(_order(entry, layer.nest, chip, where), layer.nest, chip))
        except (InputError, UnsupportedError) as error:
            raise type(error)(str(error) if str(error).startswith("'") else f"{where}: {error}") from error
    return tuple(found)


def write_mappings(layers: Sequence[Layer], mappings: Sequence[LoopMapping], chip: Chip) -> str:
    """The file's text. Raises UnsupportedError for a mapping that ZigZag would allot otherwise, naming the layer and the level."""
    lines = [
        f"# {len(layers)} layers on chip '{chip.name}', made by Ridgeline; dimensions of the array: "
        + ", ".join(f"D{number} is {axis}" for number, axis in enumerate(chip.array, 1)),
        *_written("default", None),
    ]
    for layer, mapping in zip(layers, mappings, strict=True):
        try:
            lines += _written(layer.name, (order_of(mapping, layer, chip), layer.nest, chip))
        except UnsupportedError as error:
            raise UnsupportedError(f"layer '{layer.name}' in ZigZag's mapping YAML: {error}") from error
    return "\n".join(lines) + "\n"


def order_of(mapping: LoopMapping, layer: Layer, chip: Chip) -> Order:
    """What ZigZag needs to come to the same mapping. Raises UnsupportedError where it would not."""
    _check_chip(chip)
    if layer.operator not in OPERATORS:
        raise UnsupportedError(f"operator {layer.operator}; ZigZag reads {', '.join(OPERATORS)}")
    if not is_convolution(layer.nest) and layer.nest.axes.get("g", 1) > 1:
        raise UnsupportedError("several products at once, whose batch and heads are one axis here and two in ZigZag")
    order = Order(
        lanes=used_lanes(mapping, chip),
        loops=tuple((loop.axis, loop.size) for loop in reversed(mapping.loops) if loop.array is None and loop.size > 1),
    )
    _check_passes(order, layer.nest, chip)
    theirs = placed(order, layer.nest, chip)
    for operand in layer.nest.operands:
        levels = mapping.chain(operand.name, chip)
        missing = next((level.name for level in chip.levels if operand.name in level.keeps and level not in levels), None)
        if missing is not None:
            raise UnsupportedError(f"the {operand.name} passes level '{missing}' by, which ZigZag cannot say of one layer")
        ours = (merged(one, layer.nest, operand, levels[::-1]) for one in (mapping, theirs))
        for level, own, other in zip(levels[::-1], *ours, strict=True):
            if own != other:
                raise UnsupportedError(
                    f"level '{level.name}' holds the {operand.name} over loops {_text(own)}, but ZigZag would allot it {_text(other)}"
                )
    return order


def _text(loops: Sequence[Factor]) -> str:
    return " ".join(f"{axis} {size:g}" for axis, size in loops) or "none"


def is_convolution(nest: Nest) -> bool:
    return any(len(index) > 1 for operand in nest.operands for index in operand.indices)


def _check_chip(chip: Chip) -> None:
    if len(chip.array) > MOST_AXES:
        raise UnsupportedError(f"chip '{chip.name}' has an array of {len(chip.array)} axes; ZigZag knows {MOST_AXES}")
    if chip.homes:
        tensor, level = next(iter(chip.homes.items()))
        raise UnsupportedError(f"chip '{chip.name}': homes.{tensor} is '{level}'; ZigZag's tensors begin and end at the outermost level")


def _names(nest: Nest) -> dict[str, str]:
    """ZigZag's dimension -> axis. Raises UnsupportedError for a layer that ZigZag reads otherwise."""
    if not is_convolution(nest):
        return PRODUCT
    if "z" in nest.axes:
        raise UnsupportedError("a convolution of three axes; ZigZag reads those of two")
    rows, columns = (index for index in nest.inputs[0].indices if len(index) > 1)
    if nest.axes["r"] != nest.axes["q"] or (rows["y"], rows["r"]) != (columns["x"], columns["q"]):
        raise UnsupportedError("a kernel, stride or dilation that is not square, whose width and height ZigZag exchanges")
    return DIMENSIONS


def _entries(path: Path) -> list[Entry]:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=list[Entry])
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"'{path}': {' '.join(str(error).split())}") from error


def _order(entry: Entry, nest: Nest, chip: Chip, where: str) -> Order:
    _check_chip(chip)
    names = _names(nest)
    links = entry.memory_operand_links
    if links is not None and links != LINKS:
        raise UnsupportedError(f"{where}: memory_operand_links {links}; a chip's levels know {LINKS}")
    return _checked(Order(lanes=_lanes(entry, nest, chip, names, where), loops=_loops(entry, nest, names, where)), nest, chip, where)


def _lanes(entry: Entry, nest: Nest, chip: Chip, names: Mapping[str, str], where: str) -> dict[str, dict[str, int]]:
    """No more than the array and the layer have. Dimensions that the layer lacks are left out."""
    given = entry.spatial_mapping or {}
    axes = dict(zip((f"D{number}" for number in range(1, MOST_AXES + 1)), chip.array, strict=False))
    unknown = next((dimension for dimension in given if dimension not in axes), None)
    if unknown is not None:
        raise InputError(f"{where}: spatial_mapping names '{unknown}'; the array of chip '{chip.name}' has {', '.join(axes)}")
    free = next((dimension for dimension in axes if dimension not in given), None)
    if free is not None:
        raise UnsupportedError(
            f"{where}: spatial_mapping has no '{free}', which ZigZag would choose; give it, as [\"K, 1\"] where nothing is spread"
        )
    found: dict[str, dict[str, int]] = {}
    for dimension, axis in axes.items():
        found[axis] = {}
        for text in given[dimension]:
            name, _, size = (part.strip() for part in text.partition(","))
            if not size.isdigit() or int(size) < 1 or name not in (*DIMENSIONS, *PRODUCT):
                raise InputError(f"{where}: spatial_mapping {dimension}: '{text}' is no layer dimension ({', '.join(names)}) and size")
            own = names.get(name, "")
            lanes = min(int(size), chip.array[axis], nest.axes.get(own, 1))
            if lanes > 1:
                found[axis][own] = found[axis].get(own, 1) * lanes
        used = prod(found[axis].values())
        if used > chip.array[axis]:
            raise InputError(
                f"{where}: spatial_mapping {dimension} makes {used}, but '{axis}' of chip '{chip.name}' has {chip.array[axis]}"
            )
    return found


def _loops(entry: Entry, nest: Nest, names: Mapping[str, str], where: str) -> tuple[tuple[str, int], ...]:
    given: Any = entry.temporal_ordering
    if not isinstance(given, list):
        raise UnsupportedError(
            f"{where}: it has no temporal_ordering, so that ZigZag would search; give all loops in time, innermost first"
        )
    found: list[tuple[str, int]] = []
    for item in cast("list[Any]", given):
        pair = cast("list[Any]", item) if isinstance(item, list) else []
        name, size = pair if len(pair) == 2 else (None, None)
        if size == "*":
            raise UnsupportedError(
                f"{where}: temporal_ordering {item} leaves a size open, so that ZigZag would search; give all loops in time"
            )
        if not isinstance(name, str) or not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(f"{where}: temporal_ordering {item!r} is no layer dimension ({', '.join(names)}) and size, as [K, 4]")
        if names.get(name, "") in nest.axes and size > 1:
            found.append((names[name], size))
    return tuple(found)


def _checked(order: Order, nest: Nest, chip: Chip, where: str) -> Order:
    try:
        _check_passes(order, nest, chip)
    except UnsupportedError as error:
        raise InputError(f"{where}: temporal_ordering: {error}") from error
    return order


def _check_passes(order: Order, nest: Nest, chip: Chip) -> None:
    """ZigZag takes an order as it is only if its loops make exactly the passes over each axis that the array leaves: level by level of the weight, or
    of a product's input, rounded up."""
    tensor = "weight" if is_convolution(nest) else "input"
    below = spread([level for level in reversed(chip.levels) if tensor in level.keeps], average_lanes(order.lanes, nest))
    for axis, size in nest.axes.items():
        passes = size
        for part in below:
            passes = ceil(passes / prod(lanes for name, lanes in part if name == axis))
        made = prod(size for name, size in order.loops if name == axis)
        if made != passes:
            raise UnsupportedError(f"the loops in time over '{axis}' make {made:,} passes; with its lanes ZigZag asks for {passes:,}")


def placed(order: Order, nest: Nest, chip: Chip) -> LoopMapping:
    """With the levels as ZigZag allots them. Lanes of an axis stand as far inside as they may; where loops over it stand within, so many that all are
    in use. Raises UnsupportedError where a tile would not be one piece of an axis."""
    _check_inner(order, nest, chip)
    timed = [Loop(axis=axis, size=size) for axis, size in reversed(order.loops)]
    positions = {
        tensor: {name: len(timed) - held for name, held in levels.items()} for tensor, levels in allotted(order, nest, chip).items()
    }
    for lanes in (order.lanes, _spared(order.lanes, nest)):
        mapping = _mapping(timed, positions, lanes, chip)
        try:
            check(mapping, nest, chip)
        except InputError as error:
            fault = error
        else:
            return mapping
    raise UnsupportedError(f"it cannot be written as loops over contiguous tiles: {str(fault).removeprefix('mapping: ')}")


def _check_inner(order: Order, nest: Nest, chip: Chip) -> None:
    """ZigZag spreads no further over the axes that an innermost level serves than its port and capacity take at once."""
    for level in chip.levels:
        if any(tensor in other.keeps for other in chip.levels[chip.levels.index(level) + 1 :] for tensor in level.keeps):
            continue
        for operand in nest.operands:
            if operand.name not in level.keeps:
                continue
            width = chip.widths.partial if operand is nest.output else getattr(chip.widths, operand.name)
            own = [
                (array, axis, lanes) for array in level.serves for axis, lanes in order.lanes.get(array, {}).items()
                if not is_lacking(operand, nest, axis)
            ]  # fmt: skip
            through = port(level, operand.name, "update" if operand is nest.output else "read")
            for array, axis, lanes in own:
                if through is not None and lanes > through.bits_per_cycle // width:
                    raise UnsupportedError(
                        f"{lanes} lanes of '{axis}' along '{array}', more than a port of level '{level.name}' gives at once"
                    )
            if level.capacity_bytes is not None and prod(lanes for _, _, lanes in own) > level.capacity_bytes * 8 / width:
                raise UnsupportedError(f"level '{level.name}' is smaller than one {operand.name} for each lane that it serves")


def _spared(lanes: Mapping[str, Mapping[str, int]], nest: Nest) -> dict[str, dict[str, int]]:
    return {array: {axis: ceil(size) for axis, size in factors} for array, factors in average_lanes(lanes, nest).items()}


def _mapping(
    timed: Sequence[Loop], positions: Mapping[str, Mapping[str, int]], lanes: Mapping[str, Mapping[str, int]], chip: Chip
) -> LoopMapping:
    spatial = [Loop(axis=axis, size=size, array=array) for array, factors in lanes.items() for axis, size in factors.items()]
    places = {loop: _place(loop, timed, positions, chip) for loop in spatial}
    loops: list[Loop] = []
    begins: list[int] = []
    for number in range(len(timed) + 1):
        loops += [loop for loop in spatial if places[loop] == number]
        begins.append(len(loops))
        loops += timed[number : number + 1]
    begins[0] = 0
    return LoopMapping(
        loops=tuple(loops), positions={tensor: {name: begins[at] for name, at in levels.items()} for tensor, levels in positions.items()}
    )


def _place(loop: Loop, timed: Sequence[Loop], positions: Mapping[str, Mapping[str, int]], chip: Chip) -> int:
    """Outside all loops over its axis in the tiles of levels that do not serve its lanes."""
    inside = [
        number for number, other in enumerate(timed) if other.axis == loop.axis
        for levels in positions.values() for name, at in levels.items() if loop.array not in chip.level(name).serves and number >= at
    ]  # fmt: skip
    return min(inside, default=len(timed))


def allotted(order: Order, nest: Nest, chip: Chip) -> dict[str, dict[str, int]]:
    """Tensor -> level -> how many of the innermost loops in time its tile holds, as ZigZag allots them: level by level from the multipliers, of all
    choices that fit the one that leaves the fewest elements times refills to the level above, and of equals the one with more loops, the last
    tensor's first. Raises UnsupportedError where not even the lanes' own elements fit."""
    lanes = average_lanes(order.lanes, nest)
    held: dict[str, dict[str, int]] = {tensor: {} for tensor in TENSORS}
    for level in reversed(chip.levels):
        choices = {tensor: _Choices.of(order, nest, chip, level, tensor, held[tensor], lanes) for tensor in level.keeps}
        best = _fewest(choices, level)
        if best is None:
            raise UnsupportedError(f"level '{level.name}' of chip '{chip.name}' is too small for what the lanes below it hold")
        for tensor, loops in best.items():
            held[tensor][level.name] = loops
    return {tensor: dict(reversed(levels.items())) for tensor, levels in held.items()}


def _fewest(choices: Mapping[str, _Choices], level: Level) -> dict[str, int] | None:
    capacity = inf if level.capacity_bytes is None else level.capacity_bytes * 8
    least, best = inf, None
    for chosen in product(*(range(len(choice.bits)) for choice in choices.values())):
        pairs = list(zip(choices.values(), chosen, strict=True))
        accesses = sum(choice.accesses[number] for choice, number in pairs)
        if sum(choice.bits[number] for choice, number in pairs) <= capacity and accesses <= least:
            least, best = (
                accesses,
                {tensor: choice.first + number for (tensor, choice), number in zip(choices.items(), chosen, strict=True)},
            )
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    """Of one tensor at a level: with `first` loops and one more each, the bits of its tile, and that times the refills."""

    first: int
    bits: tuple[float, ...]
    accesses: tuple[float, ...]

    @classmethod
    def of(
        cls, order: Order, nest: Nest, chip: Chip, level: Level, tensor: str, held: Mapping[str, int], lanes: Mapping[str, Sequence[Factor]]
    ) -> _Choices:
        operand = next(operand for operand in nest.operands if operand.name == tensor)
        levels = [other for other in reversed(chip.levels) if tensor in other.keeps]
        number, first = levels.index(level), max(held.values(), default=0)
        below = spread(levels, lanes)
        inside = [factor for part in below[: number + 1] for factor in part]
        left = [axis for axis, _ in order.loops[first:]] + [axis for part in below[number + 1 :] for axis, _ in part]
        is_partial = operand is nest.output and any(is_lacking(operand, nest, axis) for axis in left)
        width = chip.widths.partial if is_partial else getattr(chip.widths, tensor)
        count = len(order.loops)
        bits = [elements(operand, nest, [*inside, *order.loops[:loops]]) * width for loops in range(first, count + 1)]
        if level is chip.levels[0]:
            return cls(first=count, bits=(0.0,), accesses=(0.0,))
        if level.double_buffered:
            bits = [size * 2 if loops < count - first and size < bits[-1] else size for loops, size in enumerate(bits)]
        capacity = inf if level.capacity_bytes is None else level.capacity_bytes * 8
        fitting = next((loops for loops, size in enumerate(bits) if size > capacity), len(bits))
        refills = [prod(size for _, size in order.loops[first + loops :]) for loops in range(fitting)]
        return cls(
            first=first, bits=tuple(bits[:fitting]), accesses=tuple(size * times for size, times in zip(bits, refills, strict=False))
        )


def _written(name: str, found: tuple[Order, Nest, Chip] | None) -> list[str]:
    """An entry's lines."""
    lines = [f"- name: {json.dumps(name)}"]
    if found is None:
        lines.append("  spatial_mapping: null")
    else:
        order, nest, chip = found
        names = {axis: dimension for dimension, axis in reversed(_names(nest).items())}
        lines.append("  spatial_mapping:")
        for number, array in enumerate(chip.array, 1):
            texts = [f"{names[axis]}, {size}" for axis, size in order.lanes.get(array, {}).items()] or [f"{names['m']}, 1"]
            lines.append(f"    D{number}: {json.dumps(texts)}")
        lines.append(f"  temporal_ordering: [{', '.join(f'[{names[axis]}, {size}]' for axis, size in order.loops)}]")
    links = ", ".join(f"{ours}: {theirs}" for ours, theirs in LINKS.items())
    return [*lines, f"  memory_operand_links: {{{links}}}"]
