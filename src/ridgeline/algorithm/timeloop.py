"""Reads a problem of Timeloop (v0.2 to v0.4) as one layer, and writes a nest as one.

Data spaces are Inputs, Weights and Outputs; an index is a sum of dimensions, each times a coefficient. Dimensions get the axes of
`ridgeline.timeloop`; any other name the next free one of `FREE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, cast

import msgspec

from ridgeline.algorithm.layers import Layer, Work
from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.timeloop import DIMENSIONS, TENSORS, convert, dimension_axes, document

FREE = ("n", "g", "m", "c", "y", "x", "r", "q", "z", "t")
LARGEST = 2**62  # iterations
PADDING = ("H", "W", "Hpad", "Wpad")  # of an instance; no projection has them
NAMES = {axis: name for name, axis in DIMENSIONS.items() if name != "K"}


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file."""


class Coefficient(Struct, frozen=True, kw_only=True):
    """What a dimension is multiplied by."""

    name: str
    default: int | None = None


class DataSpace(Struct, frozen=True, kw_only=True):
    """A tensor."""

    name: str
    projection: list[Any]
    read_write: bool = False


class Shape(Struct, frozen=True, kw_only=True):
    """A kind of layer."""

    name: str = ""
    dimensions: tuple[str, ...]
    data_spaces: tuple[DataSpace, ...]
    coefficients: tuple[Coefficient, ...] = ()


class Problem(Struct, frozen=True, kw_only=True):
    """A layer."""

    version: Any = None
    shape: Shape
    instance: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeloopWork:
    """`dimensions`: name in the file -> axis."""

    work: Work
    dimensions: Mapping[str, str]


def read_timeloop_problem(path: Path) -> TimeloopWork:
    """One layer with the name of its file. Raises InputError for a file that is none or a size that overflows, UnsupportedError for an operator
    that a nest cannot express."""
    where = f"'{path}'"
    problem = convert(document(path, "problem"), Problem, f"{where}: problem")
    shape = problem.shape
    twice = next((name for name in shape.dimensions if shape.dimensions.count(name) > 1), None)
    if twice is not None or not shape.dimensions:
        raise InputError(f"{where}: dimensions name {f'{twice!r} twice' if twice else 'nothing'}")
    dimensions = dimension_axes(shape.dimensions, FREE)
    sizes = {dimensions[name]: _size(problem.instance, name, where) for name in shape.dimensions}
    if prod(sizes.values()) > LARGEST:
        raise InputError(f"{where}: {prod(sizes.values()):,} iterations; at most 2^62 can be counted")
    steps = _coefficients(problem, where)
    _check_instance(problem, steps, where)
    nest = _nest(shape, dimensions, sizes, steps, where)
    layer = Layer(name=path.stem, operator=shape.name or "problem", nest=nest, inputs=("Inputs", "Weights"), output="Outputs")
    return TimeloopWork(work=Work(name=path.stem, layers=(layer,), others=(), links=()), dimensions=dimensions)


def _size(instance: Mapping[str, Any], name: str, where: str) -> int:
    value = instance.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{where}: instance: {name} is {value!r}; it must be a whole number of 1 or more")
    return value


