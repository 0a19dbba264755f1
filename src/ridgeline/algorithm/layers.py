"""A network as the layers that multiply, each a nest: what a mapper needs of it, from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass

from ridgeline.algorithm.nest import Nest


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A node that multiplies. `inputs` and `output` are tensors of the network.

    A transposed convolution is one for each phase of its strides, `name[0,1]`: each makes its part of the same output.
    """

    name: str
    operator: str
    nest: Nest
    inputs: tuple[str, ...]
    output: str

    @property
    def shape(self) -> str:
        """Its axes of more than one step: m 64 c 64 y 56 x 56 r 3 q 3."""
        return " ".join(f"{axis} {size}" for axis, size in self.nest.axes.items() if size > 1) or "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Layer `target` reads as its `operand`, input or weight, what `source` makes, and nobody else does: between them lie but nodes that multiply
    nothing and read nothing that another layer made."""

    source: str
    target: str
    operand: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The layers in the network's order. `others` are the nodes that multiply nothing, by name and operator."""

    name: str
    layers: tuple[Layer, ...]
    others: tuple[str, ...]
    links: tuple[Link, ...]
