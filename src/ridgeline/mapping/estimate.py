"""What a mapping takes on a chip: cycles, energy and bytes by level, from the counts of its accesses.

    energy = MACs x energy of one + sum over levels and tensors of elements x bits x energy a bit
    cycles = the longest of the array's steps and of every level's transfers, which all overlap (as in Timeloop)

or, by ZigZag's rules, from `mapping/nominal.py` and `mapping/stalls.py`: the conventions say which.

A level's transfers are shared out evenly over the instances in use. A systolic array that refills its weights adds the fills to its steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, prod

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.chip import TENSORS, Chip, Level, Widths
from ridgeline.mapping import nominal
from ridgeline.mapping.access import Access
from ridgeline.mapping.count import Cut, check_nest, count, positions
from ridgeline.mapping.loops import Conventions, LoopMapping, check, is_inside
from ridgeline.mapping.stalls import Latency, latency

NOTHING = Access()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """`bound` names the level, or the array, that the cycles are due to. traffic_bytes: level -> tensor -> bytes read and written. An estimate above
    the array's peak is our own mistake."""

    cycles: int
    energy_pj: float
    macs: int
    steps: int
    energy_by_level: Mapping[str, float]
    cycles_by_level: Mapping[str, int]
    traffic_bytes: Mapping[str, Mapping[str, float]]
    occupied_bytes: Mapping[str, float]
    utilization: float
    bound: str

    def __post_init__(self) -> None:
        assert self.utilization <= 1, f"{self.macs:,} MACs in {self.cycles:,} cycles are {self.utilization:g} of the array's peak"


def estimate(mapping: LoopMapping, nest: Nest, chip: Chip, conventions: Conventions | None = None) -> Estimate:
    """Raises InputError for a mapping that is none of this nest and chip, DoesNotFitError where a level is too small."""
    rules = conventions or Conventions()
    check(mapping, nest, chip)
    if rules.nominal:
        return _nominal(mapping, nest, chip, rules)
    occupied = occupied_bytes(mapping, nest, chip, rules)
    _check_capacity(occupied, chip)
    counts = count(mapping, nest, chip, rules)
    _check_compulsory(counts.accesses, mapping, nest, chip, rules)
    steps = counts.steps + _fills(mapping, nest, chip)
    energy, cycles, traffic = {"mac": nest.iterations * chip.mac.pj}, {"array": steps}, dict[str, dict[str, float]]()
    for level in chip.levels:
        accesses = {tensor: counts.accesses.get((level.name, tensor), NOTHING) for tensor in TENSORS}
        read = {tensor: _bits(access.reads, access.partial_reads, tensor, chip.widths) for tensor, access in accesses.items()}
        written = {tensor: _bits(access.writes, access.partial_writes, tensor, chip.widths) for tensor, access in accesses.items()}
        energy[level.name] = sum(read.values()) * level.read_pj_per_bit + sum(written.values()) * level.write_pj_per_bit
        cycles[level.name] = _cycles(sum(read.values()), sum(written.values()), level, used_instances(mapping, level))
        traffic[level.name] = {tensor: (read[tensor] + written[tensor]) / 8 for tensor in TENSORS if read[tensor] or written[tensor]}
    if rules.latency == "stalls":
        used = nominal.used_lanes(mapping, chip)
        lanes = {array: list(factors.items()) for array, factors in used.items()}
        return _stalled(latency(mapping, nest, chip, average=lanes, whole=lanes), energy, traffic, occupied, nest=nest, chip=chip)
    slowest = max(cycles, key=lambda name: cycles[name])
    return Estimate(
        cycles=cycles[slowest],
        energy_pj=sum(energy.values()),
        macs=nest.iterations,
        steps=steps,
        energy_by_level=energy,
        cycles_by_level=cycles,
        traffic_bytes=traffic,
        occupied_bytes=occupied,
        utilization=nest.iterations / (cycles[slowest] * chip.macs),
        bound="compute" if slowest == "array" else slowest,
    )


