"""From a path or bytes to a sound ONNX model: every fault of the file becomes one InputError that names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import onnx
import onnx.checker
import onnx.defs
import onnx.helper

from ridgeline.algorithm.onnx.qoperator import expand_quantised
from ridgeline.algorithm.onnx.weights import array_of, attribute_tensors, set_apart
from ridgeline.errors import InputError, UnsupportedError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

OLDEST_OPSET, NEWEST_OPSET = 11, 26  # what onnxruntime 1.31 runs exactly
NEWEST_IR = 13
_SMALL = 256  # elements
_LARGEST_BYTES = 2**31 - 1  # of a protobuf message


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """A checked model and, by name, its large initialisers (see `weights`), the name by which messages call it, and what was changed to read it."""

    model: onnx.ModelProto
    weights: Mapping[str, Array]
    name: str
    notes: tuple[str, ...]


def load_model(source: Path | str | bytes) -> Loaded:
    """Reads and checks a file. Raises InputError for one that is not sound, UnsupportedError for a version that cannot be read."""
    data, folder, name = _bytes_of(source)
    parsed = _parsed(data, name)
    del data
    model, weights = set_apart(parsed, folder, name)
    del parsed
    notes = _check_versions(model, name)
    _check_order(model, name)
    _check_numbers(model, weights, name)
    _check_operators(model)
    _check_schema(model, name)
    expand_quantised(model)
    return Loaded(model=model, weights=weights, name=name, notes=notes)


def _bytes_of(source: Path | str | bytes) -> tuple[bytes, Path | None, str]:
    if isinstance(source, bytes):
        return source, None, "the network"
    path = Path(source)
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; name an ONNX file")
    try:
        size = path.stat().st_size
        if size > _LARGEST_BYTES:
            raise InputError(
                f"'{path}' has {size:,} bytes, and one ONNX file at most {_LARGEST_BYTES:,}; keep its weights as external data"
            )
        return path.read_bytes(), path.parent, f"'{path}'"
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error


def _parsed(data: bytes, name: str) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError and, for broken text, ValueError kinds
        raise InputError(f"{name} is not an ONNX file, or is cut short ({len(data):,} bytes)") from error
    if not model.graph.node or not model.graph.output:
        found = f"{len(data):,} bytes, {len(model.graph.node)} nodes, {len(model.graph.output)} outputs"
        raise InputError(f"{name} holds no ONNX graph ({found}); export the network again")
    broken = next((text for text in _texts(model) if not isinstance(text, str) or any(character < " " for character in text)), None)
    if broken is not None:
        raise InputError(f"{name} is damaged: {broken!r} is no name")
    return model


def _texts(model: onnx.ModelProto) -> Iterable[object]:
    """All names of the graph; protobuf gives one that is no text as bytes. Messages are lines, so that no name may hold a line's end."""
    graph = model.graph
    yield graph.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output, *(attribute.name for attribute in node.attribute))
    for thing in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        yield thing.name
    for value in (*graph.input, *graph.output):
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    yield from (entry.domain for entry in model.opset_import)


def _check_versions(model: onnx.ModelProto, name: str) -> tuple[str, ...]:
    """Refuses what is too old; lowers the version of a newer file whose operators have not changed since (and notes it), or refuses by name."""
    versions = {entry.domain: entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")}
    opset = max(versions.values(), default=0)
    if opset < OLDEST_OPSET:
        raise UnsupportedError(f"{name} is of opset {opset}; export it with opset {OLDEST_OPSET} to {NEWEST_OPSET}")
    if opset > NEWEST_OPSET:
        newer = sorted({f"{node.name or node.op_type} ({node.op_type})" for node in model.graph.node if not _is_old_enough(node)})
        if newer:
            raise UnsupportedError(
                f"{name} is of opset {opset}, where {', '.join(newer)} differs from opset {NEWEST_OPSET}; export with that one"
            )
        for entry in model.opset_import:
            if entry.domain in ("", "ai.onnx"):
                entry.version = NEWEST_OPSET
    model.ir_version = min(model.ir_version, NEWEST_IR)
    lowered = opset > NEWEST_OPSET
    return (f"opset {opset} is read as opset {NEWEST_OPSET}: the operators in use are the same in both",) if lowered else ()


def _is_old_enough(node: onnx.NodeProto) -> bool:
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, ""):
        return True
    return onnx.defs.get_schema(node.op_type).since_version <= NEWEST_OPSET


