"""From operators to the engine's loops: one function an operator, one line each in `_MAKERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, product
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.graph import Graph, Node, Requantise
from ridgeline.algorithm.operators import (
    Add,
    AveragePool,
    Concat,
    Conv,
    ConvTranspose,
    Copy,
    Expand,
    Join,
    MaxPool,
    Mul,
    Resize,
    Select,
    Take,
)
from ridgeline.algorithm.operators.take import stretches
from ridgeline.errors import DoesNotFitError, UnsupportedError
from ridgeline.hardware.engine import timing
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.layer import Pair, Part, Pattern, Work
from ridgeline.mapping.program import Mode
from ridgeline.mapping.weights import gather_blocks, grouped_blocks, matrix_blocks, tap_blocks

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SMALLEST_CODE = -128
MASK_TAPS = 8  # bits of an instruction's tap_mask
EMIT_LIMIT = 15  # of its emit_from and emit_stride


def layout(graph: Graph, engine: Engine) -> dict[str, int]:
    """Bytes of a pixel of each tensor in DRAM: its channels padded to whole vectors of the engine; dense for a network's input that only ordinary
    convolutions read.
    """
    vector = engine.pixel_step_bytes
    sizes = {name: -(-tensor.shape[0] // vector) * vector for name, tensor in graph.tensors.items()}
    for port in graph.inputs:
        readers = graph.consumers(port.tensor)
        if readers and all(isinstance(node.operator, Conv) and node.operator.groups == 1 for node in readers):
            sizes[port.tensor] = graph.tensors[port.tensor].shape[0]
    return sizes


def works(graph: Graph, engine: Engine) -> dict[str, tuple[Work, ...]]:
    """The distinct shapes of work of every node; equal layers have equal works."""
    sizes = layout(graph, engine)
    return {node.name: tuple(part.work for part in parts(graph, node, engine, sizes)) for node in graph.nodes}


def parts(graph: Graph, node: Node, engine: Engine, sizes: Mapping[str, int]) -> tuple[Part, ...]:
    """`sizes` is `layout(graph, engine)`. Raises UnsupportedError for an operator that is not in the table."""
    maker = _MAKERS.get(type(node.operator))
    if maker is None:
        raise UnsupportedError(f"node '{node.name}': operator {type(node.operator).__name__} has no mapping to the engine")
    if node.stage is None:
        raise UnsupportedError(f"node '{node.name}' has no output stage; quantise the graph first")
    return maker(_Context(graph=graph, node=node, engine=engine, sizes=sizes, stage=node.stage))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Context:
    graph: Graph
    node: Node
    engine: Engine
    sizes: Mapping[str, int]
    stage: Requantise

    @property
    def lanes(self) -> Pair:
        return self.engine.lanes_out, self.engine.lanes_in

    def shape(self, operand: int = 0) -> tuple[int, int, int]:
        return self.graph.tensors[self.node.inputs[operand]].shape

    @property
    def output_shape(self) -> tuple[int, int, int]:
        return self.graph.tensors[self.node.output].shape

    def zero_point(self, operand: int = 0) -> int:
        quantisation = self.graph.tensors[self.node.inputs[operand]].quantisation
        return 0 if quantisation is None else quantisation.zero_point

    @property
    def packed(self) -> bool:
        """Whether matrix blocks are stored in the engine's own format."""
        return self.engine.packs and self.node.weight_format == self.engine.weight_format

    def sparse(self, chunks: int, channels: int) -> bool:
        """Whether a matrix has the engine's pattern and gains by it: fewer chunks than the dense one's."""
        engine = self.engine
        return engine.bank > 0 and self.node.sparsity == engine.sparsity and -(-channels // engine.sparse_lanes_in) < chunks

    def blocks(self, channels: int) -> int:
        return -(-channels // self.engine.lanes_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A sliding window over the first operand, and where its outputs go."""

    kernel: Pair
    size: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pad: Pair = (0, 0)
    origin: Pair = (0, 0)
    step: Pair = (1, 1)

    @property
    def extent(self) -> Pair:
        return (self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1


def _part(context: _Context, work: Work, *, starts: Array | None = None, **values: Any) -> Part:
    """The part with the node's own output stage, of the output channels from `first_block` on."""
    stage, first = context.stage, values.get("first_block", 0) * context.engine.lanes_out
    channels = context.output_shape[0]
    constant = {"multiplier": stage.multiplier, "shift": stage.shift, "bias": stage.bias}
    vectors = {name: np.broadcast_to(array.reshape(-1), (channels,)) for name, array in constant.items() if name not in values}
    for name, array in vectors.items():
        values[name] = array[first : first + work.channels]
    return Part(
        work=work,
        node=context.node.name,
        output=context.node.output,
        starts=np.zeros((work.blocks, work.operands), np.int64) if starts is None else starts,
        inputs=values.pop("inputs", context.node.inputs),
        zero_point=stage.zero_point,
        low=stage.low,
        high=stage.high,
        table=stage.table,
        **values,
    )


def _work(context: _Context, channels: int, window: _Window, operands: Sequence[int] = (0,)) -> Work:
    """What every work has; the callers fill in the runs."""
    shape = context.shape(operands[0])
    return Work(
        mode=Mode.MATRIX,
        channels=channels,
        blocks=context.blocks(channels),
        size=window.size,
        input_size=shape[1:],
        pixel_bytes=tuple(context.sizes[context.node.inputs[operand]] for operand in operands),
        output_pixel_bytes=context.sizes[context.node.output],
        stride=window.stride,
        dilation=window.dilation,
        extent=window.extent,
        pad=window.pad,
        step=window.step,
    )


# Convolutions


def _conv(context: _Context) -> tuple[Part, ...]:
    operator, weight = context.node.operator, context.node.weight
    assert isinstance(operator, Conv)
    assert weight is not None
    window = _Window(
        kernel=weight.shape[2:],
        size=context.output_shape[1:],
        stride=operator.strides,
        dilation=operator.dilations,
        pad=operator.pads[:2],
    )
    return (_convolution(context, weight, operator.groups, window),)


def _convolution(context: _Context, weight: Array, groups: int, window: _Window) -> Part:
    """weight (M, C / groups, KH, KW)."""
    if groups == context.shape()[0] == weight.shape[0] and groups > 1:
        return _taps(context, Mode.DEPTHWISE, weight[:, 0], window, fill=context.zero_point())
    work = _work(context, weight.shape[0], window)
    work = replace(work, macs=weight.size * window.size[0] * window.size[1])
    make = _dense if groups == 1 else partial(_grouped, groups=groups)
    return make(context, weight, window, work)


def _dense(context: _Context, weight: Array, window: _Window, work: Work) -> Part:
    channels, (high, wide), lanes = weight.shape[1], window.kernel, context.lanes
    flat = work.pixel_bytes[0] == channels and channels % lanes[1] != 0 and window.dilation[1] == 1
    chunks = -(-(wide * channels if flat else channels) // lanes[1])
    sparse = not flat and context.sparse(chunks, channels)
    if sparse:
        lanes = lanes[0], context.engine.sparse_lanes_in
        chunks = -(-channels // lanes[1])
    work = replace(work, ky=high, kx=1 if flat else wide, chunks=chunks, packed=context.packed, sparse=sparse)
    return _part(
        context,
        work,
        blocks=partial(matrix_blocks, weight, lanes, chunks, flat=flat),
        fill=context.zero_point(),
        origin=window.origin,
    )


def _grouped(context: _Context, weight: Array, window: _Window, work: Work, *, groups: int) -> Part:
    """Each block of output channels reads the input channels of the groups that it touches."""
    outputs, channels = weight.shape[:2]
    (lanes_out, lanes_in) = context.lanes
    per_group = outputs // groups
    first = np.array([channel // per_group * channels for channel in range(outputs)])  # input channel of each output channel
    starts = first[::lanes_out]
    relative = first - np.repeat(starts, lanes_out)[:outputs]
    chunks = -(-int(relative.max() + channels) // lanes_in)
    work = replace(work, ky=window.kernel[0], kx=window.kernel[1], chunks=chunks, packed=context.packed)
    return _part(
        context,
        work,
        starts=starts[:, None],
        blocks=partial(grouped_blocks, weight, relative, context.lanes, chunks),
        fill=context.zero_point(),
        origin=window.origin,
    )


def _conv_transpose(context: _Context) -> tuple[Part, ...]:
    """One ordinary convolution for each phase of the output's pixels. The stage's bias counts all taps, so that those that fall between the
    inputs are put back as zero points.
    """
    operator, weight = context.node.operator, context.node.weight
    assert isinstance(operator, ConvTranspose)
    assert weight is not None
    channels, per_group, high, wide = weight.shape
    groups = operator.groups
    forward = weight.reshape(groups, channels // groups, per_group, high, wide).transpose(0, 2, 1, 3, 4)
    forward = forward.reshape(groups * per_group, channels // groups, high, wide)
    made: list[Part] = []
    for phase in product(range(operator.strides[0]), range(operator.strides[1])):
        if phase[0] >= context.output_shape[1] or phase[1] >= context.output_shape[2]:
            continue
        ys, xs = (_phase(operator, forward.shape[2 + axis], axis, phase[axis]) for axis in (0, 1))
        kernel = forward[:, :, ys.taps][:, :, :, xs.taps] if ys.taps and xs.taps else np.zeros((*forward.shape[:2], 1, 1), np.int8)
        size = tuple(
            -(-(extent - start) // stride) for extent, start, stride in zip(context.output_shape[1:], phase, operator.strides, strict=True)
        )
        window = _Window(
            kernel=kernel.shape[2:],
            size=(size[0], size[1]),
            dilation=(ys.dilation, xs.dilation),
            pad=(ys.pad, xs.pad),
            origin=phase,
            step=operator.strides,
        )
        part = _convolution(context, kernel, groups, window)
        if context.zero_point():
            absent = forward.sum(axis=(1, 2, 3), dtype=np.int64) - kernel.sum(axis=(1, 2, 3), dtype=np.int64)
            part = replace(part, bias=part.bias + context.zero_point() * absent)
        made.append(part)
    return tuple(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phase:
    taps: list[int]  # kernel positions, in the order of the inputs that they read
    dilation: int
    pad: int


def _phase(operator: ConvTranspose, kernel: int, axis: int, phase: int) -> _Phase:
    """Output phase + y * stride reads input y + (phase + pad - tap * dilation) / stride wherever that divides."""
    stride, dilation, pad = operator.strides[axis], operator.dilations[axis], operator.pads[axis]
    taps = [tap for tap in range(kernel - 1, -1, -1) if (phase + pad - tap * dilation) % stride == 0]
    offsets = [(phase + pad - tap * dilation) // stride for tap in taps]
    if not taps:
        return _Phase(taps=[], dilation=1, pad=0)
    return _Phase(taps=taps, dilation=offsets[1] - offsets[0] if len(taps) > 1 else 1, pad=-offsets[0])


# Windows of a channel


def _passes(window: _Window, taps: int, words: int) -> tuple[int, int, int]:
    """(window, count, step): `count` passes of `window` adjacent taps each, `step` taps apart, that cover the kernel row exactly; the cheapest,
    when each pass reads its pixels once, and loads and takes `words` weight words.
    """
    wide, stride, (rows, columns) = window.kernel[1], window.stride[1], window.size
    least = max(words, timing.RUN_PERIOD if rows * columns == 1 else timing.RUN_MINIMUM)
    best = (1, wide, 1)
    if window.dilation[1] != 1 or stride > EMIT_LIMIT:
        return best
    cost = wide * (max(rows * columns, least) + words)
    for size in range(2, min(taps, MASK_TAPS, wide) + 1):
        count = _pass_count(wide, size)
        cycles = count * (max(rows * ((columns - 1) * stride + size), least) + words)
        if cycles < cost:
            best, cost = (size, count, 1 if count == 1 else (wide - size) // (count - 1)), cycles
    return best


def _pass_count(wide: int, size: int) -> int:
    """The fewest windows of `size` taps, equally far apart and without a gap, that cover `wide` taps exactly."""
    rest = wide - size
    return 1 if rest == 0 else next(steps + 1 for steps in range(1, rest + 1) if rest % steps == 0 and rest // steps <= size)


def _taps(context: _Context, mode: Mode, weight: Array | None, window: _Window, **values: Any) -> Part:
    """A window of each channel by itself: weight (C, KH, KW), or None for a maximum."""
    channels = values.pop("channels", context.output_shape[0])
    operand = values.pop("operand", 0)
    size, count, step = _passes(window, context.engine.taps, 0 if weight is None else context.engine.tap_block_words)
    work = replace(
        _work(context, channels, window, (operand,)),
        mode=mode,
        ky=window.kernel[0],
        kx=count,
        window=size,
        dilation=(window.dilation[0], step * window.dilation[1]),
        macs=0 if weight is None else weight.size * window.size[0] * window.size[1],
    )
    starts = values.pop("starts", np.arange(work.blocks) * context.engine.lanes_out)
    blocks = None if weight is None else partial(tap_blocks, weight, context.engine.lanes_out, context.engine.taps, (size, count, step))
    return _part(
        context, work, starts=starts[:, None], blocks=blocks, origin=window.origin, inputs=(context.node.inputs[operand],), **values
    )


def _ones(channels: int, kernel: Pair) -> Array:
    return np.ones((channels, *kernel), np.int8)


def _max_pool(context: _Context) -> tuple[Part, ...]:
    operator = context.node.operator
    assert isinstance(operator, MaxPool)
    window = _Window(
        kernel=operator.kernel,
        size=context.output_shape[1:],
        stride=operator.strides,
        dilation=operator.dilations,
        pad=operator.pads[:2],
    )
    return (_taps(context, Mode.MAXIMUM, None, window, fill=SMALLEST_CODE),)


def _average_pool(context: _Context) -> tuple[Part, ...]:
    """One part for each rectangle of outputs with the same divisor."""
    operator, stage = context.node.operator, context.stage
    assert isinstance(operator, AveragePool)
    channels, *_ = context.output_shape
    made: list[Part] = []
    for (y, rows), (x, columns) in _rectangles(context):
        window = _Window(
            kernel=operator.kernel,
            size=(rows, columns),
            stride=operator.strides,
            pad=(operator.pads[0] - y * operator.strides[0], operator.pads[1] - x * operator.strides[1]),
            origin=(y, x),
        )
        values: dict[str, Any] = {}
        if stage.multiplier.shape[1:] != (1, 1):
            values = {name: np.full(channels, getattr(stage, name)[0, y, x]) for name in ("multiplier", "shift")}
        made.append(_taps(context, Mode.DEPTHWISE, _ones(channels, operator.kernel), window, fill=context.zero_point(), **values))
    return tuple(made)


def _rectangles(context: _Context) -> list[tuple[Pair, Pair]]:
    """((y, rows), (x, columns)) of constant multiplier and shift."""
    stage, (_, height, width) = context.stage, context.output_shape
    if stage.multiplier.shape[1:] == (1, 1):
        return [((0, height), (0, width))]
    keys = np.stack([np.broadcast_to(array[0], (height, width)) for array in (stage.multiplier, stage.shift)], axis=-1)
    found: list[tuple[Pair, Pair]] = []
    for rows in _stretches([keys[y].tobytes() for y in range(height)]):
        for columns in _stretches([keys[rows[0], x].tobytes() for x in range(width)]):
            found.append((rows, columns))
    return found


def _stretches(keys: Sequence[object]) -> list[Pair]:
    """(start, count) of each stretch of equal neighbours."""
    found: list[Pair] = []
    for _, stretch in groupby(enumerate(keys), key=lambda item: item[1]):
        indices = [index for index, _ in stretch]
        found.append((indices[0], len(indices)))
    return found


# Two operands


def _pair_window(context: _Context) -> _Window:
    return _Window(kernel=(1, 1), size=context.output_shape[1:])


def _add(context: _Context) -> tuple[Part, ...]:
    """The operands are two runs over the same accumulators."""
    channels, engine = context.output_shape[0], context.engine
    weight = np.ones((2, channels), np.int8) if context.node.weight is None else context.node.weight
    work = replace(_work(context, channels, _pair_window(context), (0, 1)), mode=Mode.DEPTHWISE, kx=2)
    starts = np.repeat((np.arange(work.blocks) * engine.lanes_out)[:, None], 2, axis=1)
    columns = weight.T.reshape(channels, 1, 2)
    return (_part(context, work, starts=starts, blocks=partial(tap_blocks, columns, engine.lanes_out, engine.taps, (1, 2, 1))),)


def _mul(context: _Context) -> tuple[Part, ...]:
    channels = context.output_shape[0]
    if context.engine.taps < 2:
        raise DoesNotFitError(
            f"node '{context.node.name}': a product of two tensors needs 2 taps but the engine has 1; use an engine with more taps"
        )
    work = replace(_work(context, channels, _pair_window(context), (0, 1)), mode=Mode.PRODUCT, pattern=Pattern.PRODUCT)
    starts = np.repeat((np.arange(work.blocks) * context.engine.lanes_out)[:, None], 2, axis=1)
    return (_part(context, work, starts=starts, zero_points=(context.zero_point(0), context.zero_point(1))),)


# Data movement


def _copy(context: _Context) -> tuple[Part, ...]:
    window = _Window(kernel=(1, 1), size=context.output_shape[1:])
    return (_taps(context, Mode.DEPTHWISE, _ones(context.output_shape[0], (1, 1)), window),)


def _repeat(context: _Context, factors: Pair) -> tuple[Part, ...]:
    part = _copy(context)[0]
    return (replace(part, work=replace(part.work, pattern=Pattern.REPEAT, repeat=factors)),)


def _resize(context: _Context) -> tuple[Part, ...]:
    operator = context.node.operator
    assert isinstance(operator, Resize)
    return _repeat(context, operator.factors)


def _expand(context: _Context) -> tuple[Part, ...]:
    operator = context.node.operator
    assert isinstance(operator, Expand)
    return _repeat(context, operator.size)


def _concat(context: _Context) -> tuple[Part, ...]:
    """Blocks of output channels that lie in one input are copied; those across several are gathered by a 0/1 matrix."""
    lanes_out = context.engine.lanes_out
    sources = [(operand, channel) for operand in range(len(context.node.inputs)) for channel in range(context.shape(operand)[0])]
    blocks = [sources[start : start + lanes_out] for start in range(0, len(sources), lanes_out)]
    operands = [tuple(dict.fromkeys(operand for operand, _ in block)) for block in blocks]
    window = _Window(kernel=(1, 1), size=context.output_shape[1:])
    made: list[Part] = []
    for first, count in _stretches(operands):
        chosen, used = blocks[first : first + count], operands[first]
        channels = sum(len(block) for block in chosen)
        if len(used) == 1:
            starts = np.array([block[0][1] for block in chosen])
            values = {"channels": channels, "operand": used[0], "starts": starts, "first_block": first}
            made.append(_taps(context, Mode.DEPTHWISE, _ones(channels, (1, 1)), window, **values))
        else:
            picks = [[(used.index(operand), channel) for operand, channel in block] for block in chosen]
            made.append(_gather(context, picks, window, used, first_block=first, fill=context.zero_point(used[0])))
    return tuple(made)


def _gather(context: _Context, picks: Sequence[Sequence[Pair]], window: _Window, operands: Sequence[int], **values: Any) -> Part:
    """Output channels picked from (segment, channel) of several operands."""
    segments, (_, lanes_in) = len(operands), context.lanes
    starts = np.array([[min((channel for seg, channel in block if seg == s), default=0) for s in range(segments)] for block in picks])
    relative = [[(seg, channel - int(starts[b, seg])) for seg, channel in block] for b, block in enumerate(picks)]
    chunks = -(-(max(byte for block in relative for _, byte in block) + 1) // lanes_in)
    work = replace(_work(context, sum(map(len, picks)), window, operands), chunks=chunks)
    return _part(
        context,
        work,
        starts=starts,
        blocks=partial(gather_blocks, relative, context.lanes, segments, chunks),
        inputs=tuple(context.node.inputs[operand] for operand in operands),
        **values,
    )


def _select(context: _Context) -> tuple[Part, ...]:
    operator, lanes_out = context.node.operator, context.engine.lanes_out
    assert isinstance(operator, Select)
    if min(operator.steps) < 1:
        raise UnsupportedError(f"node '{context.node.name}': steps {operator.steps} along height and width; the engine needs at least 1")
    window = _Window(kernel=(1, 1), size=operator.size, stride=operator.steps, pad=(-operator.origin[0], -operator.origin[1]))
    channels = len(operator.channels)
    fill = context.zero_point() if operator.border is None else int(operator.border)
    blocks = [operator.channels[start : start + lanes_out] for start in range(0, channels, lanes_out)]
    if all(block == tuple(range(block[0], block[0] + len(block))) for block in blocks):
        starts = np.array([block[0] for block in blocks])
        return (_taps(context, Mode.DEPTHWISE, _ones(channels, (1, 1)), window, starts=starts, fill=fill),)
    return (_gather(context, [[(0, channel) for channel in block] for block in blocks], window, (0,), fill=fill),)


def _join(context: _Context) -> tuple[Part, ...]:
    """Each input is copied to its own rows or columns."""
    operator = context.node.operator
    assert isinstance(operator, Join)
    made: list[Part] = []
    place = 0
    for operand in range(len(context.node.inputs)):
        _, *size = context.shape(operand)
        origin = (place, 0) if operator.axis == "y" else (0, place)
        window = _Window(kernel=(1, 1), size=(size[0], size[1]), origin=origin)
        made.append(_taps(context, Mode.DEPTHWISE, _ones(context.output_shape[0], (1, 1)), window, operand=operand))
        place += size[operator.position - 1]
    return tuple(made)


def _take(context: _Context) -> tuple[Part, ...]:
    """One part for each rectangle of evenly spaced rows and columns."""
    operator = context.node.operator
    assert isinstance(operator, Take)
    made: list[Part] = []
    for (y, rows), (x, columns) in product(stretches(operator.rows), stretches(operator.columns)):
        window = _Window(
            kernel=(1, 1),
            size=(len(rows), len(columns)),
            stride=(rows.step, columns.step),
            pad=(-rows.start, -columns.start),
            origin=(y, x),
        )
        made.append(_taps(context, Mode.DEPTHWISE, _ones(context.output_shape[0], (1, 1)), window))
    return tuple(made)


_MAKERS: Mapping[type, Callable[[_Context], tuple[Part, ...]]] = {
    Add: _add,
    AveragePool: _average_pool,
    Concat: _concat,
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    Copy: _copy,
    Expand: _expand,
    Join: _join,
    MaxPool: _max_pool,
    Mul: _mul,
    Resize: _resize,
    Select: _select,
    Take: _take,
}
