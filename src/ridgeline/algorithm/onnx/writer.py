"""ONNX models made in memory: the few protobuf calls that a network's author needs, typed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

# The oldest IR version that opset 17 goes with, and one that onnxruntime reads.
IR_VERSION = 8
BATCH = "batch"

Attribute: TypeAlias = int | float | str | Sequence[int] | Sequence[float]
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], *, name: str, attributes: Mapping[str, Attribute]) -> NodeProto:
    written = helper.make_node(operator, list(inputs), list(outputs), name=name)
    written.attribute.extend(helper.make_attribute(key, attribute) for key, attribute in sorted(attributes.items()))
    return written


def initializer(name: str, array: Array) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array, order="C"), name)


def absent(name: str, dtype: np.dtype[Any], shape: Sequence[int]) -> TensorProto:
    """Weights of which only the shape is told."""
    element = helper.np_dtype_to_tensor_dtype(dtype)
    return TensorProto(name=name, dims=list(shape), data_type=element, data_location=TensorProto.EXTERNAL)


def value(name: str, dtype: type[np.generic], shape: Sequence[int]) -> ValueInfoProto:
    """An input or output; `shape` is of one image, and the leading symbolic axis `batch` is put before it."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, element, [BATCH, *shape])


def model(
    name: str,
    *,
    nodes: Sequence[NodeProto],
    initializers: Sequence[TensorProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    opset: int = 17,
) -> ModelProto:
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ridgeline")
