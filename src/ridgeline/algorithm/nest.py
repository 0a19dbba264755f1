"""Work as a loop nest over named axes, in one notation.

    n c (y*s+r) (x*s+q), m c r q -> n m y x

Operands are parted by commas, the result follows the arrow; each is a list of indices; an index is an axis, or a sum of axes and of axes times
a number. The loops are all axes; an operand is reused over the axes that do not appear in it. MACs, footprints and reuse are derived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from ridgeline.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """One tensor of a nest. Each index is a sum: axis -> how far one step along that axis moves. `present` are the positions along each index that
    hold data, where windows reach beyond them into padding; () where all do, or where it is not known."""

    name: str
    indices: tuple[Mapping[str, int], ...]
    present: tuple[int, ...] = ()

    @property
    def axes(self) -> frozenset[str]:
        return frozenset(axis for index in self.indices for axis in index)

    def extents(self, tile: Mapping[str, int]) -> tuple[int, ...]:
        """How many positions each index spans while every axis runs over `tile` steps (1 where not given)."""
        return tuple(1 + sum(step * (tile.get(axis, 1) - 1) for axis, step in index.items()) for index in self.indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """The loops of one image. `multiplies` says that each iteration is a multiply-accumulate with a weight; pools, sums and products of two
    activations have loops too, but count no MACs, as is the custom where networks are compared.
    """

    notation: str
    axes: Mapping[str, int]
    inputs: tuple[Operand, ...]
    output: Operand
    multiplies: bool = False
    factors: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def operands(self) -> tuple[Operand, ...]:
        return (*self.inputs, self.output)

    @property
    def iterations(self) -> int:
        return prod(self.axes.values())

    @property
    def macs(self) -> int:
        return self.iterations if self.multiplies else 0

    @property
    def reduced(self) -> tuple[str, ...]:
        """The axes that the result does not have: what is summed (or compared) over."""
        return tuple(axis for axis in self.axes if axis not in self.output.axes)

    def reuse_axes(self, operand: str) -> tuple[str, ...]:
        """The axes over which the same element of `operand` is used again."""
        used = self._operand(operand).axes
        return tuple(axis for axis in self.axes if axis not in used)

    def footprint(self, tile: Mapping[str, int] | None = None) -> dict[str, int]:
        """Elements of each operand that one tile touches, padding included; an axis that `tile` does not name runs in full."""
        sizes = self._tile(tile)
        return {operand.name: prod(operand.extents(sizes)) for operand in self.operands}

    def footprint_bytes(self, tile: Mapping[str, int] | None = None, *, bytes_per_element: Mapping[str, int] | int = 1) -> dict[str, int]:
        elements = self.footprint(tile)
        if isinstance(bytes_per_element, int):
            return {name: count * bytes_per_element for name, count in elements.items()}
        return {name: count * bytes_per_element.get(name, 1) for name, count in elements.items()}

    def reuse(self, tile: Mapping[str, int] | None = None) -> dict[str, float]:
        """Iterations of a tile for each element of each operand that it touches."""
        iterations = prod(self._tile(tile).values())
        return {name: iterations / count for name, count in self.footprint(tile).items()}

    def _operand(self, name: str) -> Operand:
        for operand in self.operands:
            if operand.name == name:
                return operand
        raise InputError(f"nest '{self.notation}' has no operand '{name}'; it has {', '.join(operand.name for operand in self.operands)}")

    def _tile(self, tile: Mapping[str, int] | None) -> dict[str, int]:
        for axis, size in (tile or {}).items():
            if axis not in self.axes or not 1 <= size <= self.axes[axis]:
                raise InputError(f"tile {axis}={size} of nest '{self.notation}': axes are {dict(self.axes)}")
        return {**self.axes, **(tile or {})}


def parse(
    notation: str,
    *,
    axes: Mapping[str, int],
    factors: Mapping[str, int] | None = None,
    names: tuple[str, ...] = (),
    multiplies: bool = False,
) -> Nest:
    """The nest that `notation` writes.

    `axes` gives every axis its size, `factors` the value of every other name that multiplies an axis; `names` are the operands' names, by
    default input, weight and output. Raises InputError for a name that neither gives, or an axis that no operand has.
    """
    left, arrow, right = notation.partition("->")
    if not arrow or not right.strip():
        raise InputError(f"nest '{notation}' has no '->' with the result after it")
    written = [*left.split(","), right]
    labels = names or _default_names(len(written) - 1)
    if len(labels) != len(written):
        raise InputError(f"nest '{notation}' has {len(written)} operands, but {len(labels)} names: {', '.join(labels)}")
    known = dict(factors or {})
    operands = tuple(
        Operand(name=label, indices=tuple(_index(token, notation, axes, known) for token in _tokens(text)))
        for label, text in zip(labels, written, strict=True)
    )
    unused = set(axes) - {axis for operand in operands for axis in operand.axes}
    if unused:
        raise InputError(f"nest '{notation}' uses no axis {', '.join(sorted(unused))}")
    return Nest(notation=notation, axes=dict(axes), inputs=operands[:-1], output=operands[-1], multiplies=multiplies, factors=known)


def _default_names(inputs: int) -> tuple[str, ...]:
    match inputs:
        case 1:
            return ("input", "output")
        case 2:
            return ("input", "weight", "output")
        case _:
            return (*(f"input{number}" for number in range(inputs)), "output")


def _tokens(text: str) -> list[str]:
    """Indices parted by spaces; a sum stands in parentheses and may hold spaces."""
    tokens: list[str] = []
    depth = 0
    for character in text:
        if depth == 0 and character.isspace():
            tokens.append("")
            continue
        depth += (character == "(") - (character == ")")
        tokens[-1:] = [(tokens[-1] if tokens else "") + character]
    return [token.strip("()").replace(" ", "") for token in tokens if token]


def _index(token: str, notation: str, axes: Mapping[str, int], factors: Mapping[str, int]) -> dict[str, int]:
    steps: dict[str, int] = {}
    for term in token.split("+"):
        parts = term.split("*")
        named = [part for part in parts if part in axes]
        if len(named) > 1 or (not named and not all(part.isdigit() or part in factors for part in parts)):
            raise InputError(f"nest '{notation}': '{term}' is no axis, and no axis times a number; axes are {', '.join(axes)}")
        if named:
            steps[named[0]] = steps.get(named[0], 0) + prod(_number(part, notation, factors) for part in parts if part not in axes)
    return steps


def _number(part: str, notation: str, factors: Mapping[str, int]) -> int:
    if part.isdigit():
        return int(part)
    if part not in factors:
        raise InputError(f"nest '{notation}': '{part}' is neither an axis nor a factor")
    return factors[part]
