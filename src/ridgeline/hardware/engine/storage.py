"""How the weights of a matrix block are stored: formats of 4 bits, which the engine decodes to int8, and banks of which half the weights are kept."""

from __future__ import annotations

from functools import cache

from ridgeline.errors import InputError

INT8, NONE = "int8", "none"
PACKED_BITS = 4
# Weights in a bank, of which half are kept; a kept one is stored beside its place in the bank. 2:4 is the pattern of Ampere's sparse tensor
# core, a larger bank that of BBS (FPGA'19).
BANKS = {NONE: 0, "2:4": 4, "bank16:50%": 16}
KEPT_SHARE = 2  # one of so many


@cache
def levels(name: str) -> tuple[int, ...]:
    """The int8 value of each code of a 4-bit format. Raises InputError for a format of other bits, or whose values are no int8 integers."""
    from ridgeline.formats import Scalar, read_format

    found = read_format(name)
    if not isinstance(found, Scalar) or found.bits != PACKED_BITS:
        raise InputError(f"weights of {name} have {found.bits} bits; take int8, or a format of {PACKED_BITS} bits such as flint4")
    values = [float(value) for value in found.values]
    for code, value in enumerate(values):
        if not value.is_integer() or not -128 <= value <= 127:
            raise InputError(f"weights of {name} may be {value:g} (code {code}); the array multiplies integers of -128..127, such as flint4's")
    return tuple(int(value) for value in values)


def bank(sparsity: str) -> int:
    """Weights in a bank, 0 without sparsity. Raises InputError for a pattern that the engine does not have."""
    if sparsity not in BANKS:
        raise InputError(f"sparsity {sparsity} is none that the engine stores; take one of {', '.join(BANKS)}")
    return BANKS[sparsity]
