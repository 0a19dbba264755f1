"""Reads a network's layers from shapes alone: weights may be absent, and are never loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper, shape_inference

from ridgeline.algorithm.layers import Layer, Work
from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import InputError, UnsupportedError

LARGEST = 2**62  # iterations of a layer
SPATIAL = (("y", "r"), ("x", "q"), ("z", "t"))  # output and kernel axes
REFUSED = frozenset({"LSTM", "GRU", "RNN", "DeformConv", "Attention", "MultiHeadAttention", "Einsum", "RotaryEmbedding"})

Shapes = Mapping[str, tuple[int, ...]]


def read_work(source: Path | bytes, *, batch: int | None = None) -> Work:
    """`batch` is the extent of a dynamic leading axis, 1 if not given. Raises InputError for a file that is none or lacks shapes, UnsupportedError for a
    node that multiplies and cannot be written as a nest."""
    model, name = _parsed(source)
    _fix_batch(model, batch or 1, name)
    shapes = _shapes(model, name)
    layers: list[Layer] = []
    others: list[str] = []
    for node in model.graph.node:
        maker = MAKERS.get(node.op_type)
        label = node.name or node.output[0]
        if node.op_type in REFUSED:
            raise UnsupportedError(f"{name}: node '{label}' ({node.op_type}) multiplies, and cannot be written as a nest over axes")
        if maker is None:
            others.append(f"{label} ({node.op_type})")
            continue
        layers += [_checked(layer, name) for layer in maker(_Node(node=node, label=label, shapes=shapes, network=name))]
    if not layers:
        raise InputError(f"{name} has no layer that multiplies")
    return Work(name=model.graph.name, layers=tuple(layers), others=tuple(others), feeds=_feeds(model, layers))


def _parsed(source: Path | bytes) -> tuple[onnx.ModelProto, str]:
    name = "the network" if isinstance(source, bytes) else f"'{source}'"
    model = onnx.ModelProto()
    try:
        model.ParseFromString(source if isinstance(source, bytes) else source.read_bytes())
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # protobuf's own kinds
        raise InputError(f"{name} is not an ONNX file, or is cut short") from error
    if not model.graph.node:
        raise InputError(f"{name} holds no ONNX graph")
    return model, name


def _fix_batch(model: onnx.ModelProto, batch: int, name: str) -> None:
    weights = {item.name for item in model.graph.initializer}
    for value in model.graph.input:
        if value.name in weights:
            continue
        for place, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_value > 0:
                continue
            if place > 0:
                raise InputError(f"{name}: axis {place} of input '{value.name}' has no fixed extent ({dim.dim_param or 'unknown'}); export it fixed")
            dim.dim_value = batch


def _shapes(model: onnx.ModelProto, name: str) -> Shapes:
    """By tensor. What is known of outputs and intermediate values is inferred anew: it may hold another batch."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()
    large = _set_aside(model)
    try:
        inferred = shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    except Exception as error:  # onnx's own kinds
        raise InputError(f"{name}: its shapes cannot be inferred: {str(error).splitlines()[0]}") from error
    shapes = {item.name: tuple(item.dims) for item in (*large, *model.graph.initializer)}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        dims = value.type.tensor_type.shape.dim
        if all(dim.dim_value > 0 for dim in dims):
            shapes.setdefault(value.name, tuple(dim.dim_value for dim in dims))
    return shapes


def _set_aside(model: onnx.ModelProto) -> list[TensorProto]:
    """Takes large weights out of the graph, where they are inputs of known shape from here: inference copies all that it is given."""
    large = [item for item in model.graph.initializer if prod(item.dims) > 4096 or item.data_location == TensorProto.EXTERNAL]
    names = {item.name for item in large}
    known = {value.name for value in model.graph.input}
    kept = [item for item in model.graph.initializer if item.name not in names]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.input.extend(
        helper.make_tensor_value_info(item.name, item.data_type, list(item.dims)) for item in large if item.name not in known
    )
    return large


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    node: NodeProto
    label: str
    shapes: Shapes
    network: str

    def shape(self, tensor: str) -> tuple[int, ...]:
        if tensor not in self.shapes:
            raise InputError(f"{self.network}: the shape of '{tensor}' at node '{self.label}' ({self.node.op_type}) is not known; export it with fixed shapes")
        return self.shapes[tensor]

    def attribute(self, name: str, default: Any) -> Any:
        return next((helper.get_attribute_value(item) for item in self.node.attribute if item.name == name), default)

    def layer(self, nest: Nest, inputs: Sequence[str], suffix: str = "") -> Layer:
        return Layer(name=self.label + suffix, operator=self.node.op_type, nest=nest, inputs=tuple(inputs), output=self.node.output[0])

    def refuse(self, why: str) -> UnsupportedError:
        return UnsupportedError(f"{self.network}: node '{self.label}' ({self.node.op_type}): {why}")


