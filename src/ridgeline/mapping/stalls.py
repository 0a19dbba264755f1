"""Latency as ZigZag 3.9.1 counts it (found by reading and running it; Mei et al., "A Uniform Latency Model for DNN Accelerators with Diverse
Architectures and Dataflows", DATE 2022): the array's cycles, stalls where a port cannot keep up, the first fill, the last drain.

A transfer has a window: its whole period where the level has room for a second tile, else the part of it in which the tile is not in use. What takes
longer stalls; transfers through one port also stall where their windows do not leave them enough cycles in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import TypeAlias

from ridgeline.algorithm.nest import Nest
from ridgeline.hardware.chip import Chip, Level, Port
from ridgeline.mapping.loops import LoopMapping
from ridgeline.mapping.nominal import Flow, Lanes, Move, Side, is_lacking, ports, sides, used_lanes

Key: TypeAlias = tuple[str, int, Move]  # a tensor, the number of one of its levels from inside, and a move
HALF = 0.5  # of a level's capacity: what leaves room for a second tile


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """In cycles. `stalls` are the longest of any port; by_level: each level's own."""

    steps: int
    stalls: float
    first_fill: float
    last_drain: float
    by_level: Mapping[str, float]

    @property
    def cycles(self) -> int:
        return ceil(self.steps + self.stalls + self.first_fill + self.last_drain)


