"""The patterns of equal groups, by name: N:M, banks (BBS, FPGA'19), ranges (AAAI'19), whole rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from ridgeline.errors import InputError
from ridgeline.formats.sparsity.grouped import Grouped
from ridgeline.formats.sparsity.pattern import PERCENT, Family, checked_percent, kept_of, percent_text


@dataclass(frozen=True, kw_only=True)
class NOfM(Grouped):
    """Of each m consecutive weights n stay."""

    n: int
    m: int

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.m:
            raise InputError(f"sparsity: {self.n}:{self.m} keeps {self.n} of {self.m} weights; give 1 up to {self.m} of them")

    @property
    def name(self) -> str:
        return f"{self.n}:{self.m}"

    @property
    def density(self) -> float:
        return self.n / self.m

    def groups(self, columns: int) -> tuple[int, int, int]:
        return -(-columns // self.m), self.m, self.n


@dataclass(frozen=True, kw_only=True)
class Shares(Grouped):
    """Of each group `percent` go, to the nearest whole weight and never all."""

    percent: float

    def __post_init__(self) -> None:
        checked_percent(self.percent)

    @property
    def density(self) -> float:
        return 1 - self.percent / 100


@dataclass(frozen=True, kw_only=True)
class Bank(Shares):
    """Banks of `bank` consecutive weights, in CSB order."""

    interleaved: ClassVar[bool] = True
    bank: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bank < 1:
            raise InputError(f"sparsity: banks of {self.bank} weights; give 1 or more")

    @property
    def name(self) -> str:
        return f"bank{self.bank}:{percent_text(self.percent)}"

    @property
    def density(self) -> float:
        return kept_of(self.bank, self.percent) / self.bank

    def groups(self, columns: int) -> tuple[int, int, int]:
        return -(-columns // self.bank), self.bank, kept_of(self.bank, self.percent)


@dataclass(frozen=True, kw_only=True)
class Balanced(Shares):
    """Rows cut in `ranges` equal ranges; the last ones of a row that does not divide are padded."""

    ranges: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ranges < 1:
            raise InputError(f"sparsity: rows cut in {self.ranges} ranges; give 1 or more")

    @property
    def name(self) -> str:
        return f"balanced{self.ranges}:{percent_text(self.percent)}"

    def groups(self, columns: int) -> tuple[int, int, int]:
        width = -(-columns // self.ranges)
        return self.ranges, width, kept_of(width, self.percent)


@dataclass(frozen=True, kw_only=True)
class Row(Shares):
    @property
    def name(self) -> str:
        return f"row:{percent_text(self.percent)}"

    def groups(self, columns: int) -> tuple[int, int, int]:
        return 1, columns, kept_of(columns, self.percent)


N_OF_M = Family(
    form="2:4", names=re.compile(r"(\d{1,5}):(\d{1,5})"), read=lambda match, pad: NOfM(pad=pad, n=int(match[1]), m=int(match[2]))
)
BANK = Family(
    form="bank16:50%",
    names=re.compile(rf"bank(\d{{1,6}}):{PERCENT}"),
    read=lambda match, pad: Bank(pad=pad, bank=int(match[1]), percent=float(match[2])),
)
BALANCED = Family(
    form="balanced32:80%",
    names=re.compile(rf"balanced(\d{{1,6}}):{PERCENT}"),
    read=lambda match, pad: Balanced(pad=pad, ranges=int(match[1]), percent=float(match[2])),
)
ROW = Family(form="row:75%", names=re.compile(f"row:{PERCENT}"), read=lambda match, pad: Row(pad=pad, percent=float(match[1])))
