"""The state of turning an ONNX graph into the engine's graph: which tensor, in which layout, under which function, each ONNX value is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.axes import (
    FLAT,
    Axis,
    Shape,
    Storage,
    View,
    addresses,
    atoms_of,
    batch_axis,
    coordinates,
    extents,
    flat_view,
    has_batch_first,
    is_complete,
    is_free,
    whole,
)
from ridgeline.algorithm.function import Expression, Function
from ridgeline.algorithm.graph import Graph, Node, Port, Quantisation, Tensor
from ridgeline.algorithm.onnx.step import RefusedError, Step, unique
from ridgeline.algorithm.operators import Copy, Operator, Select

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


_LARGEST = 1 << 28  # elements of one image's tensor
_MOST_CHANNELS = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constant:
    """A value known now. `scale` is what its int8 codes were multiplied by (scalar or along `axis`), where a file keeps them."""

    array: Array
    scale: Array | None = None
    axis: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value of each image: `expression` of the elements of a tensor, seen through `view`. `codes` marks the integers of a quantised tensor."""

    tensor: str
    view: View
    expression: Expression = "x"
    codes: Quantisation | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the file, batch included."""
        return extents(self.view)


class _Layout:
    """The storage shared by tensors that elementwise nodes link; None until a node needs one."""

    def __init__(self, group: _Layout | None = None) -> None:
        self.storage: Storage | None = None
        self.group = group

    def root(self) -> _Layout:
        return self if self.group is None else self.group.root()


@dataclass(kw_only=True)
class Lowering:
    """Built up node by node; `graph()` gives the result."""

    batch: int
    kept: frozenset[str] = frozenset()  # values that a node other than a unary function reads, or that leave the engine
    values: dict[str, Value | Constant] = field(default_factory=dict[str, "Value | Constant"])
    nodes: list[Node] = field(default_factory=list[Node])
    shapes: dict[str, Shape] = field(default_factory=dict[str, Shape])
    quantisations: dict[str, Quantisation] = field(default_factory=dict[str, Quantisation])
    constants: dict[str, Array] = field(default_factory=dict[str, "Array"])  # constant tensors, (C, H, W)
    inputs: dict[str, View] = field(default_factory=dict[str, View])
    layouts: dict[str, _Layout] = field(default_factory=dict[str, _Layout])
    taken_nodes: set[str] = field(default_factory=set[str])
    taken_tensors: set[str] = field(default_factory=set[str])
    realised: dict[tuple[str, Expression], str] = field(default_factory=dict[tuple[str, Expression], str])

    # Values in and out

    def value(self, step: Step, index: int) -> Value:
        """A dynamic input in its present layout."""
        found = self.any_value(step, index)
        if isinstance(found, Constant):
            raise RefusedError(f"its input {index} is constant", "only networks of their inputs are of use")
        return found

    def any_value(self, step: Step, index: int) -> Value | Constant:
        found = self.values[step.inputs[index]]
        return found if isinstance(found, Constant) else self.current(found)

    def constant(self, step: Step, index: int, what: str) -> Constant:
        found = self.values[step.inputs[index]]
        if not isinstance(found, Constant):
            raise RefusedError(f"its {what} '{step.inputs[index]}' is computed while the network runs", "it must be a constant of the file")
        return found

    def weight(self, step: Step, index: int, what: str) -> Constant:
        """A constant whose numbers are all finite."""
        constant = self.constant(step, index, what)
        if constant.array.dtype.kind != "f":
            raise RefusedError(f"its {what} '{step.inputs[index]}' is {constant.array.dtype}, not float", "export the network in float32")
        return constant

    def put(self, name: str, value: Value | Constant) -> None:
        """Names a result; where an operator (not a unary function) reads it next, the pending function is computed here, once."""
        if isinstance(value, Value) and value.expression != "x" and name in self.kept:
            value = self.realise(value, name)
        self.values[name] = value

    def add_input(self, name: str, shape: Sequence[int]) -> None:
        """A network input of the file's shape (batch, ...), its storage open."""
        self.free_value(name, shape)
        self.inputs[name] = flat_view(shape)

    def free_value(self, name: str, shape: Sequence[int]) -> None:
        tensor = unique(name, self.taken_tensors)
        self.layouts[tensor] = _Layout()
        self.values[name] = Value(tensor=tensor, view=flat_view(shape))

    # Layout

    def current(self, value: Value) -> Value:
        """The value with the storage that its tensor has by now."""
        layout = self.layouts.get(value.tensor)
        if layout is None or layout.root().storage is None or not is_free(value.view):
            return value
        storage = layout.root().storage
        assert storage is not None
        view = storage.stored(value.view)
        if view is None:
            raise RefusedError(f"its input of shape {value.shape} cuts the stored axes unevenly", "reshape along whole axes")
        return replace(value, view=view)

    def is_open(self, value: Value) -> bool:
        """Whether the storage of the value's tensor can still be chosen."""
        layout = self.layouts.get(value.tensor)
        return layout is not None and layout.root().storage is None

    def bind(self, value: Value, channels: Sequence[int], height: Sequence[int], width: Sequence[int]) -> Value:
        """Chooses the storage of an open tensor by the value's axes; without effect on one that has its storage. Returns the current value."""
        if not self.is_open(value):
            return self.current(value)
        chosen = Storage(
            **{
                name: tuple(atom for atom in atoms_of(value.view[axis] for axis in axes) if atom.axis == FLAT)
                for name, axes in (("channels", channels), ("height", height), ("width", width))
            }
        )
        if prod(chosen.shape) * self.batch != prod(value.shape):
            raise RefusedError(f"its input of shape {value.shape} does not keep the batch in front", "keep the batch in front")
        check_size(chosen.shape)
        self.layouts[value.tensor].root().storage = chosen
        return self.current(value)

    def bind_default(self, value: Value) -> Value:
        """Channels first, as ONNX has it; of a matrix per image, the last axis."""
        if not self.is_open(value):
            return self.current(value)
        rank = len(value.view)
        if rank <= 3:
            return self.bind(value, [rank - 1] if rank > 1 else [], [], [1] if rank == 3 else [])
        return self.bind(value, [1], list(range(2, rank - 1)), [rank - 1])

    def shape(self, value: Value) -> Shape:
        """(channels, height, width) of the tensor behind a value, which takes its default storage if it has none."""
        self.bind_default(value)
        return self.tensor_shape(value.tensor)

    def tensor_shape(self, tensor: str) -> Shape:
        layout = self.layouts.get(tensor)
        if layout is None:
            return self.shapes[tensor]
        storage = layout.root().storage
        return (1, 1, 1) if storage is None else storage.shape

    # Nodes

    def realise(self, value: Value, name: str) -> Value:
        """The value as a tensor of its own: a pending function becomes a node, which later joins its producer where it can."""
        if value.expression == "x":
            return value
        key = (value.tensor, value.expression)
        if key not in self.realised:
            self.realised[key] = self.copy(value, name).tensor
        return replace(value, tensor=self.realised[key], expression="x")

    def copy(self, value: Value, name: str) -> Value:
        """The value in a new tensor of the same layout, its pending function computed on the way."""
        tensor = unique(name, self.taken_tensors)
        function = None if value.expression == "x" else Function(expression=value.expression)
        self._append(name, Copy(), (value.tensor,), tensor, function=function)
        if value.tensor in self.layouts:
            self.layouts[tensor] = _Layout(self.layouts[value.tensor].root())
        else:
            self.shapes[tensor] = self.shapes[value.tensor]
        return replace(value, tensor=tensor, expression="x")

    def operand(self, step: Step, index: int, *, codes: bool = False) -> Value:
        """A dynamic input as a tensor, its pending function computed. `codes` allows the integers of a quantised tensor, for nodes that only move."""
        value = self.value(step, index)
        if value.codes is not None and not codes:
            raise RefusedError("it computes with integer codes", "put a DequantizeLinear before it")
        return self.realise(value, step.inputs[index])

    def emit(self, step: Step, operator: Operator, inputs: Sequence[Value], **parts: Any) -> str:
        """A node of the engine for `step`; returns its output tensor. Inputs must have their storage."""
        return self.emit_as(step, step.outputs[0], operator, inputs, **parts)

    def emit_as(self, step: Step, output: str, operator: Operator, inputs: Sequence[Value], **parts: Any) -> str:
        tensor = unique(output, self.taken_tensors)
        shapes = [self.shape(value) for value in inputs]
        node = self._append(step.name, operator, tuple(value.tensor for value in inputs), tensor, source=step.source, **parts)
        self.shapes[tensor] = operator.output_shape(node, *shapes)
        if min(self.shapes[tensor]) < 1:
            raise RefusedError(
                f"its output would be empty: {self.shapes[tensor]}", "check kernel, strides and pads against the input's size"
            )
        check_size(self.shapes[tensor])
        return tensor

    def _append(self, name: str, operator: Operator, inputs: tuple[str, ...], output: str, **parts: Any) -> Node:
        source = parts.pop("source", f"{name} (function)")
        node = Node(name=unique(name, self.taken_nodes), operator=operator, inputs=inputs, output=output, source=source, **parts)
        self.nodes.append(node)
        return node

    def fixed(self, name: str, array: Array, view: View, shape: Shape) -> Value:
        """A constant of the file (1 or batch, ...), seen through `view`, as a tensor of its own of `shape` (channels, height, width)."""
        if not np.array_equal(array, np.broadcast_to(array[:1], array.shape)):
            raise RefusedError("its constant differs from image to image", "make it the same for every image of a batch")
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise RefusedError(f"its constant '{name}' is {array.dtype} and must be finite floats", "repair the file's constants")
        check_size(shape)
        tensor = unique(name, self.taken_tensors)
        self.constants[tensor] = _stored(array[:1], view, shape).astype(np.float32)
        self.shapes[tensor] = shape
        return Value(tensor=tensor, view=view)

    def canonical(self, tensor: str) -> View:
        """The view (batch, channels, height, width) of a tensor."""
        return self.canonical_of(self.shapes[tensor])

    def canonical_of(self, shape: Shape) -> View:
        channels, height, width = shape
        return (batch_axis(self.batch), whole("c", channels), whole("h", height), whole("w", width))

    def straighten(self, step: Step, value: Value) -> Value:
        """The value with its channels stored in the order of its axes: a Select where they are not."""
        channels, height, width = self.shape(value)
        atoms = tuple(atom for axis in value.view for atom in axis if atom.axis == "c")
        order = coordinates(atoms, "c")
        if np.array_equal(order, np.arange(channels)):
            return value
        tensor = self.emit_as(step, f"{value.tensor}_ordered", Select(channels=tuple(order.tolist()), size=(height, width)), [value])
        return replace(value, tensor=tensor, view=_straight(value.view, channels))

    def storage_of(self, value: Value, array: Array) -> Array:
        """A constant that broadcasts against the value, as (channels, height, width) of the value's tensor."""
        shape = self.shape(value)
        value = self.current(value)
        full = value.shape
        aligned = np.reshape(array, (1,) * (len(full) - array.ndim) + array.shape)
        if any(atom.axis == "n" and aligned.shape[axis] != 1 for axis, atoms in enumerate(value.view) for atom in atoms if len(atoms) == 1):
            raise RefusedError("its constant differs from image to image", "make it the same for every image of a batch")
        return _stored(aligned, value.view, shape)

    # The result

    def graph(self, name: str, outputs: Sequence[Port]) -> Graph:
        """The engine's graph with the given outputs."""
        for value in self.values.values():
            if isinstance(value, Value):
                self.bind_default(value)
        written = [*(self._tensor_of_input(name) for name in self.inputs), *self.constants, *(node.output for node in self.nodes)]
        tensors = {
            tensor: Tensor(name=tensor, shape=self.tensor_shape(tensor), quantisation=self.quantisations.get(tensor)) for tensor in written
        }
        inputs = tuple(self._input(name) for name in self.inputs)
        nodes, constants = tuple(self.nodes), dict(self.constants)
        return Graph(name=name, inputs=inputs, outputs=tuple(outputs), nodes=nodes, tensors=tensors, constants=constants)

    def _tensor_of_input(self, name: str) -> str:
        value = self.values[name]
        assert isinstance(value, Value)
        return value.tensor

    def _input(self, name: str) -> Port:
        tensor = self._tensor_of_input(name)
        return _port(name, tensor, self.current(Value(tensor=tensor, view=self.inputs[name])).view)

    def output(self, name: str) -> Port:
        """A value as an output of the engine's graph, which computes it."""
        value = self.values[name]
        if isinstance(value, Constant):
            raise RefusedError(f"its output '{name}' is constant", "remove this output from the network")
        if value.codes is not None:
            raise RefusedError(f"its output '{name}' holds integer codes", "end the network with float32 values")
        if not has_batch_first(value.view):
            raise RefusedError(f"its output '{name}' has not the batch as its first axis", "keep the batch in front", final=True)
        value = self.realise(self.bind_default(value), name)
        if value.tensor in {self._tensor_of_input(each) for each in self.inputs}:
            value = self.copy(value, name)
        return _port(name, value.tensor, value.view)


