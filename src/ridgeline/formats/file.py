"""Packed weights as an npz file: of each weight exactly the bytes of its codes, scales and metadata, and one header that says how to read them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.formats import archive
from ridgeline.formats.bits import packed, unpacked
from ridgeline.formats.families import read_format
from ridgeline.formats.layout import Layout
from ridgeline.formats.quantise import Encoded
from ridgeline.formats.scalar import code_type
from ridgeline.formats.sparsity import PackedSparse, read_pattern
from ridgeline.formats.stored import Stored

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
VERSION = 1
HEADER = "ridgeline"
ORDER = ("tensor_scale", "scales", "metadata", "codes")  # as `archive` has them
PARTS = (*ORDER, "places")


class Entry(archive.Header, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a weight is stored. `pattern` empty: every element is; else those that the pattern keeps, and `places` tells which, along `axes`."""

    pattern: str = ""
    axes: tuple[int, ...] = ()


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    weights: dict[str, Entry]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sparse:
    """Which elements stay: `mask` by a pattern, whose name and axes `read_pattern` and `Pattern.pack` take."""

    pattern: str
    axes: tuple[int, ...]
    mask: Array


def write_packed(path: Path, weights: Mapping[str, tuple[Encoded, Sparse | None]]) -> None:
    """Raises InputError for a pattern with a format whose elements depend on each other."""
    arrays: dict[str, Array] = {}
    entries: dict[str, Entry] = {}
    for name, (encoded, sparse) in weights.items():
        placed = encoded.layout
        entries[name] = Entry(
            format=encoded.format.name, shape=placed.shape, granularity=str(placed.granularity), axis=placed.axis, group=placed.group,
            pattern="" if sparse is None else sparse.pattern, axes=() if sparse is None else sparse.axes,
        )  # fmt: skip
        for part, array in _parts(encoded, sparse).items():
            if array.size:
                arrays[f"{name}/{part}"] = array
    header = msgspec.json.encode(Header(version=VERSION, weights=entries))
    with path.open("wb") as opened:
        np.savez(opened, **cast("Any", {HEADER: np.frombuffer(header, np.uint8), **arrays}))


def packed_size(encoded: Encoded, sparse: Sparse | None) -> int:
    """Bytes of a weight in the file, its part of the header left out."""
    return sum(array.nbytes for array in _parts(encoded, sparse).values())


def _parts(encoded: Encoded, sparse: Sparse | None) -> dict[str, Array]:
    stored = encoded.stored
    parts: dict[str, Array] = {
        "codes": stored.packed, "scales": stored.scales, "metadata": stored.metadata, "tensor_scale": stored.tensor_scale,
    }  # fmt: skip
    if sparse is None:
        return parts
    if encoded.factors() is None:
        raise InputError(f"{encoded.format.name} codes pairs, which pattern '{sparse.pattern}' would part; take another format with it")
    kept = _pack(encoded, sparse)
    return {**parts, "codes": packed(cast("Any", kept.values), encoded.format.bits), "places": kept.metadata}


def _pack(encoded: Encoded, sparse: Sparse) -> PackedSparse:
    codes = _tensor(encoded.codes, encoded.layout)
    return read_pattern(sparse.pattern).pack(codes, sparse.mask, axis=sparse.axes)


def _tensor(codes: Array, placed: Layout) -> Array:
    return np.ascontiguousarray(placed.tensor(cast("Any", codes.reshape(placed.rows, placed.length))))


def read_packed(path: Path) -> dict[str, Array]:
    """The weights as float32, by name. Raises InputError for a file that is cut off, changed, of another version, or not of this kind."""
    try:
        with path.open("rb") as opened:
            loaded: Any = np.load(opened, allow_pickle=False)
            arrays = {str(name): np.asarray(loaded[name]) for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"packed weights '{path}' cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from error
    try:
        header = msgspec.json.decode(arrays[HEADER].tobytes(), type=Header)
    except (KeyError, msgspec.MsgspecError) as error:
        raise InputError(f"'{path}' holds no packed weights that this Ridgeline can read: {error}") from error
    if header.version != VERSION:
        raise InputError(f"packed weights '{path}' are of version {header.version}; this Ridgeline reads version {VERSION}, so pack them anew")
    parts = {name: {part: arrays.get(f"{name}/{part}") for part in PARTS} for name in header.weights}
    return {name: _unpack(entry, parts[name], f"'{path}': {name}") for name, entry in header.weights.items()}


def _unpack(entry: Entry, held: Mapping[str, Array | None], where: str) -> Array:
    found = read_format(entry.format)
    placed, parts = entry.layout(found), {part: np.empty(0, np.uint8) if array is None else array for part, array in held.items()}
    mask = None
    if entry.pattern:
        parts["codes"], mask = _dense(entry, parts, placed, found.bits, where)
    for part, (kind, count) in zip(ORDER, archive.part_sizes(found, placed), strict=True):
        if parts[part].size != count or (count and parts[part].dtype != kind):
            raise InputError(f"{where} has {parts[part].size:,} {part} of {parts[part].dtype}, not {count:,} of {kind}; pack it anew")
    stored = Stored(packed=parts["codes"], scales=parts["scales"], metadata=parts["metadata"], tensor_scale=parts["tensor_scale"].astype(np.float32))
    decoded = Encoded(format=found, layout=placed, stored=stored).decode()
    return decoded if mask is None else np.where(mask, decoded, np.float32(0))


def _dense(entry: Entry, parts: Mapping[str, Array], placed: Layout, bits: int, where: str) -> tuple[Array, Array]:
    """The codes of all elements, packed, and which of them are kept."""
    pattern = read_pattern(entry.pattern)
    kept = 8 * parts["codes"].size // bits
    probe = PackedSparse(pattern=pattern, shape=entry.shape, axes=entry.axes, values=np.empty(0, np.uint8), metadata=parts["places"])
    try:
        spots = probe.places()
        values = unpacked(parts["codes"], bits, len(spots))
        held = PackedSparse(pattern=pattern, shape=entry.shape, axes=entry.axes, values=values, metadata=parts["places"])
        ones = PackedSparse(pattern=pattern, shape=entry.shape, axes=entry.axes, values=np.ones(len(spots), np.uint8), metadata=parts["places"])
        codes, mask = held.unpack(), ones.unpack().astype(np.bool_)
    except (ValueError, IndexError) as error:
        raise InputError(f"{where} has {kept:,} codes that do not fit its pattern {entry.pattern}; the file was changed, so pack it anew") from error
    return packed(cast("Any", placed.matrix(cast("Any", codes)).astype(code_type(bits))), bits), mask
