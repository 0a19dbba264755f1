"""A mapping drawn: its levels from the outermost down to the multipliers, the tiles they keep, the loops between them, and what moves. An SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import log10
from typing import Any

from ridgeline.report.figures import BLUE, GREEN, ORANGE

WIDTH, LEFT, LANE, RIGHT = 1120, 226, 220, 906  # px: the page's column, where the lanes start, a lane, where the bars start
RED = "#b3261e"  # the page's, of what bounds a layer
BAND, ROW, GAP = 78, 26, 54  # px: a level's height, a row of loops, the least space between two levels
LANES = {"input": BLUE, "weight": ORANGE, "output": GREEN}
DECADE, FINEST, NOTHING = 7.0, 1.5, 2  # a line's px for every ten times the bytes, its least px, and the power of ten where it starts
LETTER = 6.9  # px, of the loops' type
PREFIXES = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
SHARE_SEEN = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A level of the chip: what all instances move in a cycle and what the tiles of one may fill, in bytes; None where unlimited."""

    level: str
    bytes_per_cycle: float | None
    usable_bytes: float | None


@dataclass(slots=True, kw_only=True)
class _Canvas:
    """Parts in three layers: bands lie below links, links below all that is read."""

    bands: list[str] = field(default_factory=list[str])
    links: list[str] = field(default_factory=list[str])
    front: list[str] = field(default_factory=list[str])

    def text(self, at: tuple[float, float], words: str, kind: str = "", anchor: str = "start") -> None:
        self.front.append(f'<text x="{at[0]:g}" y="{at[1]:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>')

    def box(self, box: tuple[float, float, float, float], kind: str, colour: str = "") -> None:
        self.front.append(_rectangle(box, kind, colour))


def nest_svg(layer: Mapping[str, Any], memories: Sequence[Memory], array: Mapping[str, int]) -> str:
    """Of one layer of `map --json`; `array` is the chip's: axis -> multipliers."""
    canvas, y = _Canvas(), 22.0
    for number, tensor in enumerate(LANES):
        canvas.text((_middle(number), 14), tensor, "lane", "middle")
    tops: dict[str | None, float] = {}
    known = {memory.level: memory for memory in memories}
    for level in layer["mapping"]["levels"]:
        tops[level["level"]] = y
        _level(canvas, layer, level, known[level["level"]], y)
        y += BAND + _loops(canvas, level["loops"], y + BAND)
    tops[None] = y
    height = y + _array(canvas, layer, array, y)
    for level in layer["mapping"]["levels"]:
        for link in level["links"]:
            _link(canvas, link, tops[level["level"]] + BAND - 10, tops[link["child"]] + 10)
    label = f"{layer['name']}: levels, tiles, loops and traffic of its mapping"
    parts = "".join((*canvas.bands, *canvas.links, *canvas.front))
    return f'<svg class="nest" viewBox="0 0 {WIDTH} {height + 2:g}" role="img" aria-label="{escape(label)}">{parts}</svg>'


def _level(canvas: _Canvas, layer: Mapping[str, Any], level: Mapping[str, Any], memory: Memory, y: float) -> None:
    name, usable = memory.level, memory.usable_bytes
    canvas.bands.append(_rectangle((1, y, WIDTH - 2, BAND), "band bound" if layer["bound"] == name else "band"))
    canvas.text((14, y + 24), _short(name, 26), "name")
    each = " each" if level["instances"] > 1 else ""
    canvas.text((14, y + 44), "holds the whole tensors" if usable is None else f"{size(usable)}{each} for tiles", "soft")
    canvas.text((14, y + 62), f"{level['used']:,} of {level['instances']:,} in use" if level["instances"] > 1 else "one instance", "soft")
    for number, tensor in enumerate(LANES):
        if tensor in level["tiles"]:
            _tile(canvas, tensor, level["tiles"][tensor], usable, (_middle(number) - LANE / 2 + 6, y + 10))
    _bars(
        canvas,
        {
            "full": None if usable is None else layer["occupied_bytes"][name] / usable,
            "time": layer["cycles_by_level"][name] / layer["cycles"] if memory.bytes_per_cycle or layer["cycles_by_level"][name] else None,
            "energy": layer["energy_by_level"][name] / layer["energy_pj"],
        },
        y,
    )


def _tile(canvas: _Canvas, tensor: str, tile: Mapping[str, Any], usable: float | None, at: tuple[float, float]) -> None:
    x, y = at
    wide, high = LANE - 12, BAND - 20
    canvas.box((x, y, wide, high), "tile-back")
    canvas.box((x, y, wide, high), "tile-edge", LANES[tensor])
    shape = " · ".join(f"{axis} {extent:,}" for axis, extent in tile["shape"].items() if extent > 1) or "one element"
    canvas.text((x + 10, y + 22), _short(shape, 31), "shape")
    share = "" if usable is None else f", {percent(tile['bytes'] / usable)}"
    canvas.text((x + 10, y + 40), f"{size(tile['bytes'])}{share}", "soft")
    if usable is not None:
        canvas.box((x, y + high - 7, max(1.0, wide * min(1.0, tile["bytes"] / usable)), 7), "fill", LANES[tensor])


def _bars(canvas: _Canvas, shares: Mapping[str, float | None], y: float) -> None:
    """None: there is no limit to have a share of."""
    for number, (name, share) in enumerate(shares.items()):
        top = y + 12 + 20 * number
        canvas.text((RIGHT, top + 11), name, "soft")
        if share is None:
            canvas.text((RIGHT + 48, top + 11), "unlimited", "soft")
            continue
        canvas.box((RIGHT + 48, top + 2, 96, 11), "rail")
        canvas.box(
            (RIGHT + 48, top + 2, max(0.5, 96 * min(1.0, share)), 11), "bar", RED if name == "time" and share > 1 - SHARE_SEEN else ""
        )
        canvas.text((WIDTH - 12, top + 11), percent(share), "digits", "end")


