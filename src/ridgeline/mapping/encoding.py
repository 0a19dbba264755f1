"""How values lie in memory as elements of a number format: the engine's addresses and sizes count elements, which are bytes for int8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ridgeline.mapping.layer import Part
from ridgeline.mapping.weights import parameter_records

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoding:
    """`records` makes a part's parameters, (blocks, lanes_out * PARAMETER_BYTES) elements of `dtype`."""

    dtype: str
    records: Callable[[Part, int], Array]


def _bytes(part: Part, lanes_out: int) -> Array:
    return parameter_records(part, lanes_out).view(np.int8)


INT8 = Encoding(dtype="int8", records=_bytes)
