"""Chips that a network is mapped on, read from TOML: memory levels, arrays with named axes, and what an access costs; a source beside each figure.

A chip is a list of levels, the outermost (DRAM) first, over one grid of multiply-accumulators whose axes have names: `array = {rows = 16,
columns = 16}`. A level `serves` the array axes along which one instance is shared: DRAM serves all of them, the register of a single
multiplier none, and a row's buffer the columns. From that follow a level's instances, its multicast and its spatial reduction.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ridgeline.errors import unknown_name
from ridgeline.hardware.decoders import Decoder, check_decoders
from ridgeline.hardware.runs import Decodes, Run, check_declarations
from ridgeline.hardware.toml import names_in, read_named

Tensor = Literal["input", "weight", "output"]
TENSORS: tuple[Tensor, ...] = ("input", "weight", "output")
MOVES = ("fill", "read", "update", "drain")  # of a level: from outside, inwards, from inside, outwards
Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(gt=0, le=10**15)]
Size = Annotated[int, msgspec.Meta(gt=0, le=10**6)]  # of an array's axis
Bits = Annotated[int, msgspec.Meta(gt=0, le=1024)]  # of an element
Share = Annotated[float, msgspec.Meta(gt=0, le=1024)]  # of bits, where scales and metadata count with an element
Energy = Annotated[float, msgspec.Meta(ge=0, le=1e9)]  # pJ
Rate = Annotated[float, msgspec.Meta(gt=0, le=1e12)]  # bits a cycle
LOOP_AXES = ("n", "g", "m", "c", "y", "x", "r", "q", "z", "t")  # of a nest: what constraints may name
CHIPS = Path(__file__).parent / "chips"


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Port(Struct, frozen=True, kw_only=True):
    """What one instance's port carries: `moves` are a tensor and `fill` (written from outside), `read` (towards the multipliers), `update`
    (written from inside) or `drain` (read outwards), as in "input fill". An access moves `least_bits` or a multiple of them."""

    moves: tuple[Text, ...]
    bits_per_cycle: Count
    least_bits: Count = 1


class Level(Struct, frozen=True, kw_only=True):
    """One memory. Energies are those of one bit; bandwidths are an instance's, absent where unlimited. With `one_port`, reads and writes
    share `read_bits_per_cycle`. A double-buffered level offers half its capacity to a tile. `must_keep` names tensors that may not pass it
    by. `ports` are what the bandwidths consist of, which ZigZag's rules ask for; without them there is one port to read and one to write,
    or one for both. `decoded`: inside a decoder weights are so many times as wide as the chip's `widths` say; such a level keeps weights
    alone, its bytes count as they are stored outside, and its energies and rates are those of a stored bit."""

    name: Text
    keeps: tuple[Tensor, ...] = TENSORS
    must_keep: tuple[Tensor, ...] = ()
    serves: tuple[Text, ...]
    capacity_bytes: Count | None = None
    read_pj_per_bit: Energy
    write_pj_per_bit: Energy
    read_bits_per_cycle: Rate | None = None
    write_bits_per_cycle: Rate | None = None
    one_port: bool = False
    ports: tuple[Port, ...] = ()
    double_buffered: bool = False
    area_mm2: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0
    decoded: Share = 1.0
    source: Text

    @property
    def usable_bytes(self) -> float | None:
        """What the tiles may fill; None where unbounded."""
        if self.capacity_bytes is None:
            return None
        whole = self.capacity_bytes // (2 if self.double_buffered else 1)
        return whole if self.decoded == 1 else whole / self.decoded


class Widths(Struct, frozen=True, kw_only=True):
    """Bits of an element; a partial sum is an output that is not yet complete."""

    input: Bits | Share
    weight: Bits | Share
    output: Bits
    partial: Bits


class Mac(Struct, frozen=True, kw_only=True):
    """One multiply-accumulate."""

    pj: Energy
    area_mm2: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0
    source: Text


class Unroll(Struct, frozen=True, kw_only=True):
    """What may be spread over one axis of the array: loop axes, in full those of `whole`, and the exact factors of `factors`."""

    axes: tuple[Text, ...] | None = None
    whole: tuple[Text, ...] = ()
    factors: dict[str, Count] = msgspec.field(default_factory=dict[str, int])


class Loops(Struct, frozen=True, kw_only=True):
    """Which temporal loops may stand at a level: axes, those that run there in full (all that the array does not spread), and their order from
    inside."""

    axes: tuple[Text, ...] | None = None
    whole: tuple[Text, ...] = ()
    order: tuple[Text, ...] = ()


class Systolic(Struct, frozen=True, kw_only=True):
    """Cycles that each set of stationary weights costs beside its own steps, and those that the whole run saves: a fill that overlaps nothing."""

    fill_cycles: Annotated[int, msgspec.Meta(ge=0, le=10**9)]
    last_cycles: Annotated[int, msgspec.Meta(ge=-(10**9), le=10**9)] = 0
    source: Text


class Chip(Struct, frozen=True, kw_only=True):
    """`array`: axis of the grid -> its multipliers. `unroll` and `loops` are the chip's own constraints, by array axis and by level. Along
    `systolic_axes` a result leaves the array one multiplier a cycle, which ZigZag's latency adds after the last step. `format` names the
    number format that all figures are of; `runs` and `decodes` say what else the chip takes, and `mapping.running` what it is then; `decoders`
    are the units of the array that it has for it."""

    name: Text
    description: Text
    clock_mhz: Annotated[float, msgspec.Meta(ge=1, le=10_000)]
    node_nm: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    array: dict[str, Size]
    mac: Mac
    widths: Widths
    levels: tuple[Level, ...]
    unroll: dict[str, Unroll] = msgspec.field(default_factory=dict[str, Unroll])
    loops: dict[str, Loops] = msgspec.field(default_factory=dict[str, Loops])
    homes: dict[Tensor, Text] = msgspec.field(default_factory=dict[Tensor, str])
    systolic: Systolic | None = None
    systolic_axes: tuple[Text, ...] = ()
    format: Text | None = None
    runs: tuple[Run, ...] = ()
    decodes: tuple[Decodes, ...] = ()
    decoders: tuple[Decoder, ...] = ()
    source: Text

    def __post_init__(self) -> None:
        """Raises ValueError, which the reader makes an InputError."""
        if not self.array or not self.levels:
            raise ValueError("a chip has an [array] of one axis or more, and one [[levels]] or more")
        names = [level.name for level in self.levels]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two levels are called '{twice}'")
        for level in self.levels:
            _check_level(level, self.array)
        _check_order(self.levels, self.array)
        lost = next((axis for axis in self.systolic_axes if axis not in self.array), None)
        if lost is not None:
            raise ValueError(f"systolic_axes: the array has no axis '{lost}'; it has {', '.join(self.array)}")
        for axis in self.unroll:
            if axis not in self.array:
                raise ValueError(f"unroll: the array has no axis '{axis}'; it has {', '.join(self.array)}")
        for name in self.loops:
            if name not in names:
                raise ValueError(f"loops: no level is called '{name}'; there are {', '.join(names)}")
        if self.systolic is not None and self.systolic.fill_cycles + self.systolic.last_cycles < 0:
            raise ValueError(f"systolic: last_cycles, {self.systolic.last_cycles:,}, take back more than one fill of {self.systolic.fill_cycles:,}")
        _check_constraints(self)
        _check_homes(self)
        check_declarations(self)
        check_decoders(self.decoders, self.array, tuple(names))

    @property
    def macs(self) -> int:
        """Multiply-accumulators."""
        return prod(self.array.values())

    @property
    def peak_tops(self) -> float:
        """Two operations a multiply-accumulator and cycle."""
        return 2 * self.macs * self.clock_mhz / 1e6

    def level(self, name: str) -> Level:
        found = next((level for level in self.levels if level.name == name), None)
        if found is None:
            raise unknown_name("level", name, [level.name for level in self.levels])
        return found

    def instances(self, level: Level) -> int:
        """How many of them there are."""
        return prod(size for axis, size in self.array.items() if axis not in level.serves)

    def bytes_per_cycle(self, level: Level) -> float | None:
        """Read and written by all instances together; None where either is unlimited."""
        read, write = level.read_bits_per_cycle, 0.0 if level.one_port else level.write_bits_per_cycle
        return None if read is None or write is None else (read + write) / 8 * self.instances(level)


def _check_level(level: Level, array: Mapping[str, int]) -> None:
    unknown = next((axis for axis in level.serves if axis not in array), None)
    if unknown is not None:
        raise ValueError(f"level '{level.name}' serves '{unknown}', but the array has axes {', '.join(array)}")
    if level.one_port and (level.read_bits_per_cycle is None or level.write_bits_per_cycle is not None):
        raise ValueError(f"level '{level.name}': with one_port, reads and writes share read_bits_per_cycle: give that, and no write_bits_per_cycle")
    if not level.keeps:
        raise ValueError(f"level '{level.name}' keeps no tensor")
    if level.decoded != 1 and level.keeps != ("weight",):
        raise ValueError(f"level '{level.name}' has weights {level.decoded:g} times as wide as stored, and keeps other tensors; part them")
    extra = next((tensor for tensor in level.must_keep if tensor not in level.keeps), None)
    if extra is not None:
        raise ValueError(f"level '{level.name}' must keep the {extra}, which is not in its 'keeps'")
    _check_ports(level)


def _check_ports(level: Level) -> None:
    """Each move of a tensor that the level keeps goes through one port."""
    known = {f"{tensor} {move}" for tensor in level.keeps for move in (MOVES if tensor == "output" else MOVES[:2])}
    listed = [move for port in level.ports for move in port.moves]
    unknown = next((move for move in listed if move not in known), None)
    if unknown is not None:
        raise ValueError(f"level '{level.name}': a port moves '{unknown}'; it can move {', '.join(sorted(known))}")
    twice = next((move for move in listed if listed.count(move) > 1), None)
    if twice is not None:
        raise ValueError(f"level '{level.name}': two ports move '{twice}'")
    for port in level.ports:
        if port.least_bits > port.bits_per_cycle:
            raise ValueError(f"level '{level.name}': a port's least_bits, {port.least_bits:,}, are above its bits_per_cycle, {port.bits_per_cycle:,}")


def _check_order(levels: tuple[Level, ...], array: Mapping[str, int]) -> None:
    """Of one tensor's levels, an outer one serves all that an inner one does: else data would flow in a circle."""
    for tensor in TENSORS:
        chain = [level for level in levels if tensor in level.keeps]
        if not chain:
            raise ValueError(f"no level keeps the {tensor}; the outermost, '{levels[0].name}', must keep every tensor")
        for outer, inner in pairwise(chain):
            lost = next((axis for axis in inner.serves if axis not in outer.serves), None)
            if lost is not None:
                raise ValueError(f"level '{inner.name}' serves '{lost}' but '{outer.name}', which feeds it the {tensor}, does not")
    first = levels[0]
    unserved = next((axis for axis in array if axis not in first.serves), None)
    if unserved is not None:
        raise ValueError(f"the outermost level '{first.name}' does not serve '{unserved}'; it feeds the whole array")
    missing = next((tensor for tensor in TENSORS if tensor not in first.keeps), None)
    if missing is not None:
        raise ValueError(f"the outermost level '{first.name}' does not keep the {missing}; every tensor starts or ends there")
    if first.capacity_bytes is not None:
        raise ValueError(f"the outermost level '{first.name}' has a capacity_bytes; leave it out: it holds the whole layer")


