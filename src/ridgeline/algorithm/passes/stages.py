"""The output stage of each operator: bias, multiplier, shift and table from the scales before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import frexp

import numpy as np

from ridgeline.algorithm.function import Function
from ridgeline.algorithm.graph import Array, Graph, Node, Quantisation, Requantise
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
from ridgeline.algorithm.passes.moments import drift
from ridgeline.algorithm.passes.overflow import filters, label
from ridgeline.algorithm.reference import dequantise, quantisation, quantise
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.formats import Scalar, Search, read_format
from ridgeline.formats import quantise as encoded

# Operators that move codes and compute nothing: their output keeps the input's scale.
MOVES = (Copy, Expand, Join, MaxPool, Resize, Select, Take)
_MULTIPLIER_BITS = 17
_LARGEST_BIAS = 2.0**29


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the stage makes of a real number: the code before the table, its limits, and the table."""

    code: Quantisation
    low: int
    high: int
    table: Array | None


def target(node: Node, before: Quantisation | None, after: Quantisation) -> Target:
    """`before` is the scale in front of a function that needs a table; a function that only limits becomes limits of the code."""
    function = node.function
    if before is not None and function is not None:
        return Target(code=before, low=-128, high=127, table=table(function, before, after))
    low, high = limits(function, after)
    nearest = nearest_levels(after)
    exact = np.array_equal(nearest[low + 128 : high + 129], np.arange(low, high + 1))
    return Target(code=after, low=low, high=high, table=None if exact else nearest)


def nearest_levels(code: Quantisation) -> Array:
    """int8 (256,): the level nearest to each code, the larger of two; the code itself where there are no levels."""
    codes = np.arange(-128, 128)
    if not code.levels:
        return codes.astype(np.int8)
    levels = np.array(code.levels)
    return levels[np.searchsorted((levels[:-1] + levels[1:]) / 2, codes, side="right")].astype(np.int8)


def limits(function: Function | None, code: Quantisation) -> tuple[int, int]:
    """The codes nearest to the ends of a Relu or Clip, within the code's own."""
    if function is None or function.clip is None:
        return code.low, code.high
    low, high = (int(quantise(np.asarray(end), code)) for end in function.clip)
    return low, high


def table(function: Function | None, before: Quantisation, after: Quantisation) -> Array:
    """int8 (256,): the output's code for each code; rounded as QuantizeLinear does, then to the nearest level. Where a function has no value the
    entry is a real zero."""
    levels = dequantise(np.arange(-128, 128), before)
    with np.errstate(all="ignore"):
        values = levels if function is None else function(levels)
    codes = quantise(np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf), after)
    return nearest_levels(after)[codes.astype(np.int64) + 128]


def multiplier(node: Node, ratios: Array) -> tuple[Array, Array]:
    """(multiplier, shift) with multiplier * 2**-shift next to each ratio: 17 significant bits, fewer below 2**-47.

    Raises UnsupportedError above 2**16.
    """
    pairs = [_multiplier(node, float(ratio)) for ratio in ratios.ravel()]
    found, shifts = np.array(pairs, np.int32).T
    return found.reshape(ratios.shape), shifts.reshape(ratios.shape)


def _multiplier(node: Node, ratio: float) -> tuple[int, int]:
    fraction, exponent = frexp(ratio)
    shift = min(_MULTIPLIER_BITS - exponent, 63)
    found = round(np.ldexp(ratio, shift)) if shift == 63 else round(fraction * 2**_MULTIPLIER_BITS)
    if found == 2**_MULTIPLIER_BITS:
        found, shift = found // 2, shift - 1
    if shift < 1 or not np.isfinite(ratio):
        raise UnsupportedError(
            f"node '{node.name}' ({label(node)}): its output's scale is {ratio:g} times finer than its accumulator's, "
            f"and at most {2**16:,} can be done"
        )
    return found, shift


