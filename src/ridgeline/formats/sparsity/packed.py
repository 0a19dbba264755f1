"""A packed sparse tensor: back to dense, times a dense matrix, to bytes and back."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from struct import Struct
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.sparsity import kernels
from ridgeline.formats.sparsity.families import read_pattern
from ridgeline.formats.sparsity.matrix import Array, as_tensor, axes_of, kept_axes, matrix_shape

if TYPE_CHECKING:
    from ridgeline.formats.sparsity.pattern import Pattern

MAGIC, VERSION = b"RLSP", 1
PREFIX = Struct("<4sHIQI")  # magic, version, bytes of the header's text, stored values, checksum of all that follows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedSparse:
    """`values` in storage order, `metadata` as packed bits; `axes` of `shape` are the columns of the pattern's matrix."""

    pattern: Pattern
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    values: Array
    metadata: NDArray[np.uint8]

    @property
    def matrix_shape(self) -> tuple[int, int]:
        return matrix_shape(self.shape, self.axes)

    def places(self) -> NDArray[np.int64]:
        """Flat places of all stored values in the padded matrix."""
        return self.pattern.places(np.unpackbits(self.metadata, bitorder="little"), *self.matrix_shape)

    def unpack(self) -> Array:
        """The dense tensor, zero where nothing is kept."""
        rows, columns = self.matrix_shape
        whole = np.zeros(self.pattern.padded_shape(rows, columns), self.values.dtype)
        whole.reshape(-1)[_checked_places(self)] = self.values
        return as_tensor(np.ascontiguousarray(whole[:rows, :columns]), self.shape, self.axes)

    def to_bytes(self) -> bytes:
        header = Header(
            pattern=self.pattern.name, pad=self.pattern.pad, shape=self.shape, axes=self.axes, dtype=self.values.dtype.newbyteorder("<").str
        )
        text = msgspec.json.encode(header)
        values = self.values.astype(self.values.dtype.newbyteorder("<"), copy=False)
        body = b"".join([text, values.tobytes(), self.metadata.tobytes()])
        return PREFIX.pack(MAGIC, VERSION, len(text), self.values.size, crc32(body)) + body


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pattern: str
    pad: bool
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    dtype: str


def from_bytes(data: bytes) -> PackedSparse:
    """What `to_bytes` wrote. Raises InputError for bytes that are cut off, changed, of another version, or not of this kind."""
    header, count, start = _header(data)
    try:
        kind = np.dtype(header.dtype)
    except TypeError as error:
        raise InputError(f"packed sparse tensor has values of type {header.dtype!r}; pack it anew") from error
    pattern = read_pattern(header.pattern, pad=header.pad)
    axes_of(header.shape, header.axes)
    body = data[start:]
    if kind.kind not in "biuf" or kind.itemsize > 8 or len(body) < count * kind.itemsize:
        raise InputError(f"packed sparse tensor of {count} values of type {kind} has {len(body)} bytes; pack it anew")
    values = np.frombuffer(body, kind, count)
    metadata = np.frombuffer(body, np.uint8, offset=values.nbytes)
    found = PackedSparse(pattern=pattern, shape=header.shape, axes=header.axes, values=values, metadata=metadata)
    values_due, bits = pattern.sizes(*found.matrix_shape, None)
    if pattern.fixed and (count, metadata.size) != (values_due, -(-bits // 8)):
        raise InputError(f"packed sparse tensor in {pattern.name} has {count} values and {metadata.size} bytes of metadata; pack it anew")
    return found


def _header(data: bytes) -> tuple[Header, int, int]:
    """The header, the number of values, and where they start."""
    if len(data) < PREFIX.size or data[:4] != MAGIC:
        raise InputError(f"{len(data)} bytes do not begin with a packed sparse tensor's header")
    _, version, length, count, check = PREFIX.unpack(data[: PREFIX.size])
    if version != VERSION:
        raise InputError(f"packed sparse tensor is of version {version}; this Ridgeline reads version {VERSION}, so pack it anew")
    if crc32(data[PREFIX.size :]) != check:
        raise InputError(f"packed sparse tensor of {len(data)} bytes is cut off or changed; read it anew")
    try:
        return msgspec.json.decode(data[PREFIX.size : PREFIX.size + length], type=Header), count, PREFIX.size + length
    except msgspec.DecodeError as error:
        raise InputError(f"packed sparse tensor's header cannot be read: {error}") from error


def product(packed: PackedSparse, dense: Array) -> Array:
    """The sparse matrix times `dense` (columns, n) or (columns,): (the sparse tensor's other axes, n).

    Integers add up in int64; floats add up in float64 and come back in the type that numpy gives the pair. Raises InputError for other shapes.
    """
    rows, columns = packed.matrix_shape
    if dense.ndim not in (1, 2) or dense.shape[0] != columns:
        raise InputError(
            f"sparsity: {rows} x {columns} packed weights times a matrix of shape {dense.shape}; its first size must be {columns}"
        )
    kind: Any = np.result_type(packed.values, dense)
    wide: Any = np.float64 if kind.kind == "f" else np.int64
    right = np.ascontiguousarray(dense.reshape(columns, -1).astype(wide, copy=False))
    out = np.zeros((rows, right.shape[1]), wide)
    packed.pattern.multiply(packed, right, out)
    done = out.astype(kind, copy=False) if kind.kind == "f" else out
    return done.reshape(tuple(packed.shape[one] for one in kept_axes(packed.shape, packed.axes)) + dense.shape[1:])


def multiply_at(packed: PackedSparse, right: Array, out: Array) -> None:
    columns = packed.pattern.padded_shape(*packed.matrix_shape)[1]
    kernels.multiply_at(packed.values.astype(out.dtype), _checked_places(packed), columns, right, out)


def _checked_places(packed: PackedSparse) -> NDArray[np.int64]:
    """Raises InputError for metadata that places more or fewer values, or any outside."""
    found, area = packed.places(), prod(packed.pattern.padded_shape(*packed.matrix_shape))
    if found.size != packed.values.size or found.max(initial=0) >= area:
        raise InputError(
            f"packed sparse tensor in {packed.pattern.name} has {packed.values.size} values that its metadata does not place; pack it anew"
        )
    return found
