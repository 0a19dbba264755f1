"""A float graph in fixed point: int16 codes of power-of-two scales (Q-formats), one a tensor, from the largest values that calibration sees.

real = code * 2**-fraction. Products and sums are exact in 48 bits; a bias is aligned with the sum. The output stage shifts to the output's fraction,
rounding half up, and saturates: `r = ((acc + bias) * multiplier + 2**(shift - 1)) >> shift; y = clip(r, low, high)`. The multiplier is a power
of two but for average pools, where it is the reciprocal of the window's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import frexp, isfinite

import numpy as np

from ridgeline.algorithm.graph import Array, Graph, Node, Requantise
from ridgeline.algorithm.operators import Add, AveragePool, Concat, Conv, ConvTranspose, Join, Mul
from ridgeline.algorithm.passes.real import limits as real_limits
from ridgeline.algorithm.passes.stages import MOVES
from ridgeline.algorithm.reference import Step, float_steps, input_tensors, last_readers
from ridgeline.errors import InputError, UnsupportedError

LOW, HIGH = -(1 << 15), (1 << 15) - 1
SUM_BITS = 47  # of a sum's size: 48 with its sign
FRACTIONS = (-16, 30)
MOST_SHIFT = 40
_BATCH_ELEMENTS = 1 << 22
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fixed:
    """`graph`: weights and constants are int16, biases, multipliers and shifts int64; a stage's other fields mean nothing. `limits`: codes, by node.
    `fractions`: by tensor.
    """

    graph: Graph
    limits: Mapping[str, tuple[int, int]]
    fractions: Mapping[str, int]


def fixed(graph: Graph, calibration: Mapping[str, Array], *, progress: Progress | None = None) -> Fixed:
    """Raises UnsupportedError, naming the node, for what needs a table or a sum of more than 48 bits."""
    for node in graph.nodes:
        real_limits(node, "fixed16")
    fractions = _fractions(graph, _reach(graph, calibration, progress))
    nodes = tuple(_node(graph, node, fractions) for node in graph.nodes)
    constants = {name: codes(values, fractions[name]) for name, values in graph.constants.items()}
    ends = {node.name: _limits(node, fractions[node.output]) for node in graph.nodes}
    return Fixed(graph=replace(graph, nodes=nodes, constants=constants), limits=ends, fractions=fractions)


def fixed_steps(found: Fixed, inputs: Mapping[str, Array]) -> Iterator[Step]:
    """The nodes' runs on int16 codes, one after another. Sums are made in float64, which holds them exactly."""
    tensors = input_tensors(found.graph, {name: array.astype(np.float64) for name, array in inputs.items()}, None)
    last = last_readers(found.graph)
    for node in found.graph.nodes:
        stage = node.stage
        assert stage is not None
        zeros = (0,) * len(node.inputs)
        sums = node.operator.accumulate(node, *(tensors[name] for name in node.inputs), zero_points=zeros).astype(np.int64)
        scaled = (sums + stage.bias.reshape(1, -1, 1, 1)) * stage.multiplier
        rounded = (scaled + (np.int64(1) << (stage.shift - 1))) >> stage.shift
        after = np.clip(rounded, *found.limits[node.name]).astype(np.int16)
        yield Step(node=node, before=sums, after=after)
        tensors[node.output] = after.astype(np.float64)
        for name in {*node.inputs, node.output}:
            if last.get(name, node.name) == node.name:
                del tensors[name]


def codes(values: Array, fraction: int) -> Array:
    """int16: rounded, halves to even, and saturated."""
    return np.clip(np.rint(values.astype(np.float64) * 2.0**fraction), LOW, HIGH).astype(np.int16)


def fraction_of(largest: float) -> int:
    """The most bits behind the point with which `largest` is still below 2**15."""
    if largest <= 0:
        return 15
    return min(max(15 - frexp(largest)[1], FRACTIONS[0]), FRACTIONS[1])


