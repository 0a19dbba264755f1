"""Bitmaps of two levels (dual-side sparse tensor core, ISCA'21): which tiles hold anything, and which of their elements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.sparsity.matrix import Array, Mask, padded, up
from ridgeline.formats.sparsity.pattern import Family, Pattern


@dataclass(frozen=True, kw_only=True)
class Bitmap(Pattern):
    """No pattern is imposed: every score but zero stays.

    Metadata: one bit a tile, row by row of tiles; then the bits of the tiles that are not empty, each row by row, padding included. Values stand in
    the order of those bits.
    """

    fixed: ClassVar[bool] = False
    height: int = 32
    width: int = 32

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise InputError(f"sparsity: bitmap tiles of {self.height} x {self.width}; give sides of 1 or more")

    @property
    def name(self) -> str:
        return "bitmap" if (self.height, self.width) == (32, 32) else f"bitmap{self.height}x{self.width}"

    @property
    def density(self) -> None:
        return None

    def padded_shape(self, rows: int, columns: int) -> tuple[int, int]:
        return up(rows, self.height), up(columns, self.width)

    def matrix_mask(self, scores: Array) -> Mask:
        return scores != 0

    def arranged(self, mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        tiles = self._tiles(mask)
        used = tiles.any(axis=1)
        bits = np.concatenate([used, tiles[used].reshape(-1)]).view(np.uint8)
        return self.places(bits, *mask.shape), bits

    def places(self, bits: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.int64]:
        height, width = self.padded_shape(rows, columns)
        across, area = width // self.width, self.height * self.width
        count = height // self.height * across
        used = np.flatnonzero(bits[:count])
        tile, element = np.divmod(np.flatnonzero(bits[count : count + used.size * area]), area)
        down, right = np.divmod(used[tile], across)
        row, column = np.divmod(element, self.width)
        return (down * self.height + row) * width + right * self.width + column

    def sizes(self, rows: int, columns: int, mask: Mask | None) -> tuple[int, int]:
        """Without a mask, that of a tensor that keeps all."""
        tiles = self._tiles(np.ones((rows, columns), np.bool_) if mask is None else mask)
        return int(tiles.sum()), len(tiles) + int(tiles.any(axis=1).sum()) * self.height * self.width

    def _tiles(self, mask: Mask) -> Mask:
        height, width = self.padded_shape(*mask.shape)
        split = padded(mask, (height, width)).reshape(height // self.height, self.height, width // self.width, self.width)
        return split.swapaxes(1, 2).reshape(-1, self.height * self.width)


FAMILY = Family(
    form="bitmap32x32",
    names=re.compile(r"bitmap(?:(\d{1,5})x(\d{1,5}))?"),
    read=lambda match, pad: Bitmap(pad=pad, height=int(match[1] or 32), width=int(match[2] or 32)),
)
