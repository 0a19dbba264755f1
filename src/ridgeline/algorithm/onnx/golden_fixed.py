"""The golden network of fixed16 in standard ONNX operators: int16 goes in and comes out of every layer.

onnxruntime has no int16 arithmetic. Sums are made in double, where integers below 2**53 are exact whatever the order of the additions: a
convolution is one MatMul for each position of its kernel. What only moves codes goes through float32, which holds every int16 exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np

from ridgeline.algorithm.graph import Array, Graph, Node, Port
from ridgeline.algorithm.onnx.golden import assembled
from ridgeline.algorithm.onnx.golden_layers import moved, pad
from ridgeline.algorithm.onnx.golden_sheet import Sheet
from ridgeline.algorithm.onnx.writer import Attribute, model, value
from ridgeline.algorithm.operators import Add, AveragePool, Conv, ConvTranspose, Mul
from ridgeline.algorithm.passes.fixed import HIGH, LOW, Fixed

Pair = tuple[int, int]


def golden_fixed(found: Fixed, *, boundaries: bool = False) -> bytes:
    """The file's bytes."""
    return assembled(found.graph, np.int16, partial(_layer, found.limits), boundaries=boundaries)


def front_fixed(found: Fixed) -> bytes:
    """float32 inputs to codes: value * 2**fraction in double, rounded (halves to even), saturated."""

    def codes(sheet: Sheet, port: Port) -> None:
        wide = sheet.cast(port.name, np.float64, name=f"{port.name}/wide")
        scaled = sheet.node("Mul", [wide, _scale(sheet, found, port, 1)], f"{port.name}/scaled")
        rounded = sheet.node("Round", [scaled], f"{port.name}/rounded")
        ends = [sheet.constant(f"{port.name}/{name}", np.array(end, np.float64)) for name, end in (("low", LOW), ("high", HIGH))]
        limited = sheet.node("Clip", [rounded, *ends], f"{port.name}/limited")
        sheet.cast(limited, np.int16, name=f"{port.name}/codes", result=code_name(port.name))

    return _ends(found.graph, found.graph.inputs, codes, "front")


def back_fixed(found: Fixed) -> bytes:
    """Output codes to float32: code * 2**-fraction."""

    def reals(sheet: Sheet, port: Port) -> None:
        wide = sheet.cast(code_name(port.name), np.float64, name=f"{port.name}/wide")
        scaled = sheet.node("Mul", [wide, _scale(sheet, found, port, -1)], f"{port.name}/scaled")
        sheet.cast(scaled, np.float32, name=f"{port.name}/real", result=port.name)

    return _ends(found.graph, found.graph.outputs, reals, "back")


def code_name(port: str) -> str:
    """The name of a port's codes in the front and back files."""
    return f"{port}.int16"


def _scale(sheet: Sheet, found: Fixed, port: Port, sign: int) -> str:
    return sheet.constant(f"{port.name}/scale", np.array(2.0 ** (sign * found.fractions[port.tensor]), np.float64))


def _ends(graph: Graph, ports: tuple[Port, ...], write: Callable[[Sheet, Port], None], title: str) -> bytes:
    sheet = Sheet(taken={name for port in ports for name in (port.name, code_name(port.name))})
    for port in ports:
        write(sheet, port)
    codes = [value(code_name(port.name), np.int16, port.shape) for port in ports]
    reals = [value(port.name, np.float32, port.shape) for port in ports]
    inputs, outputs = (reals, codes) if title == "front" else (codes, reals)
    made = model(f"{graph.name}-{title}", nodes=sheet.nodes, initializers=sheet.initializers, inputs=inputs, outputs=outputs)
    return made.SerializeToString(deterministic=True)


def _layer(limits: Mapping[str, Pair], sheet: Sheet, graph: Graph, node: Node, inputs: Sequence[str], result: str) -> None:
    """The output stage, exact: a product with a power of two is, and the others stay below 2**53."""
    stage, name = node.stage, node.name
    assert stage is not None
    found = _sums(sheet, graph, node, inputs)
    if np.any(stage.bias):
        found = sheet.node("Add", [found, sheet.constant(f"{name}/bias", _channels(stage.bias))], f"{name}/biased")
    multiplier, shift = stage.multiplier.astype(np.float64)[None], stage.shift.astype(np.float64)[None]
    found = sheet.node("Mul", [found, sheet.constant(f"{name}/multiplier", multiplier)], f"{name}/multiplied")
    found = sheet.node("Add", [found, sheet.constant(f"{name}/half", 2.0 ** (shift - 1))], f"{name}/raised")
    found = sheet.node("Mul", [found, sheet.constant(f"{name}/step", 2.0**-shift)], f"{name}/shifted")
    found = sheet.node("Floor", [found], f"{name}/rounded")
    ends = [sheet.constant(f"{name}/{end}", np.array(code, np.float64)) for end, code in zip(("low", "high"), limits[name], strict=True)]
    found = sheet.node("Clip", [found, *ends], f"{name}/limited")
    sheet.cast(found, np.int16, name=f"{name}/output", result=result)


def _channels(values: Array) -> Array:
    return values.astype(np.float64).reshape(1, -1, 1, 1)


