"""Boards in a line, as a user names them: `vc709` with a count, or `vc709:4,zcu102:2`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from math import isfinite
from pathlib import Path

from ridgeline.errors import InputError
from ridgeline.flows.choose import read_target
from ridgeline.flows.options import Options
from ridgeline.hardware.device import Device, device_names

MOST_BOARDS = 1000
LINK_GB_PER_S = (1e-6, 1e6)


def is_line(options: Options) -> bool:
    """Whether boards in a line are asked for, be it one. Raises InputError for a link between no boards."""
    listed = _is_list(options.device)
    if options.count is None and not listed and options.link_gb_per_s is not None:
        raise InputError("--link-gb-per-s is for boards in a line; give --count, or several boards with --device, such as vc709:4,zcu102:2")
    return options.count is not None or listed


def read_boards(options: Options) -> tuple[Device, ...]:
    """Every board of the line, in order, at the clock that was asked for. Raises InputError."""
    listed = list(_listed(options.device)) if _is_list(options.device) else [(options.device, 1)]
    if options.count is not None:
        if sum(count for _, count in listed) > 1 or ":" in options.device:
            raise InputError(f"--count {options.count} and --device '{options.device}' both count the boards; give one device, or no --count")
        if not 1 <= options.count <= MOST_BOARDS:
            raise InputError(f"--count is {options.count}; it must be in 1..{MOST_BOARDS:,}")
        listed = [(options.device, options.count)]
    boards = sum(count for _, count in listed)
    if boards > MOST_BOARDS:
        raise InputError(f"--device '{options.device}' counts {boards:,} boards; a line has at most {MOST_BOARDS:,}")
    return tuple(device for name, count in listed for device in (read_target(replace(options, device=name)),) * count)


def read_link(options: Options, boards: int) -> float | None:
    """Bytes a second of each link; None for a single board that needs none. Raises InputError."""
    speed, (least, most) = options.link_gb_per_s, LINK_GB_PER_S
    if speed is None:
        if boards > 1:
            raise InputError(f"a line of {boards} boards needs --link-gb-per-s, the speed of a link between two, such as 1.25")
        return None
    if not isfinite(speed) or not least <= speed <= most:
        raise InputError(f"--link-gb-per-s is {speed:g}; it must be in {least:f}..{most:,.0f}")
    return speed * 1e9


def _is_list(text: str) -> bool:
    if text in device_names() or Path(text).is_file():
        return False
    return "," in text or re.search(r":-?\d+$", text) is not None


def _listed(text: str) -> Iterator[tuple[str, int]]:
    for item in text.split(","):
        name, _, count = item.strip().rpartition(":") if re.search(r":-?\d+$", item.strip()) else (item.strip(), "", "1")
        if not name:
            raise InputError(f"--device '{text}' names no device before or after a comma; write it as vc709:4,zcu102:2")
        if int(count) < 1:
            raise InputError(f"--device '{text}': '{item.strip()}' counts {int(count)} boards; give 1 or more")
        yield name, int(count)