def _loops(canvas: _Canvas, loops: Sequence[Mapping[str, Any]], y: float) -> float:
    """The loops between two levels, outermost first; returns the height that they take."""
    x, row = 14.0, 0
    for loop in loops:
        words = f"for {loop['axis']} {loop['size']:,}" if loop["array"] is None else f"{loop['axis']} {loop['size']:,} over {loop['array']}"
        wide = LETTER * len(_short(words, 28)) + 14
        if x > 14 and x + wide > LEFT - 4:
            x, row = 14.0, row + 1
        top = y + 8 + ROW * row
        kind = "loop" if loop["array"] is None else "spread"
        canvas.box((x, top, wide, ROW - 5), kind)
        canvas.text((x + 7, top + 15), _short(words, 28), f"{kind}-text")
        x += wide + 6
    return max(GAP, 12 + ROW * (row + 1))


def _array(canvas: _Canvas, layer: Mapping[str, Any], array: Mapping[str, int], y: float) -> float:
    """The multipliers at the bottom, axis by axis; returns the height."""
    used: dict[str, list[Mapping[str, Any]]] = {
        axis: [loop for loop in layer["mapping"]["loops"] if loop["array"] == axis] for axis in array
    }
    height = max(BAND, 20.0 + 24 * len(array))
    canvas.bands.append(_rectangle((1, y, WIDTH - 2, height), "band bound" if layer["bound"] == "compute" else "band"))
    total, busy = 1, 1
    for number, (axis, count) in enumerate(array.items()):
        lanes = _product(used[axis])
        total, busy = total * count, busy * lanes
        top = y + 24 + 24 * number
        canvas.text((LEFT + 92, top + 5), _short(axis, 13), "soft", "end")
        canvas.box((LEFT + 102, top - 6, 300, 13), "rail")
        canvas.box((LEFT + 102, top - 6, max(1.0, 300 * lanes / count), 13), "bar")
        spread = ", ".join(f"{loop['axis']} {loop['size']:,}" for loop in used[axis] if loop["size"] > 1) or "nothing spread"
        canvas.text((LEFT + 412, top + 5), f"{lanes:,} of {count:,}", "digits")
        canvas.text((LEFT + 510, top + 5), _short(spread, 24), "shape")
    canvas.text((14, y + 24), "multiply-accumulators", "name")
    canvas.text((14, y + 44), f"{busy:,} of {total:,} in use", "soft")
    canvas.text((14, y + 62), f"utilisation {percent(layer['utilization'])}", "soft")
    time, energy = layer["cycles_by_level"]["array"] / layer["cycles"], layer["energy_by_level"]["mac"] / layer["energy_pj"]
    _bars(canvas, {"time": time, "energy": energy}, y)
    return height


def _product(loops: Sequence[Mapping[str, Any]]) -> int:
    total = 1
    for loop in loops:
        total *= loop["size"]
    return total


def _link(canvas: _Canvas, link: Mapping[str, Any], top: float, bottom: float) -> None:
    """A line from a level to the next that keeps the tensor, as wide above as what the outer side moves, below as what the inner side does."""
    number = list(LANES).index(link["tensor"])
    x, (above, below) = _middle(number), (line_width(link[side]) / 2 for side in ("parent_bytes", "child_bytes"))
    corners = ((x - above, top), (x + above, top), (x + below, bottom), (x - below, bottom))
    canvas.links.append(
        f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}" class="link" fill="{LANES[link["tensor"]]}"/>'
    )
    many = link["child_bytes"] / link["parent_bytes"] if link["parent_bytes"] else 1.0
    spread = f", × {many:.3g} below" if many > 1 + SHARE_SEEN else f", ÷ {1 / many:.3g} below" if 0 < many < 1 - SHARE_SEEN else ""
    arrow = "↓" if link["tensor"] != "output" else "↕" if link["back_bytes"] else "↑"
    canvas.text((x, top + 10 + GAP / 2 + 4), f"{arrow} {size(link['parent_bytes'])}{spread}", "moved", "middle")


def line_width(count: float) -> float:
    """px for so many bytes: their logarithm."""
    return max(FINEST, DECADE * (log10(max(1.0, count)) - NOTHING))


def size(count: float) -> str:
    """1.57 kB: three digits, 1 kB = 1,000 bytes."""
    unit, name = next(((unit, name) for unit, name in PREFIXES if count >= unit), (1.0, "B"))
    value = count / unit
    return f"{value:.0f} {name}" if value >= 100 or value == int(value) else f"{value:.3g} {name}"


def percent(share: float) -> str:
    """Whole from 10 % up, one decimal below; what is there but tiny is told so."""
    if 0 < share < SHARE_SEEN:
        return f"< {100 * SHARE_SEEN:g} %"
    return f"{100 * share:.0f} %" if share >= 0.1 or not share else f"{100 * share:.1f} %"


def _middle(number: int) -> float:
    return LEFT + 4 + LANE * (number + 0.5)


def _rectangle(box: tuple[float, float, float, float], kind: str, colour: str = "") -> str:
    x, y, wide, high = box
    painted = f' style="--colour:{colour}"' if colour else ""
    return f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" class="{kind}"{painted}/>'


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
