"""Models made of a model: the float reference with a symbolic batch, and the host's parts before and after the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx_ir as ir

from ridgeline.algorithm.onnx.simplify import BATCH_NAME, Simplified, known_shape
from ridgeline.algorithm.onnx.weights import array_of
from ridgeline.errors import InputError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

HOSTED = frozenset({
    "Softmax", "Resize", "Cast", "QuantizeLinear", "DequantizeLinear",
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity",
})  # fmt: skip
"""Operators that may run on the host, at an end of the network."""


def reference_model(simplified: Simplified) -> onnx.ModelProto:
    """The simplified model with a symbolic leading axis, in place: one file for any batch."""
    proto = simplified.proto
    shapes = {value.name: shape for value in _all_values(simplified.model) if (shape := known_shape(value)) is not None}
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Reshape" and node.domain in ("", "ai.onnx") and node.input[0] not in constants:
            _free_reshape(proto, node, shapes.get(node.output[0]), simplified.batch)
        if node.op_type == "Resize" and len(node.input) > 3 and node.input[3] in constants:
            _free_resize(proto, node, shapes, constants)
    del proto.graph.value_info[:]
    for value in (*proto.graph.input, *proto.graph.output):
        if value.name not in constants:
            _free_leading(value, simplified.batch)
    _drop_unread(proto)
    return proto


def _all_values(model: ir.Model) -> Iterable[Any]:
    yield from model.graph.inputs
    for node in model.graph:
        yield from node.outputs


def _free_leading(value: onnx.ValueInfoProto, batch: int) -> None:
    dims = value.type.tensor_type.shape.dim
    if dims and dims[0].dim_value == batch:
        dims[0].dim_param = BATCH_NAME


def _free_reshape(proto: onnx.ModelProto, node: onnx.NodeProto, shape: tuple[int, ...] | None, batch: int) -> None:
    """The target with -1 where the batch is, so that it holds for any batch."""
    if not shape or shape[0] % batch or 0 in shape:
        return
    name = f"{node.output[0]}_target"
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, *shape[1:]], dtype=np.int64), name))
    node.input[1] = name


def _free_resize(
    proto: onnx.ModelProto, node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]], constants: Mapping[str, onnx.TensorProto]
) -> None:
    """Scales in place of sizes, which name the batch."""
    before, after = shapes.get(node.input[0]), shapes.get(node.output[0])
    if before is None or after is None or any(name not in constants for name in node.input[2:3] if name):
        return
    axes = next((tuple(attribute.ints) for attribute in node.attribute if attribute.name == "axes"), tuple(range(len(before))))
    scales = np.array([after[axis] / before[axis] for axis in axes], dtype=np.float32)
    name = f"{node.output[0]}_scales"
    proto.graph.initializer.append(onnx.numpy_helper.from_array(scales, name))
    del node.input[2:]
    node.input.append(name)


def free_joins(proto: onnx.ModelProto, weights: Mapping[str, Array], batch: int) -> None:
    """Repeats the constants that a Concat joins for every image of a batch, in place. Moves nodes: whatever counts them comes before."""
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    found = [(node, index) for node in proto.graph.node if node.op_type == "Concat" for index in range(len(node.input))]
    first = next(value.name for value in proto.graph.input if value.name not in constants)
    made: list[onnx.NodeProto] = []
    dynamic = {value.name for value in proto.graph.input} | {name for node in proto.graph.node for name in node.output}
    for node, index in found:
        name = node.input[index]
        if name not in constants or not dynamic & (set(node.input) - set(constants)) or constants[name].dims[0] != batch:
            continue
        made.extend(_repeated(proto, array_of(constants[name], weights), first, f"{node.name or node.output[0]}_{index}"))
        node.input[index] = made[-1].output[0]
    if made:
        nodes = [*made, *(onnx.NodeProto.FromString(node.SerializeToString()) for node in proto.graph.node)]
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
        _drop_unread(proto)


def _repeated(proto: onnx.ModelProto, array: Array, source: str, label: str) -> list[onnx.NodeProto]:
    """Nodes that give the constant's first image as often as the input `source` has images; the last one's output is it."""
    numbers = {"start": [0], "end": [1], "extents": list(array.shape[1:])}
    arrays: dict[str, Array] = {"image": array[:1], **{name: np.array(values, np.int64) for name, values in numbers.items()}}
    for name, values in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, f"{label}_{name}"))
    make = onnx.helper.make_node
    return [
        make("Shape", [source], [f"{label}_shape"], name=f"{label}_shape"),
        make("Slice", [f"{label}_shape", f"{label}_start", f"{label}_end"], [f"{label}_batch"], name=f"{label}_batch"),
        make("Concat", [f"{label}_batch", f"{label}_extents"], [f"{label}_target"], name=f"{label}_target", axis=0),
        make("Expand", [f"{label}_image", f"{label}_target"], [f"{label}_repeated"], name=f"{label}_repeated"),
    ]


def _drop_unread(proto: onnx.ModelProto) -> None:
    read = {name for node in proto.graph.node for name in node.input} | {value.name for value in proto.graph.output}
    for index in range(len(proto.graph.initializer) - 1, -1, -1):
        if proto.graph.initializer[index].name not in read:
            del proto.graph.initializer[index]


def part(
    reference: onnx.ModelProto, indices: Sequence[int], outputs: Sequence[str], types: Mapping[str, onnx.ValueInfoProto]
) -> onnx.ModelProto:
    """The ONNX file of some nodes of the reference model; its inputs are the values that they read and do not compute."""
    nodes = [reference.graph.node[index] for index in indices]
    constants = {tensor.name: tensor for tensor in reference.graph.initializer}
    made = {name for node in nodes for name in node.output}
    read = list(dict.fromkeys(name for node in nodes for name in node.input if name))
    graph = onnx.helper.make_graph(
        nodes,
        f"{reference.graph.name}_host",
        [_typed(types, name) for name in read if name not in made and name not in constants],
        [_typed(types, name) for name in outputs],
        [constants[name] for name in read if name in constants],
    )
    return onnx.helper.make_model(
        graph, opset_imports=list(reference.opset_import), ir_version=reference.ir_version, producer_name="ridgeline"
    )


def _typed(types: Mapping[str, onnx.ValueInfoProto], name: str) -> onnx.ValueInfoProto:
    if name not in types:
        raise InputError(f"the shape of '{name}', at the border between engine and host, is not known; export the network with fixed sizes")
    return types[name]


def value_types(model: ir.Model, batch: int, floats: Mapping[str, tuple[int, ...]]) -> dict[str, onnx.ValueInfoProto]:
    """Name, type and shape of every value whose shape is known, its leading axis symbolic. `floats` are shapes that the reader itself knows."""
    types: dict[str, onnx.ValueInfoProto] = {}
    for name, extents in floats.items():
        types[name] = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, extents)
        _free_leading(types[name], batch)
    for value in _all_values(model):
        shape = known_shape(value)
        if value.name and shape is not None and value.dtype is not None:
            info = onnx.helper.make_tensor_value_info(value.name, int(value.dtype.value), shape)
            _free_leading(info, batch)
            types[value.name] = info
    return types


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The model with exactly the named values as outputs, in that order, for onnxruntime to give."""
    proto = onnx.ModelProto.FromString(model)
    known = {value.name: value for value in proto.graph.output}
    listed = [known.get(name, onnx.helper.make_empty_tensor_value_info(name)) for name in names]
    copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in listed]
    del proto.graph.output[:]
    proto.graph.output.extend(copies)
    return proto.SerializeToString(deterministic=True)
