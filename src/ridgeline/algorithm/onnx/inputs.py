"""What an ONNX file takes and gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.helper

from ridgeline.errors import InputError


def input_shapes(model: bytes) -> dict[str, tuple[int, ...]]:
    """Input name -> its shape without the leading batch axis; initialisers are no inputs. Raises InputError for a dynamic axis behind the batch."""
    graph = onnx.ModelProto.FromString(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    return {value.name: _shape(value) for value in graph.input if value.name not in constants}


def leading_sizes(model: bytes) -> dict[str, int]:
    """Input name -> the extent of its leading axis, 0 where that is dynamic; initialisers are no inputs."""
    graph = onnx.ModelProto.FromString(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    leading = {value.name: list(value.type.tensor_type.shape.dim)[:1] for value in graph.input if value.name not in constants}
    return {name: int(axes[0].dim_value) for name, axes in leading.items() if axes}


def input_types(model: bytes) -> dict[str, np.dtype[Any]]:
    """Input name -> numpy's type of its elements; initialisers are no inputs."""
    graph = onnx.ModelProto.FromString(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.input if value.name not in constants}
    return {name: np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)) for name, kind in kinds.items()}


def output_names(model: bytes) -> tuple[str, ...]:
    return tuple(value.name for value in onnx.ModelProto.FromString(model).graph.output)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    axes = list(value.type.tensor_type.shape.dim)[1:]
    if any(axis.WhichOneof("value") != "dim_value" for axis in axes):
        raise InputError(f"input '{value.name}' has a dynamic axis behind the batch")
    return tuple(int(axis.dim_value) for axis in axes)
