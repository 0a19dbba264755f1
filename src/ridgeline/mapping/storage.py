"""Matrix blocks as an engine stores them: their values, of 8 or 4 bits, then for a sparse block the place of each value in its bank.

Both are rows of an output lane each, one after another, from the lowest bit of the lowest byte on, and each begins with a weight word.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ridgeline.errors import InputError
from ridgeline.hardware.engine import storage
from ridgeline.hardware.engine.engine import Engine

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def stored(blocks: Array, engine: Engine, *, packed: bool, sparse: bool, where: str = "a layer") -> Array:
    """int8 (..., lanes_out, bytes of a run) -> int8 (..., bytes), whole weight words. Raises InputError for weights that cannot be stored so."""
    sections: list[Array] = []
    places: Array | None = None
    if sparse:
        blocks, places = kept(blocks, engine.bank, where)
    flat = blocks.reshape(*blocks.shape[:-2], -1)
    values = _nibbles(_codes(flat, engine.weight_format, where)) if packed else flat.astype(np.int8, copy=False)
    sections.append(_words(values, engine.value_words(packed=packed) * engine.weight_word_bytes))
    if places is not None:
        packed_places = _fields(places.reshape(*places.shape[:-2], -1), engine.index_bits)
        sections.append(_words(packed_places, engine.index_words * engine.weight_word_bytes))
    return np.concatenate(sections, axis=-1)


def unpacked(data: Array, engine: Engine, *, packed: bool, sparse: bool) -> Array:
    """The inverse of `stored`: int8 (count, bytes) -> int8 (count, lanes_out, bytes of a run)."""
    count, macs, lanes = data.shape[0], engine.macs, engine.lanes_in
    values = data[:, :macs]
    if packed:
        codes = _parts(data[:, : -(-macs // 2)], storage.PACKED_BITS)[:, :macs]
        values = np.array(storage.levels(engine.weight_format), np.int8)[codes]
    values = values.reshape(count, engine.lanes_out, lanes)
    if not sparse:
        return values
    start = engine.value_words(packed=packed) * engine.weight_word_bytes
    places = _parts(data[:, start:], engine.index_bits)[:, :macs].reshape(count, engine.lanes_out, lanes).astype(np.int64)
    places += np.arange(lanes) // (engine.bank // storage.KEPT_SHARE) * engine.bank
    result = np.zeros((count, engine.lanes_out, engine.sparse_lanes_in), np.int8)
    np.put_along_axis(result, places, values, axis=2)
    return result


def kept(blocks: Array, bank: int, where: str = "a layer") -> tuple[Array, Array]:
    """(values, places): half of each bank of `bank` along the last axis, all that are not zero among them, in their order; places count from the
    bank's first weight. Zeros fill up, the first ones. Raises InputError where more than half of a bank is not zero."""
    half = bank // storage.KEPT_SHARE
    banks = blocks.reshape(*blocks.shape[:-1], -1, bank)
    most = int((banks != 0).sum(axis=-1).max(initial=0))
    if most > half:
        raise InputError(f"{where}: {most} weights of a bank of {bank} are not zero, but its pattern keeps {half}; prune it or run it dense")
    places = np.sort(np.argsort(banks == 0, axis=-1, kind="stable")[..., :half], axis=-1)
    values = np.take_along_axis(banks, places, axis=-1)
    shape = (*blocks.shape[:-1], blocks.shape[-1] // storage.KEPT_SHARE)
    return values.reshape(shape), places.astype(np.uint8).reshape(shape)


def _codes(values: Array, name: str, where: str) -> Array:
    """uint8: the first code of each value."""
    table = np.full(256, -1)
    for code, level in reversed(list(enumerate(storage.levels(name)))):
        table[level + 128] = code
    codes = table[values.astype(np.int64) + 128]
    if (codes < 0).any():
        raise InputError(f"{where}: weight {int(values[codes < 0][0])} is no level of {name}; quantise the layer to {name} or run it as int8")
    return codes.astype(np.uint8)


def _nibbles(codes: Array) -> Array:
    return _fields(codes, storage.PACKED_BITS)


def _fields(values: Array, bits: int) -> Array:
    """uint8 values of 2 or 4 bits along the last axis -> int8 bytes, the first one lowest."""
    each = 8 // bits
    padded = _words(values, -(-values.shape[-1] // each) * each)
    parts = padded.reshape(*padded.shape[:-1], -1, each).astype(np.uint8)
    return np.bitwise_or.reduce(parts << (bits * np.arange(each, dtype=np.uint8)), axis=-1).astype(np.uint8).view(np.int8)


def _parts(data: Array, bits: int) -> Array:
    """The inverse of `_fields`: (count, bytes) -> uint8 (count, values)."""
    fields = data.view(np.uint8)[..., None] >> (bits * np.arange(8 // bits, dtype=np.uint8)) & np.uint8((1 << bits) - 1)
    return fields.reshape(data.shape[0], -1)


def _words(data: Array, size: int) -> Array:
    """The last axis filled up with zeros to `size`."""
    if data.shape[-1] == size:
        return data
    result = np.zeros((*data.shape[:-1], size), data.dtype)
    result[..., : data.shape[-1]] = data
    return result
