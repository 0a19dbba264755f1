"""Dual-side sparse tensor core, ISCA 2021: outer products of condensed columns and rows; the steps they take on bitmaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ridgeline.errors import InputError
from ridgeline.formats.sparsity import read_pattern, steps
from ridgeline.papers.paper import Published

POINTS = ((0, 0), (0, 50), (0, 75), (50, 50), (75, 75), (90, 90), (90, 99), (99, 99))  # sparsities of A and B in %
_NOT_RERUN = "not rerun here: the authors' synthesis and power model of a GPU"
_RANDOM = "ours alone, on random bitmaps: the paper's speeds come from a simulator of the whole GPU"


def _quantity(point: tuple[int, int]) -> str:
    return f"speed at {point[0]} % and {point[1]} % sparsity"


def _published() -> tuple[Published, ...]:
    return (
        Published(quantity="steps of a dense k, 32 x 32 tile", unit="steps", value=8, tolerance=0.0),
        Published(quantity="steps of an empty column", unit="steps", value=0, tolerance=0.0),
        Published(
            quantity="bits of bitmap an element", unit="bits", value=1, tolerance=0.001, note="and one of the upper bitmap for each tile"
        ),
        *(Published(quantity=_quantity(point), unit="x dense", value=None, tolerance=None, note=_RANDOM) for point in POINTS),
        Published(quantity="area", unit="% of the GPU", value=1.5, tolerance=None, note=_NOT_RERUN),
        Published(quantity="power", unit="% of the GPU", value=1.6, tolerance=None, note=_NOT_RERUN),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DualSide:
    """The rule of steps, and what it gives on square products of random bitmaps."""

    title: ClassVar[str] = "Dual-side Sparse Tensor Core (ISCA 2021)"
    citation: ClassVar[str] = "Y. Wang, C. Zhang, Z. Xie, C. Guo, Y. Liu, J. Leng, ISCA 2021, doi 10.1109/ISCA52012.2021.00088"
    published: ClassVar[tuple[Published, ...]] = _published()

    size: int = field(default=512, metadata={"help": "Of the square product."})
    seed: int = field(default=0, metadata={"help": "Of the bitmaps."})

    def ours(self) -> Mapping[str, float]:
        """Raises InputError for a parameter out of range."""
        if not 1 <= self.size <= 1 << 13 or self.seed < 0:
            raise InputError(f"size is {self.size:,} and seed {self.seed}; size must be in 1..{1 << 13:,}, seed 0 or more")
        column, row = np.ones((32, 1), np.bool_), np.ones((1, 32), np.bool_)
        full = np.ones((self.size, self.size), np.bool_)
        found: dict[str, float] = {
            "steps of a dense k, 32 x 32 tile": steps(column, row).dense,
            "steps of an empty column": steps(~column, row).sparse,
            "bits of bitmap an element": read_pattern("bitmap").storage_bits(full.shape, 0, mask=full) / full.size,
        }
        return {**found, **{_quantity(point): self.speed(point) for point in POINTS}}

    def speed(self, point: tuple[int, int]) -> float:
        """Dense over sparse steps; the bitmaps hold each element with a chance of 1 less its sparsity in %."""
        rng = np.random.default_rng(self.seed)
        a, b = (rng.random((self.size, self.size)) >= sparsity / 100 for sparsity in point)
        taken = steps(a, b)
        return taken.dense / max(1, taken.sparse)
