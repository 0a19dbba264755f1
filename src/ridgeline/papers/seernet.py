"""SeerNet, CVPR 2019: a low-bit copy of a layer predicts which outputs ReLU or max-pool will discard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ridgeline.errors import InputError
from ridgeline.formats import quantise, read_format
from ridgeline.formats.sparsity import hit_rate, pool_needed, relu_needed
from ridgeline.papers.paper import Published

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
WIDTHS = (2, 3, 4, 5, 6, 8)
_NOT_RERUN = "not rerun here: it needs the trained networks and ImageNet; through a summary"
_RANDOM = "ours alone: one layer of Gaussian weights and rectified Gaussian inputs, no trained network"
_SHOWN = (
    ("bits at the knee", "bits", 4), ("predictions that are right", "%", 96.5), ("whole network, least gain of speed on a CPU", "%", 22.2),
    ("whole network, largest gain of speed on a CPU", "%", 40.1), ("one layer, largest speed", "x", 5.79), ("top-1 lost, mean", "%", 0.51),
    ("VGG16-BN, top-1, batch norm apart", "%", 66.70), ("VGG16-BN, top-1, batch norm in the prediction", "%", 72.85),
)  # fmt: skip


def _published() -> tuple[Published, ...]:
    rows = [Published(quantity=name, unit=unit, value=value, tolerance=None, note=_NOT_RERUN) for name, unit, value in _SHOWN]
    for bits in WIDTHS:
        for kind in ("ReLU", "max-pool"):
            rows.append(Published(quantity=f"random layer, {kind}, {bits} bits", unit="% right", value=None, tolerance=None, note=_RANDOM))
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeerNet:
    """How often copies of a layer in few bits are right about what ReLU and max-pool discard, by `formats`."""

    title: ClassVar[str] = "SeerNet: Predicting Convolutional Neural Network Feature-Map Sparsity through Low-Bit Quantization (CVPR 2019)"
    citation: ClassVar[str] = "S. Cao, L. Ma, W. Xiao, C. Zhang, Y. Liu, L. Zhang, L. Nie, Z. Yang, CVPR 2019, doi 10.1109/CVPR.2019.01147"
    published: ClassVar[tuple[Published, ...]] = _published()

    channels: int = field(default=64, metadata={"help": "In and out of the random layer, with kernels of 3 x 3."})
    side: int = field(default=16, metadata={"help": "Of its output map; even."})
    seed: int = field(default=0, metadata={"help": "Of weights and inputs."})

    def ours(self) -> Mapping[str, float]:
        """Raises InputError for a parameter out of range."""
        if not 1 <= self.channels <= 512 or not 2 <= self.side <= 128 or self.side % 2 or self.seed < 0:
            raise InputError(
                f"channels is {self.channels}, side {self.side} and seed {self.seed}; channels must be in 1..512, side even and in 2..128, "
                "seed 0 or more"
            )
        rng = np.random.default_rng(self.seed)
        weights = rng.standard_normal((self.channels, self.channels * 9), np.float32)
        inputs = np.maximum(rng.standard_normal((self.channels, self.side + 2, self.side + 2), np.float32), 0)
        true = convolved(weights, inputs)
        found: dict[str, float] = {}
        for bits in WIDTHS:
            copy = convolved(_in_bits(weights, f"int{bits}"), _in_bits(inputs, f"uint{bits}"))
            found[f"random layer, ReLU, {bits} bits"] = 100 * hit_rate(relu_needed(copy), relu_needed(true))
            found[f"random layer, max-pool, {bits} bits"] = 100 * hit_rate(pool_needed(copy, 2), pool_needed(true, 2))
        return found


def convolved(weights: Floats, inputs: Floats) -> Floats:
    """(m, c 3 3) over (c, y + 2, x + 2) -> (m, y, x)."""
    windows = np.lib.stride_tricks.sliding_window_view(inputs, (3, 3), axis=(1, 2))
    channels, height, width = windows.shape[:3]
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(channels * 9, height * width)
    return (weights.astype(np.float64) @ columns.astype(np.float64)).reshape(-1, height, width)


def _in_bits(values: Floats, format: str) -> Floats:
    return quantise(values, read_format(format)).decode()
