"""Our own mapping.json, as `map --out` writes it, read back: the mapping of each layer by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from ridgeline.errors import InputError
from ridgeline.mapping.loops import Loop, LoopMapping

MOST_BYTES = 200_000_000
Size = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Position = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class OneLoop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One loop."""

    axis: str
    size: Size
    array: str | None = None


class Positions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of each tensor, by level."""

    input: dict[str, Position]
    weight: dict[str, Position]
    output: dict[str, Position]


class OneMapping(msgspec.Struct, frozen=True, kw_only=True):
    """What else stands beside is for people."""

    loops: Annotated[tuple[OneLoop, ...], msgspec.Meta(max_length=1000)]
    positions: Positions

    def mapping(self) -> LoopMapping:
        return LoopMapping(
            loops=tuple(Loop(axis=loop.axis, size=loop.size, array=loop.array) for loop in self.loops),
            positions={"input": self.positions.input, "weight": self.positions.weight, "output": self.positions.output},
        )


class OneLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer and its mapping."""

    name: str
    mapping: OneMapping


class File(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    layers: tuple[OneLayer, ...]


def read_own_mappings(path: Path) -> Mapping[str, LoopMapping]:
    """Layer -> mapping; whether it suits the layer and the chip is the estimate's to check. Raises InputError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"'{path}' has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are read")
        found = msgspec.json.decode(path.read_bytes(), type=File)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"'{path}' is no mapping.json of Ridgeline: {' '.join(str(error).split())}") from error
    names = [layer.name for layer in found.layers]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"'{path}' has two mappings of layer '{twice}'")
    return {layer.name: layer.mapping.mapping() for layer in found.layers}