def _reach(graph: Graph, calibration: Mapping[str, Array], progress: Progress | None) -> dict[str, float]:
    """The largest size of each tensor's values. Raises InputError for values that are not finite."""
    images = len(next(iter(calibration.values())))
    batch = max(1, _BATCH_ELEMENTS // max(tensor.elements for tensor in graph.tensors.values()))
    found: dict[str, float] = {}
    for start in range(0, images, batch):
        arrays = {name: np.asarray(array[start : start + batch], np.float32) for name, array in calibration.items()}
        for name, values in _values(graph, arrays):
            largest = float(np.abs(values).max())
            if not isfinite(largest):
                raise InputError(f"tensor '{name}' takes values that are not finite; calibrate with data in the network's own range")
            found[name] = max(found.get(name, 0.0), largest)
        if progress is not None:
            progress(min(images, start + batch), images)
    return found


def _values(graph: Graph, arrays: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    yield from input_tensors(graph, arrays, None).items()
    for step in float_steps(graph, arrays):
        yield step.node.output, step.after


def _fractions(graph: Graph, reach: Mapping[str, float]) -> dict[str, int]:
    """One for all tensors between which codes are only moved."""
    leader = {name: name for name in graph.tensors}
    for node in graph.nodes:
        if isinstance(node.operator, (*MOVES, Concat, Join)):
            ends = {leader[name] for name in (*node.inputs, node.output)}
            first = leader[node.output]
            leader = {name: first if known in ends else known for name, known in leader.items()}
    largest: dict[str, float] = {}
    for name, value in reach.items():
        largest[leader[name]] = max(largest.get(leader[name], 0.0), value)
    return {name: fraction_of(largest.get(leader[name], 0.0)) for name in graph.tensors}


def _limits(node: Node, fraction: int) -> tuple[int, int]:
    low, high = (min(max(end * 2.0**fraction, LOW), HIGH) for end in real_limits(node, "fixed16"))
    return round(low), round(high)


def _node(graph: Graph, node: Node, fractions: Mapping[str, int]) -> Node:
    inputs, output = [fractions[name] for name in node.inputs], fractions[node.output]
    match node.operator:
        case Conv() | ConvTranspose():
            assert node.weight is not None
            own = min(fraction_of(float(np.abs(node.weight).max())), output + MOST_SHIFT - inputs[0])
            node, fraction = replace(node, weight=codes(node.weight, own)), inputs[0] + own
        case Add():
            node, fraction = _sum(graph, node, inputs)
        case Mul():
            fraction = inputs[0] + inputs[1]
        case AveragePool():
            return _mean(graph, node, inputs[0], output)
        case _:
            fraction = inputs[0]
    return _staged(graph, node, fraction, output)


def _sum(graph: Graph, node: Node, inputs: list[int]) -> tuple[Node, int]:
    """The operands brought to one fraction by weights of at most 2**14."""
    channels = graph.tensors[node.output].shape[0]
    factors = np.ones((2, channels)) if node.weight is None else np.broadcast_to(node.weight.astype(np.float64), (2, channels))
    room = [fraction + fraction_of(float(np.abs(factor).max())) - 1 for fraction, factor in zip(inputs, factors, strict=True)]
    fraction = min(room)
    weight = np.stack([codes(factor, fraction - own) for factor, own in zip(factors, inputs, strict=True)])
    return replace(node, weight=weight), fraction


def _mean(graph: Graph, node: Node, fraction: int, output: int) -> Node:
    """Reciprocals of 15 bits or 16: 2**power / size."""
    assert isinstance(node.operator, AveragePool)
    counted = node.operator.counted(graph.input_shapes(node)[0])[None]
    power = 14 + np.ceil(np.log2(counted)).astype(np.int64)
    if node.bias is not None and np.any(node.bias) and counted.size > 1:
        raise UnsupportedError(f"node '{node.name}': a bias after means over windows of different sizes; fixed16 has none, use --format int8")
    channels = graph.tensors[node.output].shape[0]
    multiplier, shift = np.rint(2.0**power / counted).astype(np.int64), power + fraction - output
    if counted.size == 1:
        multiplier, shift = (np.broadcast_to(array, (channels, 1, 1)) for array in (multiplier, shift))
    if shift.min() < 1 or shift.max() > 62:
        raise UnsupportedError(f"node '{node.name}': a shift by {shift.min()} bits; fixed16 shifts by 1 to 62")
    bias = np.zeros(channels, np.int64) if node.bias is None else np.rint(node.bias * 2.0**fraction * float(counted.flat[0])).astype(np.int64)
    return replace(node, stage=_stage(bias, multiplier, shift))


def _staged(graph: Graph, node: Node, fraction: int, output: int) -> Node:
    channels = graph.tensors[node.output].shape[0]
    up = max(0, output - fraction + 1)  # a shift by less than 1 becomes a multiplier
    shift = fraction - output + up
    if up > 15 or shift > 62:
        raise UnsupportedError(f"node '{node.name}': from {fraction} to {output} bits behind the point; fixed16 shifts by -14 to 62")
    bias = np.zeros(channels, np.int64) if node.bias is None else np.rint(node.bias.astype(np.float64) * 2.0**fraction).astype(np.int64)
    _require_room(node, bias, up)
    shape = (channels, 1, 1)
    return replace(node, stage=_stage(bias, np.full(shape, 1 << up, np.int64), np.full(shape, shift, np.int64)))


def _require_room(node: Node, bias: Array, up: int) -> None:
    weight = node.weight
    size = 1.0
    if weight is not None:
        axes = (0,) if isinstance(node.operator, Add) else (0, 2, 3) if isinstance(node.operator, ConvTranspose) else (1, 2, 3)
        size = float(np.abs(weight.astype(np.float64)).sum(axis=axes).max())
    elif isinstance(node.operator, Mul):
        size = float(-LOW)
    largest = (size * -LOW + float(np.abs(bias).max())) * 2.0**up
    if largest >= 2.0**SUM_BITS:
        raise UnsupportedError(f"node '{node.name}': a sum may reach {largest:.3g}, beyond the 48 bits of fixed16; use --format int8 or float32")


def _stage(bias: Array, multiplier: Array, shift: Array) -> Requantise:
    return Requantise(bias=bias, multiplier=multiplier, shift=shift, zero_point=0, low=-128, high=127)
