"""Concatenation along any axis but the batch, of values and of constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Literal

from ridgeline.algorithm.axes import Atom, Axis, Shape, View, atoms_of, whole
from ridgeline.algorithm.onnx.convert.moves import empty_place
from ridgeline.algorithm.onnx.lowering import Constant, Lowering, Value
from ridgeline.algorithm.onnx.step import RefusedError, Step
from ridgeline.algorithm.operators import Concat, Join

_ADVICE = "join along channels, height or width of tensors that are alike in the others"


def concat(low: Lowering, step: Step) -> None:
    given = [low.any_value(step, index) for index in range(len(step.inputs))]
    ranks = {len(each.view) if isinstance(each, Value) else each.array.ndim for each in given}
    if len(ranks) != 1:
        raise RefusedError("its inputs have different numbers of axes", "check the network's shapes")
    rank = ranks.pop()
    axis = step.integer("axis", 0) % rank
    if axis == 0:
        raise RefusedError("it joins along the batch", _ADVICE)
    operands = {index: low.operand(step, index) for index, each in enumerate(given) if isinstance(each, Value)}
    operands = dict(zip(operands, _laid_out(low, step, list(operands.values()), axis), strict=True))
    first = next(iter(operands.values()))
    place = _place(low, list(operands.values()), axis)
    constants = {
        index: _constant(low, step, (index, each), first, (axis, place)) for index, each in enumerate(given) if isinstance(each, Constant)
    }
    values = [value for _, value in sorted((operands | constants).items())]
    _check(low, values, axis, place)
    low.put(step.outputs[0], _joined(low, step, values, axis, place))


def _laid_out(low: Lowering, step: Step, values: list[Value], axis: int) -> list[Value]:
    """The values in storage of one kind: that of the first that has any, else with the axis as channels where it is the second or last one."""
    rank = len(values[0].view)
    chosen = next((low.current(value) for value in values if not low.is_open(value)), None)
    if chosen is not None:
        values = [_bound_like(low, value, chosen, axis) for value in values]
    elif axis in (1, rank - 1):
        others = [index for index in range(1, rank) if index != axis]
        values = [low.bind(value, [axis], others[:-1], others[-1:]) for value in values]
    else:
        values = [low.bind_default(value) for value in values]
    for value in values:
        low.shape(value)
    return [low.straighten(step, low.current(value)) for value in values]


def _bound_like(low: Lowering, value: Value, other: Value, axis: int) -> Value:
    if not low.is_open(value):
        return low.current(value)
    _, height, width = low.shape(other)
    axes: dict[str, list[int]] = {"c": [], "h": [], "w": []}
    for index, atoms in enumerate(other.view[1:], 1):
        kinds = {atom.axis for atom in atoms}
        if len(kinds) > 1:
            return low.bind_default(value)
        spare = empty_place(other, (height, width)) if index == axis and not kinds else "w"
        axes[next(iter(kinds), spare)].append(index)
    return low.bind(value, axes["c"], axes["h"], axes["w"])


def _place(low: Lowering, values: Sequence[Value], axis: int) -> str:
    """The stored axis ("c", "h" or "w") along which the values are joined."""
    kinds = {atom.axis for value in values for atom in value.view[axis]}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds:
        raise RefusedError(f"it joins along axis {axis}, which its inputs store in different ways", _ADVICE)
    channels, height, width = low.shape(values[0])
    return "c" if channels == 1 else empty_place(values[0], (height, width))


def _constant(low: Lowering, step: Step, numbered: tuple[int, Constant], like: Value, where: tuple[int, str]) -> Value:
    """A constant operand as a tensor, laid out as the value `like` but for its extent along the axis."""
    (index, constant), (axis, place) = numbered, where
    extents = constant.array.shape
    wrong = [each for each in range(1, len(extents)) if each != axis and extents[each] != like.shape[each]]
    if wrong or extents[0] not in (1, low.batch) or extents[axis] < 1:
        raise RefusedError(f"its constant of shape {extents} does not fit an input of shape {like.shape}", "check the network's shapes")
    shape = low.shape(like)
    if place == "c":
        size = shape[0] // like.shape[axis] * extents[axis]
        atoms: Axis = _along_channels(like.view, axis, extents[axis])
        full: Shape = (size, *shape[1:])
    else:
        atoms = whole(place, extents[axis])
        full = (shape[0], extents[axis], shape[2]) if place == "h" else (shape[0], shape[1], extents[axis])
    view = tuple(atoms if each == axis else old for each, old in enumerate(like.view))
    return low.fixed(step.inputs[index], constant.array, view, full)


def _along_channels(view: View, axis: int, extent: int) -> Axis:
    """The atoms of an axis of channels in storage that is straight; those of later axes are its inner ones."""
    inner = prod(atom.size for atoms in view[axis + 1 :] for atom in atoms if atom.axis == "c")
    return (Atom(axis="c", size=extent, stride=inner),) if extent > 1 else ()


def _check(low: Lowering, values: Sequence[Value], axis: int, place: str) -> None:
    """Raises where the values' other axes lie differently, or channels run outside of the joined ones."""
    shapes = [low.shape(value) for value in values]
    position = "chw".index(place)
    rest = {tuple(each for index, each in enumerate(value.view) if index != axis) for value in values}
    others = {tuple(extent for index, extent in enumerate(shape) if index != position) for shape in shapes}
    if place == "c":
        outer = any(atom.axis == "c" for value in values for each in value.view[:axis] for atom in each)
        alike = not outer and len({shape[1:] for shape in shapes}) == 1
    else:
        alike = len(others) == 1 and all(
            value.view[axis] == whole(place, shape[position]) for value, shape in zip(values, shapes, strict=True)
        )
    if len(rest) > 1 or not alike:
        raise RefusedError(f"it joins along axis {axis}, and its inputs are stored as {shapes} (channels, height, width)", _ADVICE)


def _joined(low: Lowering, step: Step, values: Sequence[Value], axis: int, place: str) -> Value:
    extent = sum(value.shape[axis] for value in values)
    if place == "c":
        tensor = low.emit(step, Concat(), values)
        joined = _along_channels(values[0].view, axis, extent)
    else:
        along: Literal["y", "x"] = "y" if place == "h" else "x"
        tensor = low.emit(step, Join(axis=along), values)
        joined = whole(place, extent)
    view = tuple(atoms_of([joined]) if index == axis else each for index, each in enumerate(values[0].view))
    return replace(values[0], tensor=tensor, view=view)
