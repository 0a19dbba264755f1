"""Patterns that cut each row in equal groups and keep the same count in each: N:M, balanced, bank-balanced, row-balanced."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.sparsity import kernels
from ridgeline.formats.sparsity.matrix import Array, Axis, Mask, as_matrix, as_tensor, axes_of, bits_of, codes_of, index_bits, padded
from ridgeline.formats.sparsity.packed import PackedSparse
from ridgeline.formats.sparsity.pattern import Pattern, scored_as_is


@dataclass(frozen=True, kw_only=True)
class Grouped(Pattern):
    """Beside each value stands its index in the group, in ceil(log2 width) bits, rising within a group.

    Values are in order (row, group, value of the group); `interleaved` ones in order (row, value of the group, group), which is CSB. A group with
    fewer values than its count is filled up with zeros at its first free indices.
    """

    interleaved: ClassVar[bool] = False

    @abstractmethod
    def groups(self, columns: int) -> tuple[int, int, int]:
        """(groups in a row, width of a group, values kept of each)."""

    def padded_shape(self, rows: int, columns: int) -> tuple[int, int]:
        groups, width, _ = self.groups(columns)
        return rows, groups * width

    def matrix_mask(self, scores: Array) -> Mask:
        return self._kept(scores, magnitude=False)

    def magnitude_mask(self, matrix: Array) -> Mask:
        """`matrix_mask` of the magnitudes, without an array of them."""
        return self._kept(matrix, magnitude=True)

    def _kept(self, matrix: Array, *, magnitude: bool) -> Mask:
        mask, sizes = np.zeros(matrix.shape, np.bool_), self.groups(matrix.shape[1])
        kernels.in_threads(
            lambda start, stop: kernels.keep(matrix, sizes, magnitude, (start, stop), mask), matrix.shape[0], matrix.shape[1]
        )
        return mask

    def defined_mask(self, scores: Array) -> Mask:
        """`matrix_mask` by its definition, in numpy."""
        groups, width, kept = self.groups(scores.shape[1])
        whole = np.full((len(scores), groups * width), -np.inf)
        whole[:, : scores.shape[1]] = scores
        order = np.argsort(-whole.reshape(len(scores), groups, width), axis=2, kind="stable")[:, :, :kept]
        mask = np.zeros((len(scores), groups, width), np.bool_)
        np.put_along_axis(mask, order, True, axis=2)
        return mask.reshape(whole.shape)[:, : scores.shape[1]]

    def prune(self, values: Array, axis: Axis = -1) -> tuple[Mask, PackedSparse]:
        if not scored_as_is(values):
            return super().prune(values, axis)
        axes = axes_of(values.shape, axis)
        matrix = as_matrix(values, axes)
        self.fit(matrix)
        mask = self.magnitude_mask(matrix)
        kept, metadata = self.stored(matrix, mask)
        return as_tensor(mask, values.shape, axes), PackedSparse(
            pattern=self, shape=values.shape, axes=axes, values=kept, metadata=metadata
        )

    def stored(self, values: Array, mask: Mask) -> tuple[Array, NDArray[np.uint8]]:
        groups, width, kept = self.groups(values.shape[1])
        count, bits = self.sizes(values.shape[0], values.shape[1], None)
        out, metadata = np.empty(count, values.dtype), np.zeros(-(-bits // 8), np.uint8)
        raw = np.dtype(f"u{values.dtype.itemsize}")
        layout = (groups, width, kept, index_bits(width), self.interleaved)
        into = out.view(raw)

        def run(start: int, stop: int) -> int:
            if (width, kept, values.shape[1] % 8) == (4, 2, 0) and not self.interleaved:
                return kernels.pack_pairs(values.view(raw), mask.view(np.uint8), (start, stop), into, metadata)
            return kernels.pack(values.view(raw), mask, layout, (start, stop), into, metadata)

        bad = kernels.in_threads(run, values.shape[0], values.shape[1])
        if bad >= 0:
            raise self._too_many(*divmod(bad, groups), kept)
        return out, metadata

    def arranged(self, mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        rows, columns = mask.shape
        groups, width, kept = self.groups(columns)
        split = padded(mask, (rows, groups * width)).reshape(rows, groups, width)
        if split.sum(axis=2).max() > kept:
            row, group = np.argwhere(split.sum(axis=2) > kept)[0]
            raise self._too_many(int(row), int(group), kept)
        index: NDArray[np.int64] = np.sort(np.argsort(np.logical_not(split), axis=2, kind="stable")[:, :, :kept], axis=2)
        places = np.arange(rows * groups, dtype=np.int64).reshape((rows, groups, 1)) * width + index
        if self.interleaved:
            index, places = index.swapaxes(1, 2), places.swapaxes(1, 2)
        return places.reshape(-1), bits_of(index, index_bits(width))

    def places(self, bits: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.int64]:
        groups, width, kept = self.groups(columns)
        count, size = rows * groups * kept, index_bits(width)
        index = codes_of(bits[: count * size], size) if size else np.zeros(count, np.int64)
        slot = np.arange(count)
        row, rest = np.divmod(slot, groups * kept)
        group = rest % groups if self.interleaved else rest // kept
        return (row * groups + group) * width + index

    def sizes(self, rows: int, columns: int, mask: Mask | None) -> tuple[int, int]:
        groups, width, kept = self.groups(columns)
        count = rows * groups * kept
        return count, count * index_bits(width)

    def multiply(self, packed: PackedSparse, right: Array, out: Array) -> None:
        groups, width, kept = self.groups(packed.matrix_shape[1])
        layout = (groups, width, kept, index_bits(width), self.interleaved)
        values, metadata = packed.values.astype(out.dtype), packed.metadata
        kernels.in_threads(
            lambda start, stop: kernels.multiply(values, metadata, right, layout, (start, stop), out), len(out), packed.matrix_shape[1]
        )

    def _too_many(self, row: int, group: int, kept: int) -> InputError:
        return InputError(
            f"sparsity: the mask keeps more than {kept} weights in row {row}, group {group}, against {self.name}; make it by `mask`"
        )