def _check_homes(chip: Chip) -> None:
    for tensor, name in chip.homes.items():
        level = next((level for level in chip.levels if level.name == name), None)
        if level is None:
            raise ValueError(f"homes.{tensor}: no level is called '{name}'; there are {', '.join(level.name for level in chip.levels)}")
        if tensor not in level.keeps:
            raise ValueError(f"homes.{tensor}: level '{name}' does not keep the {tensor}")
        lost = next((axis for axis in chip.array if axis not in level.serves), None)
        if lost is not None:
            raise ValueError(f"homes.{tensor}: level '{name}' does not serve '{lost}'; one instance must hold the whole tensor")


def _check_constraints(chip: Chip) -> None:
    named = {f"unroll.{axis}": (*(rule.axes or ()), *rule.whole, *rule.factors) for axis, rule in chip.unroll.items()}
    named |= {f"loops.{name}": (*(rule.axes or ()), *rule.whole, *rule.order) for name, rule in chip.loops.items()}
    for where, axes in named.items():
        unknown = next((axis for axis in axes if axis not in LOOP_AXES), None)
        if unknown is not None:
            raise ValueError(f"{where} names the loop axis '{unknown}'; loop axes are {', '.join(LOOP_AXES)}")
    for axis, rule in chip.unroll.items():
        spread = prod(rule.factors.values())
        if spread > chip.array[axis]:
            raise ValueError(f"unroll.{axis}: its factors make {spread:,}, but the array has {chip.array[axis]:,} along '{axis}'")
    _check_whole(chip)


