"""Why a nest has no mapping on a chip: the level that lacks bytes for the smallest tiles that the constraints leave, or the constraints that collide.

A tile is smallest where each axis' loop in time stands as far outside as the constraints let it, and as little as they let is spread over the array.
No other mapping holds less at any level, so that where these tiles do not fit, nothing does. An axis that has to run inside some level may need the
array to make its tile small: of such axes every spreading is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import ceil, prod
from typing import TypeAlias

from ridgeline.algorithm.nest import Nest
from ridgeline.hardware.chip import TENSORS, Chip, Level, Loops, Tensor, Unroll
from ridgeline.mapping.estimate import tile_bytes
from ridgeline.mapping.loops import Conventions, Loop, LoopMapping, home

Spread: TypeAlias = Mapping[str, Mapping[str, int]]  # array axis -> axis -> factor
MOST_SPREADS = 5_000  # that are tried


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """The smallest tiles of one spreading and one choice of kept tensors. lacks: level -> bytes beyond what it offers."""

    spread: Spread
    tiles: Mapping[str, Mapping[str, float]]
    lacks: Mapping[str, float]

    @property
    def worst(self) -> str:
        return max(self.lacks, key=lambda name: self.lacks[name])


def why_none(nest: Nest, chip: Chip, conventions: Conventions, *, split: bool = True) -> str:
    """One line, for a nest without a mapping. With `split`, tensors of a level may hold the tiles of different loops where the chip leaves its loops
    free."""
    head = f"no mapping of nest {dict(nest.axes)}: "
    collision = _over_array(nest, chip)
    if collision:
        return head + collision
    spreads = list(islice(_spreads(nest, chip), MOST_SPREADS))
    possible = [spread for spread in spreads if not any(_left(spread, nest, axis) > 1 for axis in _homeless(nest, chip))]
    if not possible:
        return head + _nowhere(nest, chip, spreads)
    attempts = [
        _attempt(nest, chip, conventions, spread, (kept, holders))
        for spread in possible for kept in _kept_outputs(chip) for holders in _holders(nest, chip, split=split)
    ]  # fmt: skip
    best = min(attempts, key=lambda attempt: attempt.lacks[attempt.worst])
    if best.lacks[best.worst] > 0:
        return head + _lack(nest, chip, best)
    rules = [f"unroll.{axis}" for axis in chip.unroll] + [f"loops.{name}" for name in chip.loops]
    return f"{head}the smallest tiles fit chip '{chip.name}', but no factors suit {' and '.join(rules) or 'its array'} together"


def _places(chip: Chip) -> list[Level | str]:
    """Levels and axes of the array, outermost first: an axis just outside the outermost level that does not serve it."""
    found: list[Level | str] = []
    for number, level in enumerate(chip.levels):
        inner = chip.levels[number + 1].serves if number + 1 < len(chip.levels) else ()
        found += [level, *(axis for axis in chip.array if axis in level.serves and axis not in inner)]
    return found


def _rule(chip: Chip, level: Level) -> Loops:
    return chip.loops.get(level.name, Loops())


def _level_of(chip: Chip, axis: str) -> Level | None:
    """Where an axis runs in time with the smallest tiles: in the innermost level that runs it whole, else the outermost one that may."""
    allowed = [level for level in chip.levels if _rule(chip, level).axes is None or axis in (_rule(chip, level).axes or ())]
    whole = [level for level in allowed if axis in _rule(chip, level).whole]
    return whole[-1] if whole else allowed[0] if allowed else None


def _homeless(nest: Nest, chip: Chip) -> list[str]:
    """The axes that may run in time nowhere."""
    return [axis for axis, size in nest.axes.items() if size > 1 and _level_of(chip, axis) is None]


def _spreads(nest: Nest, chip: Chip) -> Iterator[Spread]:
    """What the constraints ask for, and for axes that run inside some level, all they allow."""
    confined = {axis for axis in nest.axes if _level_of(chip, axis) is not chip.levels[0]}
    arrays = [place for place in reversed(_places(chip)) if isinstance(place, str)]

    def inner(number: int, left: Mapping[str, int]) -> Iterator[dict[str, Mapping[str, int]]]:
        if number == len(arrays):
            yield {}
            return
        array = arrays[number]
        choices = [_choices(chip.unroll.get(array), axis, left[axis], chip.array[array], free=axis in confined) for axis in nest.axes]
        for chosen in product(*choices):
            if prod(chosen) <= chip.array[array]:
                factors = dict(zip(nest.axes, chosen, strict=True))
                rest = {axis: ceil(left[axis] / factors[axis]) for axis in nest.axes}
                for outer in inner(number + 1, rest):
                    yield {array: factors, **outer}

    yield from inner(0, nest.axes)


def _choices(rule: Unroll | None, axis: str, left: int, size: int, *, free: bool) -> Sequence[int]:
    if rule is not None:
        if axis in rule.factors:
            return (min(rule.factors[axis], left),)
        if axis in rule.whole:
            return (left,)
        if axis not in rule.axes if rule.axes is not None else bool(rule.factors or rule.whole):
            return (1,)
    return sorted({ceil(left / ceil(left / factor)) for factor in range(1, min(left, size) + 1)}, reverse=True) if free else (1,)


def _left(spread: Spread, nest: Nest, axis: str) -> int:
    """Steps of an axis for the loop in time."""
    return ceil(nest.axes[axis] / prod(factors[axis] for factors in spread.values()))


def _over_array(nest: Nest, chip: Chip) -> str | None:
    """What must be spread over one axis of the array and is too much for it, whatever the others take."""
    for array, rule in chip.unroll.items():
        asked = {
            axis: (f"factors {axis} = {size:,}", min(size, nest.axes[axis])) for axis, size in rule.factors.items() if axis in nest.axes
        }
        for axis in rule.whole:
            if axis in nest.axes and axis not in asked:
                others = prod(_most(chip, other, axis, nest.axes[axis]) for other in chip.array if other != array)
                asked[axis] = (f"whole {axis} = {nest.axes[axis]:,}", ceil(nest.axes[axis] / others))
        if prod(size for _, size in asked.values()) > chip.array[array]:
            words = " and ".join(words for words, size in asked.values() if size > 1)
            return f"unroll.{array} of chip '{chip.name}' asks for {words}, but the array has {chip.array[array]:,} along '{array}'"
    return None


def _most(chip: Chip, array: str, axis: str, size: int) -> int:
    """Steps of an axis that one axis of the array can take."""
    return min(chip.array[array], max(_choices(chip.unroll.get(array), axis, size, chip.array[array], free=True)))


def _nowhere(nest: Nest, chip: Chip, spreads: Sequence[Spread]) -> str:
    """Axes that no level may run, and the array cannot take whole."""
    if not spreads:
        asked = " and ".join(f"unroll.{array}" for array, rule in chip.unroll.items() if rule.factors or rule.whole)
        return f"what {asked} of chip '{chip.name}' ask for does not fit its array {dict(chip.array)}"
    lost = _homeless(nest, chip)
    closed = _listed([f"loops.{name}" for name in chip.loops])
    most = {axis: max(prod(factors[axis] for factors in spread.values()) for spread in spreads) for axis in lost}
    short = [axis for axis in lost if ceil(nest.axes[axis] / most[axis]) > 1]
    if short:
        axis = short[0]
        unrolled = [array for array in chip.array if any(spread[array][axis] > 1 for spread in spreads)] or list(chip.unroll)
        named = " and ".join(f"unroll.{array}" if array in chip.unroll else f"the array's '{array}'" for array in unrolled) or "the array"
        takes = f"{named} {'take' if len(unrolled) > 1 else 'takes'} {most[axis]:,} of its {nest.axes[axis]:,} steps"
        return f"{closed} of chip '{chip.name}' let no level run the axis '{axis}', and {takes}"
    axes = " and ".join(f"'{axis}'" for axis in lost)
    return f"{closed} of chip '{chip.name}' let no level run the axes {axes}, and its array {dict(chip.array)} has no room for all of them"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def _kept_outputs(chip: Chip) -> Iterator[frozenset[str]]:
    """Levels that keep the outputs beside those that must: what ends its sums inside makes them narrower outside."""
    inside = [level for level in chip.levels if "output" in level.keeps and _may_pass(chip, "output", level)]
    free = [level.name for level in inside if "output" not in level.must_keep]
    for flags in product((False, True), repeat=len(free)):
        yield frozenset(name for name, flag in zip(free, flags, strict=True) if flag)


def _may_pass(chip: Chip, tensor: Tensor, level: Level) -> bool:
    """Whether a level lies inside the one where a tensor begins or ends."""
    return chip.levels.index(level) > chip.levels.index(home(chip, tensor))


def _holders(nest: Nest, chip: Chip, *, split: bool) -> Iterator[Mapping[str, Tensor]]:
    """level -> the one tensor that holds the level's own loops, where the others need not; all hold them at a level that is not named."""
    confined = {level.name for axis in nest.axes if (level := _level_of(chip, axis)) is not None}
    parted = [
        level for level in chip.levels[1:] if split and level.name in confined and level.name not in chip.loops and len(level.keeps) > 1
    ]
    held: list[list[Tensor]] = [
        [tensor for tensor in level.keeps if _may_pass(chip, tensor, level) or level is home(chip, tensor)] for level in parted
    ]
    for tensors in product(*held):
        yield {level.name: tensor for level, tensor in zip(parted, tensors, strict=True)}


