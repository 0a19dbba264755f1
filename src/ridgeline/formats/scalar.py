"""Formats of which each code stands for one value: rounding to the nearest level, for any table of levels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ridgeline.errors import InputError
from ridgeline.formats.format import Format

Floats = NDArray[np.floating]
Codes = NDArray[np.unsignedinteger]
T = TypeVar("T", bound=np.generic)


class Ties(Enum):
    """Where a value half-way between two levels goes."""

    LARGER = "larger value"  # as in ANT: 0.5 -> 1, -0.5 -> 0
    EVEN = "even code"  # as in IEEE 754 and the OCP's formats


class Scaling(Enum):
    """What scales the format's tensors have."""

    REAL = "float32"
    POWER_OF_TWO = "power of two"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar(Format):
    """A family gives `values`. Codes are unsigned integers of `bits` bits, 1 to 16.

    A finite value beyond the levels, or an infinite one where the format has no infinities, takes the outermost level. NaN is refused where the
    format has none. -0 and negative values that round to zero take the code of -0 in formats with ties to even that have one, and +0 elsewhere.
    """

    ties: Ties = Ties.LARGER
    scaling: Scaling = Scaling.REAL
    saturates: bool = True  # else finite values beyond the levels become infinite

    @property
    def values(self) -> NDArray[np.float64]:
        """The value of every code, in code order: shape (2^bits,)."""
        raise NotImplementedError

    @property
    def levels(self) -> NDArray[np.float64]:
        """The distinct finite values, ascending."""
        return codebook(self).levels

    @property
    def nan_code(self) -> int | None:
        """The code that NaN is encoded to."""
        return None

    @property
    def top(self) -> float:
        """The largest level: a scale maps the largest value to it."""
        return float(self.levels[-1])

    def decode(self, codes: ArrayLike, scale: float | Floats = 1.0) -> NDArray[np.float64]:
        """Values of codes. Raises InputError for a code of more than `bits` bits."""
        codes = np.asarray(codes)
        most = (1 << self.bits) - 1
        if codes.size and not (codes.dtype.kind in "iu" and codes.min() >= 0 and codes.max() <= most):
            raise InputError(f"codes of {self.name} are integers from 0 to {most}; got {codes.dtype} from {codes.min()} to {codes.max()}")
        return np.asarray(self.values[codes.astype(np.intp)] * scale, np.float64)

    def encode(self, values: ArrayLike, scale: float | Floats = 1.0) -> Codes:
        """The code of the level nearest to values / scale (in float32 if both are, else in float64).

        Raises InputError for NaN in a format that has none.
        """
        with np.errstate(over="ignore", under="ignore"):
            return nearest_codes(self, floats(values) / scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Codebook:
    """How values become codes: a value takes codes[k] where k thresholds are at most it. -0 is below +0 if `signed_zero`."""

    levels: NDArray[np.float64]
    thresholds: NDArray[np.float64]  # ascending, one fewer than codes
    codes: Codes  # of the steps between thresholds, ascending in value
    zero: int | None  # the step of +0, where the one below it is -0
    nan: int | None  # a code of NaN


@lru_cache(maxsize=256)
def codebook(format: Scalar) -> Codebook:
    values = format.values
    finite, first = np.unique(values[np.isfinite(values)], return_index=True)
    order = np.flatnonzero(np.isfinite(values))[first]
    thresholds = [_threshold(format, *pair) for pair in zip(finite, finite[1:], order, order[1:], strict=False)]
    steps = list(order)
    zero = _zeros(format, values, steps)
    if zero is not None:
        thresholds.insert(zero - 1, 0.0)
    infinite = np.flatnonzero(np.isinf(values))
    beyond = np.inf if format.saturates else finite[-1] + (finite[-1] - finite[-2]) / 2
    for code in infinite:
        at = len(steps) if values[code] > 0 else 0
        steps.insert(at, code)
        thresholds.insert(at, beyond if values[code] > 0 else np.nextafter(-beyond, np.inf))
        zero = zero + 1 if zero is not None and not at else zero
    return Codebook(
        levels=_fixed(finite),
        thresholds=_fixed(np.array(thresholds)),
        codes=_fixed(np.array(steps, code_type(format.bits))),
        zero=zero,
        nan=format.nan_code,
    )


def floats(values: ArrayLike) -> Floats:
    """float32 and float64 as they are, others as float64."""
    values = np.asarray(values)
    return values if values.dtype == np.float32 else values.astype(np.float64, copy=False)


def code_type(bits: int) -> type[np.unsignedinteger]:
    """The smallest numpy type that holds a code."""
    return np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32


def nearest_codes(format: Scalar, quotients: Floats) -> Codes:
    """Codes of float32 or float64 values: the definition that the kernels are equal to."""
    book = codebook(format)
    steps = np.searchsorted(book.thresholds, quotients, side="right")
    if book.zero is not None:
        steps = np.where((quotients == 0) & np.signbit(quotients), book.zero - 1, steps)
    codes = book.codes[np.minimum(steps, len(book.codes) - 1)]
    missing = np.isnan(quotients)
    if not missing.any():
        return codes
    if book.nan is None:
        index = tuple(int(place) for place in np.unravel_index(int(np.argmax(missing)), missing.shape))
        raise InputError(f"{format.name} has no code for NaN, which stands at index {index}; replace it first")
    return np.where(missing, book.codes.dtype.type(book.nan), codes)


def _threshold(format: Scalar, low: float, high: float, low_code: int, high_code: int) -> float:
    """The least value that goes up to `high`."""
    middle = low + (high - low) / 2
    up = format.ties is Ties.LARGER or int(high_code) % 2 == 0
    return middle if up else float(np.nextafter(middle, np.inf))


def _zeros(format: Scalar, values: NDArray[np.float64], steps: list[np.intp]) -> int | None:
    """Puts the code of -0 below that of +0 and returns the step of +0, if the format tells them apart."""
    negative = np.flatnonzero((values == 0) & np.signbit(values))
    if format.ties is Ties.LARGER or not negative.size:
        return None
    positive = int(np.flatnonzero((values == 0) & ~np.signbit(values))[0])
    at = next(step for step, code in enumerate(steps) if values[code] == 0)
    steps[at : at + 1] = [negative[0], np.intp(positive)]
    return at + 1


def _fixed(array: NDArray[T]) -> NDArray[T]:
    array.flags.writeable = False
    return array
