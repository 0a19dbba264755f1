"""Reads a network's layers from shapes alone: weights may be absent, and are never loaded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import gcd, prod
from pathlib import Path

from onnx import NodeProto

from ridgeline.algorithm.layers import Layer, Link, Work
from ridgeline.algorithm.nest import Nest, Operand, parse
from ridgeline.algorithm.onnx.outline import Outline, bodies, read_outline, reads
from ridgeline.algorithm.onnx.shapes import Node, Shape, infer, is_known
from ridgeline.errors import InputError

LARGEST = 2**62  # iterations of a layer
WINDOWS = (("z", "t"), ("y", "r"), ("x", "q"))  # axes of the output and of the kernel; an image has the last two
KINDS = {(True, True, True): "g", (True, False, True): "y", (False, True, True): "m", (True, True, False): "c"}
"""What an axis is called by whether it is in the first operand, in the second, in the result."""
REFUSED = frozenset({
    "Attention", "CausalConvWithState", "DFT", "DeformConv", "Det", "FlexAttention", "GRU", "LSTM", "LinearAttention", "LinearClassifier",
    "LinearRegressor", "RNN", "STFT", "SVMClassifier", "SVMRegressor",
})  # fmt: skip
"""Operators that multiply and accumulate, and are no single product."""
_MOST_PHASES = 1024
_OF_SHAPES = frozenset({"Shape", "Size"})


def read_work(source: Path | bytes, *, batch: int | None = None) -> Work:
    """`batch` is the extent of dynamic leading axes, 1 if not given.

    Raises InputError for a file that is none or lacks shapes, UnsupportedError for a node that multiplies and cannot be written as a nest.
    """
    outline = read_outline(source, batch=batch)
    nodes = infer(outline)
    made = [_layers(node) for node in nodes]
    layers = tuple(layer for found in made for layer in found)
    others = tuple(
        f"{node.name} ({node.operator})" for node, found in zip(nodes, made, strict=True) if not found and node.operator != "Constant"
    )
    if not layers:
        listed = ", ".join(others[:4]) + (", ..." if len(others) > 4 else "")
        raise InputError(f"{outline.source} has no layer that multiplies; its nodes are {listed}")
    return Work(name=outline.model.graph.name, layers=layers, others=others, links=tuple(_links(outline, nodes, made)))


def _layers(node: Node) -> tuple[Layer, ...]:
    """None for a node that does not multiply and accumulate, or does so ahead of all runs."""
    if not is_known(node.proto):
        raise node.refusal(
            "ONNX has no such operator, so that nothing tells what it multiplies; export the network with ONNX's own operators"
        )
    if _multiplies_inside(node.proto):
        raise node.refusal("its body multiplies, and how often it runs is not known; export the network with the loop unrolled")
    maker = _MAKERS.get(node.operator)
    if node.proto.op_type in REFUSED:
        raise node.refusal("it multiplies, and cannot be written as a nest; export the network with it taken apart into products")
    if maker is None or node.tensors.constants.issuperset(node.proto.output):
        return ()
    return tuple(maker(node))


def _multiplies_inside(proto: NodeProto) -> bool:
    inner = [node for body in bodies(proto) for node in body.node]
    return any(node.op_type in REFUSED or node.op_type in _MAKERS or not is_known(node) or _multiplies_inside(node) for node in inner)


def _operands(node: Node) -> tuple[str, str]:
    first, second = _OPERANDS[node.operator]
    if len(node.proto.input) <= second:
        raise node.error(f"it has {len(node.proto.input)} inputs; export the network again")
    return node.proto.input[first], node.proto.input[second]


def _shapes(node: Node) -> tuple[Shape, Shape, Shape]:
    """Of the operands and the result."""
    first, second = _operands(node)
    return node.shape(first), node.shape(second), node.shape(node.proto.output[0])


def _steps(node: Node, name: str, count: int) -> tuple[int, ...]:
    """Strides or dilations: one for each axis, at least 1."""
    found = node.integers(name, (1,) * count)
    if min(found) < 1:
        raise node.error(f"its {name} are {found}; they must be at least 1")
    return found


def _layer(node: Node, nest: Nest, suffix: str = "") -> Layer:
    if nest.iterations > LARGEST:
        raise node.error(f"it has {nest.iterations:,} iterations; at most 2^62 can be counted")
    return Layer(name=node.name + suffix, operator=node.operator, nest=nest, inputs=_operands(node), output=node.proto.output[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """Along one axis: `size` positions, each of `taps`."""

    size: int = 1
    taps: int = 1
    stride: int = 1
    dilation: int = 1


def _conv(node: Node) -> Iterator[Layer]:
    image, kernel, output = _shapes(node)
    groups, rank = _groups(node, image, kernel), len(kernel) - 2
    if kernel[1] * groups != image[1] or kernel[0] % groups:
        raise node.error(f"a weight of the shape {kernel} in {groups} groups does not fit an input of {image[1]} channels")
    steps = zip(output[2:], kernel[2:], _steps(node, "strides", rank), _steps(node, "dilations", rank), strict=True)
    windows = [_Window(size=size, taps=taps, stride=stride, dilation=dilation) for size, taps, stride, dilation in steps]
    nest = _convolution({"n": output[0], "g": groups, "m": kernel[0] // groups, "c": kernel[1]}, windows)
    yield _layer(node, replace(nest, inputs=(_unpadded(nest.inputs[0], nest, image[2:]), nest.inputs[1])))


def _unpadded(operand: Operand, nest: Nest, image: Shape) -> Operand:
    """The input with the extents that the image has of itself."""
    extents = operand.extents(nest.axes)
    return replace(operand, present=(*extents[: len(extents) - len(image)], *image))


def _conv_transpose(node: Node) -> Iterator[Layer]:
    """As many convolutions as its strides have phases: of the outputs at s*i + p, each takes one tap in s, so that no multiplication is by a zero
    between two pixels."""
    image, kernel, output = _shapes(node)
    groups, rank = _groups(node, image, kernel), len(kernel) - 2
    if kernel[0] != image[1] or kernel[0] % groups:
        raise node.error(f"a weight of the shape {kernel} in {groups} groups does not fit an input of {image[1]} channels")
    strides, dilations = _steps(node, "strides", rank), _steps(node, "dilations", rank)
    if prod(min(taps, stride) for taps, stride in zip(kernel[2:], strides, strict=True)) > _MOST_PHASES:
        raise node.refusal(f"its strides {strides} make more than {_MOST_PHASES:,} convolutions of it")
    begins = _begins(node, image[2:], kernel[2:], output[2:])
    places = zip(output[2:], begins, kernel[2:], strides, dilations, strict=True)
    phases = [dict(_phases(size, begin, taps, stride=stride, dilation=dilation)) for size, begin, taps, stride, dilation in places]
    axes = {"n": output[0], "g": groups, "m": kernel[1], "c": kernel[0] // groups}
    for chosen in product(*phases):
        suffix = f"[{','.join(map(str, chosen))}]" if max(strides) > 1 else ""
        yield _layer(node, _convolution(dict(axes), [found[phase] for found, phase in zip(phases, chosen, strict=True)]), suffix)


def _groups(node: Node, image: Shape, kernel: Shape) -> int:
    groups = node.attribute("group", 1)
    if not 3 <= len(kernel) <= 2 + len(WINDOWS) or len(image) != len(kernel):
        raise node.refusal(f"a convolution of {image} with {kernel}; one to {len(WINDOWS)} axes can be convolved")
    if not isinstance(groups, int) or groups < 1:
        raise node.error(f"it has {groups!r} groups; it must have at least 1")
    if node.integers("kernel_shape", kernel[2:]) != kernel[2:]:
        raise node.error(f"its kernel_shape is not that of its weight, {kernel}")
    return groups


def _begins(node: Node, image: Shape, kernel: Shape, output: Shape) -> tuple[int, ...]:
    """The outputs that are cut off before the first, along each axis."""
    rank = len(image)
    mode = node.text("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID") and node.attribute("output_shape", None) is None:
        return node.integers("pads", (0,) * (2 * rank))[:rank] if mode == "NOTSET" else (0,) * rank
    strides, dilations, extra = _steps(node, "strides", rank), _steps(node, "dilations", rank), node.integers("output_padding", (0,) * rank)
    places = zip(image, kernel, output, strides, dilations, extra, strict=True)
    cut = [stride * (size - 1) + (taps - 1) * dilation + 1 + more - out for size, taps, out, stride, dilation, more in places]
    return tuple(max(0, each) // 2 if mode == "SAME_UPPER" else (max(0, each) + 1) // 2 for each in cut)


def _phases(size: int, begin: int, taps: int, *, stride: int, dilation: int) -> Iterator[tuple[int, _Window]]:
    """Of `size` outputs from `begin`: by phase p those at s*i + p, which take the taps r of r*d = p (mod s)."""
    shared = gcd(stride, dilation)
    period = stride // shared
    for first in range(min(taps, period)):
        phase = first * dilation % stride
        places = -((phase - begin - size) // stride) + (phase - begin) // stride
        if places:
            yield phase, _Window(size=places, taps=-(-(taps - first) // period), dilation=dilation // shared)


def _convolution(axes: Mapping[str, int], windows: Sequence[_Window]) -> Nest:
    """One-dimensional convolutions have a single row."""
    windows = [*[_Window()] * (2 - len(windows)), *windows]
    named = list(zip(WINDOWS[-len(windows) :], windows, strict=True))
    sizes = {axis: size for axis, size in axes.items() if axis != "g" or size > 1}
    sizes |= {place: window.size for (place, _), window in named} | {tap: window.taps for (_, tap), window in named}
    factors = {f"s{place}": window.stride for (place, _), window in named} | {f"d{place}": window.dilation for (place, _), window in named}
    group, places, taps = "g " if "g" in sizes else "", " ".join(place for (place, _), _ in named), " ".join(tap for (_, tap), _ in named)
    indices = " ".join(f"({place}*s{place}+{tap}*d{place})" for (place, tap), _ in named)
    return parse(f"n {group}c {indices}, {group}m c {taps} -> n {group}m {places}", axes=sizes, factors=factors, multiplies=True)


def _matmul(node: Node) -> Iterator[Layer]:
    a, b, _ = _shapes(node)
    first = {f"b{place}": size for place, size in enumerate(a[-3::-1])} | dict(zip(("y", "c")[-len(a) :], a[-2:], strict=True))
    second = {f"b{place}": size for place, size in enumerate(b[-3::-1])} | dict(zip(("c", "m"), b[-2:], strict=False))
    yield _product(node, first, second, (first.keys() | second.keys()) - {"c"})


def _gemm(node: Node) -> Iterator[Layer]:
    a, b, _ = _shapes(node)
    if len(a) != 2 or len(b) != 2:
        raise node.error(f"a product of {a} and {b}; both must be matrices")
    rows, inner = a[::-1] if node.attribute("transA", 0) else a
    depth, columns = b[::-1] if node.attribute("transB", 0) else b
    yield _product(node, {"y": rows, "c": inner}, {"c": depth, "m": columns}, ("y", "m"))


def _einsum(node: Node) -> Iterator[Layer]:
    """Of two operands, of which each letter is in both, or in one and in the result; an elementwise product is no layer."""
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) == 1:
        return
    if len(terms) > 2:
        raise node.refusal(f"'{equation}' is a product of {len(terms)} operands; export the network with products of two")
    first, second = (_letters(node, term, node.shape(tensor)) for term, tensor in zip(terms, _operands(node), strict=True))
    dots = {label for label in {**first, **second} if label.isdigit()}
    once = {letter for letter in left if letter.isalpha() and left.count(letter) == 1}
    result = {*right.replace("...", ""), *(dots if "..." in right else ())} if arrow else once | dots
    if not first.keys() == second.keys() == result:
        yield _product(node, first, second, result)


def _letters(node: Node, term: str, shape: Shape) -> dict[str, int]:
    """The extent of each letter; what the dots stand for is numbered from the last."""
    before, dots, after = term.partition("...")
    hidden = len(shape) - len(before) - len(after)
    letters = [*before, *(str(place) for place in reversed(range(hidden if dots else 0))), *after]
    if len(letters) != len(shape) or len(set(letters)) != len(letters):
        raise node.refusal(f"'{term}' does not name each axis of {shape} once")
    return dict(zip(letters, shape, strict=True))


def _product(node: Node, first: Mapping[str, int], second: Mapping[str, int], result: Collection[str]) -> Layer:
    """A matrix product, or several (g): axes of one operand alone are rows (y) or columns (m), merged."""
    first, second = ({label: size for label, size in operand.items() if size > 1} for operand in (first, second))
    sizes = {"g": 1, "m": 1, "c": 1, "y": 1}
    for label in {**first, **second}:
        kind = KINDS.get((label in first, label in second, label in result))
        if kind is None or (kind in "gc" and first[label] != second[label]):
            a, b, _ = _shapes(node)
            raise node.refusal(f"a product of {a} and {b}, where axis '{label}' does not fit")
        sizes[kind] *= first.get(label) or second[label]
    if sizes["g"] > 1:
        return _layer(node, parse("g y c, g c m -> g y m", axes=sizes, multiplies=True))
    del sizes["g"]
    return _layer(node, parse("y c, c m -> y m", axes=sizes, multiplies=True))


_MAKERS: Mapping[str, Callable[[Node], Iterator[Layer]]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    "com.microsoft.QGemm": _gemm,
}
_OPERANDS: Mapping[str, tuple[int, int]] = {name: (0, 3 if "Q" in name else 1) for name in _MAKERS}


def _links(outline: Outline, nodes: Sequence[Node], made: Sequence[tuple[Layer, ...]]) -> Iterator[Link]:
    """Follows what each layer makes through nodes that multiply nothing, and that read nothing else that a layer made. What a shape tells of a tensor
    is not what a layer made."""
    computed = {layer.output for layers in made for layer in layers}
    readers: dict[str, list[int]] = {}
    for number, (node, layers) in enumerate(zip(nodes, made, strict=True)):
        for tensor in reads(node.proto):
            readers.setdefault(tensor, []).append(number)
        if not layers and node.operator not in _OF_SHAPES and not computed.isdisjoint(reads(node.proto)):
            computed.update(node.proto.output)
    ends = {output.name for output in outline.model.graph.output}
    for layers in made:
        if len(layers) != 1:
            continue
        derived = {layers[0].output}
        targets = set[int]()
        waiting = [layers[0].output]
        while waiting:
            for reader in readers.get(waiting.pop(), ()):
                if made[reader]:
                    targets.add(reader)
                    continue
                if nodes[reader].operator in _OF_SHAPES:
                    continue
                fresh = set(nodes[reader].proto.output) - derived
                derived |= fresh
                waiting += fresh
        between = [node for node, found in zip(nodes, made, strict=True) if not found and not derived.isdisjoint(node.proto.output)]
        mixed = any(tensor in computed and tensor not in derived for node in between for tensor in reads(node.proto))
        if mixed or len(targets) != 1 or not ends.isdisjoint(derived):
            continue
        (target,) = (layer for number in targets for layer in made[number][:1])
        operands = [place for place, tensor in enumerate(target.inputs) if tensor in derived]
        if len(operands) == 1 and len(made[next(iter(targets))]) == 1:
            yield Link(source=layers[0].name, target=target.name, operand=("input", "weight")[operands[0]])
