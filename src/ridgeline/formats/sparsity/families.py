"""The families of patterns, and patterns by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from ridgeline.errors import UnknownNameError, nearest
from ridgeline.registry import Registry

if TYPE_CHECKING:
    from ridgeline.formats.sparsity.pattern import Family, Pattern

FAMILIES = Registry(
    kind="sparsity_patterns",
    built_in=MappingProxyType(
        {
            "none": "ridgeline.formats.sparsity.dense:FAMILY",
            "unstructured": "ridgeline.formats.sparsity.unstructured:FAMILY",
            "row": "ridgeline.formats.sparsity.banks:ROW",
            "balanced": "ridgeline.formats.sparsity.banks:BALANCED",
            "bank": "ridgeline.formats.sparsity.banks:BANK",
            "n:m": "ridgeline.formats.sparsity.banks:N_OF_M",
            "transposable": "ridgeline.formats.sparsity.transposable:FAMILY",
            "v:n:m": "ridgeline.formats.sparsity.venom:FAMILY",
            "block": "ridgeline.formats.sparsity.block:FAMILY",
            "bitmap": "ridgeline.formats.sparsity.bitmap:FAMILY",
        }
    ),
)


def families() -> dict[str, Family]:
    """All families, by the form of their names."""
    found = [cast("Family", FAMILIES.load(name)) for name in FAMILIES.names()]
    return {family.form: family for family in found}


def read_pattern(name: str, *, pad: bool = True) -> Pattern:
    """The pattern of that name: `2:4`, `bank16:50%`. Raises UnknownNameError, or InputError for numbers that make no pattern."""
    known = families()
    for family in known.values():
        match = family.names.fullmatch(name)
        if match is not None:
            return family.read(match, pad)
    guess = nearest(name, known)
    hint = f"did you mean one like {guess!r}?" if guess else f"patterns are {', '.join(known)}"
    raise UnknownNameError(f"unknown sparsity pattern {name!r}; {hint}")
