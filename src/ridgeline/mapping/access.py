"""What a mapping moves: elements at every level that keeps a tensor. docs/counts.md defines them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Elements read and written at one level for one tensor; partial sums apart, which have a width of their own."""

    reads: int = 0
    writes: int = 0
    partial_reads: int = 0
    partial_writes: int = 0

    def __add__(self, other: Access) -> Access:
        return Access(
            reads=self.reads + other.reads,
            writes=self.writes + other.writes,
            partial_reads=self.partial_reads + other.partial_reads,
            partial_writes=self.partial_writes + other.partial_writes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """accesses: (level, tensor) -> elements, for the levels that keep the tensor; `steps` are time steps: the array's cycles."""

    accesses: Mapping[tuple[str, str], Access]
    steps: int
