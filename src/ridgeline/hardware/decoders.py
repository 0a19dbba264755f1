"""The units of an array that turn codes into what it multiplies, or that choose operands by a pattern's metadata: where they stand, how many there
are and what each takes.

Up to them weights move as they are stored, scales and metadata counted with the bits of an element; inside them as the array multiplies them. A
figure that nobody has published is left out, and the area says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Literal

import msgspec

Text = Annotated[str, msgspec.Meta(min_length=1)]


class Decoder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One for each instance of the axes `each` and, of these, for every `every` multipliers along each border of `borders`: with borders of rows and
    columns, one where each row and each column of the array begins. Without borders, one for each instance of `each`.

    um2: of one, at `node_nm`, absent where it is not published. `handles`: formats or patterns.
    """

    name: Text
    work: Literal["decodes", "selects"]
    handles: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    each: tuple[Text, ...] = ()
    borders: tuple[Text, ...] = ()
    every: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    um2: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None
    node_nm: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    source: Text

    def count(self, array: Mapping[str, int]) -> int:
        """In an array of so many multipliers along each axis."""
        border = sum(-(-array[axis] // self.every) for axis in self.borders) if self.borders else 1
        return border * prod(array[axis] for axis in self.each)

    @property
    def place(self) -> str:
        """In words."""
        where = [f"along {' and '.join(self.borders)}"] if self.borders else []
        return " ".join([*where, *([f"in each of {' x '.join(self.each)}"] if self.each else [])])


def check_decoders(decoders: tuple[Decoder, ...], array: Mapping[str, int], levels: tuple[str, ...]) -> None:
    """Raises ValueError, which the reader makes an InputError, for decoders that the array has no place for."""
    for number, decoder in enumerate(decoders):
        where = f"decoders[{number}], '{decoder.name}'"
        lost = next((axis for axis in (*decoder.each, *decoder.borders) if axis not in array), None)
        if lost is not None:
            raise ValueError(f"{where}: the array has no axis '{lost}'; it has {', '.join(array)}")
        both = next((axis for axis in decoder.borders if axis in decoder.each), None)
        if both is not None:
            raise ValueError(f"{where}: axis '{both}' is a border and in 'each'; keep one of the two")
        if not decoder.each and not decoder.borders:
            raise ValueError(f"{where}: say where they stand: along 'borders', or in 'each' of some axes")
        if (decoder.um2 is None) != (decoder.node_nm is None):
            raise ValueError(f"{where}: um2 and node_nm go together; an area is of a node")
        if decoder.name in (*levels, "mac", *(other.name for other in decoders[:number])):
            raise ValueError(f"{where}: another part of the chip is called so; take a name of its own")
