"""Mean values of channels, and what the rounding of weights adds to a convolution on average: its bias takes that off.

The idea is that of Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019), section 4.2, with means
from calibration data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ridgeline.algorithm.graph import Array, Node
from ridgeline.algorithm.operators import Conv, ConvTranspose


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Sums over all elements of each channel; they add."""

    count: int
    total: Array
    squares: Array

    @classmethod
    def none(cls, channels: int) -> Moments:
        return cls(count=0, total=np.zeros(channels), squares=np.zeros(channels))

    @classmethod
    def of(cls, values: Array) -> Moments:
        lines = values.swapaxes(0, 1).reshape(values.shape[1], -1)
        squares = np.array([float(np.vdot(line, line)) for line in lines])
        return cls(count=lines.shape[1], total=np.asarray(lines.sum(axis=1, dtype=np.float64)), squares=squares)

    def __add__(self, other: Moments) -> Moments:
        return Moments(count=self.count + other.count, total=self.total + other.total, squares=self.squares + other.squares)

    def mean(self, images: int) -> Array:
        """Each channel's mean, drawn toward zero as far as so few images leave it in doubt: by m**2 / (m**2 + variance / images)."""
        mean = self.total / max(1, self.count)
        square = mean * mean
        doubt = np.maximum(self.squares / max(1, self.count) - square, 0) / images
        return mean * np.divide(square, square + doubt, out=np.zeros_like(mean), where=square > 0)


def drift(node: Node, error: Array, means: Array) -> Array:
    """(M,): what `error`, the difference that rounding makes to the weights (M, products), adds to each output channel on average.

    Padding is left out of account. A transposed convolution's window meets an input element at one of strides[0] * strides[1] taps.
    """
    operator = node.operator
    assert isinstance(operator, Conv | ConvTranspose)
    assert node.weight is not None
    taps = node.weight.shape[2] * node.weight.shape[3]
    share = 1.0 if isinstance(operator, Conv) else 1.0 / (operator.strides[0] * operator.strides[1])
    grouped = error.reshape(operator.groups, -1, error.shape[1] // taps, taps).sum(axis=3)
    return share * np.matmul(grouped, means.reshape(operator.groups, -1, 1)).reshape(-1)
