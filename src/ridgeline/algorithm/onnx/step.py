"""One node of an ONNX file as plain Python: what the converters read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import onnx_ir as ir

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class RefusedError(Exception):
    """A node that the engine cannot run as it stands: why, and what the user can do. Turned into one line of an UnsupportedError.

    `final` says that the host cannot run it either.
    """

    def __init__(self, why: str, advice: str, *, final: bool = False) -> None:
        super().__init__(f"{why}; {advice}")
        self.why = why
        self.final = final


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """A node: missing optional inputs are "" and missing outputs too. `opset` is the version of its domain."""

    name: str
    operator: str
    domain: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The operator with its domain, unless it is ONNX's own: "Conv", "com.microsoft.QGemm"."""
        return f"{self.domain}.{self.operator}" if self.domain else self.operator

    @property
    def source(self) -> str:
        return f"{self.name} ({self.operator})"

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] != ""

    def integer(self, name: str, default: int) -> int:
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise RefusedError(f"attribute '{name}' is {value!r}, not an integer", "export the network again")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.attributes.get(name, default)
        if not isinstance(value, (int, float)):
            raise RefusedError(f"attribute '{name}' is {value!r}, not a number", "export the network again")
        return float(value)

    def text(self, name: str, default: str) -> str:
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise RefusedError(f"attribute '{name}' is {value!r}, not text", "export the network again")
        return value

    def integers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        value = self.attributes.get(name)
        if value is None:
            return default
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, int) for item in cast("list[Any]", value)):
            raise RefusedError(f"attribute '{name}' is {value!r}, not a list of integers", "export the network again")
        return tuple(cast("list[int]", value))


def steps_of(model: ir.Model) -> tuple[Step, ...]:
    """All nodes of the graph in order, each with a name of its own."""
    taken: set[str] = set()
    return tuple(_step(node, model.opset_imports, taken) for node in model.graph)


def _step(node: ir.Node, opsets: Mapping[str, int], taken: set[str]) -> Step:
    domain = "" if node.domain == "ai.onnx" else node.domain
    name = unique(node.name or next((value.name for value in node.outputs if value.name), None) or node.op_type, taken)
    return Step(
        name=name,
        operator=node.op_type,
        domain=domain,
        opset=opsets.get(domain, opsets.get("", 1)),
        inputs=tuple((value.name or "") if value is not None else "" for value in node.inputs),
        outputs=tuple(value.name or "" for value in node.outputs),
        attributes={key: _attribute(attribute) for key, attribute in node.attributes.items()},
    )


def unique(name: str, taken: set[str]) -> str:
    """The name, or the name with the first free number; it is then taken."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def _attribute(attribute: ir.Attr) -> Any:
    value: Any = attribute.value
    if attribute.type == ir.AttributeType.TENSOR:
        return cast("Array", value.numpy())
    if attribute.type in (ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS):
        return list(value)
    return value