def _coefficients(problem: Problem, where: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for coefficient in problem.shape.coefficients:
        value = problem.instance.get(coefficient.name, coefficient.default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
            raise UnsupportedError(f"{where}: coefficient {coefficient.name} is {value!r}; a nest's steps are whole numbers of 1 or more")
        found[coefficient.name] = value
    return found


def _check_instance(problem: Problem, steps: Mapping[str, int], where: str) -> None:
    densities = cast("dict[str, Any] | None", problem.instance.get("densities")) or {}
    sparse = next((name for name, value in densities.items() if value not in (1, 1.0)), None)
    if sparse is not None:
        raise UnsupportedError(f"{where}: instance: densities of {sparse}; a nest is dense: leave them out to cost it as such")
    known = {*problem.shape.dimensions, *steps, *PADDING, "densities"}
    extra = next((name for name in problem.instance if name not in known), None)
    if extra is not None:
        named = ", ".join((*problem.shape.dimensions, *steps))
        raise InputError(f"{where}: instance: '{extra}' is no dimension and no coefficient; there are {named}")


def _nest(shape: Shape, dimensions: Mapping[str, str], sizes: Mapping[str, int], steps: Mapping[str, int], where: str) -> Nest:
    spaces = {space.name: space for space in shape.data_spaces}
    if set(spaces) != set(TENSORS) or len(shape.data_spaces) != len(TENSORS):
        raise UnsupportedError(
            f"{where}: data spaces {', '.join(space.name for space in shape.data_spaces)}; a layer has two that are read, Inputs and Weights, and "
            "one that is written, Outputs"
        )
    wrong = next((name for name, space in spaces.items() if space.read_write is not (name == "Outputs")), None)
    if wrong is not None:
        raise UnsupportedError(f"{where}: data space {wrong} has read_write {spaces[wrong].read_write}; only Outputs are written")
    texts = {name: _indices(spaces[name], dimensions, steps, f"{where}: data space {name}") for name in TENSORS}
    unused = next((name for name, axis in dimensions.items() if not any(axis in _axes(text) for text in texts.values())), None)
    if unused is not None:
        raise InputError(f"{where}: no data space has dimension '{unused}'")
    return parse(f"{texts['Inputs']}, {texts['Weights']} -> {texts['Outputs']}", axes=sizes, multiplies=True)


def _axes(text: str) -> set[str]:
    return {character for character in text if character.isalpha()}


def _indices(space: DataSpace, dimensions: Mapping[str, str], steps: Mapping[str, int], where: str) -> str:
    return " ".join(_index(index, dimensions, steps, where) for index in space.projection)


def _index(index: Any, dimensions: Mapping[str, str], steps: Mapping[str, int], where: str) -> str:
    """A sum of terms [dimension] or [dimension, coefficient], in a nest's notation."""
    terms: list[Any] = cast("list[Any]", index) if isinstance(index, list) and index else [index]
    found: list[str] = []
    for term in terms:
        names: list[Any] = cast("list[Any]", term) if isinstance(term, list) else [term]
        if not names or not all(isinstance(name, str) for name in names):
            raise InputError(f"{where}: projection {index!r} is no list of [dimension] or [dimension, coefficient]")
        named, factors = [name for name in names if name in dimensions], [name for name in names if name not in dimensions]
        unknown = next((name for name in factors if name not in steps), None)
        if unknown is not None:
            raise InputError(f"{where}: projection names '{unknown}', which is no dimension and no coefficient")
        if len(named) != 1:
            raise UnsupportedError(
                f"{where}: projection {'*'.join(names)} is no dimension times coefficients; a nest's index is a sum of such"
            )
        if dimensions[named[0]] in {text.split("*")[0] for text in found}:
            raise UnsupportedError(f"{where}: dimension '{named[0]}' stands twice in one index")
        step = prod(steps[name] for name in factors)
        found.append(dimensions[named[0]] if step == 1 else f"{dimensions[named[0]]}*{step}")
    return found[0] if len(found) == 1 else f"({'+'.join(found)})"


def problem_text(nest: Nest) -> str:
    """The nest as a problem of Timeloop v0.4. Raises UnsupportedError for an axis that has no name there."""
    names = dimension_names(nest)
    axes = list(nest.axes)
    coefficients = {f"{names[axis]}step{tensor}": step for tensor, axis, step in _stepped(nest)}
    lines = ["problem:", "  version: 0.4", "  shape:", "    name: layer", f"    dimensions: [{', '.join(names[axis] for axis in axes)}]"]
    lines += (
        ["    coefficients:", *(f"    - {{name: {name}, default: {step}}}" for name, step in coefficients.items())] if coefficients else []
    )
    lines += ["    data_spaces:"]
    for tensor, operand in zip(("Weights", "Inputs", "Outputs"), (nest.inputs[1], nest.inputs[0], nest.output), strict=True):
        indices = [", ".join(_term(names[axis], tensor, step) for axis, step in index.items()) for index in operand.indices if index]
        lines += [f"    - name: {tensor}", f"      projection: [{', '.join(f'[{index}]' for index in indices)}]"]
        lines += ["      read_write: True"] if tensor == "Outputs" else []
    return "\n".join([*lines, f"  instance: {{{', '.join(f'{names[axis]}: {size}' for axis, size in nest.axes.items())}}}", ""])


def _stepped(nest: Nest) -> Iterable[tuple[str, str, int]]:
    for tensor, operand in zip(("Inputs", "Weights", "Outputs"), nest.operands, strict=True):
        yield from ((tensor, axis, step) for index in operand.indices for axis, step in index.items() if step != 1)


def _term(name: str, tensor: str, step: int) -> str:
    return f"[{name}]" if step == 1 else f"[{name}, {name}step{tensor}]"


def dimension_names(nest: Nest) -> dict[str, str]:
    """axis -> the dimension's name in files that are written. Raises UnsupportedError."""
    unnamed = next((axis for axis in nest.axes if axis not in NAMES), None)
    if unnamed is not None:
        raise UnsupportedError(
            f"axis '{unnamed}' of nest '{nest.notation}' has no name among Timeloop's dimensions {', '.join(DIMENSIONS)}"
        )
    return {axis: NAMES[axis] for axis in nest.axes}
