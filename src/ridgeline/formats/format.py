"""Number formats of weights and activations, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ridgeline.errors import unknown_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    name: str
    bits: int

    @property
    def bytes(self) -> int:
        return self.bits // 8


_FORMATS = (Format(name="int8", bits=8), Format(name="fixed16", bits=16), Format(name="float32", bits=32))
FORMATS: Mapping[str, Format] = MappingProxyType({item.name: item for item in _FORMATS})


def read_format(name: str) -> Format:
    """The format of that name. Raises UnknownNameError."""
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    return FORMATS[name]
