"""Joining nodes of a float graph: functions and constants into the node before them, borders into the window after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.function import Expression, Function, clip, compose
from ridgeline.algorithm.graph import Graph, Node
from ridgeline.algorithm.operators import AveragePool, Conv, ConvTranspose, Copy, MaxPool, Resize, Select, Take

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
# No real number that a network computes: exporters pad with -inf, or the lowest float32, before a maximum.
BEYOND = 1e30
_MOST_PIECES = 256

Rule: TypeAlias = Callable[[Graph, Node, Node], Node | None]


def fold(graph: Graph) -> Graph:
    """The graph with every pair of nodes joined that one node can do; values keep their names, the value between is gone."""
    for rule in (
        _affine_before_conv,
        _scale_into_conv,
        _affine_into_conv,
        _function_into_producer,
        _select_into_select,
        _take_into_take,
        _resize_into_resize,
        _border_into_window,
    ):
        graph = _joined(graph, rule)
    return graph


def _joined(graph: Graph, rule: Rule) -> Graph:
    """Applies a rule (graph, producer, its only consumer) -> the node that does both, from the first node to the last."""
    nodes = {node.output: node for node in graph.nodes}
    readers: dict[str, int] = {}
    for name in (*(name for node in graph.nodes for name in node.inputs), *(port.tensor for port in graph.outputs)):
        readers[name] = readers.get(name, 0) + 1
    for output in [node.output for node in graph.nodes]:
        node = nodes[output]
        producer = nodes.get(node.inputs[0]) if len(node.inputs) == 1 else None
        if producer is None or readers[producer.output] != 1:
            continue
        both = rule(graph, producer, node)
        if both is not None:
            del nodes[producer.output]
            nodes[output] = both
    order = {node.output: index for index, node in enumerate(graph.nodes)}
    kept = tuple(sorted(nodes.values(), key=lambda node: order[node.output]))
    return replace(graph, nodes=kept, tensors=_live(graph, kept))


def _live(graph: Graph, nodes: tuple[Node, ...]) -> Mapping[str, Any]:
    names = {port.tensor for port in graph.inputs} | {node.output for node in nodes} | set(graph.constants)
    return {name: tensor for name, tensor in graph.tensors.items() if name in names}


def _function_into_producer(graph: Graph, producer: Node, node: Node) -> Node | None:
    """Copy(f) after any node. A scale that the file gives between the two is kept by keeping both nodes."""
    if not isinstance(node.operator, Copy) or node.stage or producer.stage:
        return None
    if graph.tensors[producer.output].quantisation is not None:
        return None
    return replace(producer, output=node.output, function=_after(node.function, producer.function))


def _after(outer: Function | None, inner: Function | None) -> Function | None:
    """outer(inner(x)); two limits become one."""
    if outer is None or inner is None:
        return outer or inner
    if outer.clip is not None and inner.clip is not None:
        low, high = max(outer.clip[0], inner.clip[0]), min(outer.clip[1], inner.clip[1])
        if low < high:
            return clip(low, high)
    return compose(outer, inner)


def _scale_into_conv(graph: Graph, producer: Node, node: Node) -> Node | None:
    """The innermost a * x + b of a function after a convolution goes into its weights: Conv then Mul by a scalar then Relu is Conv then Relu."""
    if not isinstance(node.operator, Copy) or node.function is None or not _takes_constants(graph, producer):
        return None
    outer, scale, offset = _peeled(node.function.expression)
    if (scale, offset) == (1.0, 0.0) or scale == 0 or not np.isfinite([scale, offset]).all():
        return None
    channels = graph.tensors[producer.output].shape[0]
    scaled = _scaled(producer, np.full(channels, scale), np.full(channels, offset))
    rest = None if outer == "x" else Function(expression=outer)
    return replace(scaled, output=node.output, function=rest)


def _affine_into_conv(graph: Graph, producer: Node, node: Node) -> Node | None:
    """A depthwise 1x1 convolution (BatchNormalization, sums and products by channel) after a convolution."""
    operator, weight = node.operator, node.weight
    if not isinstance(operator, Conv) or weight is None or not _takes_constants(graph, producer) or node.weight_scale is not None:
        return None
    plain = replace(operator, groups=1) == Conv() and operator.groups == weight.shape[0] and weight.shape[1:] == (1, 1, 1)
    if not plain or not node.source or not _is_affine_source(node):
        return None
    bias = np.zeros(weight.shape[0]) if node.bias is None else node.bias
    return replace(_scaled(producer, weight.reshape(-1), bias), output=node.output, function=node.function)


def _affine_before_conv(graph: Graph, producer: Node, node: Node) -> Node | None:
    """a * x + b before a convolution, as in scaling an image to [0, 1]. The convolution pads with zeros, so b only where it does not pad."""
    operator = node.operator
    if not isinstance(operator, Conv) or node.weight is None or node.stage or graph.tensors[producer.output].quantisation is not None:
        return None
    channels = graph.tensors[producer.output].shape[0]
    constants = _affine_of(producer, channels)
    if constants is None or (any(operator.pads) and np.any(constants[1] != 0)) or np.any(constants[0] == 0):
        return None
    scale, offset = constants
    inner = channels // operator.groups
    by_output = np.repeat(np.arange(operator.groups), node.weight.shape[0] // operator.groups)[:, None] * inner + np.arange(inner)[None, :]
    weight = node.weight.astype(np.float64)
    bias = (0.0 if node.bias is None else node.bias.astype(np.float64)) + np.einsum("mchw,mc->m", weight, offset[by_output])
    scaled = weight * scale[by_output][:, :, None, None]
    uniform = node.weight_scale is not None and bool((scale == scale[0]).all())
    kept = node.weight_scale * abs(scale[0]) if uniform and node.weight_scale is not None else None
    return replace(node, weight=scaled.astype(np.float32), bias=bias.astype(np.float32), weight_scale=kept, inputs=producer.inputs)


def _affine_of(node: Node, channels: int) -> tuple[Array, Array] | None:
    """(a, b) by channel of a node that computes a * x + b and nothing else."""
    if node.stage is not None:
        return None
    if isinstance(node.operator, Copy) and node.function is not None:
        rest, scale, offset = _peeled(node.function.expression)
        finite = bool(np.isfinite([scale, offset]).all())
        return (np.full(channels, scale), np.full(channels, offset)) if rest == "x" and finite else None
    if node.weight is None or node.function is not None or not isinstance(node.operator, Conv) or not _is_affine_source(node):
        return None
    if replace(node.operator, groups=1) != Conv() or node.weight.shape != (channels, 1, 1, 1) or node.operator.groups != channels:
        return None
    bias = np.zeros(channels) if node.bias is None else node.bias
    return node.weight.reshape(-1).astype(np.float64), bias.astype(np.float64)


def _is_affine_source(node: Node) -> bool:
    """Whether the node stands for constants of the file, and not for a convolution that its author wrote."""
    return not node.source.endswith("(Conv)")


def _takes_constants(graph: Graph, node: Node) -> bool:
    return (
        isinstance(node.operator, (Conv, ConvTranspose))
        and node.function is None
        and node.stage is None
        and graph.tensors[node.output].quantisation is None
    )


def _scaled(node: Node, scale: Array, offset: Array) -> Node:
    """The convolution whose result is scale * (its result) + offset, for each channel."""
    weight = node.weight
    assert weight is not None
    bias = np.zeros(len(scale)) if node.bias is None else node.bias.astype(np.float64)
    if isinstance(node.operator, ConvTranspose):
        channels, outputs = weight.shape[:2]
        groups = node.operator.groups
        by_group = weight.astype(np.float64).reshape(groups, channels // groups, *weight.shape[1:])
        factors = scale.reshape(groups, 1, outputs, *(1,) * (weight.ndim - 2))
        scaled = (by_group * factors).reshape(weight.shape)
    else:
        scaled = weight.astype(np.float64) * scale.reshape(-1, 1, 1, 1)
    kept = node.weight_scale * np.abs(scale) if node.weight_scale is not None and (scale != 0).all() else None
    return replace(node, weight=scaled.astype(np.float32), bias=(bias * scale + offset).astype(np.float32), weight_scale=kept)


def _peeled(expression: Expression) -> tuple[Expression, float, float]:
    """(g, a, b) with expression(x) = g(a * x + b), as much of it in a and b as one occurrence of x allows."""
    if expression == "x" or not isinstance(expression, tuple):
        return expression, 1.0, 0.0
    holders = [index for index, argument in enumerate(expression[1:], 1) if _occurs(argument)]
    if len(holders) != 1:
        return expression, 1.0, 0.0
    inner, scale, offset = _peeled(expression[holders[0]])
    if inner == "x":
        affine = _affine(expression, holders[0], scale, offset)
        if affine is not None:
            return "x", *affine
    return tuple(inner if index == holders[0] else part for index, part in enumerate(expression)), scale, offset  # pyright: ignore[reportReturnType]


def _affine(expression: tuple[Any, ...], holder: int, scale: float, offset: float) -> tuple[float, float] | None:
    """An operation with a number, of scale * x + offset, as another such pair."""
    if expression[0] == "neg":
        return -scale, -offset
    other = expression[3 - holder] if len(expression) == 3 else None
    if not isinstance(other, (int, float)):
        return None
    match expression[0], holder:
        case "add", _:
            return scale, offset + other
        case "sub", 1:
            return scale, offset - other
        case "sub", 2:
            return -scale, other - offset
        case "mul", _:
            return scale * other, offset * other
        case "div", 1:
            return (scale / other, offset / other) if other else None
        case _:
            return None


def _occurs(expression: Expression) -> bool:
    if isinstance(expression, tuple):
        return any(_occurs(argument) for argument in expression[1:])
    return expression == "x"


def _border_into_window(graph: Graph, producer: Node, node: Node) -> Node | None:
    """A border of zeros before a convolution, or before an average pool that counts its padding; one below all numbers before a maximum."""
    border = producer.operator
    if not isinstance(border, Select) or producer.function is not None or graph.tensors[producer.output].quantisation is not None:
        return None
    channels, height, width = graph.tensors[producer.inputs[0]].shape
    bottom, right = border.size[0] + border.origin[0] - height, border.size[1] + border.origin[1] - width
    extra = (-border.origin[0], -border.origin[1], bottom, right)
    if border.channels != tuple(range(channels)) or border.steps != (1, 1) or min(extra) < 0:
        return None
    operator = node.operator
    if not isinstance(operator, (Conv, AveragePool, MaxPool)) or not _pads_with(operator, border.border):
        return None
    top, left, low, far = (a + b for a, b in zip(operator.pads, extra, strict=True))
    padded = replace(operator, pads=(top, left, low, far))
    if isinstance(padded, AveragePool):
        padded = replace(padded, count_include_pad=True)
    if isinstance(padded, MaxPool) and (max(top, low) >= padded.kernel[0] or max(left, far) >= padded.kernel[1]):
        return None
    return replace(node, operator=padded, inputs=producer.inputs)


def _pads_with(operator: Conv | AveragePool | MaxPool, border: float | None) -> bool:
    """Whether the operator's own padding is the same as a border of that value."""
    match operator:
        case Conv():
            return border is None
        case AveragePool():
            return border is None and (operator.count_include_pad or not any(operator.pads))
        case MaxPool():
            return border is not None and border <= -BEYOND


