"""The value of a node whose inputs are all constants, by ONNX's reference evaluator."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
import onnx
import onnx.helper
import onnx.reference

from ridgeline.algorithm.onnx.load import first_line
from ridgeline.algorithm.onnx.lowering import Constant
from ridgeline.algorithm.onnx.step import RefusedError, Step

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def evaluate(step: Step, inputs: list[Constant | None]) -> list[Constant]:
    """One constant an output. A transpose keeps the scales of a dequantised weight."""
    feeds = {name: given.array for name, given in zip(step.inputs, inputs, strict=True) if given is not None}
    node = onnx.helper.make_node(step.operator, list(step.inputs), list(step.outputs), domain=step.domain, **_plain(step))
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ],
        [onnx.helper.make_empty_tensor_value_info(name) for name in step.outputs if name],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(step.domain, step.opset)])
    try:
        results = cast("list[Array]", cast("Any", onnx.reference.ReferenceEvaluator(model)).run(None, feeds))
    except Exception as error:
        raise RefusedError(
            f"its constants cannot be computed: {first_line(error)}", "fold the network's constants before export"
        ) from error
    return [_with_scale(step, inputs[0] if inputs else None, np.asarray(result)) for result in results]


def _plain(step: Step) -> dict[str, Any]:
    return {
        name: onnx.numpy_helper.from_array(cast("Array", value)) if isinstance(value, np.ndarray) else value
        for name, value in step.attributes.items()
    }


def _with_scale(step: Step, source: Constant | None, result: Array) -> Constant:
    if source is None or source.scale is None:
        return Constant(array=result)
    if step.operator == "Transpose":
        order = step.integers("perm") or tuple(reversed(range(result.ndim)))
        return Constant(array=result, scale=source.scale, axis=None if source.axis is None else order.index(source.axis))
    if step.operator in ("Identity", "Dropout") or (
        step.operator in ("Reshape", "Squeeze", "Unsqueeze", "Flatten") and source.scale.size == 1
    ):
        return Constant(array=result, scale=source.scale, axis=source.axis)
    return Constant(array=result)