def _nominal(mapping: LoopMapping, nest: Nest, chip: Chip, rules: Conventions) -> Estimate:
    """By ZigZag's counts. Without `stalls`, a level takes as long as its busiest port."""
    check_nest(nest)
    used = nominal.used_lanes(mapping, chip)
    average, whole = (nominal.average_lanes(used, nest, whole=is_whole) for is_whole in (False, True))
    occupied = nominal.occupied_bytes(mapping, nest, chip, average)
    _check_capacity(occupied, chip, doubled=True)
    sides = nominal.sides(mapping, nest, chip, average)
    energy, traffic = {"mac": nest.iterations * chip.mac.pj}, dict[str, dict[str, float]]()
    for level in chip.levels:
        places = {tensor: side.levels.index(level) for tensor, side in sides.items() if level in side.levels}
        moves: list[tuple[nominal.Side, int, nominal.Move]] = [
            (sides[tensor], number, move) for tensor, number in places.items() for move in sides[tensor].flows[number]
        ]  # fmt: skip
        energy[level.name] = sum(nominal.energy_pj(*move) for move in moves)
        bytes_moved = {tensor: sum(nominal.bits(*move) for move in moves if move[0] is sides[tensor]) / 8 for tensor in places}
        traffic[level.name] = {tensor: moved for tensor, moved in bytes_moved.items() if moved}
    found = latency(mapping, nest, chip, average=average, whole=whole)
    if rules.latency == "slowest":
        found = replace(found, first_fill=0, last_drain=0)
    return _stalled(found, energy, traffic, occupied, nest=nest, chip=chip)


def _stalled(
    found: Latency, energy: Mapping[str, float], traffic: Mapping[str, Mapping[str, float]], occupied: Mapping[str, float], *, nest: Nest, chip: Chip,
) -> Estimate:  # fmt: skip
    slowest = max(found.by_level, key=lambda name: found.by_level[name])
    return Estimate(
        cycles=found.cycles,
        energy_pj=sum(energy.values()),
        macs=nest.iterations,
        steps=found.steps,
        energy_by_level=energy,
        cycles_by_level={"array": found.steps} | {name: ceil(found.steps + stalls) for name, stalls in found.by_level.items()},
        traffic_bytes=traffic,
        occupied_bytes=occupied,
        utilization=nest.iterations / (found.cycles * chip.macs),
        bound=slowest if found.stalls else "compute",
    )


def _check_compulsory(accesses: Mapping[tuple[str, str], Access], mapping: LoopMapping, nest: Nest, chip: Chip, rules: Conventions) -> None:
    """Every element leaves the level where its tensor begins, or comes to the one where it ends, once at least."""
    touched = replace(rules, boxes=False)  # tiles leave out what lies between them
    for tensor in TENSORS:
        level = mapping.chain(tensor, chip)[0]
        access, whole = accesses[level.name, tensor], tile_elements(mapping, nest, tensor, level, touched)
        moved = access.writes + access.partial_writes if tensor == "output" else access.reads
        assert moved >= whole, f"{moved:,} elements of the {tensor} pass level '{level.name}', but it has {whole:,}"


def _bits(whole: int, partial: int, tensor: str, widths: Widths) -> int:
    return whole * getattr(widths, tensor) + partial * widths.partial


def _cycles(read: int, written: int, level: Level, instances: int) -> int:
    """Of moving so many bits through all instances in use."""
    if level.one_port and level.read_bits_per_cycle is not None:
        return ceil((read + written) / (level.read_bits_per_cycle * instances))
    reading = ceil(read / (level.read_bits_per_cycle * instances)) if level.read_bits_per_cycle is not None else 0
    writing = ceil(written / (level.write_bits_per_cycle * instances)) if level.write_bits_per_cycle is not None else 0
    return max(reading, writing)


def used_instances(mapping: LoopMapping, level: Level) -> int:
    return prod(loop.size for loop in mapping.loops if loop.array is not None and loop.array not in level.serves)


