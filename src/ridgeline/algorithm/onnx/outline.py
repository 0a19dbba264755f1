"""An ONNX file without its numbers: nodes in the order in which they can run, and what their shapes depend on. Large weights may be absent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import prod
from pathlib import Path
from typing import Any, cast

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, external_data_helper, helper, inliner

from ridgeline.errors import InputError, UnsupportedError

LARGEST_BYTES = 2**31 - 1  # of a protobuf message
SMALL = 256  # elements; a larger constant is no shape


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outline:
    """`source` is the network as messages call it. `model` has small constants only: the others, whose names `weights` are, are among its inputs, and
    no axis is dynamic. Local functions are inlined."""

    source: str
    model: ModelProto
    weights: frozenset[str]


def read_outline(source: Path | bytes, *, batch: int | None) -> Outline:
    """`batch` is the extent of dynamic leading axes, 1 if not given.

    Raises InputError for a file that is none, for a graph that cannot run and for an axis whose extent nothing tells.
    """
    model, folder, name = _parsed(source)
    weights = {tensor.name: tuple(tensor.dims) for tensor in _tensors(model.graph)}
    _check(model, weights, name)
    light = _light(model, folder)
    del model
    _bind([value for value in light.graph.input if value.name not in weights], batch, name)
    _sort(light.graph, name)
    return Outline(source=name, model=_inlined(light, name), weights=frozenset(weights))


def _parsed(source: Path | bytes) -> tuple[ModelProto, Path | None, str]:
    data, name = (source, "the network") if isinstance(source, bytes) else (_bytes_of(source), f"'{source}'")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own kinds
        raise InputError(f"{name} is not an ONNX file, or is cut short ({len(data):,} bytes)") from error
    if not model.graph.node:
        raise InputError(f"{name} holds no ONNX graph ({len(data):,} bytes, no node); export the network again")
    return model, None if isinstance(source, bytes) else source.parent, name


def _bytes_of(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; name an ONNX file")
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise InputError(f"'{path}' has {size:,} bytes, and one ONNX file at most {LARGEST_BYTES:,}; keep its weights as external data")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """The weights; a sparse one by its values' name, in the shape that it stands for."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield TensorProto(name=sparse.values.name, dims=sparse.dims, data_type=sparse.values.data_type)


def _check(model: ModelProto, weights: Mapping[str, tuple[int, ...]], name: str) -> None:
    """Messages are lines, so that no name may hold a line's end; protobuf gives one that is no text as bytes."""
    broken = next((text for text in _texts(model) if not isinstance(text, str) or any(character < " " for character in text)), None)
    if broken is not None:
        raise InputError(f"{name} is damaged: {broken!r} is no name")
    wrong = next((tensor for tensor, shape in weights.items() if min(shape, default=0) < 0), None)
    if wrong is not None:
        raise InputError(f"{name}: constant '{wrong}' has the shape {list(weights[wrong])}")
    if all(entry.domain not in ("", "ai.onnx") for entry in model.opset_import):
        raise InputError(f"{name} does not tell its opset; export the network again")


def _texts(model: ModelProto) -> Iterator[object]:
    yield from (model.graph.name, *(entry.domain for entry in model.opset_import))
    yield from (value.name for value in (*model.graph.input, *model.graph.output))
    yield from (tensor.name for tensor in model.graph.initializer)
    yield from (sparse.values.name for sparse in model.graph.sparse_initializer)
    yield from (dim.dim_param for value in model.graph.input for dim in value.type.tensor_type.shape.dim)
    for node in model.graph.node:
        yield from _words(node)


def _words(node: NodeProto) -> Iterator[object]:
    yield from (node.name, node.op_type, node.domain, *node.input, *node.output, *(attribute.name for attribute in node.attribute))
    for body in bodies(node):
        for inner in body.node:
            yield from _words(inner)


def _light(model: ModelProto, folder: Path | None) -> ModelProto:
    light = ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import, functions=model.functions)
    graph, named = light.graph, {value.name for value in model.graph.input}
    graph.name = model.graph.name or "network"
    graph.input.extend(model.graph.input)
    for tensor in _tensors(model.graph):
        if prod(tensor.dims) <= SMALL and _is_here(tensor, folder):
            graph.initializer.append(tensor)
        elif tensor.name not in named:
            graph.input.append(_typed(tensor.name, tensor))
    for node in model.graph.node:
        large = _large_constant(node)
        if large is None:
            graph.node.append(node)
        else:
            graph.input.append(_typed(node.output[0], large))
    graph.output.extend(ValueInfoProto(name=value.name) for value in model.graph.output)
    return light