def check_size(shape: Shape) -> None:
    """Refuses a tensor that no one means to run, before anything of its size is made."""
    if prod(shape) > _LARGEST or shape[0] > _MOST_CHANNELS:
        raise RefusedError(
            f"a tensor of {shape[0]:,} channels, {shape[1]:,} rows and {shape[2]:,} columns",
            f"at most {_LARGEST:,} elements and {_MOST_CHANNELS:,} channels are read",
        )


def _stored(array: Array, view: View, shape: Shape) -> Array:
    """An array (1, ...) that broadcasts to the view's extents, as it lies in a tensor of `shape`."""
    plain = tuple(tuple(atom for atom in axis if atom.axis != "n") for axis in view)
    index = addresses(plain, shape)
    stored = np.empty(prod(shape), dtype=array.dtype)
    stored[index.reshape(-1)] = np.broadcast_to(array, index.shape).reshape(-1)
    return stored.reshape(shape)


def _straight(view: View, channels: int) -> View:
    """The view after the channels were put in the order of its axes."""
    axes: list[Axis] = []
    left = channels
    for axis in view:
        atoms: list[Any] = []
        for atom in axis:
            if atom.axis == "c":
                left //= atom.size
                atoms.append(replace(atom, stride=left))
            else:
                atoms.append(atom)
        axes.append(atoms_of([tuple(atoms)]))
    return tuple(axes)


def _port(name: str, tensor: str, view: View) -> Port:
    atoms = [atom for axis in view[1:] for atom in axis]
    order = {"c": 0, "h": 1, "w": 2}
    permutation = sorted(range(len(atoms)), key=lambda index: (order[atoms[index].axis], -atoms[index].stride))
    return Port(
        name=name,
        shape=extents(view)[1:],
        tensor=tensor,
        split=tuple(atom.size for atom in atoms) or (1,),
        permutation=tuple(permutation) or (0,),
    )


def channel_order(value: Value, axis: int, channels: int) -> Array | None:
    """The stored channel of each index along one axis of the file's array, or None where that axis is not exactly the channels."""
    atoms = value.view[axis]
    return coordinates(atoms, "c") if is_complete(atoms, "c", channels) else None
