"""The nodes of a network computed one after another in torch, with weights that come with each run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias, cast

import numpy as np
import onnx
import onnx.helper

from ridgeline.algorithm.onnx.load import Loaded
from ridgeline.algorithm.onnx.rounded import Rounded, round_inputs
from ridgeline.algorithm.onnx.trainable import OPERATORS
from ridgeline.algorithm.onnx.trainable.call import Call, Tensor
from ridgeline.algorithm.onnx.weights import array_of
from ridgeline.errors import InputError, UnsupportedError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
FLOAT8 = ("float8_e4m3fn", "float8_e5m2")  # ml_dtypes and torch call them so


def torch_module() -> Any:
    """torch. Raises InputError where it is not installed."""
    if find_spec("torch") is None:
        raise InputError("--fine-tune needs torch, which is not installed; pip install torch")
    return import_module("torch")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Node:
    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class Walk:
    """A lifted network. All floats are float32; what meets the weights of `rounded` is rounded."""

    def __init__(self, loaded: Loaded, weights: Collection[str], rounded: Mapping[str, Rounded] | None = None) -> None:
        """Raises InputError without torch, UnsupportedError for operators that have no row in the table."""
        model = onnx.ModelProto()
        model.CopyFrom(loaded.model)
        round_inputs(model, rounded or {}, switched=False)
        unknown = sorted({_key(node) for node in model.graph.node} - OPERATORS.keys())
        if unknown:
            raise UnsupportedError(f"--fine-tune does not differentiate {', '.join(unknown)}, which {loaded.name} has; leave --fine-tune out")
        self.torch = torch_module()
        self._nodes = [_node(node) for node in model.graph.node]
        self._constants = {
            tensor.name: self.tensor(array_of(tensor, loaded.weights)) for tensor in model.graph.initializer if tensor.name not in weights
        }
        self.outputs = tuple(output.name for output in model.graph.output)

    def tensor(self, array: Array) -> Tensor:
        """Floats as float32, those of 8 bits as they are."""
        array = np.ascontiguousarray(array)
        if array.dtype.name in FLOAT8:
            return self.torch.from_numpy(array.view(np.uint8).copy()).view(getattr(self.torch, array.dtype.name))
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        return self.torch.from_numpy(array if array.flags.writeable else array.copy())

    def run(self, feeds: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by name. Raises UnsupportedError for a node that torch cannot compute."""
        values: dict[str, Tensor] = {**self._constants, **feeds, **weights}
        for node in self._nodes:
            inputs = [values[name] if name else None for name in node.inputs]
            call = Call(torch=self.torch, operator=node.operator, inputs=inputs, attributes=node.attributes, outputs=len(node.outputs))
            try:
                made = OPERATORS[node.operator](call)
            except (RuntimeError, IndexError, TypeError, ValueError) as error:
                raise UnsupportedError(f"--fine-tune: torch cannot compute {node.name} ({node.operator}): {' '.join(str(error).split())}") from error
            values.update(zip(node.outputs, cast("Sequence[Tensor]", made) if isinstance(made, tuple) else (made,), strict=False))
        return {name: values[name] for name in self.outputs}


def _key(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _node(node: onnx.NodeProto) -> _Node:
    attributes = {item.name: _attribute(item) for item in node.attribute}
    return _Node(
        operator=node.op_type, name=node.name or node.output[0], inputs=tuple(node.input), outputs=tuple(node.output), attributes=attributes
    )


def _attribute(item: onnx.AttributeProto) -> Any:
    value: Any = onnx.helper.get_attribute_value(item)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return array_of(value, {})
    return list(value) if item.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value
