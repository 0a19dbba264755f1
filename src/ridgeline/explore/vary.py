"""What varies from one design of a chip to the next: `array.rows=8..32:4 glb.capacity_bytes=64K..512K:x2`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise, product
from math import log, prod

from ridgeline.errors import InputError
from ridgeline.hardware.chip import Chip
from ridgeline.hardware.vary import Value, is_whole

MOST_DESIGNS = 10_000
SUFFIXES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([KMG]?)", re.ASCII)
FORMS = "give a list (8,16,32), a range (8..32:4) or a geometric range (64K..512K:x2)"


def read_vary(text: str, chip: Chip) -> dict[str, tuple[Value, ...]]:
    """Path -> values, in the order given. Raises InputError for a path that the chip lacks, no or too many values, or a value twice."""
    found: dict[str, tuple[Value, ...]] = {}
    for part in text.split():
        path, mark, values = part.partition("=")
        if not mark or not path or not values:
            raise InputError(f"--vary '{part}' is not of the form PATH=VALUES, such as array.rows=8..32:4")
        if path in found:
            raise InputError(f"--vary names '{path}' twice")
        found[path] = _values(path, values, whole=is_whole(path, chip))
    if not found:
        raise InputError("--vary names no parameter; give PATH=VALUES, such as array.rows=8..32:4")
    count = prod(len(values) for values in found.values())
    if count > MOST_DESIGNS:
        raise InputError(f"--vary makes {count:,} designs; at most {MOST_DESIGNS:,} are explored at once: give fewer values")
    return found


def designs(vary: Mapping[str, tuple[Value, ...]]) -> Iterator[dict[str, Value]]:
    """Every combination; the last path varies fastest."""
    for values in product(*vary.values()):
        yield dict(zip(vary, values, strict=True))


def _values(path: str, text: str, *, whole: bool) -> tuple[Value, ...]:
    exact = _range(path, text) if ".." in text else [_number(path, part) for part in text.split(",")]
    if len(exact) > MOST_DESIGNS:
        raise InputError(f"--vary {path}={text} has more than {MOST_DESIGNS:,} values; give a wider step")
    if len(set(exact)) < len(exact):
        raise InputError(f"--vary {path}={text} names {float(_twice(exact)):g} twice")
    if whole and (broken := next((value for value in exact if value.denominator != 1), None)) is not None:
        raise InputError(f"--vary {path}={text} gives {float(broken):g}; '{path}' is a whole number")
    return tuple(int(value) if whole else float(value) for value in exact)


def _twice(values: Sequence[Fraction]) -> Fraction:
    ordered = sorted(values)
    return next(value for value, after in pairwise(ordered) if value == after)


def _range(path: str, text: str) -> list[Fraction]:
    bounds, mark, step = text.partition(":")
    low, _, high = bounds.partition("..")
    first, last = _number(path, low), _number(path, high)
    if not mark:
        raise InputError(f"--vary {path}={text} has no step; {FORMS}")
    if first > last:
        raise InputError(f"--vary {path}={text} is empty: {low} is above {high}")
    if step.startswith("x"):
        return _geometric(path, text, first, last, _number(path, step[1:]))
    width = _number(path, step)
    if width == 0:
        raise InputError(f"--vary {path}={text} never ends: its step is 0")
    return [first + number * width for number in range(min(int((last - first) / width), MOST_DESIGNS) + 1)]


def _geometric(path: str, text: str, first: Fraction, last: Fraction, factor: Fraction) -> list[Fraction]:
    if factor <= 1 or first == 0:
        raise InputError(f"--vary {path}={text} never ends: it multiplies {float(first):g} by {float(factor):g}")
    if log(last / first) > MOST_DESIGNS * log(factor):
        raise InputError(f"--vary {path}={text} has more than {MOST_DESIGNS:,} values; give a larger factor")
    found = [first]
    while found[-1] * factor <= last:
        found.append(found[-1] * factor)
    return found


def _number(path: str, text: str) -> Fraction:
    found = NUMBER.fullmatch(text)
    if found is None:
        raise InputError(f"--vary {path}: '{text}' is no number such as 8, 28.8, 64K or 1M; {FORMS}")
    return Fraction(found[1]) * SUFFIXES[found[2]]