def _select_into_select(graph: Graph, producer: Node, node: Node) -> Node | None:
    """Two selections in a row, where the second reads nothing but the first, or where both only add borders."""
    first, second = producer.operator, node.operator
    if not isinstance(first, Select) or not isinstance(second, Select):
        return None
    if producer.function is not None or graph.tensors[producer.output].quantisation is not None:
        return None
    source = graph.tensors[producer.inputs[0]].shape[1:]
    bordered = _has_border(first, source), _has_border(second, first.size)
    if all(bordered) and first.border != second.border:
        return None
    axes = zip(first.origin, first.size, first.steps, second.origin, second.size, second.steps, source, strict=True)
    if not all(_within(*axis) for axis in axes):
        return None
    return replace(
        node,
        inputs=producer.inputs,
        operator=Select(
            channels=tuple(first.channels[channel] for channel in second.channels),
            origin=(first.origin[0] + second.origin[0] * first.steps[0], first.origin[1] + second.origin[1] * first.steps[1]),
            size=second.size,
            steps=(first.steps[0] * second.steps[0], first.steps[1] * second.steps[1]),
            border=second.border if bordered[1] else first.border,
        ),
    )


def _take_into_take(graph: Graph, producer: Node, node: Node) -> Node | None:
    """Rows and columns at once, unless that cuts the image into so many pieces that a second pass over it costs less."""
    first, second = producer.operator, node.operator
    if not isinstance(first, Take) or not isinstance(second, Take):
        return None
    if producer.function is not None or graph.tensors[producer.output].quantisation is not None:
        return None
    rows, columns = tuple(first.rows[row] for row in second.rows), tuple(first.columns[column] for column in second.columns)
    both = Take(rows=rows, columns=columns)
    return replace(node, operator=both, inputs=producer.inputs) if both.pieces <= _MOST_PIECES else None


def _resize_into_resize(graph: Graph, producer: Node, node: Node) -> Node | None:
    first, second = producer.operator, node.operator
    if not isinstance(first, Resize) or not isinstance(second, Resize):
        return None
    if producer.function is not None or graph.tensors[producer.output].quantisation is not None:
        return None
    factors = first.factors[0] * second.factors[0], first.factors[1] * second.factors[1]
    return replace(node, operator=Resize(factors=factors), inputs=producer.inputs)


def _has_border(select: Select, extent: tuple[int, int]) -> bool:
    ends = (start + (size - 1) * step for start, size, step in zip(select.origin, select.size, select.steps, strict=True))
    return min(select.origin) < 0 or any(end >= limit for end, limit in zip(ends, extent, strict=True))


def _within(start: int, size: int, step: int, second_start: int, second_size: int, second_step: int, extent: int) -> bool:
    """Whether along one axis the second selection stays inside the first, or the first holds all that there is, so that beyond it is border too."""
    inside = second_start >= 0 and second_start + (second_size - 1) * second_step < size
    return inside or (step == 1 and start <= 0 and start + size >= extent)
