"""Batch bound, constants folded, shapes known: by onnxscript's optimiser and ONNX's shape inference."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias, cast

import numpy as np
import onnx
import onnx.shape_inference
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript import optimizer

from ridgeline.algorithm.onnx.load import first_line, without_data
from ridgeline.algorithm.onnx.step import unique
from ridgeline.algorithm.onnx.weights import give_back, serialised
from ridgeline.errors import InputError, UnsupportedError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

BATCH_NAME = "batch"
GROWING = frozenset({"ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "OneHot", "EyeLike"})
"""Operators whose result can be far larger than their inputs."""
_LARGEST_FOLDED = 1 << 18  # elements


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simplified:
    """`model` has every axis bound and no shape-computing node left; `batch` is the extent that the leading axes were bound to.

    `proto` is the same as a message, without shapes and without its large initialisers, which are `weights`.
    """

    model: ir.Model
    proto: onnx.ModelProto
    weights: dict[str, Array]
    batch: int


def simplify(proto: onnx.ModelProto, weights: Mapping[str, Array], name: str, batch: int | None) -> Simplified:
    """Binds the batch and folds. Raises for other dynamic axes by name, and for shapes or types that contradict each other."""
    extent = _bind(proto, name, batch)
    _forget_shapes(proto)
    with _quiet():
        try:
            model = ir.serde.deserialize_model(proto)
            give_back(model, weights)
            common.RemoveInitializersFromInputsPass()(model)
            optimizer.inline(model)
            cast("Any", optimizer).fold_constants(model, onnx_shape_inference=True, should_fold=_should_fold)
            optimizer.remove_unused_nodes(model)
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
            common.RemoveUnusedNodesPass()(model)
            _name_apart(model)
            folded, large = serialised(model)
        except Exception as error:
            raise InputError(f"{name} cannot be simplified: {first_line(_cause(error))}") from error
        _infer(model, folded, name)
    return Simplified(model=model, proto=folded, weights=large, batch=extent)


def _name_apart(model: ir.Model) -> None:
    """Files may name two nodes alike; onnxruntime refuses that."""
    taken: set[str] = set()
    for node in model.graph:
        if node.name:
            node.name = unique(node.name, taken)


def _should_fold(node: ir.Node) -> bool | None:
    """Which nodes of constants to fold: small ConstantOfShape too, and nothing that could grow beyond all bounds; None leaves it to the optimiser."""
    if node.op_type not in GROWING:
        return None
    if node.op_type not in ("ConstantOfShape", "Expand"):
        return False
    constant = node.inputs[-1].const_value if node.inputs and node.inputs[-1] is not None else None
    if constant is None or constant.size > 8:
        return False
    elements = prod(max(int(extent), 0) for extent in cast("Any", constant.numpy()).reshape(-1))
    return elements <= _LARGEST_FOLDED


def _cause(error: BaseException) -> Exception:
    """The first exception of a chain, which names the node."""
    while error.__cause__ is not None:
        error = error.__cause__
    return cast("Exception", error)


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


def _bind(proto: onnx.ModelProto, name: str, batch: int | None) -> int:
    """Gives every input's leading axis one extent, in place."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in constants]
    if not inputs:
        raise InputError(f"{name} has no input")
    fixed: dict[str, int] = {value.name: extent for value in inputs if (extent := _leading(value, name)) is not None}
    extents = {*fixed.values(), *([batch] if batch is not None else [])}
    if len(extents) > 1:
        listed = ", ".join(f"'{key}': {extent}" for key, extent in fixed.items())
        raise InputError(
            f"{name}: the batch is {f'{batch} by --batch' if batch is not None else 'not one number'}, but its inputs have {listed}"
        )
    extent = extents.pop() if extents else 1
    if extent < 1:
        raise InputError(f"{name}: a batch of {extent}; it must be 1 or more")
    for value in inputs:
        _leading(value, name)
        value.type.tensor_type.shape.dim[0].dim_value = extent
    return extent


def _leading(value: onnx.ValueInfoProto, name: str) -> int | None:
    """The extent of an input's first axis, None if it is dynamic. Raises for any other dynamic axis."""
    if not value.type.HasField("tensor_type"):
        raise UnsupportedError(f"{name}: input '{value.name}' is no tensor")
    if not value.type.tensor_type.HasField("shape") or not value.type.tensor_type.shape.dim:
        raise InputError(
            f"{name}: input '{value.name}' has no shape, or no batch axis; export it with a shape whose first axis is the batch"
        )
    dims = value.type.tensor_type.shape.dim
    for axis, dim in enumerate(dims):
        if axis and not dim.HasField("dim_value"):
            raise UnsupportedError(
                f"{name}: axis {axis} ('{dim.dim_param or '?'}') of input '{value.name}' is dynamic; only the first may be: export with a fixed size"
            )
        if dim.HasField("dim_value") and dim.dim_value < (1 if axis else 0):
            raise InputError(f"{name}: axis {axis} of input '{value.name}' has {dim.dim_value} elements")
    return dims[0].dim_value if dims[0].dim_value > 0 else None


def _forget_shapes(proto: onnx.ModelProto) -> None:
    """Drops the shapes written for another batch; they are inferred again."""
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _infer(model: ir.Model, folded: onnx.ModelProto, name: str) -> None:
    """Shapes and types of all values, in place; contradictions are errors of the file."""
    known = {"", "ai.onnx"}
    strict = all(node.domain in known for node in model.graph)

    def inferred(proto: onnx.ModelProto) -> onnx.ModelProto:
        return onnx.shape_inference.infer_shapes(proto, check_type=strict, strict_mode=strict, data_prop=True)

    try:
        shapes = _value_types(inferred(without_data(folded)))
    except Exception as error:
        raise InputError(f"{name}: its shapes or types do not fit: {first_line(error)}") from error
    for value in _values(model):
        found = shapes.get(value.name or "")
        if found is not None:
            value.shape, value.dtype = ir.Shape(found[1]), ir.DataType(found[0])


def _value_types(proto: onnx.ModelProto) -> Mapping[str, tuple[int, list[int]]]:
    found: dict[str, tuple[int, list[int]]] = {}
    for value in (*proto.graph.value_info, *proto.graph.output):
        kind = value.type.tensor_type
        if value.type.HasField("tensor_type") and kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            found[value.name] = kind.elem_type, [int(dim.dim_value) for dim in kind.shape.dim]
    return found


def known_shape(value: ir.Value) -> tuple[int, ...] | None:
    """The value's shape where every extent is a number."""
    if value.shape is None or not all(isinstance(extent, int) for extent in value.shape):
        return None
    return tuple(int(cast("int", extent)) for extent in value.shape)


def _values(model: ir.Model) -> Iterator[Any]:
    for node in model.graph:
        yield from node.outputs
