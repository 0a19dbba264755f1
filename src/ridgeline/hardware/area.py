"""The area of a chip's multiply-accumulators, decoders and memories: what the chip states, else an estimate from published areas (area.toml).

A decoder has the area that its study published, scaled to the chip's node; one without such a figure is named as missing. Nothing else is counted:
no controller, network on the chip, pad or unused silicon. Published areas are of one node; all scale to another as the cell of a static memory does,
of which each node has published one. Between two figures lies a straight line in logarithms of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp, log, sqrt
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from ridgeline.errors import UnsupportedError
from ridgeline.hardware.chip import Bits, Chip, Count, Level, Struct, Text, Widths
from ridgeline.hardware.decoders import Decoder
from ridgeline.hardware.toml import read_toml

FILE = Path(__file__).with_name("area.toml")
Micrometres = Annotated[float, msgspec.Meta(gt=0)]  # square
Points: TypeAlias = Sequence[tuple[float, float]]


class Arithmetic(Struct, frozen=True, kw_only=True):
    bits: Bits
    um2: Micrometres
    source: Text


class Memory(Struct, frozen=True, kw_only=True):
    """A bit of a memory of so many bytes, with its share of the periphery."""

    capacity_bytes: Count
    um2_per_bit: Micrometres
    source: Text


class Cell(Struct, frozen=True, kw_only=True):
    """Of six transistors: one bit, without periphery."""

    node_nm: Count
    um2: Micrometres
    source: Text


class Areas(Struct, frozen=True, kw_only=True):
    """Each list rises. `adders`, `multipliers` and `memories` are those of `node_nm`."""

    node_nm: Count
    adders: tuple[Arithmetic, ...]
    multipliers: tuple[Arithmetic, ...]
    memories: tuple[Memory, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipArea:
    """mm2 of all multiply-accumulators ("mac"), of all decoders of each kind and of all instances of each level. `estimated` are those that the chip
    does not state; `missing` are decoders that are not in the area, since nobody has published theirs."""

    by_part: Mapping[str, float]
    estimated: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def mm2(self) -> float:
        return sum(self.by_part.values())


def chip_area(chip: Chip) -> ChipArea:
    """The outermost level is off the chip unless it states an area. Raises UnsupportedError where neither the chip nor a table has a figure."""
    parts, estimated = dict[str, float](), list[str]()
    if chip.mac.area_mm2:
        parts["mac"] = chip.mac.area_mm2 * chip.macs
    else:
        parts["mac"] = mac_um2(chip.widths) * _scale(chip, "[mac]") * chip.macs / 1e6
        estimated.append("mac")
    parts |= {item.name: area for item in chip.decoders if (area := decoder_mm2(chip, item)) is not None}
    for level in chip.levels:
        if level.area_mm2:
            parts[level.name] = level.area_mm2 * chip.instances(level)
        elif level is not chip.levels[0]:
            parts[level.name] = _memory_mm2(chip, level) * chip.instances(level)
            estimated.append(level.name)
    return ChipArea(by_part=parts, estimated=tuple(estimated), missing=tuple(item.name for item in chip.decoders if item.um2 is None))


def decoder_mm2(chip: Chip, decoder: Decoder) -> float | None:
    """Of all decoders of one kind, at the chip's node; None where none is published. Raises UnsupportedError beyond the table's nodes."""
    if decoder.um2 is None or decoder.node_nm is None:
        return None
    scale = 1.0 if decoder.node_nm == chip.node_nm else _scale(chip, f"decoder '{decoder.name}'", decoder.node_nm)
    return decoder.um2 * decoder.count(chip.array) * scale / 1e6


def _memory_mm2(chip: Chip, level: Level) -> float:
    if level.capacity_bytes is None:
        raise UnsupportedError(f"chip '{chip.name}': level '{level.name}' has neither area_mm2 nor capacity_bytes to estimate it from")
    return memory_um2(level.capacity_bytes) * _scale(chip, f"level '{level.name}'") / 1e6


def memory_um2(capacity_bytes: int) -> float:
    """Of one memory at the table's node. A bit takes least in the largest memory of the table and in those above, most in the smallest and below."""
    return 8 * capacity_bytes * _held([(point.capacity_bytes, point.um2_per_bit) for point in _areas().memories], capacity_bytes)


def mac_um2(widths: Widths) -> float:
    """Of an integer multiplier and the adder of its sum at the table's node. One of two widths is a square one of as many partial products."""
    areas = _areas()
    multiplier = on_line([(point.bits, point.um2) for point in areas.multipliers], sqrt(widths.input * widths.weight))
    return multiplier + on_line([(point.bits, point.um2) for point in areas.adders], widths.partial)


def _scale(chip: Chip, part: str, node_nm: int | None = None) -> float:
    """Of areas at a node, else the table's, to the chip's node."""
    areas = _areas()
    cells = [(cell.node_nm, cell.um2) for cell in areas.cells]
    if chip.node_nm > cells[-1][0]:
        raise UnsupportedError(
            f"chip '{chip.name}': {part} has no area_mm2, and no figure is at hand to estimate it at {chip.node_nm} nm, only to {cells[-1][0]:g}"
        )
    return _held(cells, chip.node_nm) / _held(cells, node_nm or areas.node_nm)


def on_line(points: Points, place: float) -> float:
    """A straight line between two points in logarithms of both, drawn on beyond the ends; the points rise."""
    pairs = list(pairwise(points))
    (x, y), (after, then) = next((pair for pair in pairs if place <= pair[1][0]), pairs[-1])
    return y * exp(log(then / y) / log(after / x) * log(place / x))


def _held(points: Points, place: float) -> float:
    """The same, the ends held beyond them."""
    return on_line(points, min(max(place, points[0][0]), points[-1][0]))


@lru_cache(maxsize=1)
def _areas() -> Areas:
    return read_toml(FILE, Areas, "area")
