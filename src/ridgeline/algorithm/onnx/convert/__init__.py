"""How each ONNX operator becomes nodes of the engine's graph: one table, an operator a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ridgeline.algorithm.onnx.convert import elementwise, joins, moves, pools, products, repeats, scales, windows
from ridgeline.algorithm.onnx.lowering import Lowering
from ridgeline.algorithm.onnx.step import Step

Converter: TypeAlias = Callable[[Lowering, Step], None]

CONVERTERS: dict[str, Converter] = {
    "Conv": windows.conv,
    "ConvTranspose": windows.conv_transpose,
    "Gemm": products.gemm,
    "MatMul": products.matmul,
    "BatchNormalization": products.batch_normalization,
    "MaxPool": pools.max_pool,
    "AveragePool": pools.average_pool,
    "GlobalAveragePool": pools.global_average_pool,
    "GlobalMaxPool": pools.global_max_pool,
    "ReduceMean": pools.reduced,
    "ReduceMax": pools.reduced,
    "Resize": pools.resize,
    "Reshape": moves.reshape,
    "Flatten": moves.flatten,
    "Squeeze": moves.squeeze,
    "Unsqueeze": moves.unsqueeze,
    "Transpose": moves.transpose,
    "Concat": joins.concat,
    "Split": moves.split,
    "Slice": moves.slice_,
    "Tile": repeats.tile,
    "Expand": repeats.expand,
    "Pad": moves.pad,
    "Identity": moves.identity,
    "Dropout": moves.identity,
    "Cast": moves.cast,
    "QuantizeLinear": scales.quantize,
    "DequantizeLinear": scales.dequantize,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"), elementwise.binary),
    **dict.fromkeys(elementwise.UNARY, elementwise.unary),
    "PRelu": elementwise.prelu,
}
"""ONNX operator -> converter. A node with another operator runs on the host (see `host.HOSTED`) or is refused."""

LAYOUT = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Cast"})
"""Operators that only rename elements: a unary function may pass through them."""

ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu", *elementwise.UNARY})
