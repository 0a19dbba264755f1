"""Codes of 1 to 16 bits, and of 32, packed without gaps: code i fills bits i * b and up, the least significant bit of a byte first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ridgeline.formats.scalar import Codes, code_type

CHUNK = 1 << 18  # codes at a time; a multiple of 8, so that chunks are whole bytes


def packed_bytes(bits: int, count: int) -> int:
    return -(-bits * count // 8)


def packed(codes: Codes, bits: int) -> NDArray[np.uint8]:
    """ceil(bits * codes / 8) bytes; the last one is filled up with zeros."""
    codes = codes.reshape(-1)
    out = np.empty(packed_bytes(bits, codes.size), np.uint8)
    for start in range(0, codes.size, CHUNK):
        part = codes[start : start + CHUNK].astype("<u2")
        each = np.unpackbits(part.view(np.uint8).reshape(-1, 2), axis=1, count=bits, bitorder="little")
        piece = np.packbits(each.reshape(-1), bitorder="little")
        out[start * bits // 8 :][: piece.size] = piece
    return out


def unpacked(data: NDArray[np.uint8], bits: int, count: int) -> Codes:
    """The first `count` codes."""
    out = np.empty(count, code_type(bits))
    for start in range(0, count, CHUNK):
        stop = min(count, start + CHUNK)
        out[start:stop] = _few(data[start * bits // 8 : packed_bytes(bits, stop)], bits, stop - start)
    return out


def _few(data: NDArray[np.uint8], bits: int, count: int) -> Codes:
    if bits in (8, 16, 32):
        return data.view(np.dtype(code_type(bits)).newbyteorder("<"))
    if bits == 4:
        return np.stack([data & np.uint8(15), data >> np.uint8(4)], axis=1).reshape(-1)[:count]
    each = np.unpackbits(data, count=bits * count, bitorder="little").reshape(count, bits)
    whole = np.zeros((count, 2), np.uint8)
    whole[:, :1] = np.packbits(each[:, :8], axis=1, bitorder="little")
    if bits > 8:
        whole[:, 1:] = np.packbits(each[:, 8:], axis=1, bitorder="little")
    return whole.view("<u2").reshape(-1)