def latency(mapping: LoopMapping, nest: Nest, chip: Chip, *, average: Lanes, whole: Lanes) -> Latency:
    """`average` lanes tell how full a level is, `whole` ones what moves in a period. Raises InputError for ports that carry not what moves."""
    held, moved = sides(mapping, nest, chip, average), sides(mapping, nest, chip, whole, average=average)
    steps = prod(loop.size for loop in mapping.loops if loop.array is None)
    doubled = _doubled(held, nest, chip)
    links: dict[Key, _Link] = {
        (name, number, move): _link(moved[name], number, move, nest, doubled)
        for name, side in moved.items() for number, flows in enumerate(side.flows) for move in flows
    }  # fmt: skip
    by_level = {level.name: max([0.0, *(_stall(found) for _, found in _by_port(level, links, moved))]) for level in chip.levels}
    stalls = max(by_level.values())
    ends = _ends(links, chip, moved, steps + stalls)
    used = used_lanes(mapping, chip)
    systolic = sum(prod(used[axis].values()) - 1 for axis in chip.systolic_axes)
    return Latency(
        steps=steps,
        stalls=stalls,
        first_fill=_first_fill(ends, chip, moved, nest),
        last_drain=_last_drain(ends, moved) + systolic,
        by_level=by_level,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """One move through its port: it takes `cycles` of each period, and has a window of `allowed`."""

    flow: Flow
    cycles: int
    allowed: int

    @property
    def stall(self) -> int:
        """Less than 0: slack."""
        return (self.cycles - self.allowed) * (self.flow.times - 1)

    @property
    def window(self) -> int:
        return self.allowed * (self.flow.times - 1)


def _order(nest: Nest) -> tuple[str, ...]:
    """ZigZag's order of a layer's tensors: the weight before the input in a convolution, after it in a product."""
    has_windows = any(len(index) > 1 for operand in nest.inputs for index in operand.indices)
    return ("output", "weight", "input") if has_windows else ("output", "input", "weight")


def _doubled(held: Mapping[str, Side], nest: Nest, chip: Chip) -> dict[tuple[str, int], bool]:
    """Whether a level has room for a second tile of a tensor, tensors first come first served; never the multiplier, number -1."""
    own: dict[tuple[str, int], float] = {}
    for name, side in held.items():
        for number, level in enumerate(side.levels):
            filled = _outermost(side, number, nest)
            capacity = level.capacity_bytes * 8 if level.capacity_bytes is not None else None
            own[name, number] = side.tiles[number] * side.bits[number] // filled / capacity if capacity is not None else 0.0
    together = {key: [other for other in own if _level(held, other) is _level(held, key)] for key in own}
    share = {key: sum(own[other] for other in others) for key, others in together.items()}
    found: dict[tuple[str, int], bool] = {}
    for name in _order(nest):
        found[name, -1] = False
        for number in range(len(held[name].levels)):
            key = name, number
            found[key] = share[key] <= HALF or own[key] <= 1 - share[key]
            if found[key] and share[key] > HALF and len(_level(held, key).keeps) > 1:
                for other in together[key]:
                    share[other] += own[key]
    return found


def _level(held: Mapping[str, Side], key: tuple[str, int]) -> Level:
    return held[key[0]].levels[key[1]]


def _outermost(side: Side, number: int, nest: Nest) -> int:
    """Iterations of a level's outermost loops over axes of the tensor that are in no window: its tile is replaced piece by piece over them."""
    plain = {axis for index in side.operand.indices if len(index) == 1 for axis in index}
    return _outer(side, number, plain)


def _outer(side: Side, number: int, axes: set[str]) -> int:
    found = 1
    for axis, size in reversed(side.loops[number]):
        if axis not in axes:
            break
        found *= int(size)
    return found


def _link(side: Side, number: int, move: Move, nest: Nest, doubled: Mapping[tuple[str, int], bool]) -> _Link:
    flow, name = side.flows[number][move], side.operand.name
    updated = number if move in ("fill", "drain") else number - 1
    again = {axis for axis in nest.axes if is_lacking(side.operand, nest, axis)}
    waits = 1 if doubled[name, updated] or updated < 0 else _outer(side, updated, again)
    found = next((port for port in ports(side.levels[number]) if f"{name} {move}" in port.moves), None)
    cycles = ceil(flow.elements * flow.bits / found.bits_per_cycle) if found is not None else 0
    return _Link(flow=flow, cycles=cycles, allowed=ceil(flow.period if waits == 1 else int(flow.period / waits)))


def _by_port(level: Level, links: Mapping[Key, _Link], moved: Mapping[str, Side]) -> list[tuple[Port, dict[Key, _Link]]]:
    """The moves that happen through each port, in the port's order."""
    places = {name: side.levels.index(level) for name, side in moved.items() if level in side.levels}
    keys: dict[str, Key] = {
        f"{name} {move}": (name, number, move) for name, number in places.items() for move in moved[name].flows[number]
    }  # fmt: skip
    return [(port, {keys[text]: links[keys[text]] for text in port.moves if text in keys}) for port in ports(level)]


def _stall(links: Mapping[Key, _Link]) -> float:
    """Of one port."""
    found = list(links.values())
    if len(found) < 2:
        return sum(link.stall for link in found)
    lost = sum(link.stall for link in found if link.stall > 0)
    slack = sum(link.stall for link in found if link.stall <= 0)
    return lost + max(0, slack + sum(link.window for link in found) - _covered(found))


def _covered(links: Sequence[_Link]) -> int:
    """Cycles in which at least one link has its window: the first `allowed` ones of each of its periods."""
    always = next((link for link in links if link.allowed == link.flow.period), None)
    if always is not None:
        return always.flow.period * always.flow.times
    windows: dict[int, int] = {}
    for link in links:
        windows[link.flow.period] = max(link.allowed, windows.get(link.flow.period, 0))
    longest = max(windows)
    times = next(link.flow.times for link in links if link.flow.period == longest)
    return (longest - _free(sorted(windows.items()), longest)) * times


def _free(windows: Sequence[tuple[int, int]], length: int) -> int:
    """Of the first `length` cycles, those in no window; each (period, window) has a period that the next one's is a multiple of."""
    if not windows:
        return length
    *inner, (period, window) = windows

    def after(cycles: int) -> int:
        return _free(inner, cycles) - _free(inner, min(cycles, window))

    whole, rest = divmod(length, period)
    return whole * after(period) + after(rest)


def _ends(links: Mapping[Key, _Link], chip: Chip, moved: Mapping[str, Side], cycles: float) -> dict[Key, float]:
    """Cycles of each move before the first step or after the last: a period's; of what moves once, what does not hide in the run."""
    found: dict[Key, float] = {}
    for level in chip.levels:
        for port, through in _by_port(level, links, moved):
            considered = {key: link for key, link in through.items() if key[0] != "output" or key[2] in ("update", "drain")}
            again = {key: link for key, link in considered.items() if link.flow.times > 1}
            once = {key: link for key, link in considered.items() if link.flow.times == 1}
            busy = sum(ceil(_rate(link, moved[key[0]], key)) for key, link in again.items())
            surplus = max(0.0, (port.bits_per_cycle - busy) / port.bits_per_cycle * cycles)
            found |= {key: link.cycles for key, link in again.items()}
            for key, link in sorted(once.items(), key=lambda item: -item[1].cycles):
                side = moved[key[0]]
                least = ceil(side.tiles[0] * side.bits[0] / port.bits_per_cycle)
                hidden = min(max(0, link.cycles - least), surplus)
                found[key], surplus = link.cycles - hidden, surplus - hidden
    unlimited = {key: 0.0 for key in links if key not in found}
    return found | unlimited


def _rate(link: _Link, side: Side, key: Key) -> int:
    """Bits a cycle that a move takes on average."""
    _, number, move = key
    flow = link.flow
    if move in ("fill", "drain"):
        return int(side.tiles[number] * flow.bits / flow.period)
    inner = side.tiles[number - 1] if number else 1
    return int(inner * flow.bits / flow.period * side.distinct[number])


def _first_fill(ends: Mapping[Key, float], chip: Chip, moved: Mapping[str, Side], nest: Nest) -> float:
    """Before the first step. Links between two levels whose ports both carry inputs and weights take turns."""
    parts: dict[str, tuple[float, float, float]] = {}
    for name in _order(nest)[1:]:
        shared = half = own = 0.0
        side = moved[name]
        for number in range(len(side.levels) - 1):
            longest = max(ends[name, number, "fill"], ends[name, number + 1, "read"])
            match sum(_is_shared(side.levels[place], f"{name} {move}") for place, move in ((number, "fill"), (number + 1, "read"))):
                case 2:
                    shared += longest
                case 0:
                    own += longest
                case _:
                    half = longest
        parts[name] = shared, half, own
    first, second = parts.values()
    return min(x[0] + max(sum(y), x[1] + x[2]) for x, y in ((first, second), (second, first)))


def _is_shared(level: Level, move: str) -> bool:
    port = next((port for port in ports(level) if move in port.moves), None)
    return port is not None and {text.split()[0] for text in port.moves} >= {"input", "weight"}


def _last_drain(ends: Mapping[Key, float], moved: Mapping[str, Side]) -> float:
    """After the last step: the outputs from level to level."""
    inner = range(len(moved["output"].levels) - 1)
    return sum(max(ends["output", number, "drain"], ends["output", number + 1, "update"]) for number in inner)
