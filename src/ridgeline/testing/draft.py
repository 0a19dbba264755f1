"""An integer graph as it is drawn: every new node is run on sample codes at once, so that its output stage gives codes that vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import frexp, ldexp

import numpy as np

from ridgeline.algorithm.graph import Array, Graph, Node, Port, Quantisation, Requantise, Tensor
from ridgeline.algorithm.operators import AveragePool, Conv, ConvTranspose, Operator
from ridgeline.algorithm.passes.stages import MOVES, identity
from ridgeline.algorithm.reference import requantise
from ridgeline.hardware.engine.storage import INT8, NONE, bank, levels

_SAMPLES = 2
_SPREAD = 40.0  # standard deviation of the drawn outputs, in codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Filled as it goes. `codes` holds the samples of every tensor. Three of four convolutions have weights of `weight_format` and `sparsity`."""

    rng: np.random.Generator
    weight_format: str = INT8
    sparsity: str = NONE
    inputs: list[str] = field(default_factory=list[str])
    nodes: list[Node] = field(default_factory=list[Node])
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    codes: dict[str, Array] = field(default_factory=dict[str, Array])
    constants: dict[str, Array] = field(default_factory=dict[str, Array])

    def number(self, low: int, high: int) -> int:
        """One of low, ..., high."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def shape(self, tensor: str) -> tuple[int, int, int]:
        return self.tensors[tensor].shape

    def input(self, shape: tuple[int, int, int], quantisation: Quantisation | None = None) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(name)
        self.tensors[name] = Tensor(name=name, shape=shape, quantisation=quantisation or self.quantisation())
        self.codes[name] = self.rng.integers(-128, 128, (_SAMPLES, *shape)).astype(np.int8)
        return name

    def constant(self, shape: tuple[int, int, int], quantisation: Quantisation | None = None) -> str:
        """A constant tensor of drawn codes."""
        name = f"k{len(self.constants)}"
        self.constants[name] = self.rng.integers(-128, 128, shape).astype(np.int8)
        self.tensors[name] = Tensor(name=name, shape=shape, quantisation=quantisation or self.quantisation())
        self.codes[name] = np.broadcast_to(self.constants[name], (_SAMPLES, *shape))
        return name

    def quantisation(self) -> Quantisation:
        zero_point = int(self.rng.choice([-128, 127, 0, self.number(-128, 127), self.number(-40, 40)]))
        return Quantisation(scale=float(np.float32(2.0 ** self.rng.uniform(-8, -3))), zero_point=zero_point)

    def reals(self, low: float, high: float, count: int) -> Array:
        return np.array([self.rng.uniform(low, high) for _ in range(count)])

    def weight(self, *shape: int) -> Array:
        """int8, its ends included now and then."""
        codes = self.rng.integers(-127, 128, shape)
        return np.where(self.rng.random(shape) < 0.05, self.rng.choice([-128, 127], shape), codes).astype(np.int8)

    def add(self, operator: Operator, inputs: Sequence[str], *, weight: Array | None = None) -> str:
        """A node with a drawn output stage; returns its output tensor."""
        kind = type(operator).__name__
        name = f"{kind.lower()}{len(self.nodes)}"
        node = Node(name=name, operator=operator, inputs=tuple(inputs), output=f"{name}.out", weight=weight, source=f"{name} ({kind})")
        node = self._stored(node)
        zero_points = tuple(_zero_point(self.tensors[tensor]) for tensor in inputs)
        sums = operator.accumulate(node, *(self.codes[tensor] for tensor in inputs), zero_points=zero_points)
        stage, quantisation = self._moving(node, sums) if isinstance(operator, MOVES) else self._stage(node, sums)
        shape = operator.output_shape(node, *(self.shape(tensor) for tensor in inputs))
        self.tensors[node.output] = Tensor(name=node.output, shape=shape, quantisation=quantisation)
        self.codes[node.output] = requantise(sums, stage)
        self.nodes.append(replace(node, stage=stage))
        return node.output

    def _stored(self, node: Node) -> Node:
        if node.weight is None or not isinstance(node.operator, Conv | ConvTranspose) or (self.weight_format, self.sparsity) == (INT8, NONE):
            return node
        if self.chance(0.25):
            return node
        weight = node.weight
        if self.weight_format != INT8:
            weight = self.rng.choice(np.array(levels(self.weight_format), np.int8), weight.shape)
            node = replace(node, weight=weight, weight_format=self.weight_format)
        if self.sparsity != NONE and isinstance(node.operator, Conv) and node.operator.groups == 1:
            node = replace(node, weight=np.where(self._mask(weight.shape), weight, np.int8(0)), sparsity=self.sparsity)
        return node

    def _mask(self, shape: tuple[int, ...]) -> Array:
        """Half of each bank along axis 1, or less."""
        size = bank(self.sparsity)
        marks = self.rng.random((shape[0], -(-shape[1] // size), size, *shape[2:]))
        kept = np.argsort(np.argsort(marks, axis=2), axis=2) < size // 2
        return kept.reshape(shape[0], -1, *shape[2:])[:, : shape[1]]

    def graph(self, name: str, outputs: Sequence[str]) -> Graph:
        """Ports in a drawn layout: channels first, channels last, or flat."""
        graph = Graph(
            name=name,
            inputs=tuple(self._port(f"in{index}", tensor) for index, tensor in enumerate(self.inputs)),
            outputs=tuple(self._port(f"out{index}", tensor) for index, tensor in enumerate(outputs)),
            nodes=tuple(self.nodes),
            tensors=dict(self.tensors),
            constants=dict(self.constants),
        )
        graph.verify()
        return graph

    def _port(self, name: str, tensor: str) -> Port:
        channels, height, width = self.shape(tensor)
        layout = self.rng.choice(["first", "last", "flat"], p=[0.6, 0.25, 0.15])
        if layout == "last":
            return Port(name=name, shape=(height, width, channels), tensor=tensor, split=(height, width, channels), permutation=(2, 0, 1))
        shape = (channels * height * width,) if layout == "flat" else (channels, height, width)
        return Port(name=name, shape=shape, tensor=tensor, split=(channels, height, width), permutation=(0, 1, 2))

    def _moving(self, node: Node, sums: Array) -> tuple[Requantise, Quantisation]:
        source = self.tensors[node.inputs[0]].quantisation
        assert source is not None
        table = self._table() if self.chance(0.3) else None
        return identity(sums.shape[1], table=table), source if table is None else self.quantisation()

    def _stage(self, node: Node, sums: Array) -> tuple[Requantise, Quantisation]:
        quantisation = self.quantisation()
        mean, deviation = _statistics(sums)
        ratios = _SPREAD / deviation * self.reals(0.7, 1.3, len(mean))
        if isinstance(node.operator, AveragePool) and (counted := node.operator.counted(self.shape(node.inputs[0]))).size > 1:
            multiplier, shift = self._multiplier(float(np.mean(ratios)) * int(counted.max()) / counted[None])
        else:
            multiplier, shift = self._multiplier(ratios.reshape(-1, 1, 1))
        table = self._table() if self.chance(0.25) else None
        zero_point = quantisation.zero_point if table is None else self.number(-128, 127)
        bias = np.rint((self.reals(-20, 20, len(mean)) - zero_point) / ratios - mean)
        low, high = (self.number(-70, -20), self.number(40, 100)) if self.chance(0.3) else (-128, 127)
        return Requantise(
            bias=bias.astype(np.int32),
            multiplier=multiplier,
            shift=shift,
            zero_point=zero_point,
            low=low,
            high=high,
            table=table,
        ), quantisation

    def _multiplier(self, ratios: Array) -> tuple[Array, Array]:
        """Multipliers of drawn length, up to 17 bits."""
        pairs = [self._factor(float(ratio)) for ratio in ratios.ravel()]
        factors, shifts = np.array(pairs, np.int32).T
        return factors.reshape(ratios.shape), shifts.reshape(ratios.shape)

    def _factor(self, ratio: float) -> tuple[int, int]:
        shift = min(max(self.number(9, 17) - frexp(ratio)[1], 1), 63)
        return min(max(round(ldexp(ratio, shift)), 1), 2**17 - 1), shift

    def _table(self) -> Array:
        return self.rng.permutation(np.arange(-128, 128)).astype(np.int8)


def _statistics(sums: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each channel, the latter no less than an eighth of the whole's."""
    channels = [sums[:, channel] for channel in range(sums.shape[1])]
    least = float(np.std(sums)) / 8 + 1e-3
    return np.array([float(np.mean(values)) for values in channels]), np.array([max(least, float(np.std(values))) for values in channels])


def _zero_point(tensor: Tensor) -> int:
    assert tensor.quantisation is not None
    return tensor.quantisation.zero_point
