"""Each operator's accumulator in standard integer operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ridgeline.algorithm.graph import Array, Graph, Node
from ridgeline.algorithm.onnx.golden_sheet import Sheet
from ridgeline.algorithm.onnx.golden_stage import Accumulator
from ridgeline.algorithm.onnx.writer import Attribute
from ridgeline.algorithm.operators import (
    Add,
    AveragePool,
    Concat,
    Conv,
    ConvTranspose,
    Copy,
    Expand,
    Join,
    MaxPool,
    Mul,
    Resize,
    Select,
    Take,
)
from ridgeline.algorithm.reference import quantisation
from ridgeline.errors import UnsupportedError


def accumulator(sheet: Sheet, graph: Graph, node: Node, inputs: Sequence[str]) -> Accumulator:
    """What the operator makes of its inputs, before the output stage."""
    zeros = [quantisation(graph, name).zero_point for name in node.inputs]
    shape = graph.input_shapes(node)[0]
    match node.operator:
        case Conv():
            return _conv(sheet, node, inputs[0], zero=zeros[0])
        case ConvTranspose():
            return _conv_transpose(sheet, node, inputs[0], shape=shape, zero=zeros[0])
        case AveragePool():
            return _average_pool(sheet, node, inputs[0], shape=shape, zero=zeros[0])
        case Add():
            return _add(sheet, node, inputs)
        case Mul():
            return _mul(sheet, node, inputs, zeros)
        case MaxPool() | Concat() | Copy() | Expand() | Join() | Resize() | Select() | Take():
            return Accumulator(name=moved(sheet, graph, node, inputs), is_code=True, bias=_bias(node))
        case _:
            raise UnsupportedError(f"node '{node.name}': operator {type(node.operator).__name__} has no form in standard integer operators")


def _conv(sheet: Sheet, node: Node, source: str, *, zero: int) -> Accumulator:
    operator, weight = node.operator, node.weight
    assert isinstance(operator, Conv)
    assert weight is not None
    attributes: dict[str, Attribute] = {"group": operator.groups, "strides": operator.strides, "dilations": operator.dilations}
    return _convolved(sheet, node, source, weight=weight, pads=operator.pads, zero=zero, attributes=attributes)


def _conv_transpose(sheet: Sheet, node: Node, source: str, *, shape: tuple[int, int, int], zero: int) -> Accumulator:
    """The input spread out with zero points between its elements, then a plain convolution with the weight turned round."""
    operator = node.operator
    assert isinstance(operator, ConvTranspose)
    assert node.weight is not None
    channels, height, width = shape
    down, across = operator.strides
    weight = operator.forward(node.weight)
    top, left, bottom, right = operator.border(weight.shape[2:])
    if operator.strides != (1, 1):
        apart = sheet.reshape(source, (channels, height, 1, width, 1), name=f"{node.name}/apart")
        spread = pad(sheet, apart, {3: (0, down - 1), 5: (0, across - 1)}, zero=zero, rank=6, name=f"{node.name}/spread")
        source = sheet.reshape(spread, (channels, height * down, width * across), name=f"{node.name}/joined")
    border = {2: (top, bottom - down + 1), 3: (left, right - across + 1)}
    source = pad(sheet, source, border, zero=zero, rank=4, name=f"{node.name}/border")
    attributes: dict[str, Attribute] = {"group": operator.groups, "strides": (1, 1), "dilations": operator.dilations}
    return _convolved(sheet, node, source, weight=weight, pads=(0, 0, 0, 0), zero=zero, attributes=attributes)


def _average_pool(sheet: Sheet, node: Node, source: str, *, shape: tuple[int, int, int], zero: int) -> Accumulator:
    operator = node.operator
    assert isinstance(operator, AveragePool)
    if operator.kernel == shape[1:] and operator.pads == (0, 0, 0, 0):
        wide = sheet.cast(source, np.int32, name=f"{node.name}/wide")
        axes = sheet.constant(f"{node.name}/axes", np.array([2, 3], np.int64))
        sums = sheet.node("ReduceSum", [wide, axes], f"{node.name}/sums", attributes={"keepdims": 1})
        return Accumulator(name=sums, is_code=False, bias=_bias(node))
    ones = np.ones((shape[0], 1, *operator.kernel), np.int8)
    attributes: dict[str, Attribute] = {"group": shape[0], "strides": operator.strides, "dilations": (1, 1)}
    return _convolved(sheet, node, source, weight=ones, pads=operator.pads, zero=zero, attributes=attributes)


def _convolved(
    sheet: Sheet, node: Node, source: str, *, weight: Array, pads: tuple[int, ...], zero: int, attributes: dict[str, Attribute]
) -> Accumulator:
    """ConvInteger takes the zero point off and pads with it, so the bias is the real one; where that leaves int32 (it is the sum that is proven to
    stay within), the codes are padded and summed as they are.
    """
    real = _bias(node) + zero * weight.reshape(weight.shape[0], -1).sum(axis=1, dtype=np.int64)
    constant = sheet.constant(f"{node.name}/weight", weight)
    if int(np.abs(real).max()) < 2**31:
        inputs = [source, constant, sheet.constant(f"{node.name}/zero_point", np.array(zero, np.int8))]
        sums = sheet.node("ConvInteger", inputs, f"{node.name}/sums", attributes={"pads": pads, **attributes})
        return Accumulator(name=sums, is_code=False, bias=real)
    top, left, bottom, right = pads
    source = pad(sheet, source, {2: (top, bottom), 3: (left, right)}, zero=zero, rank=4, name=f"{node.name}/padded")
    sums = sheet.node("ConvInteger", [source, constant], f"{node.name}/sums", attributes=attributes)
    return Accumulator(name=sums, is_code=False, bias=_bias(node))


def _add(sheet: Sheet, node: Node, inputs: Sequence[str]) -> Accumulator:
    sides: list[str] = []
    for side, source in enumerate(inputs):
        wide = sheet.cast(source, np.int32, name=f"{node.name}/wide{side}")
        if node.weight is not None:
            factor = sheet.constant(f"{node.name}/weight{side}", node.weight[side].astype(np.int32).reshape(1, -1, 1, 1))
            wide = sheet.node("Mul", [wide, factor], f"{node.name}/weighted{side}")
        sides.append(wide)
    return Accumulator(name=sheet.node("Add", sides, f"{node.name}/sums"), is_code=False, bias=_bias(node))


def _mul(sheet: Sheet, node: Node, inputs: Sequence[str], zeros: Sequence[int]) -> Accumulator:
    sides: list[str] = []
    for side, (source, zero) in enumerate(zip(inputs, zeros, strict=True)):
        wide = sheet.cast(source, np.int32, name=f"{node.name}/wide{side}")
        sides.append(
            sheet.node("Sub", [wide, sheet.constant(f"{node.name}/zero_point{side}", np.array(zero, np.int32))], f"{node.name}/real{side}")
        )
    return Accumulator(name=sheet.node("Mul", sides, f"{node.name}/products"), is_code=False, bias=_bias(node))


def moved(sheet: Sheet, graph: Graph, node: Node, inputs: Sequence[str], dtype: type[np.generic] = np.int8) -> str:
    """The operators that compute nothing, and a maximum. Values are `dtype`."""
    name = f"{node.name}/codes"
    match node.operator:
        case MaxPool(kernel=kernel, strides=strides, pads=pads, dilations=dilations):
            attributes: dict[str, Attribute] = {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations}
            return sheet.node("MaxPool", inputs, name, attributes=attributes)
        case Concat():
            return sheet.node("Concat", inputs, name, attributes={"axis": 1})
        case Join(position=position):
            return sheet.node("Concat", inputs, name, attributes={"axis": 1 + position})
        case Take(rows=rows, columns=columns):
            return _taken(sheet, node, {2: rows, 3: columns}, source=inputs[0])
        case Expand(size=size):
            return sheet.node("Expand", [inputs[0], sheet.constant(f"{name}/shape", np.array([1, 1, *size], np.int64))], name)
        case Resize(factors=factors):
            scales = sheet.constant(f"{name}/scales", np.array([1, 1, *factors], np.float32))
            modes: dict[str, Attribute] = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            return sheet.node("Resize", [inputs[0], "", scales], name, attributes=modes)
        case Select() as operator:
            return _selected(sheet, graph, node, operator, source=inputs[0], dtype=dtype)
        case _:
            return inputs[0]


def _selected(sheet: Sheet, graph: Graph, node: Node, operator: Select, *, source: str, dtype: type[np.generic]) -> str:
    channels, *extents = graph.input_shapes(node)[0]
    if operator.channels != tuple(range(channels)):
        taken = sheet.constant(f"{node.name}/channels", np.array(operator.channels, np.int64))
        source = sheet.node("Gather", [source, taken], f"{node.name}/taken", attributes={"axis": 1})
    border: dict[int, tuple[int, int]] = {}
    for axis in (0, 1):
        wanted = operator.origin[axis] + operator.steps[axis] * np.arange(operator.size[axis])
        inside = (wanted >= 0) & (wanted < extents[axis])
        if not np.array_equal(wanted[inside], np.arange(extents[axis])):
            positions = sheet.constant(f"{node.name}/positions{axis}", wanted[inside].astype(np.int64))
            source = sheet.node("Gather", [source, positions], f"{node.name}/cut{axis}", attributes={"axis": axis + 2})
        before = int(np.argmax(inside)) if inside.any() else 0
        border[axis + 2] = before, int(np.sum(~inside)) - before
    code = graph.tensors[node.inputs[0]].quantisation
    fill = (0 if code is None else code.zero_point) if operator.border is None else int(operator.border)
    return pad(sheet, source, border, zero=fill, rank=4, name=f"{node.name}/border", dtype=dtype)


def _taken(sheet: Sheet, node: Node, indices: dict[int, tuple[int, ...]], *, source: str) -> str:
    for axis, wanted in indices.items():
        positions = sheet.constant(f"{node.name}/positions{axis}", np.array(wanted, np.int64))
        source = sheet.node("Gather", [source, positions], f"{node.name}/taken{axis}", attributes={"axis": axis})
    return source


def pad(
    sheet: Sheet, source: str, border: dict[int, tuple[int, int]], *, zero: int, rank: int, name: str, dtype: type[np.generic] = np.int8
) -> str:
    """`border`: axis -> elements of `zero` before and after; negative ones crop."""
    if not any(side for pair in border.values() for side in pair):
        return source
    sides = [border.get(axis, (0, 0))[end] for end in (0, 1) for axis in range(rank)]
    pads = sheet.constant(f"{name}/pads", np.array(sides, np.int64))
    return sheet.node("Pad", [source, pads, sheet.constant(f"{name}/zero", np.array(zero, dtype))], name, attributes={"mode": "constant"})


def _bias(node: Node) -> Array:
    assert node.stage is not None
    return node.stage.bias.astype(np.int64)