def _is_here(tensor: TensorProto, folder: Path | None) -> bool:
    """Whether the numbers are in the message; those of another file are put there."""
    if tensor.data_location == TensorProto.EXTERNAL and folder is not None:
        with contextlib.suppress(Exception):  # absent, or broken: then they are not known
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
    stored = (tensor.raw_data, tensor.int64_data, tensor.int32_data, tensor.float_data, tensor.double_data, tensor.uint64_data)
    here = prod(tensor.dims) == 0 or len(tensor.string_data) > 0 or any(len(cast("Any", field)) for field in stored)
    return here and tensor.data_location != TensorProto.EXTERNAL


def _large_constant(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant" or len(node.output) != 1:
        return None
    return next((item.t for item in node.attribute if item.HasField("t") and prod(item.t.dims) > SMALL), None)


def _typed(name: str, tensor: TensorProto) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims))


def _bind(inputs: Sequence[ValueInfoProto], batch: int | None, name: str) -> None:
    """Gives dynamic leading axes the batch, in place."""
    if batch is not None and batch < 1:
        raise InputError(f"{name}: a batch of {batch}; it must be 1 or more")
    leading = {value.name: dim for value in inputs if (dim := _leading(value, name)) is not None}
    dynamic = [dim for dim in leading.values() if dim.dim_value == 0]
    if batch is not None and not dynamic and batch not in {dim.dim_value for dim in leading.values()}:
        fixed = ", ".join(f"'{key}': {dim.dim_value}" for key, dim in list(leading.items())[:4]) or "no axis"
        raise InputError(f"{name}: the batch is {batch} by --batch, but its inputs have {fixed}")
    for dim in dynamic:
        dim.dim_value = batch or 1


def _leading(value: ValueInfoProto, name: str) -> Any:
    """The first axis of an input; None for a number. Raises for what has no shape and for other axes that are dynamic."""
    if not value.type.HasField("tensor_type"):
        raise UnsupportedError(f"{name}: input '{value.name}' is no tensor")
    if not value.type.tensor_type.HasField("shape"):
        raise InputError(f"{name}: input '{value.name}' has no shape; export it with one")
    dims = value.type.tensor_type.shape.dim
    dynamic = [f"{axis} ('{dim.dim_param or '?'}')" for axis, dim in enumerate(dims) if axis and not dim.HasField("dim_value")]
    if dynamic:
        listed = f"axis {dynamic[0]}" if len(dynamic) == 1 else f"axes {', '.join(dynamic)}"
        verb = "is" if len(dynamic) == 1 else "are"
        raise InputError(f"{name}: {listed} of input '{value.name}' {verb} dynamic; only the first may be: export with a fixed size")
    wrong = next((axis for axis, dim in enumerate(dims) if dim.dim_value < (1 if axis else 0)), None)
    if wrong is not None:
        raise InputError(f"{name}: axis {wrong} of input '{value.name}' has {dims[wrong].dim_value} elements")
    return dims[0] if dims else None


def _sort(graph: GraphProto, name: str) -> None:
    """Puts each node after those that it reads, where the file does not. Raises for a cycle, and for what is computed twice."""
    makers: dict[str, int] = {}
    given = {*(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    for number, node in enumerate(graph.node):
        for tensor in filter(None, node.output):
            if tensor in makers or tensor in given:
                raise InputError(f"{name}: value '{tensor}' is computed twice")
            makers[tensor] = number
    before = {number: {makers[tensor] for tensor in reads(node) if tensor in makers} for number, node in enumerate(graph.node)}
    if all(max(earlier, default=-1) < number for number, earlier in before.items()):
        return
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError as error:
        cycle = [graph.node[number] for number in cast("list[int]", error.args[1])]
        listed = ", ".join(f"'{node.name or node.op_type}' ({node.op_type})" for node in cycle[:4])
        raise InputError(f"{name}: its nodes form a cycle through {listed}{', ...' if len(cycle) > 4 else ''}") from error
    nodes = [NodeProto.FromString(graph.node[number].SerializeToString()) for number in order]
    del graph.node[:]
    graph.node.extend(nodes)


def reads(node: NodeProto) -> Iterator[str]:
    """The tensors that a node reads, in the bodies of its loops and branches too."""
    yield from filter(None, node.input)
    for body in bodies(node):
        for inner in body.node:
            yield from reads(inner)
        yield from (value.name for value in body.output)


def bodies(node: NodeProto) -> list[GraphProto]:
    """Of a loop or a branch; of most nodes none."""
    return [body for attribute in node.attribute for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)]


def _inlined(model: ModelProto, name: str) -> ModelProto:
    if not model.functions:
        return model
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:
        raise InputError(f"{name}: its functions cannot be inlined: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
