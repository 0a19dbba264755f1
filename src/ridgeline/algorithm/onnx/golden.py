"""The golden network: an integer graph as an ONNX file of standard integer operators only.

One call of stock onnxruntime on it gives, bit for bit, what the hardware must compute. int8 goes in and comes out, in the shapes of the ports, with
a symbolic leading batch axis. The same graph gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ridgeline.algorithm.graph import Graph, Node, Port
from ridgeline.algorithm.onnx.golden_layers import accumulator
from ridgeline.algorithm.onnx.golden_sheet import Sheet
from ridgeline.algorithm.onnx.golden_stage import output_stage
from ridgeline.algorithm.onnx.writer import model, value
from ridgeline.errors import UnsupportedError

Layer: TypeAlias = Callable[[Sheet, Graph, Node, Sequence[str], str], None]
_LARGEST_BYTES = 2**31 - 1


def golden(graph: Graph, *, boundaries: bool = False) -> bytes:
    """The file's bytes. With `boundaries` every node's output is an output too, (batch, C, H, W), under its tensor's name."""
    return assembled(graph, np.int8, _layer, boundaries=boundaries)


def _layer(sheet: Sheet, graph: Graph, node: Node, inputs: Sequence[str], result: str) -> None:
    output_stage(sheet, graph, node, accumulator(sheet, graph, node, inputs), result=result)


def assembled(graph: Graph, dtype: type[np.generic], layer: Layer, *, boundaries: bool = False) -> bytes:
    """The file of a graph whose values are `dtype`. `layer(sheet, graph, node, inputs, result)` writes one node's output under the name `result`."""
    names = _value_names(graph)
    sheet = Sheet(taken={*names.values(), *_port_names(graph)})
    for port in graph.inputs:
        to_tensor(sheet, port, graph.tensors[port.tensor].shape, result=names[port.tensor])
    for name in graph.constants:
        constant_tensor(sheet, graph, name, dtype, result=names[name])
    for node in graph.nodes:
        layer(sheet, graph, node, [names[name] for name in node.inputs], names[node.output])
    outputs = [value(port.name, dtype, port.shape) for port in graph.outputs]
    for port in graph.outputs:
        to_array(sheet, port, source=names[port.tensor])
    if boundaries:
        known = {port.name for port in graph.outputs}
        wanted = [(name, shown) for name, shown in boundary_names(graph).items() if shown not in known]
        outputs += [value(shown, dtype, graph.tensors[name].shape) for name, shown in wanted]
    made = model(
        graph.name,
        nodes=sheet.nodes,
        initializers=sheet.initializers,
        inputs=[value(port.name, dtype, port.shape) for port in graph.inputs],
        outputs=outputs,
    )
    made.doc_string = f"golden network of '{graph.name}': what the hardware computes, bit for bit"
    if made.ByteSize() > _LARGEST_BYTES:
        raise UnsupportedError(
            f"network '{graph.name}' needs {made.ByteSize():,} bytes as one ONNX file, which holds at most {_LARGEST_BYTES:,}"
        )
    return made.SerializeToString(deterministic=True)


def boundary_names(graph: Graph) -> Mapping[str, str]:
    """Node output tensor -> the name of its (batch, C, H, W) output in a golden file with boundaries: its own, or with `/chw` behind it where a
    port of another shape has that name.
    """
    names = _value_names(graph)
    return {node.output: names[node.output] for node in graph.nodes}


def to_tensor(sheet: Sheet, port: Port, shape: tuple[int, int, int], *, result: str) -> None:
    """The port's array (batch, *shape) to (batch, C, H, W): `Port.to_tensor`. Nothing at all if they are the same."""
    if result == port.name:
        return
    steps = _rearranged(sheet, port.name, port.name, before=port.split, order=port.permutation)
    sheet.reshape(steps, shape, name=f"{port.name}/tensor", result=result)


def constant_tensor(sheet: Sheet, graph: Graph, name: str, dtype: type[np.generic], *, result: str) -> None:
    """A constant tensor's values, once for every image of the batch."""
    codes = sheet.constant(f"{name}/codes", graph.constants[name].astype(dtype)[None])
    batch = sheet.node("Shape", [graph.inputs[0].name], f"{name}/batch", attributes={"start": 0, "end": 1})
    image = sheet.constant(f"{name}/image", np.array(graph.constants[name].shape, np.int64))
    shape = sheet.node("Concat", [batch, image], f"{name}/shape", attributes={"axis": 0})
    sheet.node("Expand", [codes, shape], f"{name}/expanded", result=result)


def to_array(sheet: Sheet, port: Port, *, source: str) -> None:
    """(batch, C, H, W) to the port's array: `Port.to_array`."""
    if source == port.name:
        return
    permuted = tuple(port.split[axis] for axis in port.permutation)
    inverse = tuple(int(axis) for axis in np.argsort(port.permutation))
    steps = _rearranged(sheet, source, port.name, before=permuted, order=inverse)
    sheet.reshape(steps, port.shape, name=f"{port.name}/array", result=port.name)


def _rearranged(sheet: Sheet, source: str, name: str, *, before: tuple[int, ...], order: tuple[int, ...]) -> str:
    if order == tuple(range(len(order))):
        return source
    split = sheet.reshape(source, before, name=f"{name}/split")
    return sheet.node("Transpose", [split], f"{name}/transposed", attributes={"perm": [0, *(axis + 1 for axis in order)]})


def _port_names(graph: Graph) -> set[str]:
    return {port.name for port in (*graph.inputs, *graph.outputs)}


def _value_names(graph: Graph) -> dict[str, str]:
    """Tensor -> the name of its (batch, C, H, W) value."""
    ports = _port_names(graph)
    same = {port.tensor for port in graph.outputs if port.name == port.tensor and _plain(port, graph.tensors[port.tensor].shape)}
    names: dict[str, str] = {}
    for name in graph.tensors:
        shown = name
        while (shown in ports and name not in same) or shown in names.values() or (shown != name and shown in graph.tensors):
            shown = f"{shown}/chw"
        names[name] = shown
    for port in graph.inputs:
        if _plain(port, graph.tensors[port.tensor].shape):
            names[port.tensor] = port.name
    return names


def _plain(port: Port, shape: tuple[int, int, int]) -> bool:
    return port.shape == shape and port.permutation == tuple(range(len(port.permutation)))
