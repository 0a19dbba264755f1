"""The shapes of a network's tensors, node by node: ONNX's own inference, and its reference implementation for what is known of small tensors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias, cast

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from ridgeline.algorithm.onnx.outline import Outline, bodies, first_line, reads
from ridgeline.algorithm.onnx.qoperator import FORMS
from ridgeline.errors import InputError, UnsupportedError

Shape: TypeAlias = tuple[int, ...]

_LARGEST = 1 << 12  # elements of a tensor that is computed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tensors:
    """What is known of each: its type, its numbers, or why its shape is not known. `constants` are those that no input of the network changes."""

    types: dict[str, TypeProto] = field(default_factory=dict[str, TypeProto])
    values: dict[str, TensorProto] = field(default_factory=dict[str, TensorProto])
    faults: dict[str, str] = field(default_factory=dict[str, str])
    constants: set[str] = field(default_factory=set[str])

    def shape(self, tensor: str) -> Shape | None:
        kind = self.types.get(tensor)
        if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
            return None
        dims = kind.tensor_type.shape.dim
        return tuple(dim.dim_value for dim in dims) if all(dim.HasField("dim_value") for dim in dims) else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """A node under a name that no other has; `network` is what messages call the file."""

    proto: NodeProto
    name: str
    network: str
    tensors: Tensors

    @property
    def operator(self) -> str:
        """With its domain, unless it is ONNX's own: Conv, com.microsoft.QGemm."""
        return f"{self.domain}.{self.proto.op_type}" if self.domain else self.proto.op_type

    @property
    def domain(self) -> str:
        return "" if self.proto.domain == "ai.onnx" else self.proto.domain

    def shape(self, tensor: str) -> Shape:
        """Raises InputError for one that is not known, or is of no element."""
        shape = self.tensors.shape(tensor)
        if shape is None:
            raise self.error(f"the shape of '{tensor}' is not known: {self.tensors.faults.get(tensor, 'nothing computes it')}")
        if min(shape, default=1) < 1:
            raise self.error(f"'{tensor}' has the shape {shape}, without an element")
        return shape

    def integers(self, name: str, default: Sequence[int]) -> tuple[int, ...]:
        """A list of an attribute's, as long as its default."""
        value = self.attribute(name, default)
        if not isinstance(value, (list, tuple)) or len(cast("Sequence[Any]", value)) != len(default):
            raise self.error(f"its {name} are {value!r}; {len(default)} whole numbers are needed")
        return tuple(int(item) for item in cast("Sequence[Any]", value))

    def text(self, name: str, default: str) -> str:
        value = self.attribute(name, default.encode())
        if not isinstance(value, bytes):
            raise self.error(f"its {name} is {value!r}, no text")
        return value.decode(errors="replace")

    def attribute(self, name: str, default: Any) -> Any:
        found = next((item for item in self.proto.attribute if item.name == name), None)
        try:
            return default if found is None else helper.get_attribute_value(found)
        except ValueError as error:
            raise self.error(f"its attribute '{name}' has no value") from error

    def error(self, why: str) -> InputError:
        return InputError(f"{self.network}: node '{self.name}' ({self.operator}): {why}")

    def refusal(self, why: str) -> UnsupportedError:
        return UnsupportedError(f"{self.network}: node '{self.name}' ({self.operator}): {why}")


def infer(outline: Outline) -> tuple[Node, ...]:
    """The nodes in their order, with all that can be known of their tensors. Raises InputError for an extent below zero."""
    graph, tensors, taken = outline.model.graph, Tensors(), set[str]()
    tensors.constants.update(outline.weights)
    for value in graph.input:
        tensors.types[value.name] = value.type
    for tensor in graph.initializer:
        _learn(tensors, tensor)
    opsets = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in outline.model.opset_import}
    nodes: list[Node] = []
    for proto in graph.node:
        name = _unique(proto.name or next(filter(None, proto.output), proto.op_type), taken)
        nodes.append(Node(proto=proto, name=name, network=outline.source, tensors=tensors))
        _follow(nodes[-1], opsets, outline.model.ir_version)
    return tuple(nodes)


def is_known(proto: NodeProto) -> bool:
    """Whether ONNX has the operator, or it stands for one that ONNX has."""
    return defs.has(proto.op_type, "" if proto.domain == "ai.onnx" else proto.domain) or _stand_in(proto) is not proto


def _follow(node: Node, opsets: Mapping[str, int], ir_version: int) -> None:
    """Adds what is known of the node's results."""
    proto, tensors = _stand_in(node.proto), node.tensors
    read = list(dict.fromkeys(reads(proto)))
    if proto.op_type == "Constant" or (read and tensors.constants.issuperset(read)):
        tensors.constants.update(proto.output)
    fault = _typed(node, proto, opsets, ir_version)
    for output in filter(None, proto.output):
        shape = tensors.shape(output)
        if shape is None:
            tensors.faults[output] = fault or f"that which '{node.name}' ({node.operator}) makes depends on numbers"
        elif min(shape, default=0) < 0:
            raise node.error(f"'{output}' would have the shape {shape}")
    _compute(proto, tensors, opsets)


