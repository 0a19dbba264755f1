"""What reading an ONNX file gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ridgeline.algorithm.graph import Array, Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNode:
    """A node that runs on the host, before or after the engine."""

    node: str  # as the file names it, with its operator: "probabilities (Softmax)"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A network as the flows see it.

    `graph` is the engine's part: float, on canonical tensors. The names of its ports are names of values in `model`, the simplified float ONNX
    file with a symbolic batch axis, so that onnxruntime's values for them can be had (see `with_outputs`). Its large initialisers are `weights`,
    contiguous arrays by name, which `runtime.session` takes along. `front` and `back` are the ONNX files of the host's parts: the front's outputs
    are among the graph's input ports, the back's inputs among its output ports or the file's inputs.
    """

    graph: Graph
    model: bytes
    weights: Mapping[str, Array] = field(default_factory=dict[str, Array])
    front: bytes | None = None
    back: bytes | None = None
    host: tuple[HostNode, ...] = ()
    notes: tuple[str, ...] = ()