def _check_order(model: onnx.ModelProto, name: str) -> None:
    """Sorts the nodes so that each follows its inputs; raises for a cycle or a value that nothing computes."""
    graph = model.graph
    known = {"", *(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    made: set[str] = set()
    for node in graph.node:
        for output in node.output:
            if output and (output in made or output in known):
                raise InputError(f"{name}: value '{output}' is computed twice")
            made.add(output)
    waiting, ordered = list(graph.node), list[onnx.NodeProto]()
    while waiting:
        left: list[onnx.NodeProto] = []
        for node in waiting:
            if set(node.input) <= known:
                ordered.append(node)
                known.update(node.output)
            else:
                left.append(node)
        if len(left) == len(waiting):
            _raise_stuck(waiting, made, known, name)
        waiting = left
    missing = next((value.name for value in graph.output if value.name not in known), None)
    if missing is not None:
        raise InputError(f"{name}: no node computes the output '{missing}'")
    passed = next((value.name for value in graph.output if value.name not in made), None)
    if passed is not None:
        raise UnsupportedError(f"{name}: output '{passed}' is an input or a constant; remove it from the network's outputs")
    if [id(node) for node in ordered] != [id(node) for node in graph.node]:
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
        del graph.node[:]
        graph.node.extend(copies)


def _raise_stuck(waiting: list[onnx.NodeProto], made: set[str], known: set[str], name: str) -> None:
    for node in waiting:
        for value in node.input:
            if value not in known and value not in made:
                raise InputError(f"{name}: node '{node.name or node.op_type}' ({node.op_type}) reads '{value}', which nothing computes")
    nodes = ", ".join(f"'{node.name or node.op_type}' ({node.op_type})" for node in waiting[:4])
    raise InputError(f"{name}: its nodes form a cycle through {nodes}{', ...' if len(waiting) > 4 else ''}")


def _check_numbers(model: onnx.ModelProto, weights: Mapping[str, Array], name: str) -> None:
    for tensor in (*model.graph.initializer, *attribute_tensors(model)):
        if min(tensor.dims, default=0) < 0:
            raise InputError(f"{name}: constant '{tensor.name}' has the shape {list(tensor.dims)}")
        try:
            array = array_of(tensor, weights)
        except Exception as error:
            raise InputError(f"{name}: constant '{tensor.name}' is broken: {first_line(error)}") from error
        if array.dtype.kind != "f" or not array.size:
            continue
        wrong = np.isnan(array) if array.size == 1 else ~np.isfinite(array)
        if wrong.any():
            index = tuple(int(axis) for axis in np.argwhere(wrong)[0])
            raise InputError(
                f"{name}: weight '{tensor.name}' holds {array[index]} at index {list(index)} ({int(wrong.sum()):,} such values)"
            )


def _check_operators(model: onnx.ModelProto) -> None:
    """Raises for operators that ONNX never had, one line a node."""
    own = {function.name for function in model.functions}
    unknown = [
        f"{node.name or next(iter(node.output), 'a node')} ({node.op_type})"
        for node in model.graph.node
        if node.domain in ("", "ai.onnx") and node.op_type not in own and not onnx.defs.has(node.op_type, "")
    ]
    if unknown:
        advice = "ONNX has no such operator; export the network with ONNX's own operators"
        raise UnsupportedError("\n".join(f"{node}: {advice}" for node in unknown))


def _check_schema(model: onnx.ModelProto, name: str) -> None:
    """ONNX's own checker. It wants a shape for every input and output: an input without one is named later, an output's is inferred again."""
    for value in (*model.graph.input, *model.graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    try:
        cast("Any", onnx.checker).check_model(without_data(model))
    except onnx.checker.ValidationError as error:
        raise InputError(f"{name} is not a valid ONNX file: {first_line(error)}") from error
    except Exception as error:
        raise InputError(f"{name} cannot be checked: {first_line(error)}") from error


def without_data(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with only its small constants: the others become inputs, so that ONNX's checks need not copy them."""
    light = onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import, functions=model.functions)
    graph = light.graph
    graph.name = model.graph.name or "network"
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    named = {value.name for value in graph.input}
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        elif tensor.name not in named:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return light


def first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
