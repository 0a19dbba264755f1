"""Weights as they lie in DRAM: in the order in which the engine consumes them, padded to its blocks and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.layer import Part
from ridgeline.mapping.storage import stored

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def matrix_blocks(weight: Array, lanes: tuple[int, int], chunks: int, *, flat: bool) -> Array:
    """(M, C, KH, KW) -> (blocks, runs, lanes_out, lanes_in), runs in the order ky, kx, chunk; `flat`: a kernel row is one run of bytes."""
    out, in_ = lanes
    outputs, channels, high, wide = weight.shape
    rows = weight.transpose(0, 2, 3, 1)
    if flat:
        rows = rows.reshape(outputs, high, 1, wide * channels)
    blocks = -(-outputs // out)
    padded = np.zeros((blocks * out, high, rows.shape[2], chunks * in_), weight.dtype)
    padded[:outputs, :, :, : rows.shape[3]] = rows
    split = padded.reshape(blocks, out, high * rows.shape[2] * chunks, in_)
    return split.transpose(0, 2, 1, 3)


def grouped_blocks(weight: Array, starts: Array, lanes: tuple[int, int], chunks: int) -> Array:
    """(M, C / groups, KH, KW) with the first input channel of each output channel -> (blocks, runs, lanes_out, lanes_in). `starts` (M,) counts
    from the first channel that the block of output channels reads.
    """
    out, in_ = lanes
    outputs, channels, high, wide = weight.shape
    blocks = -(-outputs // out)
    padded = np.zeros((blocks * out, high, wide, chunks * in_), weight.dtype)
    for channel in range(outputs):
        start = int(starts[channel])
        padded[channel, :, :, start : start + channels] = weight[channel].transpose(1, 2, 0)
    return padded.reshape(blocks, out, high * wide * chunks, in_).transpose(0, 2, 1, 3)


def gather_blocks(sources: Sequence[Sequence[tuple[int, int]]], lanes: tuple[int, int], segments: int, chunks: int) -> Array:
    """0/1 blocks that pick, for each output channel, one (segment, byte) -> (blocks, segments * chunks, lanes_out, lanes_in).

    `sources[block][lane]` is the segment and the byte after the block's first of it; a missing lane stays zero.
    """
    out, in_ = lanes
    blocks = np.zeros((len(sources), segments, chunks, out, in_), np.int8)
    for block, picks in enumerate(sources):
        for lane, (segment, byte) in enumerate(picks):
            blocks[block, segment, byte // in_, lane, byte % in_] = 1
    return blocks.reshape(len(sources), segments * chunks, out, in_)


def tap_blocks(weight: Array, lanes_out: int, taps: int, passes: tuple[int, int, int]) -> Array:
    """(C, KH, KW) -> (blocks, ky * kx, taps, lanes_out). passes: window, count, step; the newest vector is the rightmost column of a pass."""
    window, count, step = passes
    channels, high, wide = weight.shape
    blocks = -(-channels // lanes_out)
    padded = np.zeros((blocks * lanes_out, high, count, taps), weight.dtype)
    for column in range(wide):
        kx = min(column // step, count - 1)
        padded[:channels, :, kx, window - 1 - (column - kx * step)] = weight[:, :, column]
    return padded.reshape(blocks, lanes_out, high * count, taps).transpose(0, 2, 3, 1)


def parameter_records(part: Part, lanes_out: int) -> Array:
    """uint8 (blocks, lanes_out * 8)."""
    blocks, channels = part.work.blocks, part.work.channels
    bias, multiplier, shift = (np.zeros(blocks * lanes_out, np.uint64) for _ in range(3))
    bias[:channels] = part.bias.astype(np.int64).astype(np.uint64) & np.uint64(0xFFFFFFFF)
    multiplier[:channels] = part.multiplier.astype(np.uint64)
    shift[:] = 1
    shift[:channels] = part.shift.astype(np.uint64)
    words = bias | multiplier << np.uint64(32) | shift << np.uint64(49)
    return words.astype("<u8").view(np.uint8).reshape(blocks, lanes_out * 8)


def packed(part: Part, engine: Engine, records: Array) -> Array:
    """(blocks, elements) of the type of `records`: the weight words of each block of output channels, blocks first, then parameters."""
    word = engine.weight_word_bytes
    count = part.work.blocks
    records = _padded(records, engine.parameter_words * word)
    if part.blocks is None:
        return records
    blocks = part.blocks()
    if part.work.packed or part.work.sparse:
        padded = stored(blocks, engine, packed=part.work.packed, sparse=part.work.sparse, where=f"node '{part.node}'")
    else:
        size = blocks.shape[2] * blocks.shape[3]
        padded = _padded(blocks.reshape(count, blocks.shape[1], size).astype(records.dtype, copy=False), -(-size // word) * word)
    return np.concatenate([padded.reshape(count, -1), records], axis=1)


def _padded(data: Array, size: int) -> Array:
    """The last axis filled up with zeros to `size`."""
    if data.shape[-1] == size:
        return data
    result = np.zeros((*data.shape[:-1], size), data.dtype)
    result[..., : data.shape[-1]] = data
    return result
