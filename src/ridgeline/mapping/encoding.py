"""How values lie in memory as elements of a number format: the engine's addresses and sizes count elements, which are bytes for int8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ridgeline.hardware.engine.engine import PARAMETER_BYTES
from ridgeline.mapping.layer import Part
from ridgeline.mapping.weights import parameter_records

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Limits: TypeAlias = Mapping[str, tuple[float, float]]  # low and high of each node's values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoding:
    """`records` makes a part's parameters, (blocks, lanes_out * PARAMETER_BYTES) elements of `dtype`."""

    dtype: str
    records: Callable[[Part, int], Array]


def _bytes(part: Part, lanes_out: int) -> Array:
    return parameter_records(part, lanes_out).view(np.int8)


INT8 = Encoding(dtype="int8", records=_bytes)


def float32(limits: Limits) -> Encoding:
    """A channel's record is bias, scale, low, high; the rest is zero."""
    return Encoding(dtype="float32", records=partial(_reals, limits))


def _reals(limits: Limits, part: Part, lanes_out: int) -> Array:
    low, high = limits[part.node]
    records = np.zeros((part.work.blocks * lanes_out, PARAMETER_BYTES), np.float32)
    channels = slice(0, part.work.channels)
    for place, values in enumerate((part.bias, part.multiplier, low, high)):
        records[channels, place] = values
    return records.reshape(part.work.blocks, -1)


def fixed16(limits: Limits) -> Encoding:
    """A channel's record is a bias of 64 bits, multiplier (unsigned), shift, low, high."""
    return Encoding(dtype="int16", records=partial(_codes, limits))


def _codes(limits: Limits, part: Part, lanes_out: int) -> Array:
    low, high = limits[part.node]
    records = np.zeros((part.work.blocks * lanes_out, PARAMETER_BYTES), np.int16)
    channels = slice(0, part.work.channels)
    records[channels, :4] = np.ascontiguousarray(part.bias.astype("<i8")).view("<i2").reshape(-1, 4)
    records[channels, 4] = part.multiplier.astype(np.uint16).view(np.int16)
    records[:, 5] = 1
    for place, values in ((5, part.shift), (6, low), (7, high)):
        records[channels, place] = values
    return records.reshape(part.work.blocks, -1)