def _check_whole(chip: Chip) -> None:
    """An axis runs in full in one place, and in one that may run it."""
    places = [(f"unroll.{array}", axis) for array, rule in chip.unroll.items() for axis in rule.whole]
    places += [(f"loops.{name}", axis) for name, rule in chip.loops.items() for axis in rule.whole]
    for number, (where, axis) in enumerate(places):
        other = next((place for place, same in places[:number] if same == axis), None)
        if other is not None:
            raise ValueError(f"{other} and {where} both want '{axis}' whole; it can run in full in one of them")
    for axis, rule in chip.unroll.items():
        both = next((name for name in rule.whole if name in rule.factors), None)
        if both is not None:
            raise ValueError(f"unroll.{axis} wants '{both}' whole, and {rule.factors[both]:,} of it in its factors; keep one of the two")
    for name, rule in chip.loops.items():
        lost = next((axis for axis in rule.whole if rule.axes is not None and axis not in rule.axes), None)
        if lost is not None:
            raise ValueError(f"loops.{name} wants '{lost}' whole, which its axes, {', '.join(rule.axes or ()) or 'none'}, leave out; add it to them")


def chip_names() -> tuple[str, ...]:
    """The chips that Ridgeline comes with."""
    return names_in(CHIPS)


def read_chip(name_or_path: str | Path) -> Chip:
    """The chip of that name, or the one that a TOML file describes. Raises InputError."""
    return read_named(name_or_path, CHIPS, Chip, "chip")