def _attempt(
    nest: Nest, chip: Chip, conventions: Conventions, spread: Spread, held: tuple[frozenset[str], Mapping[str, Tensor]],
) -> _Attempt:  # fmt: skip
    """`held`: the levels that keep the outputs beside those that must, and what `_holders` says."""
    outputs, holders = held
    loops: list[Loop] = []
    positions: dict[str, dict[str, int]] = {tensor: {} for tensor in TENSORS}
    for place in _places(chip):
        if isinstance(place, str):
            loops += [Loop(axis=axis, size=size, array=place) for axis, size in spread[place].items() if size > 1]
            continue
        own = [Loop(axis=axis, size=_left(spread, nest, axis)) for axis in nest.axes if _level_of(chip, axis) is place]
        holder = holders.get(place.name)
        for tensor in TENSORS:
            if place is home(chip, tensor):
                positions[tensor][place.name] = 0
            elif _may_pass(chip, tensor, place) and (
                tensor in place.must_keep or tensor == holder or (tensor == "output" and place.name in outputs)
            ):
                positions[tensor][place.name] = len(loops) + (len(own) if holder not in (None, tensor) else 0)
        loops += own
    tiles = tile_bytes(LoopMapping(loops=tuple(loops), positions=positions), nest, chip, conventions)
    lacks = {
        level.name: sum(tiles[level.name].values()) - level.usable_bytes for level in chip.levels[1:] if level.usable_bytes is not None
    }
    return _Attempt(spread=spread, tiles=tiles, lacks=lacks or {chip.levels[0].name: 0.0})


