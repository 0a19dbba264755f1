"""The cycles of a matrix with banks on a bank-balanced engine (Cao et al., FPGA 2019).

Each of an engine's elements takes a row of weights. Its multipliers take one kept weight of as many banks a cycle, and read as many banks of the
input vector: no bank is asked twice in a cycle. The next banks follow when the fullest of these is done.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.formats.sparsity import counts


def bank_cycles(mask: NDArray[np.bool_], bank: int, *, elements: int, lanes: int) -> int:
    """Of one product with a vector. mask: (rows, columns), True where a weight is kept. Rows of one turn of `elements` wait for the slowest. With a
    bank-balanced pattern, ceil(rows / elements) x ceil(banks / lanes) x kept of each bank. Raises InputError for sizes that are none.
    """
    if mask.ndim != 2 or min(bank, elements, lanes) < 1:
        raise InputError(f"a mask of shape {mask.shape} in banks of {bank} on {elements} elements of {lanes}; give a matrix, and sizes of 1 or more")
    kept = counts(mask, (1, bank))
    turns = np.maximum.reduceat(kept, list(range(0, kept.shape[1], lanes)), axis=1).sum(axis=1)
    return int(np.maximum.reduceat(turns, list(range(0, len(turns), elements))).sum())
