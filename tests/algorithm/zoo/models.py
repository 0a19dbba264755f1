"""What the zoo's tests share: counting a model, and running it with every tensor shown."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from ridgeline.algorithm.zoo import samples

Array = np.ndarray[Any, np.dtype[Any]]


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the bytes of its weights, which shape inference does not read but would copy."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims:
            tensor.ClearField("raw_data")
    return model


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Every tensor's shape by strict inference, with 1 for the batch."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        axes = value.type.tensor_type.shape.dim
        found[value.name] = tuple(axis.dim_value if axis.HasField("dim_value") else 1 for axis in axes)
    return found


def macs(model: onnx.ModelProto) -> int:
    known = shapes(model)
    return sum(_macs(node, known) for node in model.graph.node)


def _macs(node: onnx.NodeProto, known: Mapping[str, tuple[int, ...]]) -> int:
    outputs = prod(known[node.output[0]])
    match node.op_type:
        case "Conv":
            return outputs * prod(known[node.input[1]][1:])
        case "Gemm" | "MatMul":
            return outputs * known[node.input[0]][-1]
        case _:
            return 0


def parameters(model: onnx.ModelProto, *, statistics: bool) -> int:
    """Weights, counted with or without batch normalisation's running statistics."""
    tensors = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims]
    return sum(prod(tensor.dims) for tensor in tensors if statistics or ".running_" not in tensor.name)


def inputs(model: onnx.ModelProto, count: int, seed: int = 0) -> dict[str, Array]:
    """Sample images, or sequences of tokens of which the last quarter is masked."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for value in model.graph.input:
        shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim[1:]]
        if value.name == "images":
            feeds[value.name] = samples.images(count, shape, seed=seed)
        elif value.name == "attention_mask":
            feeds[value.name] = np.tile(np.arange(shape[0]) < shape[0] * 3 // 4, (count, 1)).astype(np.int64)
        else:
            feeds[value.name] = rng.integers(0, 2, (count, *shape))
    return feeds


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Array:
    return session(model).run(None, dict(feeds))[0]


def run_all(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Every node's output."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    names = [node.output[0] for node in model.graph.node]
    last = {output.name for output in model.graph.output}
    shown.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in last)
    opened = session(shown)
    order = [output.name for output in opened.get_outputs()]
    return dict(zip(order, opened.run(None, dict(feeds)), strict=True))
