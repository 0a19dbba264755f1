"""How often a tensor takes which values, gathered a batch at a time, and the int8 range that loses least of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import frexp

import numpy as np

from ridgeline.algorithm.graph import Array, Quantisation
from ridgeline.formats import Scalar

# Bins on either side of zero; the width is a power of two, so that the used side spans between half and all of them.
_SIDE = 2048
# Parts of the range seen that are tried: steps of 2**(1/12), down to a 32nd.
_SHRINKS = tuple(2.0 ** (-step / 12) for step in range(61))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histogram:
    """Bin k counts the values in [(k - 2048) * width, (k - 2047) * width); width = 2**exponent."""

    exponent: int
    counts: Array
    low: float
    high: float

    @property
    def centres(self) -> Array:
        return np.ldexp(np.arange(-_SIDE, _SIDE) + 0.5, self.exponent)


def histogram(values: Array) -> Histogram:
    low, high = float(values.min()), float(values.max())
    reach = max(-low, high, 2.0**-120)
    exponent = frexp(reach * (1 + 2.0**-20))[1] - 11  # reach < 2**(exponent + 11) = 2048 bins
    bins = np.floor(np.ldexp(values.ravel(), -exponent)).astype(np.int64) + _SIDE
    return Histogram(exponent=exponent, counts=np.bincount(bins, minlength=2 * _SIDE), low=low, high=high)


def merged(first: Histogram, second: Histogram) -> Histogram:
    """Both together, at the coarser of the two widths."""
    exponent = max(first.exponent, second.exponent)
    counts = _coarsened(first, exponent) + _coarsened(second, exponent)
    return Histogram(exponent=exponent, counts=counts, low=min(first.low, second.low), high=max(first.high, second.high))


def _coarsened(source: Histogram, exponent: int) -> Array:
    steps = exponent - source.exponent
    if steps == 0:
        return source.counts
    bins = np.right_shift(np.arange(-_SIDE, _SIDE), min(steps, 62)) + _SIDE
    return np.bincount(bins, weights=source.counts, minlength=2 * _SIDE).astype(np.int64)


def affine(low: float, high: float) -> Quantisation:
    """The int8 quantisation that spans [low, high] and zero, with real zero exactly on a code. The scale is a float32 number, as ONNX stores it."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 2.0**-100:
        return Quantisation(scale=1.0, zero_point=0)
    scale = float(np.float32((high - low) / 255))
    return Quantisation(scale=scale, zero_point=int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def including(code: Quantisation, value: float) -> Quantisation:
    """The quantisation, as much wider as it takes to span `value`."""
    low, high = ((end - code.zero_point) * code.scale for end in (-128, 127))
    return code if low <= value <= high else affine(min(low, value), max(high, value))


def widest(source: Histogram) -> Quantisation:
    """All that was seen, from the smallest to the largest value."""
    return affine(source.low, source.high)


def closest(source: Histogram, function: Callable[[Array], Array] | None = None) -> Quantisation:
    """The range of least mean squared error, of `function` of the value where one follows.

    Both ends are shrunk together first, then each alone.
    """
    used = np.flatnonzero(source.counts)
    centres, counts = np.clip(source.centres[used], source.low, source.high), source.counts[used].astype(np.float64)
    with np.errstate(all="ignore"):
        wanted = centres if function is None else np.nan_to_num(function(centres), posinf=0.0, neginf=0.0)

    def error(ends: tuple[float, float]) -> float:
        return _error(affine(source.low * ends[0], source.high * ends[1]), centres, counts, wanted=wanted, function=function)

    both = min(((shrink, shrink) for shrink in _SHRINKS), key=error)
    below = min(((shrink, both[1]) for shrink in _SHRINKS), key=error)
    above = min(((below[0], shrink) for shrink in _SHRINKS), key=error)
    return affine(source.low * above[0], source.high * above[1])


def levelled(source: Histogram, number: Scalar, ratios: Array) -> Quantisation:
    """The scale of least mean squared error for the levels of a format: as its largest one, `ratios` of the largest value are tried."""
    levels = number.levels
    used = np.flatnonzero(source.counts)
    centres, counts = np.clip(source.centres[used], source.low, source.high), source.counts[used].astype(np.float64)
    reach = max(-source.low, source.high, 2.0**-100)

    def error(scale: float) -> float:
        return float(np.sum(counts * (number.decode(number.encode(centres / scale)) * scale - centres) ** 2))

    scale = min((float(np.float32(ratio * reach / number.top)) for ratio in ratios), key=error)
    whole = tuple(int(level) for level in levels)
    return Quantisation(scale=scale, zero_point=0, low=whole[0], high=whole[-1], levels=whole)


def _error(candidate: Quantisation, centres: Array, counts: Array, *, wanted: Array, function: Callable[[Array], Array] | None) -> float:
    levels = (np.arange(-128, 128) - candidate.zero_point) * candidate.scale
    if function is not None:
        with np.errstate(all="ignore"):
            levels = np.nan_to_num(function(levels), posinf=0.0, neginf=0.0)
    codes = np.clip(np.rint(centres / candidate.scale) + candidate.zero_point, -128, 127).astype(np.int64)
    return float(np.sum(counts * (levels[codes + 128] - wanted) ** 2))
