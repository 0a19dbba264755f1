"""A network by the shapes of its tensors: large weights are not looked at, and may be absent."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import prod
from pathlib import Path
from typing import Any, TypeAlias, cast

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, external_data_helper, helper, inliner, shape_inference

from ridgeline.algorithm.onnx.qoperator import FORMS
from ridgeline.errors import InputError, UnsupportedError

Shape: TypeAlias = tuple[int, ...]

LARGEST_BYTES = 2**31 - 1  # of a protobuf message
SMALL = 256  # elements; a larger constant is no shape
_LARGEST_FOLDED = 1 << 16  # elements
_GROWING = frozenset({"Expand", "Tile", "Range", "Pad", "Resize", "OneHot", "EyeLike"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outline:
    """`source` is the network as messages call it; `nodes` come in an order in which they can run, local functions inlined. `shapes` has the tensors
    whose every extent is known; `constants` are those that no input of the network changes; `model` is what shapes were inferred from."""

    source: str
    name: str
    nodes: tuple[NodeProto, ...]
    shapes: Mapping[str, Shape]
    constants: frozenset[str]
    model: ModelProto

    def fault(self) -> str | None:
        """In ONNX's words, the first node that contradicts the shapes of its inputs."""
        try:
            shape_inference.infer_shapes(self.model, strict_mode=True, data_prop=True)
        except Exception as error:
            return _first_line(error)
        return None


def read_outline(source: Path | bytes, *, batch: int | None, needed: Collection[str]) -> Outline:
    """`batch` is the extent of dynamic leading axes, 1 if not given; `needed` are the operators of whose tensors the shapes are wanted.

    Raises InputError for a file that is none, for a graph that cannot run and for an axis whose extent nothing tells.
    """
    model, folder, name = _parsed(source)
    given = {tensor.name: tuple(tensor.dims) for tensor in _tensors(model.graph)}
    _check_names(model, given, name)
    light = _light(model, folder)
    del model
    _bind([value for value in light.graph.input if value.name not in given], batch, name)
    _sort(light.graph, name)
    light = _inlined(light, name)
    nodes = tuple(NodeProto.FromString(node.SerializeToString()) for node in light.graph.node)
    _stand_in(light)
    shapes = _inferred(light, name) | given
    wanted = {tensor for node in nodes if node.op_type in needed for tensor in (*node.input, *node.output) if tensor}
    if not wanted <= shapes.keys():
        shapes = _inferred(_folded(light), name) | shapes
    return Outline(source=name, name=light.graph.name, nodes=nodes, shapes=shapes, constants=_constants(nodes, given), model=light)


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


def _check_names(model: ModelProto, given: Mapping[str, Shape], name: str) -> None:
    """Messages are lines, so that no name may hold a line's end; protobuf gives one that is no text as bytes."""
    texts: list[object] = [*given, *(value.name for value in model.graph.input)]
    for node in model.graph.node:
        texts += (node.name, node.op_type, node.domain, *node.input, *node.output)
    broken = next((text for text in texts if not isinstance(text, str) or any(character < " " for character in text)), None)
    if broken is not None:
        raise InputError(f"{name} is damaged: {broken!r} is no name")
    wrong = next((tensor for tensor, shape in given.items() if min(shape, default=0) < 0), None)
    if wrong is not None:
        raise InputError(f"{name}: constant '{wrong}' has the shape {list(given[wrong])}")


def _light(model: ModelProto, folder: Path | None) -> ModelProto:
    """The model without its large constants, which become inputs: inference copies all that it is given. Nothing that was inferred for another batch
    stays."""
    light = ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import, functions=model.functions)
    graph, named = light.graph, {value.name for value in model.graph.input}
    graph.name = model.graph.name or "network"
    graph.input.extend(model.graph.input)
    for tensor in _tensors(model.graph):
        small = prod(tensor.dims) <= SMALL and _is_here(tensor, folder)
        if small:
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
    stored = (
        tensor.raw_data,
        tensor.int64_data,
        tensor.int32_data,
        tensor.float_data,
        tensor.double_data,
        tensor.uint64_data,
        tensor.string_data,
    )
    return tensor.data_location != TensorProto.EXTERNAL and (prod(tensor.dims) == 0 or any(len(cast("Any", field)) for field in stored))


def _large_constant(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant":
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
    dynamic = [f"axis {axis} ('{dim.dim_param or '?'}')" for axis, dim in enumerate(dims) if axis and not dim.HasField("dim_value")]
    if dynamic:
        listed = f"{', '.join(dynamic)} of input '{value.name}' {'is' if len(dynamic) == 1 else 'are'} dynamic"
        raise InputError(f"{name}: {listed}; only the first may be: export with a fixed size")
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


def bodies(node: NodeProto) -> Iterable[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _inlined(model: ModelProto, name: str) -> ModelProto:
    if not model.functions:
        return model
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:
        raise InputError(f"{name}: its functions cannot be inlined: {_first_line(error)}") from error


def _stand_in(model: ModelProto) -> None:
    """Writes, for shapes only, ONNX's own operators in place of ONNX Runtime's quantised ones: ONNX knows none of those."""
    for node in model.graph.node:
        form = FORMS.get((node.domain, node.op_type)) if node.domain not in ("", "ai.onnx") else None
        if form is None:
            continue
        operands = range(2, len(node.input), 3) if form.operator == "Concat" else form.operands
        inputs = [node.input[index] for index in operands if index < len(node.input)]
        node.domain, node.op_type = "", form.operator
        del node.input[:]
        node.input.extend(inputs)


def _inferred(model: ModelProto, name: str) -> dict[str, Shape]:
    """The shapes of the graph's tensors, of those whose every extent is known."""
    try:
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:
        raise InputError(f"{name}: its shapes cannot be inferred: {_first_line(error)}") from error
    shapes: dict[str, Shape] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if value.type.HasField("tensor_type") and kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return shapes


def _folded(model: ModelProto) -> ModelProto:
    """The model with its arithmetic on shapes done: ONNX's inference follows a few operators of that only. Left as it is if that fails."""
    import onnx_ir as ir
    from onnxscript import optimizer

    with _quiet(), contextlib.suppress(Exception):
        found = ir.serde.deserialize_model(model)
        cast("Any", optimizer).fold_constants(found, onnx_shape_inference=True, should_fold=_should_fold)
        return ir.serde.serialize_model(found)
    return model


def _should_fold(node: Any) -> bool | None:
    """Nothing that could grow beyond all bounds; None leaves it to the optimiser."""
    if node.op_type in _GROWING:
        return False
    if node.op_type != "ConstantOfShape":
        return None
    extents = node.inputs[0].const_value if node.inputs and node.inputs[0] is not None else None
    return (
        extents is not None and extents.size <= 8 and prod(max(int(extent), 0) for extent in extents.numpy().reshape(-1)) <= _LARGEST_FOLDED
    )


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """The optimiser's warnings are about what it leaves alone."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _constants(nodes: Sequence[NodeProto], given: Collection[str]) -> frozenset[str]:
    found = set(given)
    for node in nodes:
        inputs = list(reads(node))
        if node.op_type == "Constant" or (inputs and found.issuperset(inputs)):
            found.update(node.output)
    return frozenset(found)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
