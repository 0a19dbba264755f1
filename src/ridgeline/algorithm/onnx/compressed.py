"""A network whose weights are stored in other formats, in standard operators that stock onnxruntime runs.

int4, int8 and the float8 formats are DequantizeLinear of codes and scales. Of any other format of levels and scales, codes of 4 bits (or of 8) are
looked up in the table of its levels and multiplied by the scales, each step in float32; of OliVe's pairs of 4 bits, a byte is looked up for two
elements. What is left is stored as the float32 numbers that it decodes to.

int2 is looked up too: onnxruntime 1.31 joins DequantizeLinear of 2 bits with the product after it, and computes other numbers than both apart.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript.version_converter

from ridgeline.algorithm.onnx.load import Loaded
from ridgeline.algorithm.onnx.rounded import Rounded, round_inputs
from ridgeline.algorithm.onnx.weights import give_back, serialised
from ridgeline.algorithm.onnx.writer import Attribute, initializer, node
from ridgeline.errors import UnsupportedError
from ridgeline.formats import Encoded
from ridgeline.formats.layout import Granularity, Layout
from ridgeline.formats.olive import Olive, pair_values
from ridgeline.formats.quantise import places
from ridgeline.formats.stored import Factors

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
TYPES = {
    "int4": onnx.TensorProto.INT4,
    "int8": onnx.TensorProto.INT8,
    "e4m3": onnx.TensorProto.FLOAT8E4M3FN,
    "e5m2": onnx.TensorProto.FLOAT8E5M2,
}
OPSET, IR = 21, 10  # with 4-bit integers and blocks of scales
LARGEST_BYTES = 2**31 - 1  # of a protobuf message


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What takes the place of one initialiser."""

    tensors: list[onnx.TensorProto] = field(default_factory=list[onnx.TensorProto])
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])

    def constant(self, name: str, array: Array) -> str:
        self.tensors.append(initializer(name, array))
        return name

    def apply(self, operator: str, inputs: list[str], output: str, **attributes: Attribute) -> str:
        self.nodes.append(node(operator, inputs, [output], name=output, attributes=attributes))
        return output


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compressed:
    """`model` with its large initialisers beside it, as `Loaded` has them. `as_floats` names the weights that are stored as float32."""

    model: onnx.ModelProto
    weights: Mapping[str, Array]
    as_floats: tuple[str, ...]


def compress(loaded: Loaded, encoded: Mapping[str, Encoded], rounded: Mapping[str, Rounded] | None = None) -> Compressed:
    """A lifted network with those weights in their formats, and what meets those of `rounded` rounded."""
    model = onnx.ModelProto()
    model.CopyFrom(loaded.model)
    round_inputs(model, rounded or {}, switched=False)
    graph, floats, nodes = model.graph, list[str](), list[onnx.NodeProto]()
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for name, item in encoded.items():
        parts = _Parts()
        if not _write(parts, name, item, types[name]):
            floats.append(name)
        graph.initializer.remove(next(tensor for tensor in graph.initializer if tensor.name == name))
        graph.initializer.extend(parts.tensors)
        nodes += parts.nodes
    copies = [*nodes, *(onnx.NodeProto.FromString(one.SerializeToString()) for one in graph.node)]
    del graph.node[:]
    graph.node.extend(copies)
    return Compressed(model=model, weights={name: held for name, held in loaded.weights.items() if name not in encoded}, as_floats=tuple(floats))


def lifted(loaded: Loaded) -> Loaded:
    """The network in an opset that has what compressed weights need. Raises UnsupportedError where its operators cannot be lifted to it."""
    version = max((entry.version for entry in loaded.model.opset_import if entry.domain in ("", "ai.onnx")), default=OPSET)
    if version >= OPSET:
        model = onnx.ModelProto()
        model.CopyFrom(loaded.model)
        model.ir_version = max(model.ir_version, IR)
        return replace(loaded, model=model)
    held = cast("Any", ir.serde.deserialize_model(loaded.model))
    give_back(held, loaded.weights)
    logging.getLogger("onnxscript.version_converter").setLevel(logging.ERROR)  # it tells that older opsets take the other way
    try:
        cast("Any", onnxscript.version_converter).convert_version(held, OPSET, fallback=True)
    except Exception as error:
        raise UnsupportedError(f"{loaded.name} is of opset {version} and cannot be lifted to {OPSET}: {error}; export it with that") from error
    if held.opset_imports.get("", 0) < OPSET:
        raise UnsupportedError(f"{loaded.name} is of opset {version} and cannot be lifted to {OPSET}; export it with that")
    model, weights = serialised(held)
    model.ir_version = max(model.ir_version, IR)
    return replace(loaded, model=model, weights=weights)


