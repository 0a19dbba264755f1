"""An instruction's fields as signals, from the one table of them."""

from __future__ import annotations

from ridgeline.backends.rtl.hdl import Cat, StructLayout, Value, signed, unsigned
from ridgeline.mapping.program import FIELDS, Opcode

OPCODE_BITS = 4


def layout(opcode: Opcode, *names: str) -> StructLayout:
    """Of the named fields, or all, in the table's order."""
    return StructLayout(
        {field.name: (signed if field.signed else unsigned)(field.bits) for field in FIELDS[opcode] if not names or field.name in names}
    )


def fields(word: Value, opcode: Opcode, shape: StructLayout) -> Value:
    """The bits of an instruction word that make up a `layout`."""
    position = OPCODE_BITS
    parts: list[Value] = []
    for field in FIELDS[opcode]:
        if field.name in shape.members:
            parts.append(word[position : position + field.bits])
        position += field.bits
    return Cat(*parts)
