"""ANT's choice of a type for every tensor (Guo et al., MICRO'22)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from numpy.typing import ArrayLike

from ridgeline.errors import InputError
from ridgeline.formats.families import read_format
from ridgeline.formats.format import Format
from ridgeline.formats.quantise import Encoded, quantise
from ridgeline.formats.scales import Search

MOST_BITS_OF_TYPES = 6  # with more, ANT takes integers only


class TypeSet(StrEnum):
    """ANT's sets of types, in the order in which equals win."""

    IP = "ip"  # int, pot
    IPF = "ip-f"  # int, flint, pot: ANT itself


def candidates(kind: TypeSet, bits: int, *, signed: bool = True) -> tuple[Format, ...]:
    """The set's formats of that width."""
    sign = "" if signed else "u"
    types = ("int", "pot") if kind is TypeSet.IP else ("int", "flint", "pot")
    return tuple(read_format(f"{sign}{name}{bits}") for name in (types if bits <= MOST_BITS_OF_TYPES else types[:1]))


def select(
    values: ArrayLike, formats: Sequence[Format], *, granularity: str | None = None, axis: int | None = None, search: Search | None = None
) -> Encoded:
    """Values in the format of least squared error, summed over all vectors; the first of equals. Raises InputError as `quantise` does."""
    if not formats:
        raise InputError("no formats to select from; give at least one")
    tried = (quantise(values, each, granularity=granularity, axis=axis, search=search) for each in formats)
    return min(tried, key=lambda encoded: encoded.squared_error(values))