def _write(parts: _Parts, name: str, item: Encoded, kind: int) -> bool:
    """The nodes that make the weight; False if it is stored as floats."""
    factors = item.factors()
    is_float32 = kind == onnx.TensorProto.FLOAT
    made = name if is_float32 else f"{name}/float32"
    done = True
    if item.format.name in TYPES and factors is not None:
        _dequantised(parts, name, item, factors, made)
    elif factors is not None and item.format.bits <= 8:
        _looked_up(parts, name, item, factors, made)
    elif isinstance(item.format, Olive) and item.format.bits == 4:
        _paired(parts, name, item, made)
    else:
        parts.constant(made, np.ascontiguousarray(item.decode()))
        done = False
    if not is_float32:
        parts.apply("Cast", [made], name, to=kind)
    return done


def _dequantised(parts: _Parts, name: str, item: Encoded, factors: Factors, made: str) -> None:
    bits = item.format.bits
    codes = np.ascontiguousarray(_tensor(item.codes, item.layout))
    tensor = onnx.TensorProto(name=f"{name}/codes", dims=list(item.shape), data_type=TYPES[item.format.name], raw_data=_little(codes, bits))
    parts.tensors.append(tensor)
    scales, attributes = _scales(factors)
    taken = [tensor.name, parts.constant(f"{name}/scales", scales)]
    if item.format.name == "int8":  # onnxruntime 1.31 asks for them where its sums shall not saturate
        taken.append(parts.constant(f"{name}/zeros", np.zeros(scales.shape, np.int8)))
    parts.apply("DequantizeLinear", taken, made, **attributes)


def _little(codes: Array, bits: int) -> bytes:
    """Codes as ONNX packs them: the first in a byte's lowest bits."""
    flat = codes.reshape(-1).astype(np.uint8)
    per = 8 // bits
    rows = np.pad(flat, (0, -len(flat) % per)).reshape(-1, per)
    return np.bitwise_or.reduce(rows << (bits * np.arange(per, dtype=np.uint8)), axis=1).astype(np.uint8).tobytes()


def _tensor(codes: Array, layout: Layout) -> Array:
    return layout.tensor(cast("Any", codes.reshape(layout.rows, layout.length)))


def _scales(factors: Factors) -> tuple[Array, dict[str, Attribute]]:
    """As DequantizeLinear takes them."""
    layout = factors.layout
    match layout.granularity:
        case Granularity.TENSOR:
            return factors.scales.reshape(()), {}
        case Granularity.CHANNEL:
            return factors.scales, {"axis": layout.axis}
        case Granularity.GROUP:
            return _grouped(factors), {"axis": layout.axis, "block_size": layout.group}


def _grouped(factors: Factors) -> Array:
    """Shape of the tensor, with the groups in place of the axis that they run along."""
    layout = factors.layout
    rest = layout.shape[: layout.axis] + layout.shape[layout.axis + 1 :]
    return np.ascontiguousarray(np.moveaxis(factors.scales.reshape(*rest, layout.vectors_of_row), -1, layout.axis))


def _looked_up(parts: _Parts, name: str, item: Encoded, factors: Factors, made: str) -> None:
    codes = np.ascontiguousarray(_tensor(item.codes, item.layout))
    four = item.format.bits <= 4
    kind = onnx.TensorProto.UINT4 if four else onnx.TensorProto.UINT8
    stored = onnx.TensorProto(name=f"{name}/codes", dims=list(item.shape), data_type=kind, raw_data=_little(codes, 4 if four else 8))
    parts.tensors.append(stored)
    places_of = parts.apply("Cast", [stored.name], f"{name}/places", to=onnx.TensorProto.INT32)
    levels = np.nan_to_num(factors.element.values).astype(np.float32)
    table = parts.constant(f"{name}/levels", levels)
    looked_up = parts.apply("Gather", [table, places_of], f"{name}/elements", axis=0)
    parts.apply("Mul", [looked_up, _broad(parts, name, factors)], made)


