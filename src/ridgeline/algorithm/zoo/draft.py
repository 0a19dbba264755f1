"""A network while it is being written: nodes and weights in order, and the seeded source of the weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.onnx import writer
from ridgeline.algorithm.zoo.table import OUTLINE

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

SMALL = 256  # elements


@dataclass(slots=True, kw_only=True)
class Draft:
    """Grows by one node at a time; a node's output tensor carries the node's name. An `outline` lacks the large weights."""

    name: str
    rng: np.random.Generator
    outline: bool = False
    nodes: list[writer.NodeProto] = field(default_factory=list[writer.NodeProto])
    initializers: list[writer.TensorProto] = field(default_factory=list[writer.TensorProto])
    inputs: list[writer.ValueInfoProto] = field(default_factory=list[writer.ValueInfoProto])

    def input(self, name: str, shape: Sequence[int], dtype: type[np.generic] = np.float32) -> str:
        self.inputs.append(writer.value(name, dtype, shape))
        return name

    def constant(self, name: str, array: Array) -> str:
        """An initializer: weights, or a shape that a node asks for."""
        absent = self.outline and array.size > SMALL
        self.initializers.append(writer.absent(name, array.dtype, array.shape) if absent else writer.initializer(name, array))
        return name

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: writer.Attribute) -> str:
        self.nodes.append(writer.node(operator, inputs, [name], name=name, attributes=attributes))
        return name

    def normal(self, shape: Sequence[int], std: float, mean: float = 0.0) -> Array:
        if self.outline:
            return np.broadcast_to(np.float32(mean), tuple(shape))
        values = self.rng.standard_normal(tuple(shape), dtype=np.float32)
        values *= np.float32(std)
        values += np.float32(mean)
        return values

    def model(self, output: str, shape: Sequence[int]) -> writer.ModelProto:
        """The finished network; `output` is the tensor of one image's `shape` that it gives."""
        return writer.model(
            self.name,
            nodes=self.nodes,
            initializers=self.initializers,
            inputs=self.inputs,
            outputs=[writer.value(output, np.float32, shape)],
        )


def draft(name: str, seed: int) -> Draft:
    """With the seed OUTLINE, one without its large weights."""
    return Draft(name=name, rng=np.random.default_rng(max(0, seed)), outline=seed == OUTLINE)
