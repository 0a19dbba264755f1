"""A mapping as a loop nest that a person reads."""

from __future__ import annotations

from ridgeline.hardware.chip import TENSORS, Chip
from ridgeline.mapping.loops import LoopMapping


def nest_text(mapping: LoopMapping, chip: Chip) -> str:
    """A line a loop, the outermost first; above a loop, the levels that hold a tile of what is inside."""
    lines: list[str] = []
    depth = 0
    for position in range(len(mapping.loops) + 1):
        for level in chip.levels:
            held = [tensor for tensor in TENSORS if mapping.positions[tensor].get(level.name) == position]
            if held:
                lines.append(f"{'  ' * depth}[{level.name}: {', '.join(held)}]")
        if position < len(mapping.loops):
            loop = mapping.loops[position]
            word = "for" if loop.array is None else "par"
            lines.append(f"{'  ' * depth}{word} {loop.axis} in {loop.size}{f' on {loop.array}' if loop.array else ''}")
            depth += 1
    lines.append(f"{'  ' * depth}multiply-accumulate")
    return "\n".join(lines)
