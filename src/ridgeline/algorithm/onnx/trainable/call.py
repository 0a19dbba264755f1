"""One node as torch computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ridgeline.errors import UnsupportedError

Tensor: TypeAlias = Any  # torch comes with the extra `train` only


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """A node and its inputs, None where the node leaves one out; `torch` is the module, `outputs` how many are made."""

    torch: Any
    operator: str
    inputs: Sequence[Tensor]
    attributes: Mapping[str, Any]
    outputs: int

    @property
    def functions(self) -> Any:
        return self.torch.nn.functional

    @property
    def first(self) -> Tensor:
        return self.inputs[0]

    def input(self, index: int) -> Tensor:
        return self.inputs[index] if index < len(self.inputs) else None

    def integers(self, index: int) -> list[int] | None:
        """An input that tells sizes, axes or places."""
        found = self.input(index)
        return None if found is None else [int(value) for value in found.reshape(-1).tolist()]

    def attribute(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)

    def refuse_unless(self, name: str, value: Any) -> None:
        """Raises UnsupportedError for an attribute that has another value."""
        if self.attribute(name, value) != value:
            raise UnsupportedError(f"--fine-tune does not differentiate {self.operator} with {name}={self.attributes[name]}; leave --fine-tune out")
