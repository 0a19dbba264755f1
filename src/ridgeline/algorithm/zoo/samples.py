"""Seeded inputs that look like what a network is given: smooth, and each of its own kind, where white noise is all alike."""

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# Pixels are bounded: ImageNet's lie within -2.1 and 2.7 once normalised by its mean and standard deviation.
LIMIT = 2.5


def images(count: int, shape: Sequence[int], *, seed: int = 0) -> Array:
    """float32 (count, *shape) for a shape (channels, height, width), of mean about 0 and variance about 1 over all, none beyond LIMIT.

    A sum of octaves of noise, each twice as coarse as the one before and all of one variance, which is the 1 / f amplitude spectrum of photographs
    (D. Field, J. Opt. Soc. Am. A 4, 1987); the coarsest is about one value an image and channel.
    """
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    total = np.zeros((count, channels, height, width), dtype=np.float32)
    cell = 1
    octaves = 0
    while cell < 2 * max(height, width):
        grid = rng.standard_normal((count, channels, ceil(height / cell) + 1, ceil(width / cell) + 1), dtype=np.float32)
        total += _stretched(height, cell) @ grid @ _stretched(width, cell).T
        octaves += 1
        cell *= 2
    return np.clip(total / np.float32(sqrt(octaves)), -LIMIT, LIMIT)


def _stretched(size: int, cell: int) -> Array:
    """The matrix (size, cells + 1) that reads a grid of step `cell` by linear interpolation."""
    position = np.arange(size) / cell
    distance = np.abs(position[:, None] - np.arange(ceil(size / cell) + 1))
    weights = np.maximum(0, 1 - distance)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
