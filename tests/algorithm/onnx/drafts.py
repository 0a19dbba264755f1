"""Small ONNX files from ONNX's own text format."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser

Array = np.ndarray[Any, np.dtype[Any]]


def draft(
    body: str, *, x: str = "float[batch,4,6,6]", outputs: str = "y", opset: int = 18, seed: int = 1, domains: str = "", **constants: Any
) -> bytes:
    """A model of the statements `body`. A constant given as a tuple is its shape, filled at random; anything else is its value."""
    inputs = x if " " in x else f"{x} x"
    declared = ", ".join(each if " " in each.strip() else f"float {each}" for each in outputs.split(";"))
    imports = ", ".join([f'"": {opset}', *([domains] if domains else [])])
    text = f"<ir_version: 8, opset_import: [{imports}]> draft ({inputs}) => ({declared}) {{ {body} }}"
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(seed)
    for name, given in constants.items():
        array = rng.standard_normal(given).astype(np.float32) if isinstance(given, tuple) else np.asarray(given)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type.lower()}{index}"
    for output in model.graph.output:
        if not output.type.tensor_type.shape.dim:
            output.type.tensor_type.ClearField("shape")
    return model.SerializeToString(deterministic=True)
