"""The golden network of float32: the float graph in standard ONNX operators, so that every layer has a value of onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ridgeline.algorithm.graph import Graph, Node
from ridgeline.algorithm.onnx.golden import assembled
from ridgeline.algorithm.onnx.golden_layers import moved
from ridgeline.algorithm.onnx.golden_sheet import Sheet
from ridgeline.algorithm.onnx.writer import Attribute
from ridgeline.algorithm.operators import Add, AveragePool, Conv, ConvTranspose, Mul
from ridgeline.algorithm.passes.real import bias, limits


def golden_float(graph: Graph, *, boundaries: bool = False) -> bytes:
    """The file's bytes: float32 in and out, in the shapes of the ports. Raises UnsupportedError for a function that is more than limits."""
    return assembled(graph, np.float32, _layer, boundaries=boundaries)


def _layer(sheet: Sheet, graph: Graph, node: Node, inputs: Sequence[str], result: str) -> None:
    found = _value(sheet, graph, node, inputs)
    added = bias(node)
    if added is not None:
        found = sheet.node("Add", [found, sheet.constant(f"{node.name}/bias", added)], f"{node.name}/biased")
    low, high = (np.array(end, np.float32) for end in limits(node, "float32"))
    if np.isfinite(low) or np.isfinite(high):
        ends = [sheet.constant(f"{node.name}/low", low), sheet.constant(f"{node.name}/high", high)]
        found = sheet.node("Clip", [found, *ends], f"{node.name}/limited")
    sheet.node("Identity", [found], f"{node.name}/output", result=result)


def _value(sheet: Sheet, graph: Graph, node: Node, inputs: Sequence[str]) -> str:
    """Before the bias and the limits."""
    name, operator = f"{node.name}/sums", node.operator
    match operator:
        case Conv() | ConvTranspose():
            assert node.weight is not None
            attributes: dict[str, Attribute] = {
                "strides": operator.strides, "pads": operator.pads, "dilations": operator.dilations, "group": operator.groups,
            }  # fmt: skip
            if isinstance(operator, ConvTranspose):
                attributes["output_padding"] = operator.output_padding
            weight = sheet.constant(f"{node.name}/weight", node.weight.astype(np.float32))
            return sheet.node(type(operator).__name__, [inputs[0], weight], name, attributes=attributes)
        case AveragePool():
            counted = int(operator.count_include_pad)
            attributes = {"kernel_shape": operator.kernel, "strides": operator.strides, "pads": operator.pads, "count_include_pad": counted}
            return sheet.node("AveragePool", inputs, name, attributes=attributes)
        case Add():
            return sheet.node("Add", [_weighted(sheet, node, side, source) for side, source in enumerate(inputs)], name)
        case Mul():
            return sheet.node("Mul", inputs, name)
        case _:
            return moved(sheet, graph, node, inputs, np.float32)


def _weighted(sheet: Sheet, node: Node, side: int, source: str) -> str:
    if node.weight is None:
        return source
    factor = np.broadcast_to(node.weight.astype(np.float32), (2, node.weight.shape[-1]))[side].reshape(1, -1, 1, 1)
    return sheet.node("Mul", [source, sheet.constant(f"{node.name}/weight{side}", factor)], f"{node.name}/weighted{side}")