def quantised(graph: Graph, node: Node, aim: Target, *, means: Array | None = None) -> Node:
    """The node with its stage and int8 weight; `graph` holds the quantisation of its inputs, `means` are those of its input's channels."""
    inputs = [quantisation(graph, name) for name in node.inputs]
    shapes = graph.input_shapes(node)
    channels = graph.tensors[node.output].shape[0]
    match node.operator:
        case Conv() | ConvTranspose():
            return _weighted(node, inputs[0], aim, means)
        case Add():
            return _sum(node, inputs, channels, aim)
        case Mul():
            ratios = np.full((channels, 1, 1), inputs[0].scale * inputs[1].scale / aim.code.scale)
            return _finished(node, np.zeros(channels, np.int64), ratios, aim)
        case AveragePool(kernel=kernel):
            counted = node.operator.counted(shapes[0])
            ratios = inputs[0].scale / aim.code.scale / counted[None]
            ratios = np.broadcast_to(ratios, (channels, 1, 1)) if counted.size == 1 else ratios
            return _finished(node, np.full(channels, -inputs[0].zero_point * kernel[0] * kernel[1]), ratios, aim)
        case Concat():
            repeats = [shape[0] for shape in shapes]
            ratios = np.repeat([quantity.scale / aim.code.scale for quantity in inputs], repeats)
            return _finished(node, np.repeat([-quantity.zero_point for quantity in inputs], repeats), ratios.reshape(-1, 1, 1), aim)
        case _:
            raise UnsupportedError(f"node '{node.name}': no output stage is known for operator {type(node.operator).__name__}")


def moved(graph: Graph, node: Node, after: Quantisation) -> Node:
    """A node that moves codes: they pass unchanged, within the limits of a Relu or Clip; any other change goes through a table. Several inputs have
    one scale.
    """
    source = quantisation(graph, node.inputs[0])
    if isinstance(node.operator, Select) and node.operator.border is not None:
        node = replace(node, operator=replace(node.operator, border=int(quantise(np.asarray(node.operator.border), source))))
    limited = node.function is None or node.function.clip is not None
    same = (source.scale, source.zero_point) == (after.scale, after.zero_point)
    channels = graph.tensors[node.output].shape[0]
    if same and limited:
        low, high = limits(node.function, after)
        return replace(node, bias=None, stage=identity(channels, low=low, high=high))
    return replace(node, bias=None, stage=identity(channels, table=table(node.function, source, after)))


def identity(channels: int, *, low: int = -128, high: int = 127, table: Array | None = None) -> Requantise:
    """(2 x + 1) >> 1 = x."""
    ones = np.ones((channels, 1, 1), np.int32)
    return Requantise(bias=np.zeros(channels, np.int32), multiplier=2 * ones, shift=ones, zero_point=0, low=low, high=high, table=table)


def _finished(node: Node, bias: Array, ratios: Array, aim: Target) -> Node:
    if int(np.abs(bias).max()) > 2**31 - 1:
        raise UnsupportedError(
            f"node '{node.name}' ({label(node)}): its bias is {int(np.abs(bias).max()):,} steps of its accumulator, "
            f"beyond 32 bits; split it into layers of fewer inputs"
        )
    factor, shift = multiplier(node, ratios)
    stage = Requantise(
        bias=bias.astype(np.int32),
        multiplier=factor,
        shift=shift,
        zero_point=aim.code.zero_point,
        low=aim.low,
        high=aim.high,
        table=aim.table,
    )
    return replace(node, bias=None, stage=stage)


def _weighted(node: Node, source: Quantisation, aim: Target, means: Array | None) -> Node:
    """Symmetric weights, one scale an output channel. The bias takes off what their rounding adds on average; a network that brought its own scales
    keeps its bias too.
    """
    assert node.weight is not None
    reals = filters(node)
    number = None if node.weight_format == "int8" else _scalar(node)
    bias = np.zeros(reals.shape[0]) if node.bias is None else node.bias.astype(np.float64)
    scales = _scales(reals, bias, source, aim, number) if node.weight_scale is None else np.broadcast_to(node.weight_scale, bias.shape)
    weight = _codes(node, scales, number)
    codes = filters(replace(node, weight=weight))
    if means is not None and node.weight_scale is None:
        bias = bias - drift(node, _rounding(reals, codes, scales), means)
    steps = np.rint(bias / (source.scale * scales)).astype(np.int64)
    sums = codes.sum(axis=1, dtype=np.int64)
    done = _finished(node, steps - source.zero_point * sums, (source.scale * scales / aim.code.scale).reshape(-1, 1, 1), aim)
    return replace(done, weight=weight, weight_scale=scales)


def _scales(reals: Array, bias: Array, source: Quantisation, aim: Target, number: Scalar | None) -> Array:
    """The largest weight of a channel is code 127, or in a format of few levels what loses least. Where a bias would be beyond 30 bits of its
    accumulator the scale is as much coarser: such a channel is all bias.
    """
    if number is None:
        scales = np.abs(reals).max(axis=1).astype(np.float64) / 127
    else:
        found = encoded(reals, number, granularity="channel", axis=0, search=Search()).scales
        scales = np.where(np.abs(reals).max(axis=1) > 0, found, 0).astype(np.float64)
    scales = np.maximum(scales, np.abs(bias) / source.scale / _LARGEST_BIAS)
    return np.where(scales > 0, scales, aim.code.scale / source.scale)


