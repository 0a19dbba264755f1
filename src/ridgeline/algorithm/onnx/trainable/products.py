"""Products, convolutions and what norms do."""

from __future__ import annotations

from ridgeline.algorithm.onnx.trainable.call import Call, Tensor
from ridgeline.algorithm.onnx.trainable.windows import padded, windows


def matmul(call: Call) -> Tensor:
    return call.torch.matmul(*call.inputs)


def gemm(call: Call) -> Tensor:
    left: Tensor = call.first
    right: Tensor = call.inputs[1]
    bias = call.input(2)
    left = left.T if call.attribute("transA", 0) else left
    right = right.T if call.attribute("transB", 0) else right
    made = call.attribute("alpha", 1.0) * (left @ right)
    return made if bias is None else made + call.attribute("beta", 1.0) * bias


def conv(call: Call) -> Tensor:
    x: Tensor = call.first
    weight: Tensor = call.inputs[1]
    how = windows(call, tuple(weight.shape[2:]))
    run = {3: call.functions.conv1d, 4: call.functions.conv2d, 5: call.functions.conv3d}[weight.ndim]
    taken = padded(call, x, how, 0.0)
    return run(taken, weight, call.input(2), stride=how.strides, dilation=how.dilations, groups=call.attribute("group", 1))


def conv_transpose(call: Call) -> Tensor:
    """The whole of it, of which the padding is cut off."""
    x: Tensor = call.first
    weight: Tensor = call.inputs[1]
    call.refuse_unless("auto_pad", "NOTSET")
    if call.attribute("output_shape", None) is not None:
        call.refuse_unless("output_shape", None)
    how = windows(call, tuple(weight.shape[2:]))
    run = {3: call.functions.conv_transpose1d, 4: call.functions.conv_transpose2d, 5: call.functions.conv_transpose3d}[weight.ndim]
    more = tuple(call.attribute("output_padding", [0] * len(how.strides)))
    room = tuple(max(0, extra - after) for extra, (_, after) in zip(more, how.pads, strict=True))
    if any(extra >= max(stride, dilation) for extra, stride, dilation in zip(room, how.strides, how.dilations, strict=True)):
        call.refuse_unless("output_padding", [0] * len(how.strides))
    made = run(
        x, weight, call.input(2), stride=how.strides, output_padding=room, groups=call.attribute("group", 1), dilation=how.dilations
    )
    for axis, ((before, after), extra, added) in enumerate(zip(how.pads, more, room, strict=True), start=2):
        made = made.narrow(axis, before, made.shape[axis] - before - max(0, after - (extra - added)))
    return made


def batch_normalization(call: Call) -> Tensor:
    call.refuse_unless("training_mode", 0)
    x, scale, bias, mean, variance = call.inputs
    return call.functions.batch_norm(x, mean, variance, scale, bias, training=False, eps=call.attribute("epsilon", 1e-5))


def layer_normalization(call: Call) -> Tensor:
    axis = call.attribute("axis", -1) % call.first.ndim
    axes = list(range(axis, call.first.ndim))
    middle = call.first - call.first.mean(axes, keepdim=True)
    spread = call.torch.rsqrt((middle * middle).mean(axes, keepdim=True) + call.attribute("epsilon", 1e-5))
    made, bias = middle * spread * call.inputs[1], call.input(2)
    return made if bias is None else made + bias


def instance_normalization(call: Call) -> Tensor:
    x, scale, bias = call.inputs
    return call.functions.instance_norm(x, weight=scale, bias=bias, eps=call.attribute("epsilon", 1e-5))


def reduced(call: Call) -> Tensor:
    """Axes are an input or, in operators of older opsets, an attribute."""
    x, axes = call.first, call.integers(1) or call.attribute("axes", None)
    if not axes and call.attribute("noop_with_empty_axes", 0):
        return x
    axes = [axis % x.ndim for axis in axes or range(x.ndim)]
    keep = bool(call.attribute("keepdims", 1))
    match call.operator:
        case "ReduceL2":
            return call.torch.sqrt((x * x).sum(axes, keepdim=keep))
        case "ReduceL1":
            return x.abs().sum(axes, keepdim=keep)
        case "ReduceSumSquare":
            return (x * x).sum(axes, keepdim=keep)
        case _:
            return getattr(call.torch, {"Mean": "mean", "Sum": "sum", "Max": "amax", "Min": "amin"}[call.operator[6:]])(x, axes, keepdim=keep)
