"""A quantised tensor as bytes: a header, then scales, metadata and packed codes, each as many bytes as its bits need."""

from __future__ import annotations

from struct import Struct
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.bits import packed_bytes
from ridgeline.formats.families import read_format
from ridgeline.formats.format import Format
from ridgeline.formats.layout import Layout, layout
from ridgeline.formats.quantise import Encoded, places
from ridgeline.formats.scalar import Scalar, Scaling
from ridgeline.formats.stored import Stored, Whole

MAGIC, VERSION = b"RLNF", 1
PREFIX = Struct("<4sHIII")  # magic, version, bytes of the header's text, checksum of the text, checksum of the body


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a tensor is stored."""

    format: str
    shape: tuple[int, ...]
    granularity: str
    axis: int
    group: int

    def layout(self, format: Format) -> Layout:
        """Raises InputError for one that cannot be."""
        if any(size < 1 for size in self.shape):
            raise InputError(f"packed tensor's header gives shape {self.shape}; sizes are 1 or more")
        placed = layout(self.shape, self.granularity, None if self.granularity == "tensor" else self.axis, self.group or None)
        return format.checked(placed) if isinstance(format, Whole) else placed


def pack(encoded: Encoded) -> bytes:
    """The header of `header_bytes` and then `encoded.bits` bits, the codes' filled up to a byte. Equal tensors make equal bytes."""
    text, stored = _text(encoded), encoded.stored
    body = [np.ascontiguousarray(part).astype(part.dtype.newbyteorder("<"), copy=False) for part in _parts(stored)]
    check = 0
    for part in body:
        check = crc32(part.data, check)
    return b"".join([PREFIX.pack(MAGIC, VERSION, len(text), crc32(text), check), text, *(part.data for part in body)])


def header_bytes(encoded: Encoded) -> int:
    return PREFIX.size + len(_text(encoded))


def unpack(data: bytes | bytearray | memoryview, *, format: Format | None = None) -> Encoded:
    """The tensor that `pack` made into bytes. `format` is for formats that no name leads to.

    Raises InputError for bytes that are cut off, changed, of another version, or not of this kind.
    """
    view = memoryview(data)
    header, start, check = _header(view)
    found = read_format(header.format) if format is None else format
    if found.name != header.format:
        raise InputError(f"packed tensor is in format {header.format!r}, not {found.name!r}")
    placed = header.layout(found)
    sizes = part_sizes(found, placed)
    need = start + sum(kind.itemsize * count for kind, count in sizes)
    if len(view) != need:
        raise InputError(f"packed tensor of shape {header.shape} in {found.name} has {len(view)} bytes and should have {need}; read it anew")
    if crc32(view[start:]) != check:
        raise InputError(f"packed tensor of shape {header.shape} in {found.name}: the checksum differs, so bytes were changed; read it anew")
    parts: list[NDArray[Any]] = []
    for kind, count in sizes:
        parts.append(np.frombuffer(view, kind, count, start))
        start += kind.itemsize * count
    tensor_scale, scales, metadata, codes = parts
    stored = Stored(tensor_scale=tensor_scale, scales=scales, metadata=metadata, packed=codes)
    return Encoded(format=found, layout=placed, stored=stored)


def _header(view: memoryview) -> tuple[Header, int, int]:
    """The header, where the body starts, and its checksum."""
    if len(view) < PREFIX.size or bytes(view[:4]) != MAGIC:
        raise InputError(f"{len(view)} bytes do not begin with a packed tensor's header")
    _, version, length, text_check, check = PREFIX.unpack(view[: PREFIX.size])
    if version != VERSION:
        raise InputError(f"packed tensor is of version {version}; this Ridgeline reads version {VERSION}, so pack it anew")
    text = bytes(view[PREFIX.size : PREFIX.size + length])
    if len(text) < length or crc32(text) != text_check:
        raise InputError(f"packed tensor's header of {length} bytes is cut off or changed; read it anew")
    try:
        return msgspec.json.decode(text, type=Header), PREFIX.size + length, check
    except msgspec.DecodeError as error:
        raise InputError(f"packed tensor's header cannot be read: {error}") from error


def _text(encoded: Encoded) -> bytes:
    placed = encoded.layout
    header = Header(
        format=encoded.format.name, shape=placed.shape, granularity=str(placed.granularity), axis=placed.axis, group=placed.group
    )
    return msgspec.json.encode(header)


def _parts(stored: Stored) -> tuple[NDArray[Any], ...]:
    return stored.tensor_scale, stored.scales, stored.metadata, stored.packed


def part_sizes(format: Format, placed: Layout) -> tuple[tuple[np.dtype[Any], int], ...]:
    """(type, count) of each part: the tensor's scale, scales, metadata and packed codes."""
    kind, scales, metadata, tensor_scales = "<f4", placed.vectors, 0, 0
    if isinstance(format, Whole):
        kind, scales, metadata, tensor_scales = format.scale_type, format.scale_count(placed), format.metadata_bytes(placed), format.tensor_scales
    elif isinstance(format, Scalar) and format.scaling is Scaling.NONE:
        scales = 0
    codes = packed_bytes(format.bits, places(format, placed))
    return (np.dtype("<f4"), tensor_scales), (np.dtype(kind), scales), (np.dtype("u1"), metadata), (np.dtype("u1"), codes)