def _rounding(reals: Array, codes: Array, scales: Array) -> Array:
    """What rounding adds to the weights: float32 (M, products), filled one by one, as a large layer is not held in wider floats."""
    error = np.empty(reals.shape, np.float32)
    for index, scale in enumerate(scales):
        error[index] = codes[index] * scale - reals[index]
    return error


def _scalar(node: Node) -> Scalar:
    """The format of a layer's weights. Raises InputError for one that has no table of levels."""
    found = read_format(node.weight_format)
    if not isinstance(found, Scalar):
        raise InputError(f"node '{node.name}': weights in {found.name} have no table of levels; take a format such as int4 or flint4")
    return found


def _codes(node: Node, scales: Array, number: Scalar | None) -> Array:
    """int8 weights in the layout of the node's own: the nearest integer, or level of `number`."""
    assert node.weight is not None
    weight = node.weight
    lowest = -127 if node.weight_scale is None else -128
    if isinstance(node.operator, ConvTranspose):
        groups = node.operator.groups
        grouped = weight.reshape(groups, -1, *weight.shape[1:])
        ratios = (grouped / scales.reshape(groups, 1, -1, 1, 1)).reshape(weight.shape)
        return _nearest(ratios, number, lowest)
    codes = np.empty(weight.shape, np.int8)
    for index, scale in enumerate(scales):  # one by one: a large layer is not held in floats
        codes[index] = _nearest(weight[index] / scale, number, lowest)
    return codes


def _nearest(ratios: Array, number: Scalar | None, lowest: int) -> Array:
    levels = np.clip(np.rint(ratios), lowest, 127) if number is None else number.decode(number.encode(ratios))
    return levels.astype(np.int8)


def _sum(node: Node, inputs: Sequence[Quantisation], channels: int, aim: Target) -> Node:
    """acc = w0 a + w1 b with small integers in the ratio of the two scales (times the coefficients); what they have in common is the multiplier."""
    factors = np.ones((2, channels)) if node.weight is None else np.broadcast_to(node.weight.astype(np.float64), (2, channels))
    wanted = factors * np.array([[quantity.scale] for quantity in inputs])
    reach = [max(127 - quantity.zero_point, quantity.zero_point + 128) for quantity in inputs]
    pairs, inverse = np.unique(wanted, axis=1, return_inverse=True)
    found = [_pair((float(first), float(second)), (reach[0], reach[1])) for first, second in pairs.T]
    weight = np.array([pair for pair, _ in found], np.int64).T[:, inverse.ravel()]
    steps = np.array([step for _, step in found])[inverse.ravel()]
    bias = -(weight[0] * inputs[0].zero_point + weight[1] * inputs[1].zero_point)
    done = _finished(node, bias, (steps / aim.code.scale).reshape(-1, 1, 1), aim)
    return replace(done, weight=weight.astype(np.int8))


def _pair(wanted: tuple[float, float], reach: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """((p, q), step): integers up to 127 with (p, q) * step next to `wanted`, at the least error for inputs as large as `reach`.

    All pairs are tried; for each, the best step makes one of the two exact (the error is piecewise linear in it).
    """
    signs = [-1 if value < 0 else 1 for value in wanted]
    sizes = [abs(value) for value in wanted]
    if not any(sizes):
        return (0, 0), 1.0
    numbers = np.arange(128.0)
    grid = (numbers[:, None] + np.zeros(128), numbers + np.zeros((128, 1)))
    best: tuple[float, int, float] | None = None
    for exact in (0, 1):
        step = np.divide(sizes[exact], grid[exact], out=np.zeros((128, 128)), where=grid[exact] > 0)
        other = 1 - exact
        error = np.abs(sizes[other] - step * grid[other]) * reach[other]
        error = np.where((grid[exact] > 0) & (step > 0), error, np.inf)
        place = int(np.argmin(error))
        if best is None or error.flat[place] < best[0]:
            best = float(error.flat[place]), place, float(step.flat[place])
    assert best is not None
    first, second = divmod(best[1], 128)
    return (signs[0] * first, signs[1] * second), best[2]
