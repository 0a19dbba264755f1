"""What every number format has: a name and the bits of one element."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    name: str
    bits: int

    @property
    def bytes(self) -> int:
        return self.bits // 8
