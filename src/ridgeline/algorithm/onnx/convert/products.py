"""Products with a constant matrix, and normalisation by constants."""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.axes import Axis, addresses, is_complete, whole
from ridgeline.algorithm.onnx.convert.elementwise import affine
from ridgeline.algorithm.onnx.lowering import Constant, Lowering, Value
from ridgeline.algorithm.onnx.step import RefusedError, Step
from ridgeline.algorithm.operators import Conv

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def gemm(low: Lowering, step: Step) -> None:
    if step.integer("transA", 0):
        raise RefusedError("it transposes its first input", "export a product that does not (transA = 0)")
    constant = low.weight(step, 1, "weight")
    transposed = bool(step.integer("transB", 0))
    matrix = constant.array if not transposed else constant.array.T
    alpha, beta = step.number("alpha", 1.0), step.number("beta", 1.0)
    bias = np.zeros(matrix.shape[-1])
    if step.has(2):
        bias = np.broadcast_to(low.weight(step, 2, "bias").array * beta, (1, matrix.shape[-1])).reshape(-1)
    scale = _scale(constant, axis=0 if transposed else 1)
    value = low.operand(step, 0)
    if len(value.view) != 2:
        raise RefusedError(f"its input has {len(value.view)} axes, not 2", "check the network's shapes")
    matrix = matrix if alpha == 1 else matrix * alpha
    low.put(step.outputs[0], contract(low, step, value, axis=1, matrix=matrix, bias=bias, scale=_scaled(scale, alpha)))


def matmul(low: Lowering, step: Step) -> None:
    first, second = (low.any_value(step, index) for index in (0, 1))
    if isinstance(first, Value) and isinstance(second, Value):
        raise RefusedError("both of its inputs are computed while the network runs", "the engine multiplies by constant matrices only")
    left = isinstance(first, Constant)
    constant = low.weight(step, 0 if left else 1, "weight")
    matrix = constant.array
    if matrix.ndim > 2 and prod(matrix.shape[:-2]) == 1:
        matrix = matrix.reshape(matrix.shape[-2:])
    if matrix.ndim != 2:
        raise RefusedError(f"its constant has shape {constant.array.shape}, not that of a matrix", "multiply by one matrix for all")
    value = low.operand(step, 1 if left else 0)
    axis = len(value.view) - (2 if left else 1)
    if axis < 1:
        raise RefusedError("it sums over the batch", "keep the batch in front")
    scale = _scale(constant, axis=constant.array.ndim - 2 if left else constant.array.ndim - 1)
    matrix = matrix.T if left else matrix
    low.put(step.outputs[0], contract(low, step, value, axis=axis, matrix=matrix, bias=np.zeros(matrix.shape[1]), scale=scale))


def batch_normalization(low: Lowering, step: Step) -> None:
    if step.integer("training_mode", 0):
        raise RefusedError("it is in training mode", "export the network for inference (model.eval())")
    gain, shift, mean, variance = (low.weight(step, index, "statistic").array.astype(np.float64) for index in (1, 2, 3, 4))
    value = low.operand(step, 0)
    rank = len(value.view)
    value = low.bind(value, [1], list(range(2, rank - 1)), [rank - 1] if rank > 2 else [])
    spread = variance + step.number("epsilon", 1e-5)
    if spread.size and spread.min() <= 0:
        raise RefusedError(f"its variance plus epsilon is {spread.min():g}, not above 0", "check the file's constants")
    scale = gain / np.sqrt(spread)
    offset = shift - mean * scale
    if scale.shape != value.shape[1:2] or offset.shape != scale.shape:
        raise RefusedError(f"its statistics of shape {scale.shape} do not fit {value.shape[1:2]} channels", "check the file's constants")
    trailing = (1,) * (rank - 2)
    stored = [low.storage_of(value, array.reshape(-1, *trailing)) for array in (scale, offset)]
    if any(not np.array_equal(np.broadcast_to(array[:, :1, :1], array.shape), array) for array in stored):
        raise RefusedError("its channels do not lie on the engine's channel axis", "normalise right after a convolution")
    low.put(step.outputs[0], affine(low, step, value, scale=stored[0][:, 0, 0], offset=stored[1][:, 0, 0]))


def contract(low: Lowering, step: Step, value: Value, *, axis: int, matrix: Array, bias: Array, scale: Array | None) -> Value:
    """Sum over one axis with a matrix (inputs, outputs): a convolution whose kernel covers the stored axes that are summed."""
    if value.shape[axis] != matrix.shape[0]:
        raise RefusedError(f"it multiplies {value.shape[axis]} values by a matrix of {matrix.shape[0]} rows", "check the network's shapes")
    rows = [index for index in range(len(value.view)) if index != axis]
    value = low.bind(value, [axis], rows[:-1], rows[-1:])
    shape = low.shape(value)
    summed = value.view[axis]
    kernel = _kernel(summed, shape)
    if kernel is None:
        raise RefusedError(
            f"it sums over an axis that is not the engine's channels (stored as {shape} channels, height, width)",
            "transpose so that it sums over the axis that the node before it computes",
        )
    inner = (shape[0], *kernel)
    order = addresses([summed], inner).reshape(-1)
    in_order = np.array_equal(order, np.arange(len(order)))
    weight = np.ascontiguousarray((matrix if in_order else matrix[np.argsort(order)]).T, dtype=np.float32)
    parts: dict[str, Any] = {"weight": weight.reshape(-1, *inner), "bias": bias.astype(np.float32), "weight_scale": scale}
    tensor = low.emit(step, Conv(), [value], **parts)
    view = tuple(whole("c", matrix.shape[1]) if index == axis else atoms for index, atoms in enumerate(value.view))
    return Value(tensor=tensor, view=view)


def _kernel(summed: Axis, shape: tuple[int, int, int]) -> tuple[int, int] | None:
    """(height, width) of the kernel that sums over the atoms: all channels, and all or none of height and of width."""
    parts = {name: [atom for atom in summed if atom.axis == name] for name in "chwn"}
    if any(atom.size > 1 for atom in parts["n"]) or not is_complete(parts["c"], "c", shape[0]):
        return None
    sizes: list[int] = []
    for name, extent in (("h", shape[1]), ("w", shape[2])):
        if parts[name] and not is_complete(parts[name], name, extent):
            return None
        sizes.append(extent if parts[name] else 1)
    return sizes[0], sizes[1]


def _scale(constant: Constant, axis: int) -> Array | None:
    """The scales of a dequantised weight, one an output, or None where the file has none of that form."""
    outputs = constant.array.shape[axis]
    if constant.scale is None or (constant.scale.size > 1 and constant.axis != axis):
        return None
    return np.broadcast_to(constant.scale.reshape(-1), (outputs,)).astype(np.float64)


def _scaled(scale: Array | None, factor: float) -> Array | None:
    return None if scale is None else (scale * abs(factor)).astype(np.float64)
