"""How much faster than dense a sparsity pattern runs, as measured, by the size of the product.

Between two sizes a straight line in the logarithms of size and speed, beyond the ends what the ends have. A product of m, n and k has the
size of the cube of as many multiply-accumulates. docs/formats-on-chips.md has the error of a size that is left out.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import exp, log
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from ridgeline.errors import InputError, unknown_name
from ridgeline.hardware.toml import read_toml

_FILE = Path(__file__).with_name("rates.toml")
Size: TypeAlias = tuple[int, int, int]


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """m = n = k, and the dense time over the sparse one."""

    size: Annotated[int, msgspec.Meta(gt=0)]
    speed: Annotated[float, msgspec.Meta(gt=0)]


class Speeds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One series of measurements."""

    points: Annotated[tuple[Point, ...], msgspec.Meta(min_length=1)]
    source: str

    def __post_init__(self) -> None:
        """Raises ValueError, which the reader makes an InputError."""
        if any(less.size >= more.size for less, more in pairwise(self.points)):
            raise ValueError("the sizes of points must rise")

    def at(self, size: Size) -> float:
        """Of a product of m x k by k x n. Raises InputError."""
        if min(size) < 1:
            raise InputError(f"a matrix product of size {' x '.join(map(str, size))}; each of its three sizes must be 1 or more")
        return self.at_cube(sum(map(log, size)) / 3)

    def at_cube(self, log_size: float) -> float:
        lines = list(pairwise(self.points))
        for less, more in lines:
            low, high = log(less.size), log(more.size)
            if low <= log_size <= high:
                part = (log_size - low) / (high - low)
                return exp((1 - part) * log(less.speed) + part * log(more.speed))
        return (self.points[0] if log_size < log(self.points[0].size) else self.points[-1]).speed


@cache
def _file() -> dict[str, Speeds]:
    return read_toml(_FILE, dict[str, Speeds], "speeds")


def speeds_names() -> tuple[str, ...]:
    return tuple(_file())


def read_speeds(name: str) -> Speeds:
    """Raises UnknownNameError."""
    if name not in _file():
        raise unknown_name("table of speeds", name, speeds_names())
    return _file()[name]
