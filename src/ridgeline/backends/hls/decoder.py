"""The decoder's fields in C++, from the one table of an instruction's fields."""

from __future__ import annotations

from dataclasses import dataclass

from ridgeline.mapping.program import FIELDS, Opcode

OPCODE_BITS = 4
# What orders units that run side by side; the kernel runs them one after another.
TOKENS = frozenset(
    {
        "wait_free", "signal_ready", "wait_stored", "weight_wait", "weight_release", "activation_wait", "activation_release", "output_wait",
        "output_commit", "in_place", "wait_ready", "signal_free",
    }
)  # fmt: skip
STORAGE = frozenset({"packed", "sparse"})  # the kernel's weights are elements of its one format


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A field of a decoded instruction: `type` is the smallest integer of <cstdint> that holds it."""

    name: str
    type: str
    position: int
    bits: int
    signed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """An instruction as a struct."""

    name: str
    fields: tuple[Member, ...]


def units() -> tuple[Unit, ...]:
    """LOAD, COMPUTE and STORE."""
    return tuple(Unit(name=code.name.capitalize(), fields=_members(code)) for code in (Opcode.LOAD, Opcode.COMPUTE, Opcode.STORE))


def _members(code: Opcode) -> tuple[Member, ...]:
    found: list[Member] = []
    position = OPCODE_BITS
    for field in FIELDS[code]:
        if field.name not in TOKENS | STORAGE:
            found.append(
                Member(
                    name=field.name, type=_type(field.bits, signed=field.signed), position=position, bits=field.bits, signed=field.signed
                )
            )
        position += field.bits
    return tuple(found)


def _type(bits: int, *, signed: bool) -> str:
    size = next(size for size in (8, 16, 32) if bits <= size)
    return f"{'' if signed else 'u'}int{size}_t"