def _sums(sheet: Sheet, graph: Graph, node: Node, inputs: Sequence[str]) -> str:
    """Integers in double."""
    operator, name = node.operator, node.name
    if not isinstance(operator, Conv | ConvTranspose | AveragePool | Add | Mul):
        codes = [sheet.cast(source, np.float32, name=f"{name}/code{side}") for side, source in enumerate(inputs)]
        return sheet.cast(moved(sheet, graph, node, codes, np.float32), np.float64, name=f"{name}/sums")
    wide = [sheet.cast(source, np.float64, name=f"{name}/wide{side}") for side, source in enumerate(inputs)]
    match operator:
        case Conv():
            assert node.weight is not None
            return _convolved(sheet, graph, node, wide[0], (node.weight, operator.strides, operator.dilations, operator.pads))
        case ConvTranspose():
            return _spread(sheet, graph, node, operator, wide[0])
        case AveragePool():
            return _summed(sheet, graph, node, operator, wide[0])
        case Add():
            assert node.weight is not None
            sides = [
                sheet.node("Mul", [source, sheet.constant(f"{name}/weight{side}", _channels(node.weight[side]))], f"{name}/weighted{side}")
                for side, source in enumerate(wide)
            ]
            return sheet.node("Add", sides, f"{name}/sums")
        case Mul():
            return sheet.node("Mul", wide, f"{name}/sums")


def _spread(sheet: Sheet, graph: Graph, node: Node, operator: ConvTranspose, source: str) -> str:
    """The input with zeros between its elements, then a plain convolution with the weight turned round."""
    assert node.weight is not None
    channels, height, width = graph.input_shapes(node)[0]
    down, across = operator.strides
    weight = operator.forward(node.weight)
    top, left, bottom, right = operator.border(weight.shape[2:])
    if operator.strides != (1, 1):
        apart = sheet.reshape(source, (channels, height, 1, width, 1), name=f"{node.name}/apart")
        sides = {3: (0, down - 1), 5: (0, across - 1)}
        spread = pad(sheet, apart, sides, zero=0, rank=6, name=f"{node.name}/spread", dtype=np.float64)
        source = sheet.reshape(spread, (channels, height * down, width * across), name=f"{node.name}/joined")
    pads = (top, left, bottom - down + 1, right - across + 1)
    return _convolved(sheet, graph, node, source, (weight, (1, 1), operator.dilations, pads))


def _convolved(
    sheet: Sheet, graph: Graph, node: Node, source: str, window: tuple[Array, Pair, Pair, tuple[int, int, int, int]]
) -> str:
    """weight (M, C / groups, KH, KW), strides, dilations, pads."""
    weight, strides, dilations, (top, left, bottom, right) = window
    assert isinstance(node.operator, Conv | ConvTranspose)
    groups, (outputs, rows, columns) = node.operator.groups, graph.tensors[node.output].shape
    border = {2: (top, bottom), 3: (left, right)}
    source = pad(sheet, source, border, zero=0, rank=4, name=f"{node.name}/padded", dtype=np.float64)
    found: str | None = None
    for ky, kx in product(range(weight.shape[2]), range(weight.shape[3])):
        name = f"{node.name}/tap{ky}.{kx}"
        cut = _cut(sheet, source, (ky * dilations[0], kx * dilations[1]), strides, (rows, columns), name)
        flat = sheet.reshape(cut, (groups, weight.shape[1], rows * columns), name=f"{name}/flat")
        matrix = weight[:, :, ky, kx].reshape(1, groups, outputs // groups, weight.shape[1]).astype(np.float32)
        wide = sheet.cast(sheet.constant(f"{name}/weight", matrix), np.float64, name=f"{name}/wide")  # half the file's size
        part = sheet.node("MatMul", [wide, flat], f"{name}/products")
        found = part if found is None else sheet.node("Add", [found, part], f"{name}/sums")
    assert found is not None
    return sheet.reshape(found, (outputs, rows, columns), name=f"{node.name}/sums")


def _cut(sheet: Sheet, source: str, start: Pair, strides: Pair, size: Pair, name: str) -> str:
    """Rows and columns at `strides` from `start` on."""
    stop = [first + (count - 1) * stride + 1 for first, count, stride in zip(start, size, strides, strict=True)]
    numbers = {"start": list(start), "stop": stop, "axes": [2, 3], "steps": list(strides)}
    inputs = [sheet.constant(f"{name}/{what}", np.array(values, np.int64)) for what, values in numbers.items()]
    return sheet.node("Slice", [source, *inputs], name)


def _summed(sheet: Sheet, graph: Graph, node: Node, operator: AveragePool, source: str) -> str:
    if operator.kernel == graph.input_shapes(node)[0][1:] and operator.pads == (0, 0, 0, 0):
        axes = sheet.constant(f"{node.name}/axes", np.array([2, 3], np.int64))
        attributes: dict[str, Attribute] = {"keepdims": 1}
        return sheet.node("ReduceSum", [source, axes], f"{node.name}/sums", attributes=attributes)
    (top, left, bottom, right), size = operator.pads, graph.tensors[node.output].shape[1:]
    source = pad(sheet, source, {2: (top, bottom), 3: (left, right)}, zero=0, rank=4, name=f"{node.name}/padded", dtype=np.float64)
    found: str | None = None
    for ky, kx in product(range(operator.kernel[0]), range(operator.kernel[1])):
        cut = _cut(sheet, source, (ky, kx), operator.strides, size, f"{node.name}/tap{ky}.{kx}")
        found = cut if found is None else sheet.node("Add", [found, cut], f"{node.name}/sums{ky}.{kx}")
    assert found is not None
    return found
