"""A user's own constraints on mappings, read from TOML: [unroll.AXIS] and [loops.LEVEL] as a chip has them, and [levels.LEVEL] with the tensors
that a level keeps. A table replaces the chip's of that name, an empty one lifts it; what is not named stays as the chip has it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ridgeline.errors import InputError, unknown_name
from ridgeline.hardware.chip import Chip, Level, Loops, Struct, Tensor, Unroll
from ridgeline.hardware.toml import read_toml


class Keeps(Struct, frozen=True, kw_only=True):
    """Of one level, None as the chip has it: the tensors that it may keep, and those that may not pass it by."""

    keeps: tuple[Tensor, ...] | None = None
    must_keep: tuple[Tensor, ...] | None = None


class Constraints(Struct, frozen=True, kw_only=True):
    """By axis of the array, by level, and by level."""

    unroll: dict[str, Unroll] = msgspec.field(default_factory=dict[str, Unroll])
    loops: dict[str, Loops] = msgspec.field(default_factory=dict[str, Loops])
    levels: dict[str, Keeps] = msgspec.field(default_factory=dict[str, Keeps])


def constrained(chip: Chip, path: Path) -> Chip:
    """The chip under the constraints of a file. Raises InputError where they name what the chip lacks, or collide."""
    asked = read_toml(path, Constraints, "constraints")
    for name in asked.levels:
        if name not in {level.name for level in chip.levels}:
            raise InputError(f"constraints file '{path}': levels: {unknown_name('level', name, [level.name for level in chip.levels])}")
    try:
        return msgspec.structs.replace(
            chip,
            unroll={**chip.unroll, **asked.unroll},
            loops={**chip.loops, **asked.loops},
            levels=tuple(_kept(level, asked.levels.get(level.name)) for level in chip.levels),
        )
    except ValueError as error:
        raise InputError(f"constraints file '{path}' on chip '{chip.name}': {error}") from error


def _kept(level: Level, asked: Keeps | None) -> Level:
    """A level that may keep fewer tensors need not keep those that it no longer may."""
    if asked is None:
        return level
    keeps = level.keeps if asked.keeps is None else asked.keeps
    must = tuple(tensor for tensor in level.must_keep if tensor in keeps) if asked.must_keep is None else asked.must_keep
    return msgspec.structs.replace(level, keeps=keeps, must_keep=must)