def _typed(node: Node, proto: NodeProto, opsets: Mapping[str, int], ir_version: int) -> str | None:
    """Infers the types of the results; what hindered it."""
    tensors, domain = node.tensors, "" if proto.domain == "ai.onnx" else proto.domain
    unknown = next((tensor for tensor in filter(None, proto.input) if tensor not in tensors.types), None)
    if unknown is not None:
        return tensors.faults.get(unknown, f"nothing computes '{unknown}'")
    parts = node.attribute("num_outputs", len(proto.output)) if proto.op_type == "Split" else len(proto.output)
    if parts != len(proto.output):  # ONNX's inference ends the process on this
        return f"'{node.name}' (Split) has {len(proto.output)} outputs, and {parts!r} by its num_outputs"
    types = tensors.types if bodies(proto) else {tensor: tensors.types[tensor] for tensor in filter(None, proto.input)}
    stands_in = proto is not node.proto
    try:
        schema = defs.get_schema(proto.op_type, opsets.get(domain, 1), domain)
        found = shape_inference.infer_node_outputs(
            schema,
            proto,
            {tensor: _of_element(kind, TensorProto.FLOAT) for tensor, kind in types.items()} if stands_in else types,
            {tensor: tensors.values[tensor] for tensor in proto.input if tensor in tensors.values},
            opset_imports=[helper.make_opsetid(key, version) for key, version in opsets.items()],
            ir_version=ir_version,
        )
    except Exception as error:  # onnx's own kinds
        return f"'{node.name}' ({node.operator}): {first_line(error)}"
    codes = tensors.types[proto.input[0]].tensor_type.elem_type if stands_in else 0
    tensors.types.update({tensor: _of_element(kind, codes) for tensor, kind in found.items()} if stands_in else found)
    return next((tensors.faults[tensor] for tensor in filter(None, proto.input) if tensor in tensors.faults), None)


def _of_element(kind: TypeProto, element: int) -> TypeProto:
    changed = TypeProto.FromString(kind.SerializeToString())
    changed.tensor_type.elem_type = element
    return changed


def _compute(proto: NodeProto, tensors: Tensors, opsets: Mapping[str, int]) -> None:
    """Adds the numbers of small results: those of constants and of shapes, which other nodes may make shapes of."""
    inputs, outputs = (list(dict.fromkeys(filter(None, names))) for names in (proto.input, proto.output))
    shape = tensors.shape(inputs[0]) if inputs else None
    if proto.op_type == "Shape" and shape is not None:
        _learn(tensors, numpy_helper.from_array(np.array(shape[_part(proto, len(shape))], np.int64), outputs[0]))
        return
    if not _is_computable(proto, tensors):
        return
    graph = GraphProto(node=[proto], initializer=[tensors.values[tensor] for tensor in inputs])
    graph.output.extend(ValueInfoProto(name=output) for output in outputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = cast("Any", ReferenceEvaluator(graph, opsets=dict(opsets))).run(None, {})
        found = [numpy_helper.from_array(np.asarray(result), output) for result, output in zip(results, outputs, strict=True)]
    except Exception:  # then its numbers are not known
        return
    for tensor in found:
        _learn(tensors, tensor)


def _is_computable(proto: NodeProto, tensors: Tensors) -> bool:
    """Whether the numbers of all inputs are known, and none of the results is large."""
    inputs, outputs = (list(filter(None, names)) for names in (proto.input, proto.output))
    known = bool(inputs or proto.op_type == "Constant") and all(tensor in tensors.values for tensor in inputs)
    small = proto.op_type == "NonZero" or all(_elements(tensors, output) <= _LARGEST for output in outputs)
    return known and small and not bodies(proto)


def _part(proto: NodeProto, rank: int) -> slice:
    ends = {item.name: item.i for item in proto.attribute}
    return slice(ends.get("start", 0), ends.get("end", rank))


def _elements(tensors: Tensors, tensor: str) -> int:
    shape = tensors.shape(tensor)
    return _LARGEST + 1 if shape is None else prod(shape)


def _learn(tensors: Tensors, tensor: TensorProto) -> None:
    tensors.values[tensor.name] = tensor
    tensors.types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
    tensors.faults.pop(tensor.name, None)


def _stand_in(proto: NodeProto) -> NodeProto:
    """For shapes only, ONNX's own operator in place of a quantised one of ONNX Runtime: ONNX knows none of those."""
    form = FORMS.get((proto.domain, proto.op_type)) if proto.domain not in ("", "ai.onnx") else None
    if form is None or any(item.name == "channels_last" and item.i for item in proto.attribute):
        return proto
    operands = range(2, len(proto.input), 3) if form.operator == "Concat" else form.operands
    kept = [item for item in proto.attribute if item.name not in ("channels_last", "opset")]
    written = NodeProto(op_type=form.operator, name=proto.name, output=proto.output, attribute=kept)
    written.input.extend(proto.input[index] for index in operands if index < len(proto.input))
    return written


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate
