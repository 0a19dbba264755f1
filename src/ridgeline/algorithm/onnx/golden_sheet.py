"""The ONNX nodes and constants of a golden network as they are written, each under a name of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from onnx import NodeProto, TensorProto

from ridgeline.algorithm.graph import Array
from ridgeline.algorithm.onnx.writer import Attribute, initializer, node


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Filled as it goes: every method adds to it and returns the name of the value it made."""

    taken: set[str]
    nodes: list[NodeProto] = field(default_factory=list[NodeProto])
    initializers: list[TensorProto] = field(default_factory=list[TensorProto])

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str,
        *,
        result: str | None = None,
        attributes: Mapping[str, Attribute] = MappingProxyType({}),
    ) -> str:
        """One node of one output, called `result` or else as the node."""
        own = self.fresh(name)
        output = own if result is None else result
        self.nodes.append(node(operator, inputs, [output], name=own, attributes=attributes))
        return output

    def constant(self, name: str, array: Array) -> str:
        own = self.fresh(name)
        self.initializers.append(initializer(own, array))
        return own

    def reshape(self, source: str, shape: Sequence[int], *, name: str, result: str | None = None) -> str:
        """To (batch, *shape)."""
        return self.node("Reshape", [source, self.constant(f"{name}/shape", np.array([0, *shape], np.int64))], name, result=result)

    def cast(self, source: str, dtype: type[np.generic], *, name: str, result: str | None = None) -> str:
        return self.node("Cast", [source], name, result=result, attributes={"to": _ELEMENTS[dtype]})

    def fresh(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


_ELEMENTS: dict[type[np.generic], int] = {
    np.int8: TensorProto.INT8,
    np.int16: TensorProto.INT16,
    np.int32: TensorProto.INT32,
    np.int64: TensorProto.INT64,
    np.float32: TensorProto.FLOAT,
    np.float64: TensorProto.DOUBLE,
}
