"""Operators that move elements, or tell of shapes."""

from __future__ import annotations

from math import prod

from ridgeline.algorithm.onnx.trainable.call import Call, Tensor


def reshape(call: Call) -> Tensor:
    """0 keeps a size, unless `allowzero` says otherwise."""
    wanted = call.integers(1) or []
    if not call.attribute("allowzero", 0):
        wanted = [call.first.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return call.first.reshape(wanted)


def flatten(call: Call) -> Tensor:
    shape, axis = call.first.shape, call.attribute("axis", 1)
    rows = prod(shape[:axis])
    return call.first.reshape(rows, -1 if rows else prod(shape[axis:]))


def transpose(call: Call) -> Tensor:
    return call.first.permute(call.attribute("perm", list(range(call.first.ndim))[::-1]))


def squeeze(call: Call) -> Tensor:
    axes = call.integers(1)
    return call.torch.squeeze(call.first) if axes is None else call.torch.squeeze(call.first, axes)


def unsqueeze(call: Call) -> Tensor:
    axes, made = call.integers(1) or [], call.first
    rank = made.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        made = made.unsqueeze(axis)
    return made


def concat(call: Call) -> Tensor:
    return call.torch.cat(list(call.inputs), call.attribute("axis", 0))


def split(call: Call) -> tuple[Tensor, ...]:
    axis, sizes = call.attribute("axis", 0), call.integers(1)
    if sizes is None:
        parts = call.attribute("num_outputs", call.outputs)
        return call.first.split(-(-call.first.shape[axis] // parts), axis)
    return call.first.split(sizes, axis)


def slice_(call: Call) -> Tensor:
    """numpy's rules, with ends that are clamped."""
    starts, stops = call.integers(1) or [], call.integers(2) or []
    axes, steps = call.integers(3) or range(len(starts)), call.integers(4) or [1] * len(starts)
    made = call.first
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        size = made.shape[axis]
        places = range(*slice(start, stop if step > 0 or stop >= -size else None, step).indices(size))
        made = made.index_select(axis, call.torch.tensor(list(places), dtype=call.torch.int64))
    return made


def gather(call: Call) -> Tensor:
    x: Tensor = call.first
    places: Tensor = call.inputs[1]
    axis = call.attribute("axis", 0) % x.ndim
    chosen = call.torch.where(places < 0, places + x.shape[axis], places).to(call.torch.int64)
    made = x.index_select(axis, chosen.reshape(-1))
    return made.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


def expand(call: Call) -> Tensor:
    """Broadcast both ways."""
    shape = call.torch.broadcast_shapes(call.first.shape, call.integers(1) or [])
    return call.first.expand(shape)


def tile(call: Call) -> Tensor:
    return call.first.repeat(call.integers(1))


def pad(call: Call) -> Tensor:
    x, pads, value = call.first, call.integers(1) or [], call.input(2)
    mode = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}.get(call.attribute("mode", "constant"))
    if mode is None or (mode != "constant" and call.input(3) is not None):
        call.refuse_unless("mode", "constant")
    axes = [axis % x.ndim for axis in call.integers(3) or range(x.ndim)]
    ends = {axis: (pads[place], pads[place + len(axes)]) for place, axis in enumerate(axes)}
    padded = range(x.ndim) if mode == "constant" else range(min((axis for axis, end in ends.items() if any(end)), default=x.ndim), x.ndim)
    flat = [size for axis in reversed(padded) for size in ends.get(axis, (0, 0))]
    if mode == "constant":
        return call.functions.pad(x, flat, value=0 if value is None else value.item())
    return call.functions.pad(x, flat, mode=mode) if flat else x


def shape(call: Call) -> Tensor:
    return call.torch.tensor(list(call.first.shape)[call.attribute("start", 0) : call.attribute("end", None)], dtype=call.torch.int64)


def constant(call: Call) -> Tensor:
    """Of a tensor or of numbers."""
    ((name, value),) = call.attributes.items()
    if name == "value":
        return call.torch.from_numpy(value.copy())
    if name not in ("value_float", "value_floats", "value_int", "value_ints"):
        call.refuse_unless(name, None)
    return call.torch.tensor(value, dtype=call.torch.float32 if "float" in name else call.torch.int64)


def constant_of_shape(call: Call) -> Tensor:
    value = call.attribute("value", None)
    like = call.torch.zeros(()) if value is None else call.torch.from_numpy(value.copy()).reshape(())
    return like.expand(call.integers(0) or [])


def range_(call: Call) -> Tensor:
    start, stop, step = (value.item() for value in call.inputs if value is not None)
    return call.torch.arange(start, stop, step, dtype=call.first.dtype)
