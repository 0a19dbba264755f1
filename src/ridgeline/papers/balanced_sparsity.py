"""Balanced sparsity, AAAI 2019: a row is cut into equal ranges, and each range keeps as many weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ridgeline.errors import InputError
from ridgeline.formats.sparsity import Pattern, read_pattern
from ridgeline.papers.networks import vgg16_convolutions
from ridgeline.papers.paper import Published

# Microseconds at batch 1: dense, then random, blocks and balanced, each at its sparsity in %.
_TIMES = {
    "VGG16": (6814.1, (33407.4, 91.8), (5886.1, 71.7), (5213.0, 92.0)),
    "LSTM, PTB": (294.1, (370.9, 80.0), (326.3, 40.0), (120.2, 80.0)),
    "bi-LSTM, TIMIT": (117.9, (190.5, 87.5), (212.8, 70.0), (83.9, 87.5)),
}
_KINDS = ("random", "blocks of 8 x 8", "balanced")
# PTB's perplexity at 60, 70 and 80 %.
_PERPLEXITY = {"balanced, ranges of 25": (78.3, 78.6, 79.4), "blocks of 4 x 4": (80.6, 83.2, 88.1), "blocks of 16 x 16": (83.7, 88.3, 99.5)}
_TIMED = "not rerun here: measured by the authors on a GPU that the paper does not name"
_RATIO = "not rerun here: the ratio of two printed times"
_TRAINED = "not rerun here: it needs training"
_WHOLE = "a range or a matrix keeps a whole number of weights or blocks, and a row's padding is counted out"
_VARIED = "shown beside ours for the same share everywhere: the paper's shares of single layers are not published"
_LSTM = {"LSTM, PTB": 1500, "bi-LSTM, TIMIT": 1024}
_DENSE = ((25088, 4096), (4096, 4096), (4096, 1000))


def _published() -> tuple[Published, ...]:
    rows: list[Published] = []
    for work, (dense, *others) in _TIMES.items():
        rows.append(Published(quantity=f"{work}: dense", unit="us", value=dense, tolerance=None, note=_TIMED))
        for kind, (time, sparsity) in zip(_KINDS, others, strict=True):
            judged = 0.02 if work in _LSTM else None
            rows += [
                Published(quantity=f"{work}: {kind}", unit="us", value=time, tolerance=None, note=_TIMED),
                Published(quantity=f"{work}: {kind}, over dense", unit="x the speed", value=dense / time, tolerance=None, note=_RATIO),
                Published(
                    quantity=f"{work}: {kind}, sparsity", unit="%", value=sparsity, tolerance=judged, note=_WHOLE if judged else _VARIED
                ),
            ]
        rows.append(Published(quantity=f"{work}: balanced, storage of 16-bit weights", unit="% of dense", value=None, tolerance=None))
    for kind, values in _PERPLEXITY.items():
        for sparsity, value in zip((60, 70, 80), values, strict=True):
            rows.append(Published(quantity=f"PTB's perplexity, {kind}, {sparsity} %", unit="", value=value, tolerance=None, note=_TRAINED))
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedSparsity:
    """What each pattern keeps of the measured matrices, and what storing it takes, by `formats.sparsity`."""

    title: ClassVar[str] = "Balanced Sparsity for Efficient DNN Inference on GPU (AAAI 2019)"
    citation: ClassVar[str] = "Z. Yao, S. Cao, W. Xiao, C. Zhang, L. Nie, AAAI 2019, doi 10.1609/aaai.v33i01.33015676"
    published: ClassVar[tuple[Published, ...]] = _published()

    ranges: int = field(default=32, metadata={"help": "That a row is cut into."})
    block: int = field(default=8, metadata={"help": "Rows and columns of a block."})
    value_bits: int = field(default=16, metadata={"help": "Of a weight."})

    def ours(self) -> Mapping[str, float]:
        """Raises InputError for a parameter out of range."""
        for name in ("ranges", "block", "value_bits"):
            if not 1 <= getattr(self, name) <= 1 << 12:
                raise InputError(f"{name} is {getattr(self, name):,}; it must be in 1..{1 << 12:,}")
        found: dict[str, float] = {}
        for work, (_, *others) in _TIMES.items():
            names = (
                f"unstructured:{others[0][1]}%",
                f"block{self.block}x{self.block}:{others[1][1]}%",
                f"balanced{self.ranges}:{others[2][1]}%",
            )
            for kind, name in zip(_KINDS, names, strict=True):
                found[f"{work}: {kind}, sparsity"] = 100 * (1 - _kept(read_pattern(name), matrices(work)))
            stored = sum(read_pattern(names[2]).storage_bits(shape, self.value_bits) for shape in matrices(work))
            dense = sum(rows * columns for rows, columns in matrices(work)) * self.value_bits
            found[f"{work}: balanced, storage of 16-bit weights"] = 100 * stored / dense
        return found


def matrices(work: str) -> tuple[tuple[int, int], ...]:
    """(outputs, what each adds up) of the weights: VGG16's layers, or a cell's four gates over input and state."""
    if work in _LSTM:
        return ((4 * _LSTM[work], _LSTM[work]),) * 2
    axes = (layer.nest.axes for layer in vgg16_convolutions(batch=1))
    return (*((item["m"], item["c"] * item["r"] * item["q"]) for item in axes), *((outputs, inputs) for inputs, outputs in _DENSE))


def _kept(pattern: Pattern, shapes: tuple[tuple[int, int], ...]) -> float:
    """Stored values over all; a range or block that reaches over the edge counts with what of it is inside."""
    kept = sum(pattern.sizes(rows, columns, None)[0] * min(1.0, rows * columns / _area(pattern, rows, columns)) for rows, columns in shapes)
    return kept / sum(rows * columns for rows, columns in shapes)


def _area(pattern: Pattern, rows: int, columns: int) -> int:
    height, width = pattern.padded_shape(rows, columns)
    return height * width
