"""Float graphs for the tests of quantisation."""

from dataclasses import dataclass, field

import numpy as np

from ridgeline.algorithm.function import RELU, Function, clip
from ridgeline.algorithm.graph import Array, Graph, Node, Port, Quantisation, Tensor
from ridgeline.algorithm.operators import (
    Add,
    AveragePool,
    Concat,
    Conv,
    ConvTranspose,
    Copy,
    Expand,
    MaxPool,
    Mul,
    Operator,
    Resize,
    Select,
)

SIGMOID = Function(expression=("sigmoid", "x"))
SWISH = Function(expression=("mul", "x", ("sigmoid", "x")))
RELU6 = clip(0.0, 6.0)


@dataclass(frozen=True, kw_only=True)
class Floats:
    """A float graph as it is written down."""

    rng: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def input(self, name: str, shape: tuple[int, int, int], quantisation: Quantisation | None = None) -> str:
        self.tensors[name] = Tensor(name=name, shape=shape, quantisation=quantisation)
        return name

    def add(
        self,
        name: str,
        operator: Operator,
        *inputs: str,
        weight: Array | None = None,
        bias: Array | None = None,
        function: Function | None = None,
        quantisation: Quantisation | None = None,
    ) -> str:
        made = Node(
            name=name,
            operator=operator,
            inputs=inputs,
            output=f"{name}.out",
            weight=weight,
            bias=bias,
            function=function,
            source=f"{name} (Test)",
        )
        shape = operator.output_shape(made, *(self.tensors[tensor].shape for tensor in inputs))
        self.tensors[made.output] = Tensor(name=made.output, shape=shape, quantisation=quantisation)
        self.nodes.append(made)
        return made.output

    def weight(self, *shape: int) -> Array:
        return (self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    def bias(self, count: int) -> Array:
        return self.rng.standard_normal(count).astype(np.float32)

    def graph(self, *outputs: str) -> Graph:
        written = {node.output for node in self.nodes}
        inputs = [name for name in self.tensors if name not in written]
        made = Graph(
            name="floats",
            inputs=tuple(self._port(name) for name in inputs),
            outputs=tuple(self._port(name) for name in outputs),
            nodes=tuple(self.nodes),
            tensors=self.tensors,
        )
        made.verify()
        return made

    def _port(self, tensor: str) -> Port:
        shape = self.tensors[tensor].shape
        return Port(name=tensor, shape=shape, tensor=tensor, split=shape, permutation=(0, 1, 2))


def everything(rng: np.random.Generator) -> Graph:
    """Every operator, with functions of both kinds."""
    draft = Floats(rng=rng)
    x = draft.input("x", (3, 16, 16))
    stem = draft.add("stem", Conv(pads=(1, 1, 1, 1)), x, weight=draft.weight(16, 3, 3, 3), bias=draft.bias(16), function=RELU)
    pool = draft.add("pool", MaxPool(kernel=(2, 2), strides=(2, 2)), stem)
    swish = draft.add("swish", Conv(pads=(1, 1, 1, 1)), pool, weight=draft.weight(16, 16, 3, 3), function=SWISH)
    depthwise = draft.add(
        "depthwise", Conv(pads=(1, 1, 1, 1), groups=16), swish, weight=draft.weight(16, 1, 3, 3), bias=draft.bias(16), function=RELU6
    )
    residual = draft.add("residual", Add(), depthwise, pool, function=RELU)
    up = draft.add(
        *("up", ConvTranspose(strides=(2, 2), pads=(1, 1, 1, 1), output_padding=(1, 1)), residual),
        weight=draft.weight(16, 8, 3, 3),
        bias=draft.bias(8),
    )
    joined = draft.add("joined", Concat(), up, stem)
    mean = draft.add("mean", AveragePool(kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)), joined)
    moved = draft.add("moved", Select(channels=tuple(range(23, -1, -1)), origin=(-1, 1), size=(8, 8)), mean)
    squeezed = draft.add("squeezed", AveragePool(kernel=(8, 8)), moved)
    gate = draft.add("gate", Conv(), squeezed, weight=draft.weight(24, 24, 1, 1), bias=draft.bias(24), function=SIGMOID)
    spread = draft.add("spread", Expand(size=(8, 8)), gate)
    gated = draft.add("gated", Mul(), moved, spread)
    copied = draft.add("copied", Copy(), gated, function=Function(expression=("tanh", "x")))
    larger = draft.add("larger", Resize(factors=(2, 1)), copied)
    classes = draft.add("classes", Conv(), larger, weight=draft.weight(10, 24, 16, 8), bias=draft.bias(10))
    return draft.graph(classes, joined)
