"""Inputs of layers that are rounded to a number format before they meet a weight, in standard operators: QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.helper

from ridgeline.algorithm.onnx.writer import initializer, node
from ridgeline.errors import InputError
from ridgeline.formats import Search, quantise, read_format

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
TYPES = {"int8": onnx.TensorProto.INT8, "e4m3": onnx.TensorProto.FLOAT8E4M3FN, "e5m2": onnx.TensorProto.FLOAT8E5M2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounded:
    """To the nearest of `format` times one scale for the whole tensor."""

    format: str
    scale: float


def check_rounding(name: str) -> None:
    """Raises InputError for a format that onnxruntime rounds nothing to, UnknownNameError for one that is none."""
    read_format(name)
    if name not in TYPES:
        raise InputError(f"activations in {name} are not what onnxruntime computes; take {', '.join(TYPES)}, or none")


def rounding(values: Array, name: str, search: Search) -> Rounded:
    """With the scale of least squared error for such values."""
    return Rounded(format=name, scale=float(quantise(values, read_format(name), search=search).scales.reshape(-1)[0]))


def round_inputs(model: onnx.ModelProto, weights: Mapping[str, Rounded], *, switched: bool) -> None:
    """Rounds what the nodes take that multiply by these weights, in place; `switched`: where the input `switch(weight, format)` says so.

    Each node takes its own input rounded as its weight says, and nodes that have one input rounded in the same way share what is made: of a tensor
    that several weights meet, one may take int8 and another the numbers as they are. Raises InputError for weights that are not float32.
    """
    graph = model.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer} | {
        value.name: value.type.tensor_type.elem_type for value in graph.input
    }
    wrong = next((name for name in weights if types.get(name) != onnx.TensorProto.FLOAT), None)
    if wrong is not None:
        raise InputError(f"weight '{wrong}' is no float32, and only float32 networks have their activations rounded; leave --activations out")
    kept: list[onnx.NodeProto] = []
    levels: dict[tuple[str, Rounded], str] = {}
    for one in graph.node:
        copy = onnx.NodeProto.FromString(one.SerializeToString())
        if len(copy.input) > 1 and copy.input[1] in weights:
            weight, how, taken = copy.input[1], weights[copy.input[1]], copy.input[0]
            if (taken, how) not in levels:
                levels[taken, how] = f"{taken}/{how.format}/{len(levels)}"
                kept += _rounded(graph, taken, how, levels[taken, how])
            copy.input[0] = levels[taken, how]
            if switched:
                copy.input[0] = f"{copy.output[0]}/{how.format}/taken"
                inputs = [switch(weight, how.format), levels[taken, how], taken]
                kept.append(node("Where", inputs, [copy.input[0]], name=copy.input[0], attributes={}))
        kept.append(copy)
    del graph.node[:]
    graph.node.extend(kept)
    if switched:
        graph.input.extend(onnx.helper.make_tensor_value_info(switch(name, how.format), onnx.TensorProto.BOOL, []) for name, how in weights.items())


def switch(weight: str, format: str) -> str:
    return f"{weight}/is_{format}"


def _rounded(graph: onnx.GraphProto, taken: str, how: Rounded, made: str) -> list[onnx.NodeProto]:
    """The nodes that make `made` of `taken`."""
    scale, zero = f"{made}/scale", f"{made}/zero"
    graph.initializer.append(initializer(scale, np.array(how.scale, np.float32)))
    graph.initializer.append(onnx.TensorProto(name=zero, dims=[], data_type=TYPES[how.format], raw_data=b"\0"))
    return [
        node("QuantizeLinear", [taken, scale, zero], [f"{made}/codes"], name=f"{made}/codes", attributes={}),
        node("DequantizeLinear", [f"{made}/codes", scale, zero], [made], name=made, attributes={}),
    ]
