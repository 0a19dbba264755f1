"""What a graph computes, in plain numpy: the meaning that golden.onnx and the hardware are held against.

Nothing here knows how a runtime or the hardware goes about it. An integer graph is run in int64, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ridgeline.algorithm.graph import Array, Graph, Node, Port, Quantisation, Requantise
from ridgeline.algorithm.operators import AveragePool
from ridgeline.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One node's run: `before` is its value before the unary function, or its accumulator in an integer graph; `after` is its output tensor."""

    node: Node
    before: Array
    after: Array


def run_float(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Every tensor's real values (batch, C, H, W), given each input port's array (batch, *shape).

    float32 arrays are run in float32, all others in float64.
    """
    tensors = input_tensors(graph, inputs, None)
    return {**tensors, **{step.node.output: step.after for step in float_steps(graph, inputs)}}


def run_integer(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Every tensor's int8 codes (batch, C, H, W) of an integer graph, given each input port's int8 array (batch, *shape)."""
    tensors = input_tensors(graph, inputs, np.dtype(np.int8))
    for step in integer_steps(graph, inputs):
        tensors[step.node.output] = step.after
    return tensors


def float_steps(graph: Graph, inputs: Mapping[str, Array]) -> Iterator[Step]:
    """The nodes' runs one after another; a tensor is dropped after its last reader, so that memory stays bounded."""
    tensors = input_tensors(graph, inputs, None)
    last = last_readers(graph)
    for node in graph.nodes:
        values = [tensors[name] for name in node.inputs]
        with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are for the caller to judge
            before = _real(node, values, graph)
            after = before if node.function is None else node.function(before).astype(before.dtype)
        yield Step(node=node, before=before, after=after)
        tensors[node.output] = after
        _drop(tensors, node, last)


def integer_steps(graph: Graph, inputs: Mapping[str, Array]) -> Iterator[Step]:
    """As `float_steps`, of an integer graph."""
    tensors = input_tensors(graph, inputs, np.dtype(np.int8))
    last = last_readers(graph)
    for node in graph.nodes:
        zero_points = tuple(quantisation(graph, name).zero_point for name in node.inputs)
        accumulator = node.operator.accumulate(node, *(tensors[name] for name in node.inputs), zero_points=zero_points)
        if node.stage is None:
            raise InputError(f"node '{node.name}' has no output stage; quantise the graph first")
        after = requantise(accumulator, node.stage)
        yield Step(node=node, before=accumulator, after=after)
        tensors[node.output] = after
        _drop(tensors, node, last)


def requantise(accumulator: Array, stage: Requantise) -> Array:
    """The output stage on (batch, C, H, W) int64: int8 codes. |t * multiplier| < 2**48 and the rounding term is at most 2**62, so int64 holds all."""
    total = accumulator + stage.bias.astype(np.int64).reshape(1, -1, 1, 1)
    shift = stage.shift.astype(np.int64)
    rounded = (total * stage.multiplier.astype(np.int64) + (np.int64(1) << (shift - 1))) >> shift
    codes = np.clip(rounded + stage.zero_point, stage.low, stage.high)
    if stage.table is not None:
        return stage.table[codes + 128].astype(np.int8)
    return codes.astype(np.int8)


def quantise(values: Array, quantisation: Quantisation) -> Array:
    """int8 codes of real values: round(value / scale), halves to even as ONNX's QuantizeLinear has it, plus the zero point, clipped.

    float32 values are divided in float32, as onnxruntime does, so that both make the same codes.
    """
    codes = np.rint(values / quantisation.scale) + quantisation.zero_point
    return np.clip(codes, quantisation.low, quantisation.high).astype(np.int8)


def dequantise(codes: Array, quantisation: Quantisation) -> Array:
    """float64 real values of codes."""
    return (codes.astype(np.float64) - quantisation.zero_point) * quantisation.scale


def quantisation(graph: Graph, tensor: str) -> Quantisation:
    found = graph.tensors[tensor].quantisation
    if found is None:
        raise InputError(f"tensor '{tensor}' has no quantisation; quantise the graph first")
    return found


def sqnr_db(reference: Array, values: Array) -> float:
    """10 log10 of the reference's power over that of the difference; infinite where nothing differs."""
    wanted, found = reference.astype(np.float64), values.astype(np.float64)
    noise = float(np.sum((wanted - found) ** 2))
    power = float(np.sum(wanted**2))
    if noise == 0:
        return float("inf")
    return float("-inf") if power == 0 else 20 * float(np.log10(sqrt(power) / sqrt(noise)))


def input_tensors(graph: Graph, inputs: Mapping[str, Array], dtype: np.dtype[np.int8] | None) -> dict[str, Array]:
    """The input ports' tensors and the constant ones; raises InputError where an array is missing or has another shape or type. `dtype` None takes
    any number.
    """
    tensors = {port.tensor: port.to_tensor(array, graph.tensors[port.tensor]) for port, array in _checked(graph, inputs, dtype)}
    first = next(iter(tensors.values()))
    constants = {name: np.broadcast_to(array.astype(first.dtype), (len(first), *array.shape)) for name, array in graph.constants.items()}
    return tensors | constants


def _checked(graph: Graph, inputs: Mapping[str, Array], dtype: np.dtype[np.int8] | None) -> Iterator[tuple[Port, Array]]:
    unknown = sorted(set(inputs) - {port.name for port in graph.inputs})
    if unknown:
        raise InputError(
            f"network '{graph.name}' has no input '{unknown[0]}'; its inputs are {', '.join(port.name for port in graph.inputs)}"
        )
    for port in graph.inputs:
        if port.name not in inputs:
            raise InputError(f"input '{port.name}' of network '{graph.name}' has no array; give one of shape (images, {_sizes(port)})")
        array = inputs[port.name]
        if array.ndim == 0 or array.shape[1:] != port.shape:
            raise InputError(f"input '{port.name}' is given shape {array.shape}; it takes (images, {_sizes(port)})")
        if dtype is not None and array.dtype != dtype:
            raise InputError(f"input '{port.name}' is given {array.dtype}; an integer network takes {dtype}")
        if dtype is None and array.dtype != np.float32:
            array = array.astype(np.float64)
        yield port, array


def _sizes(port: Port) -> str:
    return ", ".join(str(size) for size in port.shape)


def last_readers(graph: Graph) -> dict[str, str]:
    """Tensor -> the name of the last node that reads it."""
    return {name: node.name for node in graph.nodes for name in node.inputs}


def _drop(tensors: dict[str, Array], node: Node, last: Mapping[str, str]) -> None:
    for name in {*node.inputs, node.output}:
        if name in tensors and last.get(name, node.name) == node.name:
            del tensors[name]


def _real(node: Node, values: list[Array], graph: Graph) -> Array:
    accumulator = node.operator.accumulate(node, *values, zero_points=(0,) * len(values))
    if isinstance(node.operator, AveragePool):
        accumulator = accumulator / node.operator.counted(graph.tensors[node.inputs[0]].shape).astype(accumulator.dtype)
    if node.bias is None:
        return accumulator
    return accumulator + node.bias.astype(accumulator.dtype).reshape(1, -1, 1, 1)
