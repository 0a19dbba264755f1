"""A chip with other parameters, and what follows from them.

A memory's energy and area follow its capacity, a multiply-accumulate's the widths: the chip's own figure times the ratio of what the process node
and the table of areas give for the new value and for the old. The outermost memory keeps its bytes a second when the clock changes. What is given
beside is taken as given. Voltage and wires stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import log, sqrt
from typing import Any, TypeAlias

import msgspec

from ridgeline.errors import InputError, UnsupportedError, unknown_name
from ridgeline.hardware.area import mac_um2, memory_um2, on_line
from ridgeline.hardware.chip import Chip, Level, Widths
from ridgeline.hardware.node import Node, NumberFormat, node_names, read_node

Value: TypeAlias = int | float
WHOLE = ("capacity_bytes",)
LEVEL_FIELDS = ("capacity_bytes", "read_bits_per_cycle", "write_bits_per_cycle", "read_pj_per_bit", "write_pj_per_bit", "area_mm2")
MAC_FIELDS = ("pj", "area_mm2")
WIDTH_FIELDS = ("input", "weight", "output", "partial")
INTEGERS: tuple[tuple[int, NumberFormat], ...] = ((8, "int8"), (16, "int16"), (32, "int32"))


def is_whole(path: str, chip: Chip) -> bool:
    """Whether what `path` names is an integer. Raises UnknownNameError or InputError for what cannot be varied in the chip."""
    if path == "clock_mhz":
        return False
    part, _, name = path.rpartition(".")
    match part:
        case "array":
            _require("array axis", name, list(chip.array))
            if chip.systolic is not None:
                raise InputError(f"'{path}' of chip '{chip.name}' cannot vary: its [systolic] fills are those of this array")
            return True
        case "widths":
            _require("field of widths", name, WIDTH_FIELDS)
            return True
        case "mac":
            _require("field of mac", name, MAC_FIELDS)
            return False
        case "":
            raise unknown_name("chip parameter", path, ["clock_mhz", *(f"array.{axis}" for axis in chip.array), *_level_paths(chip)])
        case _:
            _require("level, or array, widths or mac,", part, [level.name for level in chip.levels])
            _require(f"field of level '{part}'", name, LEVEL_FIELDS)
            if name == "capacity_bytes" and chip.level(part).capacity_bytes is None:
                raise InputError(
                    f"'{path}' of chip '{chip.name}' cannot vary: the level is unbounded, so that its energy has no capacity to follow"
                )
            return name in WHOLE


def _require(kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise unknown_name(kind, name, known)


def _level_paths(chip: Chip) -> list[str]:
    bounded = [f"{level.name}.capacity_bytes" for level in chip.levels if level.capacity_bytes is not None]
    return [*bounded, *(f"{level.name}.read_bits_per_cycle" for level in chip.levels)]


def varied(chip: Chip, values: Mapping[str, Value]) -> Chip:
    """The chip with the values by path (array.AXIS, LEVEL.FIELD, widths.FIELD, mac.FIELD, clock_mhz), which `is_whole` knows. Raises UnsupportedError
    where they make no valid chip, naming the value that makes none by itself."""
    made, fault = _checked(chip, values)
    if made is not None:
        return made
    alone = ((path, value, _checked(chip, {path: value})[1]) for path, value in values.items())
    raise UnsupportedError(next((f"{path}={value}: {its}" for path, value, its in alone if its), fault))


def _checked(chip: Chip, values: Mapping[str, Value]) -> tuple[Chip | None, str]:
    """The chip, or what is wrong with it."""
    try:
        return msgspec.convert(msgspec.to_builtins(_made(chip, values)), Chip), ""
    except (msgspec.ValidationError, ValueError) as error:
        return None, str(error)


def _made(chip: Chip, values: Mapping[str, Value]) -> Chip:
    """Raises ValueError where the whole is no chip; each value by itself is not looked at."""
    made = msgspec.structs.replace(chip, array=chip.array | _of("array", values))
    made = _with_clock(made, values.get("clock_mhz", chip.clock_mhz))
    made = _with_widths(made, msgspec.structs.replace(chip.widths, **_of("widths", values)))
    return msgspec.structs.replace(
        made,
        mac=msgspec.structs.replace(made.mac, **_of("mac", values)),
        levels=tuple(_with_fields(level, made, _of(level.name, values)) for level in made.levels),
    )


def _of(part: str, values: Mapping[str, Value]) -> dict[str, Any]:
    found = ((path.rpartition("."), value) for path, value in values.items())
    return {name: value for (before, _, name), value in found if before == part}


def _with_clock(chip: Chip, clock_mhz: float) -> Chip:
    """The outermost memory has a clock of its own."""
    if clock_mhz == chip.clock_mhz or clock_mhz <= 0:
        return msgspec.structs.replace(chip, clock_mhz=clock_mhz)
    outer, ratio = chip.levels[0], chip.clock_mhz / clock_mhz
    rates = {
        name: rate * ratio
        for name, rate in (("read_bits_per_cycle", outer.read_bits_per_cycle), ("write_bits_per_cycle", outer.write_bits_per_cycle))
        if rate is not None
    }
    return msgspec.structs.replace(chip, clock_mhz=clock_mhz, levels=(msgspec.structs.replace(outer, **rates), *chip.levels[1:]))


def _with_widths(chip: Chip, widths: Widths) -> Chip:
    if widths == chip.widths or min(widths.input, widths.weight, widths.partial) < 1:
        return msgspec.structs.replace(chip, widths=widths)
    node = nearest_node(chip.node_nm)
    mac = msgspec.structs.replace(
        chip.mac,
        pj=chip.mac.pj * mac_pj(node, widths) / mac_pj(node, chip.widths),
        area_mm2=chip.mac.area_mm2 * mac_um2(widths) / mac_um2(chip.widths),
    )
    return msgspec.structs.replace(chip, widths=widths, mac=mac)


def mac_pj(node: Node, widths: Widths) -> float:
    """A multiplication and an addition of integers of any width: on the line through the node's."""
    multiply = [(float(bits), node.operation_pj("multiply", number)) for bits, number in INTEGERS]
    add = [(float(bits), node.operation_pj("add", number)) for bits, number in INTEGERS]
    return on_line(multiply, sqrt(widths.input * widths.weight)) + on_line(add, widths.partial)


def _with_fields(level: Level, chip: Chip, given: Mapping[str, Any]) -> Level:
    capacity = given.get("capacity_bytes", level.capacity_bytes)
    follow: dict[str, Any] = {}
    if capacity != level.capacity_bytes and capacity and level.capacity_bytes:
        node = nearest_node(chip.node_nm)
        energy = node.memory_pj_per_bit(capacity) / node.memory_pj_per_bit(level.capacity_bytes)
        follow = {
            "read_pj_per_bit": level.read_pj_per_bit * energy,
            "write_pj_per_bit": level.write_pj_per_bit * energy,
            "area_mm2": level.area_mm2 * memory_um2(capacity) / memory_um2(level.capacity_bytes),
        }
    return msgspec.structs.replace(level, **(follow | dict(given)))


@lru_cache
def nearest_node(node_nm: int) -> Node:
    """The process node whose feature size is nearest, as a ratio."""
    return min((read_node(name) for name in node_names()), key=lambda node: abs(log(node.node_nm / node_nm)))