def _conv(item: _Node) -> list[Layer]:
    quantised = item.node.op_type == "QLinearConv"
    data, weights = item.node.input[0], item.node.input[3 if quantised else 1]
    kernel, output = item.shape(weights), item.shape(item.node.output[0])
    rank = len(kernel) - 2
    if not 1 <= rank <= len(SPATIAL):
        raise item.refuse(f"a convolution over {rank} axes; up to {len(SPATIAL)} are known")
    groups = item.attribute("group", 1)
    axes = {"n": output[0], "g": groups, "m": kernel[0] // groups, "c": kernel[1]}
    strides, dilations = item.attribute("strides", [1] * rank), item.attribute("dilations", [1] * rank)
    return [item.layer(_conv_nest(axes, output[2:], kernel[2:], strides, dilations), (data, weights))]


def _conv_nest(axes: dict[str, int], output: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Nest:
    """One-dimensional convolutions run along x."""
    pairs = SPATIAL[1:2] if len(output) == 1 else SPATIAL[: len(output)]
    factors: dict[str, int] = {}
    windows: list[str] = []
    for (place, tap), size, taps, stride, dilation in zip(pairs, output, kernel, strides, dilations, strict=True):
        axes |= {place: size}
        factors |= {f"s{place}": stride, f"d{place}": dilation}
        windows.append(f"({place}*s{place}+{tap}*d{place})")
    axes |= {tap: taps for (_, tap), taps in zip(pairs, kernel, strict=True)}
    group = "g " if axes["g"] > 1 else ""
    if not group:
        del axes["g"]
    places, taps = " ".join(place for place, _ in pairs), " ".join(tap for _, tap in pairs)
    notation = f"n {group}c {' '.join(windows)}, {group}m c {taps} -> n {group}m {places}"
    return parse(notation, axes=axes, factors=factors, multiplies=True)


def _conv_transpose(item: _Node) -> list[Layer]:
    """As many convolutions as the strides have phases: output s i + p takes the taps that fall on it, one in s, each at an input pixel."""
    data, weights = item.node.input[:2]
    image, kernel, output = item.shape(data), item.shape(weights), item.shape(item.node.output[0])
    rank = len(kernel) - 2
    strides, dilations = item.attribute("strides", [1] * rank), item.attribute("dilations", [1] * rank)
    if rank > len(SPATIAL) or any(dilation != 1 for dilation in dilations):
        raise item.refuse("a dilated transposed convolution")
    groups = item.attribute("group", 1)
    layers: list[Layer] = []
    for number in range(prod(strides)):
        phases = [number // prod(strides[place + 1 :]) % stride for place, stride in enumerate(strides)]
        taps = [-(-(size - phase) // stride) for size, phase, stride in zip(kernel[2:], phases, strides, strict=True)]
        places = [-(-(size - phase) // stride) for size, phase, stride in zip(output[2:], phases, strides, strict=True)]
        if min(taps) < 1 or min(places) < 1:
            continue
        axes = {"n": image[0], "g": groups, "m": kernel[1], "c": kernel[0] // groups}
        nest = _conv_nest(axes, places, taps, [1] * rank, [1] * rank)
        layers.append(item.layer(nest, (data, weights), f"[{','.join(map(str, phases))}]" if prod(strides) > 1 else ""))
    return layers


def _matmul(item: _Node) -> list[Layer]:
    quantised = item.node.op_type == "QLinearMatMul"
    first, second = item.node.input[0], item.node.input[3 if quantised else 1]
    a, b, output = item.shape(first), item.shape(second), item.shape(item.node.output[0])
    rows, inner, columns = (a[-2] if len(a) > 1 else 1), a[-1], (b[-1] if len(b) > 1 else 1)
    if len(b) <= 2 or prod(b[:-2]) == 1:
        return [item.layer(_product(1, prod(a[:-1]), inner, columns), (first, second))]
    heads = prod(output) // (rows * columns)
    if prod(b[:-2]) != heads or prod(a[:-2]) not in (1, heads):
        raise item.refuse(f"a product of {a} and {b}, whose leading axes repeat in part")
    if prod(a[:-2]) == 1:
        return [item.layer(_product(1, rows, inner, columns * heads), (first, second))]
    return [item.layer(_product(heads, rows, inner, columns), (first, second))]


def _gemm(item: _Node) -> list[Layer]:
    first, second = item.node.input[:2]
    a, b = item.shape(first), item.shape(second)
    rows, inner = (a[1], a[0]) if item.attribute("transA", 0) else (a[0], a[1])
    return [item.layer(_product(1, rows, inner, b[0] if item.attribute("transB", 0) else b[1]), (first, second))]


def _product(heads: int, rows: int, inner: int, columns: int) -> Nest:
    """Rows are y, columns m: as a convolution of one pixel an output row has them."""
    if heads == 1:
        return parse("y c, c m -> y m", axes={"m": columns, "c": inner, "y": rows}, multiplies=True)
    return parse("g y c, g c m -> g y m", axes={"g": heads, "m": columns, "c": inner, "y": rows}, multiplies=True)


MAKERS: Mapping[str, Callable[[_Node], list[Layer]]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
}


def _checked(layer: Layer, name: str) -> Layer:
    if layer.nest.iterations > LARGEST:
        raise InputError(f"{name}: node '{layer.name}' has {layer.nest.iterations:,} iterations; at most 2^62 can be counted")
    return layer


def _feeds(model: onnx.ModelProto, layers: Sequence[Layer]) -> tuple[tuple[str, str], ...]:
    made = {layer.output for layer in layers}
    names: dict[str, list[str]] = {}
    for layer in layers:
        names.setdefault(layer.output, []).append(layer.name)
    origins: dict[str, frozenset[str]] = {}
    for node in model.graph.node:
        above = frozenset(origin for tensor in node.input for origin in origins.get(tensor, frozenset[str]()))
        for tensor in node.output:
            origins[tensor] = frozenset(names[tensor]) if tensor in made else above
    pairs = [(origin, layer.name) for layer in layers for tensor in layer.inputs for origin in sorted(origins.get(tensor, frozenset[str]()))]
    return tuple(dict.fromkeys(pairs))
