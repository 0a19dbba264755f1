"""Reading a network: from an ONNX file to the engine's graph and the host's parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import onnx

from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.onnx.host import free_joins, part, reference_model, value_types
from ridgeline.algorithm.onnx.load import load_model
from ridgeline.algorithm.onnx.lowering import Constant, Value
from ridgeline.algorithm.onnx.network import HostNode, Network
from ridgeline.algorithm.onnx.place import Placement, Source, place
from ridgeline.algorithm.onnx.simplify import Simplified, known_shape, simplify
from ridgeline.algorithm.onnx.step import RefusedError, steps_of
from ridgeline.algorithm.operators import Select
from ridgeline.algorithm.passes.fold import BEYOND, fold
from ridgeline.errors import UnsupportedError

__all__ = ["read_network"]


def read_network(source: Path | str | bytes, *, batch: int | None = None) -> Network:
    """Reads an ONNX file (its path, or its bytes). `batch` is the extent of a dynamic leading axis, 1 if not given.

    Raises InputError for a file that is not sound, and UnsupportedError, with one line a node, for what the engine cannot run.
    """
    loaded = load_model(source)
    name, notes = loaded.name, loaded.notes
    simplified = simplify(loaded.model, loaded.weights, name, batch)
    del loaded
    parts = _source(simplified)
    placement = place(parts)
    try:
        graph = placement.lowering.graph(simplified.model.graph.name or "network", placement.outputs)
    except RefusedError as error:
        raise UnsupportedError(f"{name}: {error}") from error
    graph = fold(graph)
    graph.verify()
    _check_borders(graph)
    reference = reference_model(simplified)
    front, back = _host_parts(simplified, parts, placement, reference)
    free_joins(reference, simplified.weights, simplified.batch)
    host = tuple(HostNode(node=parts.steps[index].source, reason=placement.reasons[index]) for index in (*placement.front, *placement.back))
    read = {tensor.name for tensor in reference.graph.initializer}
    return Network(
        graph=graph,
        model=_bytes(reference),
        weights={key: array for key, array in simplified.weights.items() if key in read},
        front=front,
        back=back,
        host=host,
        notes=(*notes, *_scale_notes(graph)),
    )


def _check_borders(graph: Graph) -> None:
    """Raises for a border below all numbers that no maximum took up."""
    for node in graph.nodes:
        border = node.operator.border if isinstance(node.operator, Select) else None
        if border is not None and border < -BEYOND:
            raise UnsupportedError(
                f"{node.source}: it pads with {border:g}, which only a MaxPool after it can use; pad with a number that the network's values can have"
            )


def _scale_notes(graph: Graph) -> tuple[str, ...]:
    kept = sum(tensor.quantisation is not None for tensor in graph.tensors.values())
    return (f"the file is quantised: {kept} of {len(graph.tensors)} tensors keep its scales",) if kept else ()


def _source(simplified: Simplified) -> Source:
    graph = simplified.model.graph
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    constants = {name: Constant(array=cast("Any", value.const_value).numpy()) for name, value in graph.initializers.items()}
    shapes = {value.name or "": shape for value in values if (shape := known_shape(value)) is not None}
    shapes |= {name: constant.array.shape for name, constant in constants.items()}
    return Source(
        batch=simplified.batch,
        steps=steps_of(simplified.model),
        constants=constants,
        inputs=tuple(value.name or "" for value in graph.inputs),
        outputs=tuple(value.name or "" for value in graph.outputs),
        shapes=shapes,
        types={value.name or "": value.dtype.name for value in values if value.dtype is not None},
    )


def _host_parts(
    simplified: Simplified, source: Source, placement: Placement, reference: onnx.ModelProto
) -> tuple[bytes | None, bytes | None]:
    floats = {name: value.shape for name, value in placement.lowering.values.items() if isinstance(value, Value)}
    types = value_types(simplified.model, simplified.batch, floats)
    front = back = None
    if placement.front:
        made = [name for index in placement.front for name in source.steps[index].outputs]
        outside = {name for index, step in enumerate(source.steps) if index not in placement.front for name in step.inputs}
        outputs = [name for name in made if name and (name in outside or name in source.outputs)]
        front = _bytes(part(reference, placement.front, outputs, types))
    if placement.back:
        made = [name for index in placement.back for name in source.steps[index].outputs]
        back = _bytes(part(reference, placement.back, [name for name in source.outputs if name in made], types))
    return front, back


def _bytes(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString(deterministic=True)
