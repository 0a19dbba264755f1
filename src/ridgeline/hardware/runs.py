"""What a chip runs: number formats and sparsity patterns, how its array grows or hurries for them, and where it decodes what it only
stores.

The figures of a chip's file are those of its own `format`, dense. A `Run` says what else its array multiplies. `Decodes` says which weights
it keeps narrow in its outer levels and widens to its own format at the border of one. `mapping.running` makes the chip that the mapper then
sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

if TYPE_CHECKING:
    from ridgeline.hardware.chip import Chip, Level

Text = Annotated[str, msgspec.Meta(min_length=1)]
Growth = Annotated[float, msgspec.Meta(gt=0, le=1024)]
Energy = Annotated[float, msgspec.Meta(ge=0, le=1e9)]  # pJ
Bytes = Annotated[int, msgspec.Meta(gt=0, le=10**15)]


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of any of the formats `weights` with inputs of any of `inputs`; without `inputs`, with those of the chip's own format.

    `patterns` are names of sparsity patterns, or several at a time as the shell matches names: `bank16:*`. The array has `grows` times as
    many multipliers along an axis. With `skips`, no step is taken for the zeros that a `pattern` leaves out, or for those among the
    `values` of both operands, which only their bitmaps tell. `speeds` names a table of measured speeds over dense (`hardware.rates`)
    instead. mac_pj: of one multiply-accumulate that happens; the chip's own where absent.
    """

    weights: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    inputs: tuple[Text, ...] = ()
    patterns: tuple[Text, ...] = ("none",)
    grows: dict[str, Growth] = msgspec.field(default_factory=dict[str, float])
    skips: Literal["pattern", "values"] | None = None
    speeds: Text | None = None
    mac_pj: Energy | None = None
    source: Text

    @property
    def rate(self) -> float:
        """Multiply-accumulates a cycle, over those of the chip's own format, dense; what a pattern saves is not in it."""
        return prod(self.grows.values())


class Decodes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of any of these formats and patterns are widened to the chip's own format, dense, at the border of level `at`: outside they
    are stored, inside they are as wide as its own. Names may be several, as the shell matches them: `int[2-8]`. `bytes` of that level are
    set aside for them where it keeps other tensors too."""

    weights: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    patterns: tuple[Text, ...] = ("none",)
    at: Text
    bytes: Bytes | None = None
    source: Text


def matches(known: str, name: str) -> bool:
    """Whether a declared name covers one."""
    return known == name or fnmatchcase(name, known)


def check_declarations(chip: Chip) -> None:
    """Raises ValueError, which the reader makes an InputError, for declarations that no chip can be made from."""
    if (chip.runs or chip.decodes) and chip.format is None:
        raise ValueError(f"chip '{chip.name}' has runs or decodes but no 'format'; name the one that its other figures are of")
    for number, run in enumerate(chip.runs):
        _check_run(run, f"runs[{number}]", chip)
    for number, decodes in enumerate(chip.decodes):
        _check_decodes(decodes, f"decodes[{number}]", chip)


def _check_run(run: Run, where: str, chip: Chip) -> None:
    if run.skips is not None and run.speeds is not None:
        raise ValueError(f"{where} both skips and has speeds; keep one of the two")
    if "none" in run.patterns and (run.skips is not None or run.speeds is not None):
        raise ValueError(f"{where} skips or has speeds, but pattern 'none' leaves nothing out; name its pattern")
    if run.grows and chip.systolic is not None:
        raise ValueError(f"{where} grows a systolic array whose fill is fixed; leave out either")
    for axis, times in run.grows.items():
        if axis not in chip.array:
            raise ValueError(f"{where}: the array has no axis '{axis}'; it has {', '.join(chip.array)}")
        if chip.array[axis] * times % 1:
            raise ValueError(f"{where}: {times:g} times {chip.array[axis]:,} multipliers along '{axis}' are no whole number")
        rule = chip.unroll.get(axis)
        if rule is not None and rule.factors and (len(rule.factors) > 1 or next(iter(rule.factors.values())) * times % 1):
            raise ValueError(f"{where}: unroll.{axis} has factors that do not grow {times:g} times; give it one that does")
    for level in chip.levels:
        more = spread_growth(level, run.grows)
        if level.capacity_bytes is not None and level.capacity_bytes / more % 1:
            raise ValueError(f"{where}: level '{level.name}' of {level.capacity_bytes:,} bytes does not divide into {more:g} times as many instances")


def spread_growth(level: Level, grows: Mapping[str, float]) -> float:
    """How many times as many instances of a level there are."""
    return prod(times for axis, times in grows.items() if axis not in level.serves)


def _check_decodes(decodes: Decodes, where: str, chip: Chip) -> None:
    names = [level.name for level in chip.levels]
    if decodes.at not in names:
        raise ValueError(f"{where}: no level is called '{decodes.at}'; there are {', '.join(names)}")
    place = names.index(decodes.at)
    if place == 0 or "weight" not in chip.levels[place].keeps:
        raise ValueError(f"{where}: weights are decoded at the border of a level inside '{names[0]}' that keeps them, not of '{decodes.at}'")
    inner = next((level for level in chip.levels[place + 1 :] if "weight" in level.keeps and len(level.keeps) > 1), None)
    if inner is not None:
        raise ValueError(f"{where}: level '{inner.name}' inside '{decodes.at}' keeps weights and other tensors; decode at its own border")
    alone = len(chip.levels[place].keeps) == 1
    if alone == (decodes.bytes is not None):
        raise ValueError(f"{where}: level '{decodes.at}' {'keeps weights alone: no bytes' if alone else 'needs bytes'} to set aside for them")
    if not alone:
        _check_split(decodes, where, chip.levels[place], chip.loops)


def _check_split(decodes: Decodes, where: str, level: Level, loops: Mapping[str, object]) -> None:
    if level.read_bits_per_cycle is not None or level.write_bits_per_cycle is not None or level.ports or level.name in loops:
        raise ValueError(f"{where}: level '{level.name}' has a bandwidth, ports or loops that its tensors share; only one without can be divided")
    if decodes.bytes is not None and level.capacity_bytes is not None and decodes.bytes >= level.capacity_bytes:
        raise ValueError(f"{where}: {decodes.bytes:,} bytes of level '{level.name}', which holds {level.capacity_bytes:,}; leave some")


def declared(chip: Chip) -> tuple[str, ...]:
    """What its array multiplies, in words: for tables and messages."""
    own = () if chip.format is None else (chip.format,)
    return (*own, *(_in_words(run.weights, run.patterns, _with(run)) for run in chip.runs))


def decoded(chip: Chip) -> tuple[str, ...]:
    """What it stores and widens, in words."""
    return tuple(_in_words(item.weights, item.patterns, f" decoded at '{item.at}'") for item in chip.decodes)


def _with(run: Run) -> str:
    return "" if not run.inputs or run.inputs == run.weights else f" with inputs of {' or '.join(run.inputs)}"


def _in_words(weights: Sequence[str], patterns: Sequence[str], how: str) -> str:
    """`int8 or e4m3 in 2:4`."""
    where = "" if tuple(patterns) == ("none",) else f" in {' or '.join(patterns)}"
    return f"{' or '.join(weights)}{how}{where}"