def _broad(parts: _Parts, name: str, factors: Factors) -> str:
    """Scales in a shape that the weight's elements multiply by."""
    layout = factors.layout
    if layout.granularity is Granularity.TENSOR:
        return parts.constant(f"{name}/scales", factors.scales.reshape(()))
    if layout.granularity is Granularity.CHANNEL:
        wide = [1] * len(layout.shape)
        wide[layout.axis] = -1
        return parts.constant(f"{name}/scales", factors.scales.reshape(wide))
    scales = parts.constant(f"{name}/scales", _grouped(factors))
    group = parts.constant(f"{name}/groups", np.arange(layout.shape[layout.axis], dtype=np.int32) // layout.group)
    return parts.apply("Gather", [scales, group], f"{name}/all_scales", axis=layout.axis)


def _paired(parts: _Parts, name: str, item: Encoded, made: str) -> None:
    """A byte looked up for the two elements of a pair, rows as the layout has them."""
    pairing, layout = cast("Olive", item.format), item.layout
    wide = places(pairing, layout) // layout.rows
    pairs = item.codes.reshape(-1, 2)
    stored = parts.constant(f"{name}/codes", (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8).reshape(layout.rows, wide // 2))
    every = np.arange(256)
    table = pair_values(pairing, np.stack([every & 15, every >> 4], axis=1).reshape(-1).astype(np.uint8)).astype(np.float32).reshape(256, 2)
    places_of = parts.apply("Cast", [stored], f"{name}/places", to=onnx.TensorProto.INT32)
    looked_up = parts.apply("Gather", [parts.constant(f"{name}/levels", table), places_of], f"{name}/pairs", axis=0)
    shape = parts.constant(f"{name}/wide", np.array([layout.rows, wide], np.int64))
    rows = parts.apply("Reshape", [looked_up, shape], f"{name}/wide_rows")
    if wide > layout.length:
        ends = [parts.constant(f"{name}/{key}", np.array([value], np.int64)) for key, value in (("from", 0), ("to", layout.length), ("axis", 1))]
        rows = parts.apply("Slice", [rows, *ends], f"{name}/rows")
    vectors = np.arange(layout.length, dtype=np.int32) // layout.size
    scales = parts.constant(f"{name}/scales", item.scales.reshape(layout.rows, layout.vectors_of_row))
    broad = parts.apply("Gather", [scales, parts.constant(f"{name}/groups", vectors)], f"{name}/all_scales", axis=1)
    _placed(parts, name, layout, parts.apply("Mul", [rows, broad], f"{name}/elements"), made)


def _placed(parts: _Parts, name: str, layout: Layout, rows: str, made: str) -> None:
    """The rows of a layout as the tensor."""
    if layout.granularity is Granularity.TENSOR:
        parts.apply("Reshape", [rows, parts.constant(f"{name}/shape", np.array(layout.shape, np.int64))], made)
        return
    rest = layout.shape[: layout.axis] + layout.shape[layout.axis + 1 :]
    first = layout.granularity is Granularity.CHANNEL
    moved = (layout.shape[layout.axis], *rest) if first else (*rest, layout.shape[layout.axis])
    wide = parts.apply("Reshape", [rows, parts.constant(f"{name}/shape", np.array(moved, np.int64))], f"{name}/moved")
    parts.apply("Transpose", [wide], made, perm=_perm(layout, first=first))


def _perm(layout: Layout, *, first: bool) -> list[int]:
    """moveaxis, as Transpose takes it."""
    axes = list(range(len(layout.shape)))
    source = axes.pop(0) if first else axes.pop()
    axes.insert(layout.axis, source)
    return axes


def save(made: Compressed, path: Path) -> None:
    """One file, or where that would be more than protobuf holds, one beside it with the large weights."""
    model = onnx.ModelProto()
    model.CopyFrom(made.model)
    for tensor in model.graph.initializer:
        if tensor.name in made.weights:
            tensor.CopyFrom(initializer(tensor.name, made.weights[tensor.name]))
    if model.ByteSize() < LARGEST_BYTES:
        path.write_bytes(model.SerializeToString(deterministic=True))
        return
    cast("Any", onnx).save_model(model, str(path), save_as_external_data=True, location=f"{path.name}.data")
