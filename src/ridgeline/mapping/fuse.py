"""Layers together: chains whose tensors between two layers never leave the chip.

A segment of a chain runs in tiles of rows: for each tile its layers take turns on the array, and what one hands to the next stays in one level that
serves the whole array. A consumer's window reaches over its tile: the rows that it still needs stay in that level too, so that nothing is computed
twice. Weights come again for every tile, or stay in that level from the first. One tile of all rows keeps the whole tensor between the layers.

Each layer of a segment is a mapping problem of its own (`homes` say which tensors never reach the outermost level, and what the others hold is taken
off the level's capacity), so that the mapper prices it. Segments are chosen by dynamic programming along each chain, with Pareto sets of (energy,
cycles). Costs add up: layers of a segment do not overlap, nor does the first load of resident weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import gcd, inf, prod
from time import perf_counter
from typing import TypeAlias

import msgspec
import numpy as np

from ridgeline.algorithm.layers import Layer, Link
from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.hardware.chip import Chip, Level, Tensor
from ridgeline.mapping.estimate import Estimate
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.mapping.search import kernel
from ridgeline.mapping.search.front import unbeaten
from ridgeline.mapping.search.network import NetworkFound, Objective
from ridgeline.mapping.search.solve import LEAST_CYCLES, LEAST_ENERGY, Found, Goal, best_mapping
from ridgeline.mapping.search.space import SpaceName

MOST_FUSED = 4  # layers of a segment
MOST_TILINGS = 2  # numbers of tiles that are tried, from the fewest that fit
MOST_LABELS = 64  # points of a Pareto set that are kept
ROWS = "y"
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One layer of a segment, or a layer of its own: `nest` is one tile of it on `chip`, which says what stays in the level; `estimate` is that of
    all tiles."""

    number: int
    nest: Nest
    chip: Chip
    mapping: LoopMapping
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """`tiles` of rows run through all stages one after the other. `level` holds what lies between them, and the weights where `resident`."""

    stages: tuple[Stage, ...]
    tiles: int = 1
    level: str | None = None
    resident: bool = False

    @property
    def energy_pj(self) -> float:
        return sum(stage.estimate.energy_pj for stage in self.stages)

    @property
    def cycles(self) -> int:
        return sum(stage.estimate.cycles for stage in self.stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """The segments in the network's order of their first layers; `tried` of them were priced."""

    segments: tuple[Segment, ...]
    tried: int
    time_s: float

    @property
    def energy_pj(self) -> float:
        return sum(segment.energy_pj for segment in self.segments)

    @property
    def cycles(self) -> int:
        return sum(segment.cycles for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseOptions:
    """What the mapper is asked for each layer; `stop` is a time of `perf_counter` from which no further segment is priced."""

    objective: Objective
    space: SpaceName = "full"
    conventions: Conventions = field(default_factory=Conventions)
    stop: float | None = None


def fuse(
    layers: Sequence[Layer], links: Sequence[Link], chip: Chip, alone: NetworkFound, options: FuseOptions, progress: Progress | None = None
) -> Fused:
    """`alone` holds each layer's own best mapping: no result is worse than that. Raises InputError for a chip without a level that could keep what
    lies between two layers."""
    start = perf_counter()
    pricer = _Pricer(layers=layers, chip=chip, level=shared_level(chip), options=options, goal=_goal(alone, options.objective))
    single = [_alone(number, layer.nest, chip, found) for number, (layer, found) in enumerate(zip(layers, alone.layers, strict=True))]
    chains = _chains(layers, links)
    front: list[_Label] = [_Label(energy=0.0, cycles=0, segments=())]
    for done, chain in enumerate(chains):
        front = _joined(front, _chain_front(chain, single, pricer))
        if progress is not None:
            progress(done + 1, len(chains))
    best = min(front, key=lambda label: options.objective.worth(label.energy, label.cycles))
    segments = tuple(sorted(best.segments, key=lambda segment: segment.stages[0].number))
    return Fused(segments=segments, tried=pricer.tried, time_s=perf_counter() - start)


def shared_level(chip: Chip) -> Level:
    """The outermost level on the chip that serves the whole array and keeps inputs and outputs. Raises InputError."""
    if chip.homes:
        raise InputError(f"chip '{chip.name}': its homes already say that the {min(chip.homes)} stays on the chip; layers cannot be fused on it")
    for level in chip.levels[1:]:
        if {"input", "output"} <= set(level.keeps) and set(level.serves) == set(chip.array) and level.capacity_bytes is not None:
            return level
    raise InputError(f"chip '{chip.name}': no level on it serves the whole array and keeps inputs and outputs, so that no tensor can stay there")


def _goal(alone: NetworkFound, objective: Objective) -> Goal:
    """The slope of the objective where no layers are fused."""
    if objective.cycles_power == 0:
        return LEAST_ENERGY
    if objective.energy_power == 0:
        return LEAST_CYCLES
    return Goal(kind=kernel.SUM, rate=objective.cycles_power * alone.energy_pj / (objective.energy_power * alone.cycles))


def _alone(number: int, nest: Nest, chip: Chip, found: Found) -> Segment:
    return Segment(stages=(Stage(number=number, nest=nest, chip=chip, mapping=found.mapping, estimate=found.estimate),))


def _chains(layers: Sequence[Layer], links: Sequence[Link]) -> list[list[int]]:
    """Layers that hand their output on as the next one's input, and to nobody else; every layer is in one chain."""
    number_of = {layer.name: number for number, layer in enumerate(layers)}
    following = {
        number_of[link.source]: number_of[link.target]
        for link in links
        if link.operand == "input" and link.source in number_of and link.target in number_of
    }
    heads = [number for number in range(len(layers)) if number not in following.values()]
    chains: list[list[int]] = []
    for head in heads:
        chain = [head]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        chains.append(chain)
    return chains


@dataclass(frozen=True, slots=True, kw_only=True)
class _Label:
    energy: float
    cycles: int
    segments: tuple[Segment, ...]

    def after(self, segment: Segment) -> _Label:
        return _Label(energy=self.energy + segment.energy_pj, cycles=self.cycles + segment.cycles, segments=(*self.segments, segment))


def _chain_front(chain: Sequence[int], single: Sequence[Segment], pricer: _Pricer) -> list[_Label]:
    """The Pareto set of all ways to cut a chain into segments."""
    fronts: list[list[_Label]] = [[_Label(energy=0.0, cycles=0, segments=())]]
    for end in range(1, len(chain) + 1):
        labels = [label.after(single[chain[end - 1]]) for label in fronts[end - 1]]
        for begin in range(max(0, end - MOST_FUSED), end - 1):
            for segment in pricer.segments(chain[begin:end]):
                labels += [label.after(segment) for label in fronts[begin]]
        fronts.append(_unbeaten(labels))
    return fronts[-1]


def _joined(front: Sequence[_Label], other: Sequence[_Label]) -> list[_Label]:
    return _unbeaten(
        [_Label(energy=a.energy + b.energy, cycles=a.cycles + b.cycles, segments=a.segments + b.segments) for a in front for b in other]
    )


def _unbeaten(labels: Sequence[_Label]) -> list[_Label]:
    """By energy; of too many, every so manieth and the ends."""
    places = unbeaten(np.array([(label.energy, label.cycles) for label in labels]))
    kept = [labels[int(place)] for place in places]
    if len(kept) > MOST_LABELS:
        kept = [kept[place * (len(kept) - 1) // (MOST_LABELS - 1)] for place in range(MOST_LABELS)]
    return kept


@dataclass(slots=True, kw_only=True)
class _Pricer:
    """Prices segments with the mapper, equal tiles once."""

    layers: Sequence[Layer]
    chip: Chip
    level: Level
    options: FuseOptions
    goal: Goal
    tried: int = 0
    known: dict[object, Found | None] = field(default_factory=dict[object, "Found | None"])

    def segments(self, numbers: Sequence[int]) -> list[Segment]:
        """Those of the fewest tiles that fit, with weights that stay and that come again."""
        found: list[Segment] = []
        tilings = 0
        for tiles in _tilings([self.layers[number].nest for number in numbers]):
            made = [segment for resident in (False, True) if (segment := self._segment(numbers, tiles, resident=resident and tiles > 1))]
            found += made[:1] if tiles == 1 else made
            tilings += bool(made)
            if tilings == MOST_TILINGS or self._late:
                break
        return found

    @property
    def _late(self) -> bool:
        return self.options.stop is not None and perf_counter() > self.options.stop

    def _segment(self, numbers: Sequence[int], tiles: int, *, resident: bool) -> Segment | None:
        """None where it does not fit the level, or there is no time left."""
        if self._late or (resident and "weight" not in self.level.keeps):
            return None
        nests = [_tile(self.layers[number].nest, tiles) for number in numbers]
        stages: list[Stage] = []
        for place, (number, nest) in enumerate(zip(numbers, nests, strict=True)):
            chip = self._chip(nests, place, resident=resident)
            found = None if chip is None else self._price(nest, chip)
            if chip is None or found is None:
                return None
            made = _times(found.estimate, tiles)
            if resident:
                made = _loaded(made, nest, self.chip, self.level)
            stages.append(Stage(number=number, nest=nest, chip=chip, mapping=found.mapping, estimate=made))
        self.tried += 1
        return Segment(stages=tuple(stages), tiles=tiles, level=self.level.name, resident=resident)

    def _chip(self, nests: Sequence[Nest], place: int, *, resident: bool) -> Chip | None:
        """The chip as one stage sees it: what stays in the level is at home there, and what others hold is taken off. None where that is too much."""
        homes: dict[Tensor, str] = {}
        if place:
            homes["input"] = self.level.name
        if place + 1 < len(nests):
            homes["output"] = self.level.name
        if resident:
            homes["weight"] = self.level.name
        usable = self.level.usable_bytes
        assert usable is not None
        held = sum(_bytes(nest, tensor, self.chip) for tensor in homes for nest in nests[place : place + 1])
        left = usable - self._reserved(nests, place, resident=resident)
        if held > left:
            return None
        capacity = int(left) * (2 if self.level.double_buffered else 1)
        levels = tuple(msgspec.structs.replace(level, capacity_bytes=capacity) if level is self.level else level for level in self.chip.levels)
        return msgspec.structs.replace(self.chip, levels=levels, homes=homes)

    def _reserved(self, nests: Sequence[Nest], place: int, *, resident: bool) -> float:
        """Bytes that the level holds for other stages, and rows of this one's output that the next one still needs."""
        between = sum(_bytes(nest, "input", self.chip) for number, nest in enumerate(nests) if number not in (0, place, place + 1))
        rows = max(0.0, _bytes(nests[place + 1], "input", self.chip) - _bytes(nests[place], "output", self.chip)) if place + 1 < len(nests) else 0.0
        weights = sum(_bytes(nest, "weight", self.chip) for number, nest in enumerate(nests) if number != place) if resident else 0.0
        return between + rows + weights

    def _price(self, nest: Nest, chip: Chip) -> Found | None:
        level = chip.level(self.level.name)
        key = (nest.notation, tuple(nest.axes.items()), tuple(nest.factors.items()), tuple(chip.homes.items()), level.capacity_bytes)
        if key not in self.known:
            try:
                self.known[key] = best_mapping(
                    nest, chip, self.goal, space=self.options.space, conventions=self.options.conventions, stop=self.options.stop
                )
            except DoesNotFitError:
                self.known[key] = None
        return self.known[key]


def _tilings(nests: Sequence[Nest]) -> list[int]:
    """Numbers of tiles that divide the rows of all layers; 1 where rows do not hand on to rows."""
    if any(not _hands_on(first, second) for first, second in pairwise(nests)):
        return [1]
    rows = gcd(*(nest.axes[ROWS] for nest in nests))
    return [tiles for tiles in range(1, rows + 1) if rows % tiles == 0]


def _hands_on(producer: Nest, consumer: Nest) -> bool:
    """Whether the producer's rows are the consumer's, or so many times as many (a pool between)."""
    if ROWS not in producer.axes or ROWS not in consumer.axes:
        return False
    made, read = producer.axes[ROWS], _rows_read(consumer)
    return read > 0 and made % read == 0 and made >= read


def _rows_read(nest: Nest) -> int:
    """Rows of the input, without padding; 0 where they are not an index of their own."""
    operand = nest.operands[0]
    place = next((place for place, index in enumerate(operand.indices) if ROWS in index), None)
    if place is None:
        return 0
    return operand.present[place] if operand.present else operand.extents(nest.axes)[place]


def _tile(nest: Nest, tiles: int) -> Nest:
    if tiles == 1:
        return nest
    return replace(
        nest,
        axes={**nest.axes, ROWS: nest.axes[ROWS] // tiles},
        inputs=tuple(replace(operand, present=()) for operand in nest.inputs),
    )


def _bytes(nest: Nest, tensor: str, chip: Chip) -> float:
    """Of the whole tensor of a nest; an output that may hold partial sums counts as wide as those."""
    operand = next(operand for operand in nest.operands if operand.name == tensor)
    width = max(chip.widths.output, chip.widths.partial) if tensor == "output" else getattr(chip.widths, tensor)
    return prod(operand.extents(nest.axes)) * width / 8


def _times(made: Estimate, tiles: int) -> Estimate:
    """All tiles one after the other."""
    return replace(
        made,
        cycles=made.cycles * tiles,
        energy_pj=made.energy_pj * tiles,
        macs=made.macs * tiles,
        steps=made.steps * tiles,
        energy_by_level={name: value * tiles for name, value in made.energy_by_level.items()},
        cycles_by_level={name: value * tiles for name, value in made.cycles_by_level.items()},
        traffic_bytes={name: {tensor: value * tiles for tensor, value in row.items()} for name, row in made.traffic_bytes.items()},
    )


def _loaded(made: Estimate, nest: Nest, chip: Chip, level: Level) -> Estimate:
    """With the weights' one way from the outermost level, before anything else runs."""
    first = chip.levels[0]
    size = _bytes(nest, "weight", chip)
    rate = min(first.read_bits_per_cycle or inf, (level.read_bits_per_cycle if level.one_port else level.write_bits_per_cycle) or inf)
    cycles = -int(-size * 8 // rate)
    energy = {first.name: size * 8 * first.read_pj_per_bit, level.name: size * 8 * level.write_pj_per_bit}
    traffic = {name: dict(row) for name, row in made.traffic_bytes.items()}
    for name in energy:
        row = traffic.setdefault(name, {})
        row["weight"] = row.get("weight", 0.0) + size
    return replace(
        made,
        cycles=made.cycles + cycles,
        energy_pj=made.energy_pj + sum(energy.values()),
        energy_by_level={name: value + energy.get(name, 0.0) for name, value in made.energy_by_level.items()},
        cycles_by_level={name: value + (cycles if name in energy else 0) for name, value in made.cycles_by_level.items()},
        traffic_bytes=traffic,
        utilization=made.macs / ((made.cycles + cycles) * chip.macs),
    )


def saved(fused: Fused, alone: NetworkFound) -> Mapping[str, float]:
    """Shares of energy and cycles that fusing saves."""
    return {"energy": 1 - fused.energy_pj / alone.energy_pj, "cycles": 1 - fused.cycles / alone.cycles}
