"""Large weights beside the model, as arrays: a file's data is held once, and protobuf's 2 GiB limit only what is left in the message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import onnx
import onnx.numpy_helper
import onnx_ir as ir

from ridgeline.errors import InputError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

LARGE_BYTES = 1 << 20
_BESIDE = "weights"  # the location that a tensor kept beside the model names
_EXTERNAL = 1  # onnx.TensorProto.EXTERNAL
_DATA_FIELDS = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def set_apart(model: onnx.ModelProto, folder: Path | None, name: str) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The model with all that lies in other files, and its large initialisers by name; where they were, the model tells only type and shape.

    Raises InputError for external data that cannot be read. `folder` None: the model came as bytes and has no files beside it.
    """
    weights: dict[str, Array] = {}
    for tensor in model.graph.initializer:
        external = tensor.data_location == _EXTERNAL
        if not external and _stored_bytes(tensor) < LARGE_BYTES:
            continue
        array = _external(tensor, folder, name) if external else _inline(tensor)
        if array is not None and is_large(array):
            weights[tensor.name] = array
            _empty(tensor)
        elif external and array is not None:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    _load_attributes(model, folder, name)
    if not weights:
        return model, weights
    light = onnx.ModelProto()  # what a message has once held is freed with the message only
    light.CopyFrom(model)
    return light, weights


def is_large(array: Array) -> bool:
    return array.nbytes >= LARGE_BYTES and array.dtype.kind in "fiu"


def serialised(model: ir.Model) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The message of a model without its large initialisers, and these."""
    values = [value for value in model.graph.initializers.values() if value.const_value is not None]
    held = {
        value.name or "": (value, cast("Any", value.const_value))
        for value in values
        if cast("Any", value.const_value).nbytes >= LARGE_BYTES
    }
    weights = {name: np.ascontiguousarray(array) for name, (_, tensor) in held.items() if is_large(array := tensor.numpy())}
    try:
        for name in weights:
            value, tensor = held[name]
            value.const_value = ir.ExternalTensor(_BESIDE, None, None, tensor.dtype, shape=tensor.shape, name=name)
        return ir.serde.serialize_model(model), weights
    finally:
        for value, tensor in held.values():
            value.const_value = tensor


def give_back(model: ir.Model, weights: Mapping[str, Array]) -> None:
    """Puts the arrays in their places, in place."""
    for name, array in weights.items():
        value = model.graph.initializers.get(name)
        if value is not None:
            value.const_value = ir.Tensor(array, name=name)


def array_of(tensor: onnx.TensorProto, weights: Mapping[str, Array]) -> Array:
    """The numbers of an initialiser, wherever they are."""
    return weights[tensor.name] if tensor.name in weights else onnx.numpy_helper.to_array(tensor)


def _stored_bytes(tensor: onnx.TensorProto) -> int:
    return tensor.ByteSize()


def _inline(tensor: onnx.TensorProto) -> Array | None:
    """None for a tensor that is broken: the check of the numbers names it."""
    try:
        return onnx.numpy_helper.to_array(tensor)
    except Exception:
        return None


def _external(tensor: onnx.TensorProto, folder: Path | None, name: str) -> Array:
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    if folder is None:
        raise InputError(f"weight '{tensor.name}' of {name} lies in the external file '{location}'; read the network by its path")
    if not (folder / location).is_file():
        raise InputError(f"{name} keeps weight '{tensor.name}' in the external file '{location}', which is not in '{folder}'")
    try:
        return onnx.numpy_helper.to_array(tensor, str(folder))
    except Exception as error:
        raise InputError(f"weight '{tensor.name}' of {name} cannot be read from '{location}': {' '.join(str(error).split())}") from error


def _empty(tensor: onnx.TensorProto) -> None:
    for field in _DATA_FIELDS:
        tensor.ClearField(cast("Any", field))
    del tensor.external_data[:]
    tensor.data_location = cast("Any", _EXTERNAL)
    tensor.external_data.add(key="location", value=_BESIDE)


def _load_attributes(model: onnx.ModelProto, folder: Path | None, name: str) -> None:
    for tensor in attribute_tensors(model):
        if tensor.data_location == _EXTERNAL:
            tensor.CopyFrom(onnx.numpy_helper.from_array(_external(tensor, folder, name), tensor.name))


def attribute_tensors(model: onnx.ModelProto) -> Iterable[onnx.TensorProto]:
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        for node in nodes:
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
