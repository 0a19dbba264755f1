"""QuantizeLinear and DequantizeLinear: the scales of a network that is already quantised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ridgeline.algorithm.function import Function, clip, compose
from ridgeline.algorithm.graph import Quantisation
from ridgeline.algorithm.onnx.lowering import Constant, Lowering, Value
from ridgeline.algorithm.onnx.step import RefusedError, Step
from ridgeline.algorithm.operators import Copy, Expand, MaxPool, Resize, Select


def quantize(low: Lowering, step: Step) -> None:
    """Remembers the scale on the tensor that is quantised, which is limited to what its codes can say: exporters drop a Relu that this limit does.

    The codes themselves exist only between this node and a DequantizeLinear.
    """
    scales = quantisation_of(low, step)
    value = low.value(step, 0)
    if value.codes is not None:
        raise RefusedError("its input is quantised already", "quantise a value once")
    if not _within(low, value, scales):
        lowest, highest = ((code - scales.zero_point) * scales.scale for code in (scales.low, scales.high))
        limited = compose(clip(lowest, highest), Function(expression=value.expression))
        value = low.realise(replace(value, expression=limited.expression), step.inputs[0])
    if low.quantisations.setdefault(value.tensor, scales) != scales:
        value = low.copy(value, step.inputs[0])
        low.quantisations[value.tensor] = scales
    low.put(step.outputs[0], replace(value, codes=scales))


def _within(low: Lowering, value: Value, scales: Quantisation) -> bool:
    """Whether the value is limited to the scale's range already: a network input, or moved from a tensor of the same scale."""
    if value.expression != "x":
        return False
    tensor = value.tensor
    while low.quantisations.get(tensor) != scales:
        node = next((node for node in reversed(low.nodes) if node.output == tensor), None)
        if node is None:
            return True
        if node.function is not None or not isinstance(node.operator, (MaxPool, Select, Resize, Expand, Copy)):
            return False
        tensor = node.inputs[0]
    return True


def dequantize(low: Lowering, step: Step) -> None:
    found = low.any_value(step, 0)
    if isinstance(found, Constant):
        low.put(step.outputs[0], _dequantized(low, step, found))
        return
    scales = quantisation_of(low, step)
    if found.codes is None:
        raise RefusedError("its input is not quantised", "put a QuantizeLinear before it")
    if found.codes != scales:
        raise RefusedError(
            f"it reads codes of scale {found.codes.scale:g} with scale {scales.scale:g}", "use one scale to quantise and dequantise a value"
        )
    low.quantisations.setdefault(found.tensor, scales)
    low.put(step.outputs[0], replace(found, codes=None))


def quantisation_of(low: Lowering, step: Step) -> Quantisation:
    """Scale and zero point of a node, as int8 codes; uint8 codes are the same less 128."""
    scale = low.constant(step, 1, "scale").array
    if scale.size != 1:
        raise RefusedError(f"it has {scale.size} scales", "quantise activations with one scale a tensor")
    number = float(scale.reshape(-1)[0])
    if not np.isfinite(number) or number <= 0:
        raise RefusedError(f"its scale is {number}", "scales are positive numbers")
    if not step.has(2):
        return Quantisation(scale=number, zero_point=0 if step.integer("output_dtype", 0) == 3 else -128)
    zero_point = low.constant(step, 2, "zero point").array
    offset = {"int8": 0, "uint8": 128}.get(str(zero_point.dtype))
    if offset is None or zero_point.size != 1:
        raise RefusedError(f"its codes are {zero_point.dtype}", "quantise activations to int8 or uint8")
    return Quantisation(scale=number, zero_point=int(zero_point.reshape(-1)[0]) - offset)


def _dequantized(low: Lowering, step: Step, codes: Constant) -> Constant:
    scale = low.constant(step, 1, "scale").array.astype(np.float32)
    if step.integer("block_size", 0):
        raise RefusedError("its weight is quantised in blocks", "quantise weights per tensor or per channel")
    if not np.isfinite(scale).all() or (scale <= 0).any():
        raise RefusedError("its scales are not positive numbers", "repair the file's constants")
    rank = codes.array.ndim
    axis = step.integer("axis", 1) % rank if scale.size > 1 and rank else None
    shape = tuple(-1 if index == axis else 1 for index in range(rank))
    zero_point = low.constant(step, 2, "zero point").array.astype(np.int64) if step.has(2) else np.zeros(1, dtype=np.int64)
    if scale.size > 1 and (axis is None or codes.array.shape[axis] != scale.size or zero_point.size not in (1, scale.size)):
        raise RefusedError(f"its {scale.size} scales do not fit its weight of shape {codes.array.shape}", "check the file's constants")
    shifted = codes.array.astype(np.int64) - (zero_point.reshape(shape) if zero_point.size > 1 else zero_point.reshape(-1)[0])
    array = (shifted * scale.reshape(shape).astype(np.float64)).astype(np.float32)
    fits = shifted.size == 0 or (int(shifted.min()) >= -128 and int(shifted.max()) <= 127)
    return Constant(array=array, scale=scale if fits else None, axis=axis)