def _fills(mapping: LoopMapping, nest: Nest, chip: Chip) -> int:
    """Cycles beside the steps: each visit of a tile of weights to the innermost level that keeps them costs a fill."""
    if chip.systolic is None:
        return 0
    cut, loops = Cut.of(mapping, nest), mapping.loops
    position = mapping.positions["weight"][mapping.chain("weight", chip)[-1].name]
    timed = [number for number in range(position) if loops[number].array is None and loops[number].size > 1]
    innermost = max((number for number in timed if loops[number].axis in nest.operands[1].axes), default=-1)
    visits = prod(cut.distinct(axis, {number for number in timed if number <= innermost}) for axis in nest.axes)
    return visits * chip.systolic.fill_cycles + chip.systolic.last_cycles


def tile_elements(mapping: LoopMapping, nest: Nest, tensor: str, level: Level, conventions: Conventions) -> int:
    """Elements of the largest tile that an instance of a level holds."""
    position = mapping.positions[tensor][level.name]
    sizes = dict.fromkeys(nest.axes, 1)
    for number, loop in enumerate(mapping.loops):
        if is_inside(mapping, number, level, position):
            sizes[loop.axis] *= loop.size
    operand = next(operand for operand in nest.operands if operand.name == tensor)
    return prod(
        positions(tuple(index.values()), tuple(min(sizes[axis], nest.axes[axis]) for axis in index), conventions)
        for index in operand.indices
    )


def tile_bytes(mapping: LoopMapping, nest: Nest, chip: Chip, conventions: Conventions) -> dict[str, dict[str, float]]:
    """level -> tensor -> bytes of the largest tile that an instance holds. Outputs count with the width of a partial sum wherever sums are added up:
    in the innermost level, and where the level below does not end them; in the outermost one they are whole."""
    found: dict[str, dict[str, float]] = {}
    for level in chip.levels:
        found[level.name] = {}
        for tensor in TENSORS:
            if level.name in mapping.positions[tensor]:
                partial = tensor == "output" and level is not chip.levels[0] and _adds(mapping, nest, chip, level)
                width = chip.widths.partial if partial else getattr(chip.widths, tensor)
                found[level.name][tensor] = tile_elements(mapping, nest, tensor, level, conventions) * width / 8
    return found


def occupied_bytes(mapping: LoopMapping, nest: Nest, chip: Chip, conventions: Conventions) -> dict[str, float]:
    """Of one instance of each level but the outermost."""
    tiles = tile_bytes(mapping, nest, chip, conventions)
    return {level.name: sum(tiles[level.name].values()) for level in chip.levels[1:]}


def _adds(mapping: LoopMapping, nest: Nest, chip: Chip, level: Level) -> bool:
    """Whether partial sums come to a level's outputs: the level below holds less than the whole reduction."""
    chain = mapping.chain("output", chip)
    number = chain.index(level)
    if number == len(chain) - 1:
        return True
    child = chain[number + 1]
    position = mapping.positions["output"][child.name]
    reduced = set(nest.reduced)
    return any(
        loop.size > 1 and loop.axis in reduced and not is_inside(mapping, i, child, position) for i, loop in enumerate(mapping.loops)
    )


def _check_capacity(occupied: Mapping[str, float], chip: Chip, *, doubled: bool = False) -> None:
    """`doubled`: what is occupied has both tiles of a double-buffered level in it."""
    for level in chip.levels[1:]:
        usable = level.capacity_bytes if doubled else level.usable_bytes
        if usable is not None and occupied[level.name] > usable:
            half = ", half of its capacity as it is double-buffered" if level.double_buffered and not doubled else ""
            raise DoesNotFitError(
                f"tiles of {ceil(occupied[level.name]):,} bytes at level '{level.name}' of chip '{chip.name}', which holds {usable:,}{half}; "
                "shrink the tiles or bypass the level"
            )
