"""A scale for every vector: from the largest magnitude, or searched for the least squared error."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.layout import Layout
from ridgeline.formats.scalar import Scalar, Scaling, codebook, nearest_codes

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
CHUNK = 1 << 20  # elements at a time
LARGEST, LEAST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_subnormal)
MOST_TOP = 2.0**127  # a larger level leaves no float32 scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Scales r * reach / the format's largest level for r from `least` to `most` in steps; the least squared error wins, the first of equals.

    The reach is a vector's largest magnitude, in OliVe's formats its largest |mean +- 3 standard deviations|. Defaults: ANT's range.
    """

    least: float = 0.75
    most: float = 1.49
    step: float = 0.01

    def __post_init__(self) -> None:
        if not (0 < self.least <= self.most and self.step > 0):
            raise InputError(f"scale search from {self.least} to {self.most} in steps of {self.step}; take 0 < least <= most and step > 0")

    @property
    def ratios(self) -> Float64s:
        count = floor((self.most - self.least) / self.step + 1e-9) + 1
        return self.least + self.step * np.arange(count, dtype=np.float64)


ABSMAX = Search(least=1.0, most=1.0, step=1.0)


def scalar_scales(format: Scalar, matrix: Float32s, layout: Layout, search: Search, *, plain: bool) -> Float32s:
    """Shape (vectors,); 1 for a vector of zeros. Raises InputError for a format whose levels leave no scale."""
    if format.scaling is Scaling.NONE:
        return np.empty(0, np.float32)
    if format.top > MOST_TOP:
        raise InputError(f"largest level {format.top:.3g} of {format.name} leaves no float32 scale; take a format of fewer bits")
    reach = reaches(matrix, layout, plain=plain)
    tried = candidates(reach, search.ratios, format)
    return tried[:, 0] if tried.shape[1] == 1 else _least(format, matrix, layout, tried, plain=plain)


def reaches(matrix: Float32s, layout: Layout, *, plain: bool) -> Float32s:
    """The largest magnitude of every vector."""
    if not plain:
        from ridgeline.formats.kernels import magnitudes

        return magnitudes(matrix, layout)
    found = np.empty(layout.vectors, np.float32)
    for first, vectors in layout.vectors_in_chunks(matrix, CHUNK):
        found[first : first + len(vectors)] = np.abs(vectors).max(axis=1)
    return found


def candidates(reach: Float32s | Float64s, ratios: Float64s, format: Scalar) -> Float32s:
    """Scales, vectors x ratios, positive and finite, rounded to float32 or up to a power of two."""
    with np.errstate(over="ignore", under="ignore"):
        exact = np.asarray(reach, np.float64)[:, None] * ratios / format.top
        if format.scaling is Scaling.POWER_OF_TWO:
            mantissas, exponents = np.frexp(exact)
            exact = np.ldexp(1.0, np.where(mantissas == 0.5, exponents - 1, exponents))
        scales = np.clip(exact, LEAST, LARGEST).astype(np.float32)
    return np.where(np.asarray(reach)[:, None] == 0, np.float32(1), scales)


def _least(format: Scalar, matrix: Float32s, layout: Layout, tried: Float32s, *, plain: bool) -> Float32s:
    kernel = not plain and len(codebook(format).codes) <= 256
    found = np.empty(layout.vectors, np.float32)
    if kernel:
        from ridgeline.formats.kernels import least_errors

        return least_errors(codebook(format), matrix, layout, tried)
    for first, vectors in layout.vectors_in_chunks(matrix, CHUNK):
        scales = tried[first : first + len(vectors)]
        errors = np.stack([squared_errors(format, vectors, scales[:, index]) for index in range(scales.shape[1])], axis=1)
        found[first : first + len(vectors)] = np.take_along_axis(scales, errors.argmin(axis=1)[:, None], axis=1)[:, 0]
    return found


def squared_errors(format: Scalar, vectors: Float32s, scales: Float32s) -> Float64s:
    """Sum over each vector of (value - level * scale)^2, in float64."""
    with np.errstate(over="ignore", under="ignore"):
        codes = nearest_codes(format, vectors / scales[:, None])
    gaps = vectors - format.values[codes] * scales[:, None].astype(np.float64)
    return np.sum(gaps * gaps, axis=1)
