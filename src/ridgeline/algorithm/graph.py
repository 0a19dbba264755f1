"""What is computed: a graph of operators over tensors of one image.

One form carries a network from the reader to the hardware. As read, it is a *float* graph: weights and biases are float32 and no node has an
output stage. Quantisation returns the same graph as an *integer* graph: weights int8, biases int32, a `Quantisation` on every tensor and a
`Requantise` on every node. The integer graph is the specification: golden.onnx, the numpy reference and the program are made from it.

Every tensor is held as (channels, height, width) of one image; the batch is always in front and never stored. A vector is (C, 1, 1), a sequence
of L vectors is (C, 1, L). How an array of the ONNX file becomes such a tensor is written once, in `Port`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ridgeline.errors import UnsupportedError

if TYPE_CHECKING:
    from ridgeline.algorithm.function import Function
    from ridgeline.algorithm.operators import Operator

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """real = scale * (code - zero_point), codes are int8 in [low, high]; where `levels` are given, ascending, they are some of these only."""

    scale: float
    zero_point: int
    low: int = -128
    high: int = 127
    levels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    name: str
    shape: tuple[int, int, int]  # channels, height, width
    quantisation: Quantisation | None = None

    @property
    def elements(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requantise:
    """The output stage, from an int32 accumulator to an int8 code; the one rounding rule of the project.

        t = acc + bias
        r = (t * multiplier + 2**(shift - 1)) >> shift         # arithmetic shift: rounds half up
        y = clip(r + zero_point, low, high)
        y = table[y + 128]                                      # when a table is present

    `bias` is int32 (channels,); it already holds the correction of the inputs' zero points.
    `multiplier` is int32 in [0, 2**17), `shift` is int32 in [1, 63]: both (channels, 1, 1), or (1, height, width) for an average pool that
    does not count its padding. acc + bias is proven to fit in int32 for every possible input.
    `table` is int8 (256,), entry k holds the result for code k - 128.
    """

    bias: Array
    multiplier: Array
    shift: Array
    zero_point: int
    low: int
    high: int
    table: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One operator, the unary function that follows it, and (in an integer graph) its output stage.

    `source` names what the user wrote: the ONNX node and its operator, for messages and reports. `weight_scale` is float64 (M,): the scales that
    a network quantised already gives its weights, one an output channel; quantisation keeps them. An integer graph's bias is its stage's.
    `weight_format` says that an integer graph's weights are levels of that format, or shall be, and `sparsity` that they have that pattern along the
    input channels: an engine may store them so.
    """

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    output: str
    weight: Array | None = None
    bias: Array | None = None
    weight_scale: Array | None = None
    weight_format: str = "int8"
    sparsity: str = "none"
    function: Function | None = None
    stage: Requantise | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A network's input or output: the array of the ONNX file and the tensor that holds it.

    array (batch, *shape) -> reshape (batch, *split) -> transpose(0, *(1 + permutation)) -> reshape (batch, channels, height, width).
    """

    name: str
    shape: tuple[int, ...]  # in the ONNX file, without the batch
    tensor: str
    split: tuple[int, ...]
    permutation: tuple[int, ...]

    def to_tensor(self, array: Array, tensor: Tensor) -> Array:
        """(batch, *shape) -> (batch, channels, height, width)."""
        batch = array.shape[0]
        order = (0, *(axis + 1 for axis in self.permutation))
        return array.reshape(batch, *self.split).transpose(order).reshape(batch, *tensor.shape)

    def to_array(self, values: Array) -> Array:
        """(batch, channels, height, width) -> (batch, *shape): the inverse of `to_tensor`."""
        batch = values.shape[0]
        permuted = tuple(self.split[axis] for axis in self.permutation)
        inverse = tuple(int(axis) for axis in np.argsort(self.permutation))
        order = (0, *(axis + 1 for axis in inverse))
        return values.reshape(batch, *permuted).transpose(order).reshape(batch, *self.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    nodes: tuple[Node, ...]  # in an order in which they can run
    tensors: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    constants: Mapping[str, Array] = field(default_factory=dict[str, Array])  # tensor -> (C, H, W): float32, int8 in an integer graph

    def producer(self, tensor: str) -> Node | None:
        return next((node for node in self.nodes if node.output == tensor), None)

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if tensor in node.inputs)

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def input_shapes(self, node: Node) -> tuple[tuple[int, int, int], ...]:
        return tuple(self.tensors[name].shape for name in node.inputs)

    def macs(self, node: Node) -> int:
        return node.operator.nest(node, *self.input_shapes(node)).macs

    def verify(self) -> None:
        """Raises UnsupportedError at the first node that names an unknown tensor, runs before its inputs, or has another shape than it claims."""
        known = {*(port.tensor for port in self.inputs), *self.constants}
        for name, array in self.constants.items():
            if array.shape != self.tensors[name].shape:
                raise UnsupportedError(f"constant tensor '{name}' has shape {array.shape}, but is declared {self.tensors[name].shape}")
        names: set[str] = set()
        for node in self.nodes:
            _verify_node(self, node, known, names)
            known.add(node.output)
            names.add(node.name)
        for port in self.outputs:
            if port.tensor not in known:
                raise UnsupportedError(f"output '{port.name}' reads tensor '{port.tensor}', which no node writes")


def _verify_node(graph: Graph, node: Node, known: set[str], names: set[str]) -> None:
    where = f"node '{node.name}' ({type(node.operator).__name__})"
    if node.name in names:
        raise UnsupportedError(f"{where} is there twice; every node needs a name of its own")
    for name in node.inputs:
        if name not in known:
            raise UnsupportedError(f"{where} reads tensor '{name}' before any node writes it")
    if node.output in known:
        raise UnsupportedError(f"{where} writes tensor '{node.output}', which is already written")
    shape = node.operator.output_shape(node, *graph.input_shapes(node))
    if shape != graph.tensors[node.output].shape:
        raise UnsupportedError(f"{where} makes shape {shape}, but tensor '{node.output}' is declared {graph.tensors[node.output].shape}")
