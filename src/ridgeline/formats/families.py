"""Every format by name: a row a family. A plug-in adds one by an entry point of the group `ridgeline.format` that leads to a Format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ridgeline.errors import InputError, unknown_name
from ridgeline.formats.flint import flint
from ridgeline.formats.floats import Single, ieee, minifloat
from ridgeline.formats.format import Format
from ridgeline.formats.integers import fixed, integer
from ridgeline.formats.m2xfp import M2xfpActivations, M2xfpWeights
from ridgeline.formats.mx import mx
from ridgeline.formats.nvfp4 import nvfp4
from ridgeline.formats.olive import olive
from ridgeline.formats.pot import power_of_two
from ridgeline.formats.table import NF4
from ridgeline.registry import Registry

MX_ELEMENTS = ("fp4", "fp6e2m3", "fp6e3m2", "fp8e4m3", "fp8e5m2", "int8")
MOST_BITS = 16  # of a format whose name gives its width


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """`pattern` matches the whole of a name; `make` gets its groups, digits as integers. `names` are shown and suggested."""

    pattern: str
    make: Callable[..., Format]
    names: tuple[str, ...]
    bits: tuple[int, int] | None = None  # the range of the last group, where that is a width


def widths(*prefixes: str, bits: range) -> tuple[str, ...]:
    return tuple(f"{prefix}{width}" for prefix in prefixes for width in bits)


FAMILIES = (
    Family(pattern=r"(u?)int(\d+)", make=integer, names=widths("int", "uint", bits=range(2, 17)), bits=(2, MOST_BITS)),
    Family(pattern=r"fixed(\d+)", make=fixed, names=("fixed8", "fixed16"), bits=(2, MOST_BITS)),
    Family(pattern=r"e(\d+)m(\d+)", make=minifloat, names=("e1m2", "e2m1", "e3m0", "e2m3", "e3m2", "e4m3", "e5m2")),
    Family(pattern="float16", make=lambda: ieee("float16", exponent=5), names=("float16",)),
    Family(pattern="bfloat16", make=lambda: ieee("bfloat16", exponent=8), names=("bfloat16",)),
    Family(pattern="float32", make=Single, names=("float32",)),
    Family(pattern=r"(u?)pot(\d+)", make=power_of_two, names=widths("pot", "upot", bits=range(3, 9)), bits=(2, MOST_BITS)),
    Family(pattern=r"(u?)flint(\d+)", make=flint, names=widths("flint", "uflint", bits=range(3, 9)), bits=(2, MOST_BITS)),
    Family(pattern=r"olive(4|-flint4|8|8-e2m5)", make=olive, names=("olive4", "olive-flint4", "olive8", "olive8-e2m5")),
    Family(pattern=rf"mx({'|'.join(MX_ELEMENTS)})", make=mx, names=tuple(f"mx{element}" for element in MX_ELEMENTS)),
    Family(pattern=r"nvfp4(|-46)", make=nvfp4, names=("nvfp4", "nvfp4-46")),
    Family(pattern="m2xfp", make=M2xfpWeights, names=("m2xfp",)),
    Family(pattern="m2xfp-act", make=M2xfpActivations, names=("m2xfp-act",)),
    Family(pattern="nf4", make=lambda: NF4, names=("nf4",)),
)
PLUG_INS = Registry(kind="format")


def read_format(name: str) -> Format:
    """The format of that name. Raises UnknownNameError, or InputError for a width that its family lacks."""
    for family in FAMILIES:
        found = re.fullmatch(family.pattern, name)
        if found is not None:
            return _made(family, name, [int(group) if group.isdecimal() else group for group in found.groups()])
    if name not in PLUG_INS.names():
        raise unknown_name("format", name, format_names())
    loaded = PLUG_INS.load(name)
    if not isinstance(loaded, Format):
        raise InputError(f"plug-in format {name!r} leads to a {type(loaded).__name__}; it must be a ridgeline.formats.Format")
    return loaded


def format_names() -> tuple[str, ...]:
    """The names that are shown: of families with parameters, the usual ones."""
    return (*(name for family in FAMILIES for name in family.names), *PLUG_INS.names())


def _made(family: Family, name: str, groups: list[int | str]) -> Format:
    if family.bits is not None:
        least, most = family.bits
        if not least <= int(groups[-1]) <= most:
            raise InputError(f"format {name!r} has {groups[-1]} bits; take {least} to {most}")
    return family.make(*groups)
