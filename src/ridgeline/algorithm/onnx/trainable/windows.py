"""Operators on windows of maps, and how a window lies."""

from __future__ import annotations

from dataclasses import dataclass

from ridgeline.algorithm.onnx.trainable.call import Call, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """`pads` are (before, after) of each axis of the map."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


def windows(call: Call, kernel: tuple[int, ...]) -> Windows:
    rank = len(kernel)
    strides, dilations = tuple(call.attribute("strides", [1] * rank)), tuple(call.attribute("dilations", [1] * rank))
    spans = tuple((size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True))
    automatic = call.attribute("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        whole = [max(0, (-(-size // step) - 1) * step + span - size) for size, step, span in zip(call.first.shape[2:], strides, spans, strict=True)]
        pads = [(each // 2, each - each // 2) if automatic == "SAME_UPPER" else (each - each // 2, each // 2) for each in whole]
    else:
        flat = call.attribute("pads", [0] * (2 * rank)) if automatic == "NOTSET" else [0] * (2 * rank)
        pads = [(flat[axis], flat[axis + rank]) for axis in range(rank)]
    return Windows(kernel=kernel, strides=strides, dilations=dilations, pads=tuple(pads))


def padded(call: Call, x: Tensor, how: Windows, value: float) -> Tensor:
    flat = [size for pair in reversed(how.pads) for size in pair]
    return call.functions.pad(x, flat, value=value) if any(flat) else x


def max_pool(call: Call) -> Tensor:
    call.refuse_unless("ceil_mode", 0)
    how = windows(call, tuple(call.attribute("kernel_shape", ())))
    run = {1: call.functions.max_pool1d, 2: call.functions.max_pool2d, 3: call.functions.max_pool3d}[len(how.kernel)]
    return run(padded(call, call.first, how, float("-inf")), how.kernel, stride=how.strides, dilation=how.dilations)


def average_pool(call: Call) -> Tensor:
    """Without `count_include_pad`, the mean is over what is no padding."""
    call.refuse_unless("ceil_mode", 0)
    how = windows(call, tuple(call.attribute("kernel_shape", ())))
    call.refuse_unless("dilations", [1] * len(how.kernel))
    run = {1: call.functions.avg_pool1d, 2: call.functions.avg_pool2d, 3: call.functions.avg_pool3d}[len(how.kernel)]
    made = run(padded(call, call.first, how, 0.0), how.kernel, stride=how.strides)
    if call.attribute("count_include_pad", 0):
        return made
    return made / run(padded(call, call.torch.ones_like(call.first[:1, :1]), how, 0.0), how.kernel, stride=how.strides)


def global_average_pool(call: Call) -> Tensor:
    return call.first.mean(list(range(2, call.first.ndim)), keepdim=True)


def global_max_pool(call: Call) -> Tensor:
    return call.first.amax(list(range(2, call.first.ndim)), keepdim=True)
