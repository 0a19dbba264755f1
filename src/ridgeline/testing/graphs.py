"""Random integer graphs: one node of any operator, or a small network. For tests of whatever runs a graph.

graph = random_layer_graph(np.random.default_rng(7), "depthwise")
codes = random_codes(np.random.default_rng(8), graph, images=2)
expected = run_integer(graph, codes)
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from ridgeline.algorithm.graph import Array, Graph
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
from ridgeline.errors import unknown_name
from ridgeline.hardware.engine.storage import INT8, NONE
from ridgeline.testing.draft import Draft

Layer = Callable[[Draft, int, int], str]


def random_layer_graph(
    rng: np.random.Generator, kind: str, *, largest_channels: int = 20, largest_size: int = 12, weight_format: str = INT8, sparsity: str = NONE
) -> Graph:
    """An integer graph of one node, of any of `LAYER_KINDS`, with random attributes, shape, weights, scales and port layouts."""
    if kind not in LAYERS:
        raise unknown_name("kind of layer", kind, LAYERS)
    draft = Draft(rng=rng, weight_format=weight_format, sparsity=sparsity)
    output = LAYERS[kind](draft, largest_channels, largest_size)
    return draft.graph(f"one-{kind}", [output])


def random_network(
    rng: np.random.Generator, *, blocks: int = 4, largest_channels: int = 20, largest_size: int = 14, weight_format: str = INT8,
    sparsity: str = NONE,
) -> Graph:  # fmt: skip
    """An integer graph of several nodes: convolutions, residual sums, depthwise blocks, pools, joins, and often a classifier at the end."""
    draft = Draft(rng=rng, weight_format=weight_format, sparsity=sparsity)
    least = largest_size // 2
    current = draft.input((draft.number(1, largest_channels), draft.number(least, largest_size), draft.number(least, largest_size)))
    names = sorted(BLOCKS)
    passed: list[str] = []
    for _ in range(blocks):
        current = BLOCKS[str(rng.choice(names))](draft, current, largest_channels)
        passed.append(current)
    outputs = [_classified(draft, current) if draft.chance(0.5) else current]
    if len(passed) > 2 and draft.chance(0.2):
        outputs.append(passed[1])
    return draft.graph("random-network", outputs)


def random_codes(rng: np.random.Generator, graph: Graph, *, images: int = 1) -> dict[str, Array]:
    """int8 arrays (images, *shape) for every input port, over the whole range of codes."""
    return {port.name: rng.integers(-128, 128, (images, *port.shape)).astype(np.int8) for port in graph.inputs}


def informative(codes: Array) -> bool:
    """Whether a comparison on these codes says anything: they are not all alike, and at most half are at their largest or smallest."""
    low, high = int(codes.min()), int(codes.max())
    if low == high:
        return False
    return codes.size < 8 or 2 * int(np.count_nonzero((codes == low) | (codes == high))) <= codes.size


def _image(draft: Draft, channels: int, size: int) -> str:
    return draft.input((draft.number(1, channels), draft.number(1, size), draft.number(1, size)))


def _window(draft: Draft, extent: tuple[int, int], *, largest: int = 5) -> dict[str, tuple[int, int]]:
    """Kernel, strides and dilations that fit an extent."""
    kernel: list[int] = []
    dilations: list[int] = []
    for size in extent:
        kernel.append(draft.number(1, min(largest, size)))
        dilations.append(draft.number(1, max(1, min(3, (size - 1) // max(1, kernel[-1] - 1)))) if kernel[-1] > 1 else 1)
    return {
        "kernel": (kernel[0], kernel[1]),
        "strides": (draft.number(1, 3), draft.number(1, 3)),
        "dilations": (dilations[0], dilations[1]),
    }


def _pads(draft: Draft, kernel: tuple[int, int]) -> tuple[int, int, int, int]:
    """Less than the kernel on every side, so that no window holds nothing but padding where the dilation is 1."""
    if draft.chance(0.3):
        return 0, 0, 0, 0
    sides = [draft.number(0, (kernel[side % 2] - 1)) for side in range(4)]
    return sides[0], sides[1], sides[2], sides[3]


def convolution(draft: Draft, source: str, *, filters: int, groups: int = 1) -> str:
    channels, height, width = draft.shape(source)
    window = _window(draft, (height, width))
    weight = draft.weight(filters, channels // groups, *window["kernel"])
    operator = Conv(strides=window["strides"], dilations=window["dilations"], pads=_pads(draft, window["kernel"]), groups=groups)
    return draft.add(operator, [source], weight=weight)


def _conv(draft: Draft, channels: int, size: int) -> str:
    return convolution(draft, _image(draft, channels, size), filters=draft.number(1, channels))


def _pointwise(draft: Draft, channels: int, size: int) -> str:
    source = _image(draft, channels, size)
    return draft.add(Conv(), [source], weight=draft.weight(draft.number(1, channels), draft.shape(source)[0], 1, 1))


def _depthwise(draft: Draft, channels: int, size: int) -> str:
    source = draft.input((draft.number(2, max(2, channels)), draft.number(2, size), draft.number(2, size)))
    count = draft.shape(source)[0]
    return convolution(draft, source, filters=count * (draft.number(1, 2) if draft.chance(0.3) else 1), groups=count)


def _grouped(draft: Draft, channels: int, size: int) -> str:
    groups = draft.number(2, 4)
    per_group = max(1, channels // groups)
    source = draft.input((groups * draft.number(1, per_group), draft.number(2, size), draft.number(2, size)))
    return convolution(draft, source, filters=groups * draft.number(1, per_group), groups=groups)


def _dense(draft: Draft, channels: int, size: int) -> str:
    """A matrix product over a whole image, as after Flatten."""
    source = _image(draft, channels, min(size, 6))
    return draft.add(Conv(), [source], weight=draft.weight(draft.number(8, 32), *draft.shape(source)))


def _conv_transpose(draft: Draft, channels: int, size: int) -> str:
    groups = draft.number(1, 2)
    shape = (groups * draft.number(1, max(1, channels // groups)), draft.number(1, max(1, size // 2)), draft.number(1, max(1, size // 2)))
    kernel = draft.number(1, 4), draft.number(1, 4)
    strides = draft.number(1, 3), draft.number(1, 3)
    operator = ConvTranspose(
        strides=strides,
        pads=_trimmed(draft, shape, kernel),
        dilations=(draft.number(1, 2), draft.number(1, 2)),
        output_padding=(draft.number(0, strides[0] - 1), draft.number(0, strides[1] - 1)),
        groups=groups,
    )
    return draft.add(operator, [draft.input(shape)], weight=draft.weight(shape[0], draft.number(1, 6), *kernel))


def _trimmed(draft: Draft, shape: tuple[int, int, int], kernel: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pads of a transposed convolution: they cut off its result, of which something must be left."""
    most = [max(0, (min(taps, shape[axis + 1] + taps - 1) - 1) // 2) for axis, taps in enumerate(kernel)]
    return draft.number(0, most[0]), draft.number(0, most[1]), draft.number(0, most[0]), draft.number(0, most[1])


def _max_pool(draft: Draft, channels: int, size: int) -> str:
    source = _image(draft, channels, size)
    window = _window(draft, draft.shape(source)[1:])
    pads = _pads(draft, window["kernel"]) if window["dilations"] == (1, 1) else (0, 0, 0, 0)
    return draft.add(MaxPool(kernel=window["kernel"], strides=window["strides"], dilations=window["dilations"], pads=pads), [source])


def _average_pool(draft: Draft, channels: int, size: int) -> str:
    source = _image(draft, channels, size)
    window = _window(draft, draft.shape(source)[1:])
    pads = _pads(draft, window["kernel"])
    operator = AveragePool(kernel=window["kernel"], strides=window["strides"], pads=pads, count_include_pad=draft.chance(0.5))
    return draft.add(operator, [source])


def _global_average_pool(draft: Draft, channels: int, size: int) -> str:
    source = draft.input((draft.number(8, max(8, channels)), draft.number(1, size), draft.number(1, size)))
    return draft.add(AveragePool(kernel=draft.shape(source)[1:]), [source])


def _add(draft: Draft, channels: int, size: int) -> str:
    first = _image(draft, channels, size)
    return summed(draft, first, draft.input(draft.shape(first)))


def summed(draft: Draft, first: str, second: str) -> str:
    return draft.add(Add(), [first, second], weight=draft.weight(2, draft.shape(first)[0]))


def _mul(draft: Draft, channels: int, size: int) -> str:
    first = _image(draft, channels, size)
    return draft.add(Mul(), [first, draft.input(draft.shape(first))])


def _copy(draft: Draft, channels: int, size: int) -> str:
    return draft.add(Copy(), [_image(draft, channels, size)])


def _concat(draft: Draft, channels: int, size: int) -> str:
    first = _image(draft, channels, size)
    others = [draft.input((draft.number(1, channels), *draft.shape(first)[1:])) for _ in range(draft.number(1, 3))]
    return draft.add(Concat(), [first, *others])


def _select(draft: Draft, channels: int, size: int) -> str:
    source = _image(draft, channels, size)
    count, height, width = draft.shape(source)
    kept = tuple(int(channel) for channel in draft.rng.integers(0, count, draft.number(1, channels)))
    operator = Select(
        channels=kept if draft.chance(0.5) else tuple(range(count)),
        origin=(draft.number(-2, height - 1), draft.number(-2, width - 1)),
        size=(draft.number(3, height + 4), draft.number(3, width + 4)),
        steps=(draft.number(1, 2), draft.number(1, 2)),
    )
    return draft.add(operator, [source])


def _resize(draft: Draft, channels: int, size: int) -> str:
    return draft.add(Resize(factors=(draft.number(1, 4), draft.number(1, 4))), [_image(draft, channels, size)])


def _expand(draft: Draft, channels: int, size: int) -> str:
    source = draft.input((draft.number(8, max(8, channels)), 1, 1))
    return draft.add(Expand(size=(draft.number(1, size), draft.number(1, size))), [source])


def _join(draft: Draft, channels: int, size: int) -> str:
    """Two to four images along height or width, one of them constant now and then."""
    first = _image(draft, channels, size)
    count, height, width = draft.shape(first)
    along_height = draft.chance(0.5)
    code = draft.tensors[first].quantisation
    others: list[str] = []
    for _ in range(draft.number(1, 3)):
        shape = (count, draft.number(1, size), width) if along_height else (count, height, draft.number(1, size))
        others.append(draft.constant(shape, code) if draft.chance(0.3) else draft.input(shape, code))
    inputs = [others[0], first, *others[1:]]
    return draft.add(Join(axis="y" if along_height else "x"), inputs)


def _take(draft: Draft, channels: int, size: int) -> str:
    source = _image(draft, channels, size)
    _, height, width = draft.shape(source)
    return draft.add(Take(rows=_indices(draft, height), columns=_indices(draft, width)), [source])


def _indices(draft: Draft, extent: int) -> tuple[int, ...]:
    """All in order, the whole mirrored at its ends, or any."""
    inside = np.arange(extent)
    kind = draft.number(0, 2)
    if kind == 2:
        inside = draft.rng.integers(0, extent, draft.number(1, 6))
    elif kind == 1:
        inside = np.pad(inside, (draft.number(0, extent - 1), draft.number(0, extent - 1)), mode="reflect")
    return tuple(int(index) for index in inside)


def _border(draft: Draft, channels: int, size: int) -> str:
    """An image with a border of any code."""
    source = _image(draft, channels, size)
    count, height, width = draft.shape(source)
    top, left = draft.number(0, 2), draft.number(0, 2)
    operator = Select(
        channels=tuple(range(count)),
        origin=(-top, -left),
        size=(height + top + draft.number(0, 2), width + left + draft.number(0, 2)),
        border=draft.number(-128, 127),
    )
    return draft.add(operator, [source])


def _with_constant(draft: Draft, channels: int, size: int) -> str:
    """A sum, product or concatenation with a constant tensor."""
    source = _image(draft, channels, size)
    constant = draft.constant(draft.shape(source))
    inputs = [source, constant] if draft.chance(0.5) else [constant, source]
    kind = draft.number(0, 2)
    if kind == 0:
        return summed(draft, *inputs)
    return draft.add(Mul() if kind == 1 else Concat(), inputs)


LAYERS = MappingProxyType[str, Layer](
    {
        "conv": _conv,
        "pointwise": _pointwise,
        "depthwise": _depthwise,
        "grouped": _grouped,
        "dense": _dense,
        "conv_transpose": _conv_transpose,
        "max_pool": _max_pool,
        "average_pool": _average_pool,
        "global_average_pool": _global_average_pool,
        "add": _add,
        "mul": _mul,
        "copy": _copy,
        "concat": _concat,
        "select": _select,
        "resize": _resize,
        "expand": _expand,
        "join": _join,
        "take": _take,
        "border": _border,
        "constant": _with_constant,
    }
)
LAYER_KINDS = tuple(LAYERS)


def _same(draft: Draft, source: str, *, filters: int, groups: int = 1) -> str:
    """A 3x3 convolution that keeps height and width."""
    weight = draft.weight(filters, draft.shape(source)[0] // groups, 3, 3)
    return draft.add(Conv(pads=(1, 1, 1, 1), groups=groups), [source], weight=weight)


def _plain_block(draft: Draft, source: str, channels: int) -> str:
    return convolution(draft, source, filters=draft.number(2, channels))


def _residual_block(draft: Draft, source: str, channels: int) -> str:
    count = draft.shape(source)[0]
    inner = _same(draft, source, filters=draft.number(2, channels))
    return summed(draft, _same(draft, inner, filters=count), source)


def _inverted_block(draft: Draft, source: str, channels: int) -> str:
    count = draft.number(2, channels)
    wide = draft.add(Conv(), [source], weight=draft.weight(count, draft.shape(source)[0], 1, 1))
    filtered = convolution(draft, wide, filters=count, groups=count)
    return draft.add(Conv(), [filtered], weight=draft.weight(draft.number(2, channels), count, 1, 1))


def _pool_block(draft: Draft, source: str, channels: int) -> str:
    kernel = (min(2, draft.shape(source)[1]), min(2, draft.shape(source)[2]))
    if draft.chance(0.5):
        return draft.add(MaxPool(kernel=kernel, strides=(2, 2)), [source])
    return draft.add(AveragePool(kernel=kernel, strides=kernel), [source])


def _joined_block(draft: Draft, source: str, channels: int) -> str:
    branches = [_same(draft, source, filters=draft.number(1, max(1, channels // 2))), draft.add(Copy(), [source])]
    return draft.add(Concat(), branches)


def _excited_block(draft: Draft, source: str, channels: int) -> str:
    """A gate for each channel from the mean of the image."""
    count, height, width = draft.shape(source)
    mean = draft.add(AveragePool(kernel=(height, width)), [source])
    gate = draft.add(Conv(), [mean], weight=draft.weight(count, count, 1, 1))
    return draft.add(Mul(), [source, draft.add(Expand(size=(height, width)), [gate])])


def _classified(draft: Draft, source: str) -> str:
    mean = draft.add(AveragePool(kernel=draft.shape(source)[1:]), [source])
    return draft.add(Conv(), [mean], weight=draft.weight(10, draft.shape(source)[0], 1, 1))


BLOCKS = MappingProxyType[str, Callable[[Draft, str, int], str]](
    {
        "plain": _plain_block,
        "residual": _residual_block,
        "inverted": _inverted_block,
        "pool": _pool_block,
        "joined": _joined_block,
        "excited": _excited_block,
    }
)