def _lack(nest: Nest, chip: Chip, attempt: _Attempt) -> str:
    level = chip.level(attempt.worst)
    tiles, usable = attempt.tiles[level.name], level.usable_bytes
    half = ", half of its capacity as it is double-buffered" if level.double_buffered else ""
    needed = " and ".join(f"{ceil(size):,} for the {tensor}" for tensor, size in tiles.items())
    causes = [f"the whole {tensor} has its home there" for tensor in tiles if level is home(chip, tensor)]
    causes += [cause for axis in nest.axes for cause in _causes(nest, chip, attempt, (level, axis)) if _matters(nest, tiles, axis)]
    because = f", as {' and '.join(causes)}" if causes else ", for one element of each"
    return (
        f"level '{level.name}' of chip '{chip.name}' needs {ceil(sum(tiles.values())):,} bytes, but it offers {usable:,}{half}: "
        f"{needed}{because}; {_remedy(level)}"
    )


def _matters(nest: Nest, tiles: Mapping[str, float], axis: str) -> bool:
    return any(axis in operand.axes for operand in nest.operands if operand.name in tiles)


def _causes(nest: Nest, chip: Chip, attempt: _Attempt, place: tuple[Level, str]) -> Iterator[str]:
    """Why a level's tile has more than one step of an axis."""
    level, axis = place
    for array, factors in attempt.spread.items():
        if array in level.serves and factors[axis] > 1:
            yield f"unroll.{array} spreads {factors[axis]:,} of {axis} inside it"
    runs = _level_of(chip, axis)
    size = _left(attempt.spread, nest, axis)
    if size > 1 and runs is not None and chip.levels.index(runs) >= chip.levels.index(level):
        is_whole = axis in _rule(chip, runs).whole
        yield f"loops.{runs.name} runs {axis} whole, {size:,}" if is_whole else f"no level outside '{runs.name}' may run {axis}, {size:,}"


def _remedy(level: Level) -> str:
    dropped = f"drop one of its must_keep ({', '.join(level.must_keep)}), " if level.must_keep else ""
    return f"relax one, {dropped}or raise its capacity_bytes"
