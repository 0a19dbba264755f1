"""The host's ends of a golden network: float32 to int8 codes before it, codes to float32 after it, as little ONNX files.

`x.int8` is the name of the codes of port `x` in both; the golden network itself calls them `x`.
"""

from __future__ import annotations

import numpy as np

from ridgeline.algorithm.graph import Graph, Port
from ridgeline.algorithm.onnx.golden_sheet import Sheet
from ridgeline.algorithm.onnx.writer import model, value
from ridgeline.algorithm.reference import quantisation


def front_onnx(graph: Graph) -> bytes:
    """float32 inputs to codes, by QuantizeLinear: value / scale in float32, rounded (halves to even), plus the zero point, saturated."""
    return _ends(graph, graph.inputs, operator="QuantizeLinear", title="front")


def back_onnx(graph: Graph) -> bytes:
    """Output codes to float32, by DequantizeLinear: (code - zero_point) * scale."""
    return _ends(graph, graph.outputs, operator="DequantizeLinear", title="back")


def code_name(port: str) -> str:
    """The name of a port's codes in the front and back files."""
    return f"{port}.int8"


def _ends(graph: Graph, ports: tuple[Port, ...], *, operator: str, title: str) -> bytes:
    sheet = Sheet(taken={name for port in ports for name in (port.name, code_name(port.name))})
    for port in ports:
        code = quantisation(graph, port.tensor)
        scale = sheet.constant(f"{port.name}/scale", np.array(code.scale, np.float32))
        zero_point = sheet.constant(f"{port.name}/zero_point", np.array(code.zero_point, np.int8))
        ends = (port.name, code_name(port.name))
        source, result = ends if operator == "QuantizeLinear" else ends[::-1]
        sheet.node(operator, [source, scale, zero_point], f"{port.name}/{operator}", result=result)
    codes = [value(code_name(port.name), np.int8, port.shape) for port in ports]
    reals = [value(port.name, np.float32, port.shape) for port in ports]
    inputs, outputs = (reals, codes) if operator == "QuantizeLinear" else (codes, reals)
    name = f"{graph.name}-{title}"
    return model(name, nodes=sheet.nodes, initializers=sheet.initializers, inputs=inputs, outputs=outputs).SerializeToString(
        deterministic=True
    )
