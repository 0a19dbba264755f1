"""The weights of a network that a format or a pattern can change, and the network with other numbers in their place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.helper

from ridgeline.algorithm.onnx.load import Loaded
from ridgeline.algorithm.onnx.rounded import Rounded, round_inputs, switch
from ridgeline.algorithm.onnx.runtime import call, session
from ridgeline.algorithm.onnx.weights import array_of
from ridgeline.algorithm.passes.compress import Place
from ridgeline.errors import InputError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
MOST_INPUTS = 4608  # of a weight: 512 channels of 3 x 3
MOST_WINDOWS = 4096  # of a batch
FLOATS = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """An initialiser that layers multiply by. `channel` is the axis of output channels; a product adds up along the axes of `reduction`, of which
    input channels are the last, as an array takes them. `groups` are those of a convolution. `inputs` are the values that meet it, one a layer."""

    name: str
    shape: tuple[int, ...]
    channel: int
    reduction: tuple[int, ...]
    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    operator: str
    bits: int = 32  # of an element, in the file
    groups: int = 1
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] | None = ()  # None where the file does not tell them

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def place(self) -> Place:
        """Blocks and groups of scales run along the longest axis that a product adds up along, of equals input channels."""
        along = max(reversed(self.reduction), key=lambda axis: self.shape[axis])
        return Place(channel=self.channel, reduction=self.reduction, along=along)


def constants_as_initialisers(loaded: Loaded) -> Loaded:
    """The network with the tensors of its Constant nodes among its initialisers."""
    model = onnx.ModelProto()
    model.CopyFrom(loaded.model)
    graph = model.graph
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        tensor = next((item.t for item in node.attribute if item.name == "value" and item.HasField("t")), None)
        if node.op_type != "Constant" or tensor is None:
            kept.append(node)
            continue
        moved = onnx.TensorProto()
        moved.CopyFrom(tensor)
        moved.name = node.output[0]
        graph.initializer.append(moved)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    return replace(loaded, model=model)


def read_weights(loaded: Loaded) -> tuple[Weight, ...]:
    """Float weights of Conv, ConvTranspose, Gemm and MatMul, in the network's order; one that several layers share in the same way is one.

    Raises InputError for a network that has none.
    """
    tensors = {tensor.name: tensor for tensor in loaded.model.graph.initializer}
    found: dict[str, Weight] = {}
    for node in loaded.model.graph.node:
        place = _PLACES.get(node.op_type)
        if place is None or node.domain not in ("", "ai.onnx") or len(node.input) < 2 or node.input[1] not in tensors:
            continue
        tensor = tensors[node.input[1]]
        weight, kind = place(node, tuple(tensor.dims)), onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if weight is None or kind not in FLOATS or weight.elements == 0:
            continue
        weight = replace(weight, bits=8 * kind.itemsize)
        known = found.get(weight.name)
        if known is None:
            found[weight.name] = weight
        elif (known.channel, known.reduction) == (weight.channel, weight.reduction):
            found[weight.name] = replace(known, layers=known.layers + weight.layers, inputs=known.inputs + weight.inputs)
    if not found:
        raise InputError(f"{loaded.name} has no float weights that a convolution or a product multiplies by; nothing can be compressed")
    return tuple(found.values())


def array(loaded: Loaded, weight: Weight) -> Array:
    """Its numbers, as float32."""
    tensor = next(tensor for tensor in loaded.model.graph.initializer if tensor.name == weight.name)
    return np.ascontiguousarray(array_of(tensor, loaded.weights), np.float32)


def _conv(node: onnx.NodeProto, shape: tuple[int, ...]) -> Weight | None:
    if len(shape) < 3:
        return None
    rank = len(shape) - 2
    automatic = next((item.s for item in node.attribute if item.name == "auto_pad"), b"NOTSET") not in (b"NOTSET", b"VALID")
    return replace(
        _weight(node, shape, 0, (*range(2, len(shape)), 1)),
        strides=_integers(node, "strides", (1,) * rank),
        dilations=_integers(node, "dilations", (1,) * rank),
        pads=None if automatic else _integers(node, "pads", (0,) * (2 * rank)),
    )


def _conv_transpose(node: onnx.NodeProto, shape: tuple[int, ...]) -> Weight | None:
    return _weight(node, shape, 1, (*range(2, len(shape)), 0)) if len(shape) > 2 else None


def _gemm(node: onnx.NodeProto, shape: tuple[int, ...]) -> Weight | None:
    channel = 0 if _integer(node, "transB", 0) else 1
    return _weight(node, shape, channel, (1 - channel,)) if len(shape) == 2 else None


def _matmul(node: onnx.NodeProto, shape: tuple[int, ...]) -> Weight | None:
    return _weight(node, shape, 1, (0,)) if len(shape) == 2 else None


def _weight(node: onnx.NodeProto, shape: tuple[int, ...], channel: int, reduction: tuple[int, ...]) -> Weight:
    return Weight(
        name=node.input[1], shape=shape, channel=channel, reduction=reduction, layers=(node.name or node.output[0],), inputs=(node.input[0],),
        operator=node.op_type, groups=_integer(node, "group", 1),
    )  # fmt: skip


def _integer(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((item.i for item in node.attribute if item.name == name), default)


def _integers(node: onnx.NodeProto, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return next((tuple(item.ints) for item in node.attribute if item.name == name), default)


_PLACES: Mapping[str, Callable[[onnx.NodeProto, tuple[int, ...]], Weight | None]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


class Variants:
    """The network in one session of onnxruntime, whose weights come with each run. `rounded`: how what meets a weight is rounded to a format, by
    format and weight, in runs that say so."""

    def __init__(
        self, loaded: Loaded, weights: Sequence[Weight], arrays: Mapping[str, Array], rounded: Mapping[str, Mapping[str, Rounded]] | None = None
    ) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(loaded.model)
        self._rounded = [(name, how.format) for ways in (rounded or {}).values() for name, how in ways.items()]
        for ways in (rounded or {}).values():
            round_inputs(model, ways, switched=True)
        self._types = _make_inputs(model, {weight.name for weight in weights})
        beside = {name: held for name, held in loaded.weights.items() if name not in self._types}
        self._session = session(model.SerializeToString(), weights=beside)
        self._arrays = {name: np.asarray(arrays[name], kind) for name, kind in self._types.items()}
        self.outputs = tuple(output.name for output in loaded.model.graph.output)

    def run(
        self, feeds: Mapping[str, Array], changed: Mapping[str, Array] | None = None, rounded: Mapping[str, str] | None = None
    ) -> dict[str, Array]:
        """The outputs, with other numbers for some weights, and with what meets those of `rounded` rounded to the format that it says."""
        others = {name: np.asarray(held, self._types[name]) for name, held in (changed or {}).items()}
        switches = {switch(name, kind): np.array((rounded or {}).get(name) == kind) for name, kind in self._rounded}
        return call(self._session, {**feeds, **self._arrays, **others, **switches})


def _make_inputs(model: onnx.ModelProto, names: Collection[str]) -> dict[str, np.dtype[Any]]:
    """Turns initialisers into inputs, in place. Returns their types."""
    graph, types = model.graph, dict[str, np.dtype[Any]]()
    declared = {value.name for value in graph.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in names]:
        types[tensor.name] = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if tensor.name not in declared:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        graph.initializer.remove(tensor)
    return types


def activations(loaded: Loaded, names: Sequence[str], batches: Iterator[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
    """The values of those names for each batch of feeds."""
    model = onnx.ModelProto()
    model.CopyFrom(loaded.model)
    fed = {value.name for value in model.graph.input}
    del model.graph.output[:]
    wanted = [name for name in dict.fromkeys(names) if name not in fed]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
    loaded_session = session(model.SerializeToString(), weights=loaded.weights) if wanted else None
    for feeds in batches:
        made = call(loaded_session, feeds) if loaded_session is not None else {}
        yield {**{name: feeds[name] for name in names if name in fed}, **made}


def moments(weight: Weight, values: Array, rng: np.random.Generator) -> Array | None:
    """Sum of x x^T over the inputs that meet the weight (inputs, inputs), in the order of its reduction; of a convolution over some of its places.

    None where that is not to be had: convolutions in groups, transposed or padded by rule, and more than `MOST_INPUTS` inputs.
    """
    inputs = int(np.prod([weight.shape[axis] for axis in weight.reduction]))
    if inputs > MOST_INPUTS or values.dtype.kind != "f":
        return None
    if weight.operator == "Conv":
        rows = _windows(weight, values, rng) if weight.groups == 1 and weight.pads is not None else None
    else:
        rows = values.reshape(-1, values.shape[-1]) if weight.operator in ("MatMul", "Gemm") else None
    if rows is None or rows.shape[1] != inputs:
        return None
    rows = rows.astype(np.float64)
    return rows.T @ rows


def _windows(weight: Weight, values: Array, rng: np.random.Generator) -> Array:
    """Some of the windows that a convolution sees (windows, kernel and then input channels)."""
    rank = len(weight.strides)
    pads = weight.pads or (0,) * (2 * rank)
    padded = np.pad(values, ((0, 0), (0, 0), *((pads[axis], pads[axis + rank]) for axis in range(rank))))
    spans = tuple((weight.shape[axis + 2] - 1) * weight.dilations[axis] + 1 for axis in range(rank))
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(2, 2 + rank)))
    steps = tuple(slice(None, None, stride) for stride in weight.strides)
    taps = tuple(slice(None, None, dilation) for dilation in weight.dilations)
    view = view[(slice(None), slice(None), *steps, *taps)]
    places = view.shape[0] * int(np.prod(view.shape[2 : 2 + rank]))
    chosen: Array = np.sort(np.asarray(rng.choice(places, min(places, MOST_WINDOWS), replace=False), np.int64))
    index = np.unravel_index(chosen, (view.shape[0], *view.shape[2 : 2 + rank]))
    found = view[(index[0], slice(None), *index[1:])]  # (windows, channels, kernel)
    return np.moveaxis(found, 1, -1).reshape(len(chosen), -1)
