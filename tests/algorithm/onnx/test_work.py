"""A network's layers from shapes alone: against hand counts, against what onnxruntime computes, and from files of every kind, sound or not."""

import math
import time
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.algorithm.onnx.drafts import Array, draft

from ridgeline.algorithm import zoo
from ridgeline.algorithm.layers import Layer, Link, Work
from ridgeline.algorithm.nest import Nest, Operand
from ridgeline.algorithm.onnx.runtime import run
from ridgeline.algorithm.onnx.work import read_work
from ridgeline.errors import InputError, RidgelineError, UnknownNameError, UnsupportedError
from ridgeline.flows import source

FILES = Path(__file__).parent / "files"


def macs(work: Work) -> list[int]:
    return [layer.nest.macs for layer in work.layers]


def only(model: bytes) -> Layer:
    (layer,) = read_work(model).layers
    return layer


def sizes(nest: Nest) -> dict[str, int]:
    """Axes of more than one step."""
    return {axis: size for axis, size in nest.axes.items() if size > 1}


# Networks, by hand.


def pairs(work: Work) -> tuple[tuple[str, str], ...]:
    return tuple((link.source, link.target) for link in work.links)


@pytest.mark.parametrize("name", zoo.names())
def test_the_networks_of_the_zoo(name: str) -> None:
    work = source.read_work(name)
    assert sum(macs(work)) == zoo.entry(name).macs
    assert all([operand.name for operand in layer.nest.operands] == ["input", "weight", "output"] for layer in work.layers)
    assert len({layer.name for layer in work.layers}) == len(work.layers)


@pytest.mark.parametrize("name", zoo.names())
def test_the_outline_of_a_network_is_that_of_its_weights(name: str) -> None:
    """The small copy stands for the large network: both come from one builder."""
    model = zoo.reduced(name)
    outline = zoo.reduced(name, seed=zoo.table.OUTLINE)
    assert read_work(model.SerializeToString()) == read_work(outline.SerializeToString())
    shapes = [{tensor.name: tuple(tensor.dims) for tensor in each.graph.initializer} for each in (model, outline)]
    assert shapes[0] == shapes[1]
    assert model.graph.node == outline.graph.node


def test_alexnet() -> None:
    work = source.read_work("alexnet")
    assert macs(work) == [105_415_200, 223_948_800, 149_520_384, 112_140_288, 74_760_192, 37_748_736, 16_777_216, 4_096_000]
    assert sizes(work.layers[1].nest) == {"g": 2, "m": 128, "c": 48, "y": 27, "x": 27, "r": 5, "q": 5}
    assert pairs(work) == tuple((f"conv{n}" if n < 6 else f"fc{n}", f"conv{n + 1}" if n < 5 else f"fc{n + 1}") for n in range(1, 8))


def test_vgg16() -> None:
    channels = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)] + 5 * [(512, 512)]
    extents = 2 * [224] + 2 * [112] + 3 * [56] + 3 * [28] + 3 * [14]
    convolutions = [a * b * 9 * size**2 for (a, b), size in zip(channels, extents, strict=True)]
    assert macs(source.read_work("vgg16")) == [*convolutions, 25_088 * 4096, 4096 * 4096, 4096 * 1000]


def test_resnet18() -> None:
    stages = [(64, 64, 56), (64, 128, 28), (128, 256, 14), (256, 512, 7)]
    expected = [3 * 64 * 49 * 112**2, 512 * 1000]
    for a, b, size in stages:
        expected += [a * b * 9 * size**2, *3 * [b * b * 9 * size**2], *([a * b * size**2] if a != b else [])]
    assert sorted(macs(source.read_work("resnet18"))) == sorted(expected)


def test_bert_base() -> None:
    work, tokens, width = source.read_work("bert-base"), 128, 768
    block = [*3 * [tokens * width**2], *2 * [tokens**2 * width], tokens * width**2, *2 * [4 * tokens * width**2]]
    assert macs(work) == [*12 * block, width**2]
    heads = [sizes(layer.nest) for layer in work.layers[3:5]]
    assert heads == [{"g": 12, "m": 128, "c": 64, "y": 128}, {"g": 12, "m": 64, "c": 128, "y": 128}]
    assert sum(macs(source.read_work("bert-base", batch=3))) == 3 * sum(macs(work))


@pytest.mark.parametrize("name", ["bert-base", "vgg16"])
def test_large_networks_are_read_at_once(name: str) -> None:
    quickest = 9.0
    for _ in range(3):
        begin = time.perf_counter()
        source.read_work(name)
        quickest = min(quickest, time.perf_counter() - begin)
    assert quickest < 1.0


def test_unknown_networks_are_named_as_read_model_does(tmp_path: Path) -> None:
    for name, kind in (("resnet19", UnknownNameError), ("qqqq", InputError), (str(tmp_path / "absent.onnx"), InputError)):
        with pytest.raises(kind) as expected:
            source.read_model(name)
        with pytest.raises(kind) as caught:
            source.read_work(name)
        assert str(caught.value) == str(expected.value)


# Files of exporters.


@pytest.mark.parametrize("network", ["blocks", "gates", "sequence"])
def test_both_exporters_of_torch_give_the_same_work(network: str) -> None:
    works = [read_work(FILES / f"torch_{exporter}_{network}.onnx") for exporter in ("script", "dynamo")]
    assert macs(works[0]) == macs(works[1])
    assert [layer.nest.axes for layer in works[0].layers] == [layer.nest.axes for layer in works[1].layers]


def test_a_quantised_file_has_the_layers_of_its_float_original() -> None:
    works = [read_work(FILES / f"ort_{form}_{codes}.onnx") for form, codes in product(("qdq", "qoperator"), ("qint8", "quint8"))]
    assert all([layer.nest for layer in work.layers] == [layer.nest for layer in works[0].layers] for work in works)
    assert {layer.operator for layer in works[2].layers} == {"QLinearConv", "com.microsoft.QGemm"}


@pytest.mark.parametrize("path", sorted(FILES.glob("*.onnx")), ids=lambda path: path.stem)
def test_no_node_of_a_file_is_dropped(path: Path) -> None:
    work, model = read_work(path), onnx.load(path)
    nodes = [node for node in model.graph.node if node.op_type != "Constant"]
    whole = {layer.name.partition("[")[0] for layer in work.layers}
    if not model.functions:
        assert len(whole) + len(work.others) == len(nodes)
    assert {name for pair in pairs(work) for name in pair} <= {layer.name for layer in work.layers}


# What the notation means, element by element.


def evaluate(nest: Nest, first: Array, second: Array) -> Array:
    """The loops, run: each iteration adds one product."""
    steps = dict(zip(nest.axes, np.indices(tuple(nest.axes.values())).reshape(len(nest.axes), -1), strict=True))

    def places(operand: Operand) -> tuple[Array, ...]:
        return tuple(sum(steps[axis] * step for axis, step in index.items()) for index in operand.indices)  # type: ignore[misc]

    result = np.zeros(nest.output.extents(nest.axes))
    np.add.at(result, places(nest.output), first[places(nest.inputs[0])].astype(float) * second[places(nest.inputs[1])])
    return result


@given(st.data())
@settings(max_examples=40)
def test_a_convolution_is_its_nest(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    groups, channels, filters, images = (data.draw(st.integers(1, 3)) for _ in range(4))
    kernel, strides, dilations = ([data.draw(st.integers(1, 3)) for _ in range(rank)] for _ in range(3))
    pads = [data.draw(st.integers(0, 2)) for _ in range(2 * rank)]
    image = [data.draw(st.integers((taps - 1) * step + 1, (taps - 1) * step + 3)) for taps, step in zip(kernel, dilations, strict=True)]
    text = f"y=Conv<group={groups},strides={strides},dilations={dilations},pads={pads}>(x,w)"
    declared = f"float[{','.join(map(str, [images, groups * channels, *image]))}]"
    rng = np.random.default_rng(3)
    x, w = (
        rng.standard_normal(size).astype(np.float32)
        for size in ((images, groups * channels, *image), (groups * filters, channels, *kernel))
    )
    model = draft(text, x=declared, w=w)
    layer = only(model)
    padded = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    split = () if groups == 1 else (groups,)
    single = (1,) if rank == 1 else ()
    first = padded.reshape(images, *split, channels, *single, *padded.shape[2:])
    found = evaluate(layer.nest, first, w.reshape(*split, filters, channels, *single, *kernel))
    expected = run(model, {"x": x})["y"]
    assert np.allclose(found.reshape(expected.shape), expected, atol=1e-5)


@given(st.data())
@settings(max_examples=40)
def test_a_transposed_convolution_is_its_nests(data: st.DataObject) -> None:
    """Of each phase: outputs at s*i + p take the taps r with r*d = p (mod s), backwards, from a padded image."""
    rank = data.draw(st.integers(1, 2))
    groups, channels, filters, images = (data.draw(st.integers(1, 2)) for _ in range(4))
    kernel, strides, dilations = ([data.draw(st.integers(1, high)) for _ in range(rank)] for high in (4, 3, 3))
    pads = [data.draw(st.integers(0, min(2, taps - 1))) for taps in (*kernel, *kernel)]
    image = [data.draw(st.integers(3, 5)) for _ in range(rank)]
    extra = [data.draw(st.integers(0, max(0, min(stride, step) - 1))) for stride, step in zip(strides, dilations, strict=True)]
    text = f"y=ConvTranspose<group={groups},strides={strides},dilations={dilations},pads={pads},output_padding={extra}>(x,w)"
    declared = f"float[{','.join(map(str, [images, groups * channels, *image]))}]"
    rng = np.random.default_rng(4)
    x, w = (
        rng.standard_normal(size).astype(np.float32)
        for size in ((images, groups * channels, *image), (groups * channels, filters, *kernel))
    )
    model = draft(text, x=declared, w=w)
    expected = run(model, {"x": x})["y"]
    found = np.zeros(expected.shape)
    split = () if groups == 1 else (groups,)
    single = (1,) if rank == 1 else ()
    for layer in read_work(model).layers:
        text = layer.name.partition("[")[2].rstrip("]")
        phases = [int(part) for part in text.split(",")] if text else [0] * rank
        weight, padded, places = w, np.pad(x, [(0, 0), (0, 0), *[(20, 20)] * rank]), []
        for axis, (phase, stride, step) in enumerate(zip(phases, strides, dilations, strict=True)):
            taps = [tap for tap in range(kernel[axis]) if tap * step % stride == phase][::-1]
            outputs = np.arange(expected.shape[2 + axis])
            outputs = outputs[(outputs + pads[axis]) % stride == phase]
            begin = (outputs[0] + pads[axis] - taps[0] * step) // stride
            weight = np.take(weight, taps, axis=2 + axis)
            padded = np.take(padded, np.arange(20 + begin, padded.shape[2 + axis]), axis=2 + axis)
            places.append(outputs)
        first = padded.reshape(images, *split, channels, *single, *padded.shape[2:])
        second = np.moveaxis(weight.reshape(*split, channels, filters, *single, *weight.shape[2:]), len(split), len(split) + 1)
        part = evaluate(layer.nest, first, second)
        found[np.ix_(range(images), range(groups * filters), *places)] += part.reshape(images, groups * filters, *map(len, places))
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "attributes", ['auto_pad="SAME_UPPER"', 'auto_pad="SAME_LOWER"', "output_shape=[10]", "output_shape=[11]", 'auto_pad="VALID"', ""]
)
@pytest.mark.parametrize("stride", [2, 3])
def test_where_the_output_of_a_transposed_convolution_begins(attributes: str, stride: int) -> None:
    """Each product of two ones adds one: the border's products with padding are all that the nests count and onnxruntime does not."""
    body = f"y=ConvTranspose<strides=[{stride}]{',' * bool(attributes)}{attributes}>(x,w)"
    model = draft(body, x="float[1,1,4]", w=np.ones((1, 1, 4)))
    marked = draft(body, x="float[1,1,4]", w=np.arange(1.0, 5.0).reshape(1, 1, 4))
    begin = int(run(marked, {"x": np.eye(1, 4, dtype=np.float32)[None]})["y"][0, 0, 0]) - 1
    outputs = run(model, {"x": np.ones((1, 1, 4), np.float32)})["y"].size
    expected = sum((output + begin - tap) % stride == 0 for output in range(outputs) for tap in range(4))
    assert sum(macs(read_work(model))) == expected


def matrices(array: Array, labels: str, order: str) -> Array:
    """Axes in order, those between spaces merged."""
    groups = order.split(" ")
    arranged = np.transpose(array, [labels.index(label) for group in groups for label in group])
    extents = dict(zip(labels, array.shape, strict=True))
    return arranged.reshape([math.prod(extents[label] for label in group) for group in groups])


@given(st.data())
@settings(max_examples=60)
def test_a_product_is_its_nest(data: st.DataObject) -> None:
    """MatMul of any shapes that fit: leading axes that both have are groups, those of the first are rows, those of the second columns."""
    rank = data.draw(st.integers(0, 3))
    whole = [data.draw(st.integers(2, 3)) for _ in range(rank)]
    owners = [data.draw(st.sampled_from(["g", "y", "m"])) for _ in whole]
    rows, inner, columns = (data.draw(st.integers(1, 4)) for _ in range(3))
    a = [*(1 if owner == "m" else size for size, owner in zip(whole, owners, strict=True)), rows, inner]
    b = [*(1 if owner == "y" else size for size, owner in zip(whole, owners, strict=True)), inner, columns]
    while b[0] == 1 and len(b) > 2 and data.draw(st.booleans()):
        b = b[1:]
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal(a).astype(np.float32), rng.standard_normal(b).astype(np.float32)
    model = draft("y=MatMul(x,w)", x=f"float[{','.join(map(str, a))}]", w=second)
    layer, expected = only(model), run(model, {"x": first})["y"]
    sign = {axis: "".join(chr(65 + place) for place, owner in enumerate(owners) if owner == axis) for axis in "gym"}
    letters, group = "".join(chr(65 + place) for place in range(rank)), f"{sign['g']} " if sign["g"] else ""
    second = second.reshape([1] * (len(a) - len(b)) + b)
    left = matrices(
        np.squeeze(first, tuple(place for place, owner in enumerate(owners) if owner == "m")),
        drop(letters, sign["m"]) + "yc",
        f"{group}{sign['y']}y c",
    )
    right = matrices(
        np.squeeze(second, tuple(place for place, owner in enumerate(owners) if owner == "y")),
        drop(letters, sign["y"]) + "cm",
        f"{group}c {sign['m']}m",
    )
    assert np.allclose(
        evaluate(layer.nest, left, right), matrices(expected, letters + "ym", f"{group}{sign['y']}y {sign['m']}m"), atol=1e-5
    )


def drop(letters: str, unwanted: str) -> str:
    return "".join(letter for letter in letters if letter not in unwanted)


@pytest.mark.parametrize(
    ("equation", "a", "b", "axes"),
    [
        ("bhik,bhjk->bhij", (2, 3, 4, 5), (2, 3, 6, 5), {"g": 6, "m": 6, "c": 5, "y": 4}),
        ("bij,jk", (2, 4, 5), (5, 6), {"m": 6, "c": 5, "y": 8}),
        ("bijk,ijkm->mb", (2, 3, 4, 5), (3, 4, 5, 7), {"m": 7, "c": 60, "y": 2}),
        ("...ik,...kj->...ij", (1, 2, 4, 5), (3, 2, 5, 6), {"g": 2, "m": 18, "c": 5, "y": 4}),
        ("...ik,jk", (3, 2, 4, 5), (6, 5), {"m": 6, "c": 5, "y": 24}),
        ("i,j->ij", (4,), (5,), {"m": 5, "y": 4}),
        ("b i j, b i -> b j", (2, 4, 5), (2, 4), {"g": 2, "c": 4, "y": 5}),
    ],
)
def test_a_product_by_einsum(equation: str, a: tuple[int, ...], b: tuple[int, ...], axes: dict[str, int]) -> None:
    model = draft(f'y=Einsum<equation="{equation}">(x,w)', x=f"float[{','.join(map(str, a))}]", w=b)
    layer, output = only(model), run(model, {"x": np.ones(a, np.float32)})["y"]
    assert sizes(layer.nest) == axes
    assert layer.nest.footprint() == {"input": math.prod(a), "weight": math.prod(b), "output": output.size}


@pytest.mark.parametrize(
    ("model", "inner"),
    [
        (draft("y=Conv<strides=[2,1],pads=[1,1,1,1]>(x,w)", w=(3, 4, 3, 3)), 36),
        (draft('y=Conv<auto_pad="SAME_UPPER",strides=[2,2]>(x,w)', w=(3, 4, 3, 3)), 36),
        (draft('y=Conv<auto_pad="SAME_LOWER",strides=[3,2]>(x,w)', w=(3, 4, 2, 2)), 16),
        (draft("y=Conv<group=4>(x,w)", w=(8, 1, 3, 3)), 9),
        (draft("y=Conv(x,w)", x="float[batch,4,9]", w=(6, 4, 3)), 12),
        (draft("y=Conv(x,w)", x="float[batch,4,5,5,5]", w=(6, 4, 3, 2, 1)), 24),
        (draft("y=ConvInteger(x,w)", x="uint8[batch,4,6,6]", outputs="int32[n,m,h,w] y", w=np.ones((3, 4, 3, 3), np.uint8)), 36),
        (draft("y=MatMulInteger(x,w)", x="uint8[batch,4,6]", outputs="int32[n,m,h] y", w=np.ones((6, 5), np.uint8)), 6),
        (draft("y=MatMul(x,w)", x="float[batch,3,4,6]", w=(6, 5)), 6),
        (draft("y=MatMul(x,w)", x="float[batch,3,4,6]", w=(6,)), 6),
        (draft("y=MatMul(w,x)", x="float[6]", w=(6,)), 6),
        (draft("y=MatMul(w,x)", x="float[3,6,2]", w=(6,)), 6),
        (draft("t=Transpose<perm=[0,2,1]>(x) y=MatMul(x,t)", x="float[batch,4,6]"), 6),
        (draft("y=Gemm(x,w)", x="float[batch,6]", w=(6, 5)), 6),
        (draft("y=Gemm<transA=1,transB=1>(x,w,b)", x="float[6,4]", w=(5, 6), b=(5,)), 6),
    ],
)
def test_a_layer_has_the_elements_of_its_output(model: bytes, inner: int) -> None:
    layer, inputs = only(model), onnx.load_from_string(model).graph.input
    feeds = {
        value.name: np.ones([dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim], DTYPES[value.type.tensor_type.elem_type])
        for value in inputs
    }
    output = run(model, feeds)["y"]
    assert layer.nest.footprint()["output"] == output.size
    assert layer.nest.macs == output.size * inner
    assert layer.output == "y"
    assert set(layer.inputs) <= {"x", "w", "t"}


DTYPES = {1: np.float32, 2: np.uint8}
SCALES = {"s": np.float32(0.1), "z": np.uint8(3)}


def test_quantised_products() -> None:
    conv = draft(
        "y=QLinearConv<group=2>(x,s,z,w,s,z,s,z)",
        x="uint8[batch,4,6,6]",
        outputs="uint8[n,m,h,w] y",
        w=np.ones((6, 2, 3, 3), np.uint8),
        **SCALES,
    )
    assert only(conv).inputs == ("x", "w")
    assert sizes(only(conv).nest) == {"g": 2, "m": 3, "c": 2, "y": 4, "x": 4, "r": 3, "q": 3}
    product = draft(
        "y=QLinearMatMul(x,s,z,w,s,z,s,z)", x="uint8[batch,4,6]", outputs="uint8[n,m,h] y", w=np.ones((6, 5), np.uint8), **SCALES
    )
    assert only(product).inputs == ("x", "w")
    assert sizes(only(product).nest) == {"m": 5, "c": 6, "y": 4}


def test_the_notation() -> None:
    grouped = only(draft("y=Conv<group=2,strides=[2,1]>(x,w)", w=(6, 2, 3, 2)))
    assert grouped.nest.notation == "n g c (y*sy+r*dy) (x*sx+q*dx), g m c r q -> n g m y x"
    assert dict(grouped.nest.axes) == {"n": 1, "g": 2, "m": 3, "c": 2, "y": 2, "x": 5, "r": 3, "q": 2}
    assert dict(grouped.nest.factors) == {"sy": 2, "sx": 1, "dy": 1, "dx": 1}
    assert only(draft("y=Conv(x,w)", w=(6, 4, 3, 2))).nest.notation == "n c (y*sy+r*dy) (x*sx+q*dx), m c r q -> n m y x"
    deep = only(draft("y=Conv(x,w)", x="float[2,4,7,6,5]", w=(6, 4, 3, 2, 1)))
    assert deep.nest.notation == "n c (z*sz+t*dz) (y*sy+r*dy) (x*sx+q*dx), m c t r q -> n m z y x"
    assert dict(deep.nest.axes) == {"n": 2, "m": 6, "c": 4, "z": 5, "y": 5, "x": 5, "t": 3, "r": 2, "q": 1}
    assert dict(only(draft("y=Conv(x,w)", x="float[2,4,7]", w=(6, 4, 3))).nest.axes) == {
        "n": 2,
        "m": 6,
        "c": 4,
        "y": 1,
        "x": 5,
        "r": 1,
        "q": 3,
    }
    assert only(draft("y=MatMul(x,x)", x="float[batch,4,4]")).nest.notation == "y c, c m -> y m"
    assert only(draft("y=MatMul(x,x)", x="float[2,4,4]")).nest.notation == "g y c, g c m -> g y m"


# What lies around the layers.


def test_links_pass_what_does_not_multiply() -> None:
    model = draft(
        "a=Conv(x,w) b=Relu(a) c=MaxPool<kernel_shape=[2,2]>(b) f=Reshape(c,r) s=Shape(a) h=ConstantOfShape(s) g=Conv(x,w) z=Add(g,h) y=MatMul(f,k)",
        outputs="y;z",
        w=(4, 4, 1, 1),
        r=np.array([1, 4, 25]),
        k=(25, 2),
    )
    assert read_work(model).links == (Link(source="conv0", target="matmul8", operand="input"),), "a shape is not the tensor"


def test_a_tensor_that_several_read_is_no_link() -> None:
    model = draft(
        "a=Conv(x,w) b=Relu(a) c=MaxPool<kernel_shape=[2,2]>(b) d=Conv(c,w) e=Add(d,c) s=Shape(a) f=Reshape(e,r) g=Conv(x,w) h=ConstantOfShape(s) "
        "y=MatMul(f,k) z=Add(g,h)",
        outputs="y;z",
        w=(4, 4, 1, 1),
        r=np.array([1, 4, 25]),
        k=(25, 2),
    )
    work = read_work(model)
    assert work.links == ()
    names = [
        "relu1 (Relu)",
        "maxpool2 (MaxPool)",
        "add4 (Add)",
        "shape5 (Shape)",
        "reshape6 (Reshape)",
        "constantofshape8 (ConstantOfShape)",
    ]
    assert work.others == (*names, "add10 (Add)")


def test_phases_of_a_transposed_convolution_are_no_link() -> None:
    work = read_work(draft("a=ConvTranspose<strides=[2,1]>(x,w) y=Conv(a,w)", w=(4, 4, 2, 2)))
    assert work.links == ()
    assert {layer.output for layer in work.layers[:2]} == {"a"}


def test_what_is_computed_ahead_of_all_runs_is_no_layer() -> None:
    work = read_work(draft("a=MatMul(v,w) y=MatMul(x,a)", x="float[batch,3]", v=(3, 4), w=(4, 5)))
    assert [layer.name for layer in work.layers] == ["matmul1"]
    assert work.others == ("matmul0 (MatMul)",)


def test_an_elementwise_einsum_is_no_layer() -> None:
    work = read_work(draft('a=Einsum<equation="bi,bi->bi">(x,x) b=Einsum<equation="bi->ib">(a) y=MatMul(b,x)', x="float[batch,3]"))
    assert work.others == ("einsum0 (Einsum)", "einsum1 (Einsum)")


def test_equal_names_are_told_apart() -> None:
    model = onnx.load_from_string(draft("a=Conv(x,w) b=Conv(a,w) y=Relu(b)", w=(4, 4, 1, 1)))
    for node in model.graph.node:
        node.name = "same"
    assert pairs(read_work(model.SerializeToString())) == (("same", "same_2"),)
    for node in model.graph.node:
        node.name = ""
    work = read_work(model.SerializeToString())
    assert (pairs(work), work.others) == ((("a", "b"),), ("y (Relu)",))


# Weights that are not there, shapes that are computed.


WHOLE = draft("a=Conv(x,w) b=Reshape(a,r) y=MatMul(b,k)", x="float[2,4,6,6]", w=(8, 4, 3, 3), r=np.array([2, -1]), k=(128, 10))


def test_absent_weights_are_no_fault(tmp_path: Path) -> None:
    expected = read_work(WHOLE).layers
    assert macs(read_work(WHOLE)) == [2 * 8 * 4 * 9 * 16, 2 * 128 * 10]

    inputs = onnx.load_from_string(WHOLE)
    for tensor in list(inputs.graph.initializer):
        if tensor.name != "r":
            inputs.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
            inputs.graph.initializer.remove(tensor)
    assert read_work(inputs.SerializeToString()).layers == expected

    empty = onnx.load_from_string(WHOLE)
    for tensor in empty.graph.initializer:
        if tensor.name != "r":
            tensor.ClearField("raw_data")
    assert read_work(empty.SerializeToString()).layers == expected

    path = tmp_path / "model.onnx"
    onnx.save_model(onnx.load_from_string(WHOLE), str(path), save_as_external_data=True, location="model.data", size_threshold=0)
    assert read_work(path).layers == expected, "the target of the Reshape is read from the other file"
    (tmp_path / "model.data").unlink()
    with pytest.raises(InputError) as caught:
        read_work(path)
    assert "node 'matmul2' (MatMul): the shape of 'b' is not known" in str(caught.value)
    onnx.save_model(onnx.load_from_string(WHOLE), str(path), save_as_external_data=True, location="model.data", size_threshold=1000)
    (tmp_path / "model.data").unlink()
    assert read_work(path).layers == expected
    assert read_work(path.read_bytes()).layers == expected


def test_weights_that_are_inputs_too_and_large_constants_in_nodes() -> None:
    model = onnx.load_from_string(WHOLE)
    expected = read_work(WHOLE).layers
    for tensor in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model.ir_version = 3
    assert read_work(model.SerializeToString()).layers == expected
    model = onnx.load_from_string(WHOLE)
    constants = [onnx.helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer]
    nodes = [*constants, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes)
    work = read_work(model.SerializeToString())
    assert work.layers == expected
    assert work.others == ("reshape1 (Reshape)",)


def test_shapes_that_the_network_computes() -> None:
    """torch's exporters write the first for a flattening, the second for a mask that is expanded; ONNX's inference follows only the first."""
    flat = "s=Shape(x) n=Gather(s,o) u=Unsqueeze(n,a) t=Concat<axis=0>(u,e) f=Reshape(x,t) y=MatMul(f,k)"
    known = {"o": np.array(0), "a": np.array([0]), "e": np.array([-1])}
    assert sizes(only(draft(flat, x="float[batch,4,8]", k=(32, 5), **known)).nest) == {"m": 5, "c": 32}
    mask = "s=Shape(x) l=Shape(s) c=ConstantOfShape<value=int64[1]{1}>(l) m=Mul(c,i) q=Equal(s,m) h=Where(q,c,s) v=Expand(p,h) d=Add(x,v) "
    mask += "y=MatMul(d,k)"
    assert sizes(only(draft(mask, x="float[batch,4,8]", i=np.array(-1), p=(1, 1, 8), k=(8, 5))).nest) == {"m": 5, "c": 8, "y": 4}


def test_another_batch() -> None:
    model = draft("a=Conv(x,w) y=Relu(a)", outputs="float[batch,3,4,4] y", w=(3, 4, 3, 3))
    assert [read_work(model, batch=batch).layers[0].nest.axes["n"] for batch in (None, 1, 7)] == [1, 1, 7]
    fixed = draft("y=Conv(x,w)", x="float[2,4,6,6]", w=(3, 4, 3, 3))
    assert read_work(fixed).layers[0].nest.axes["n"] == read_work(fixed, batch=2).layers[0].nest.axes["n"] == 2


def test_nodes_out_of_order() -> None:
    model = onnx.load_from_string(WHOLE)
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert read_work(model.SerializeToString()) == read_work(WHOLE)


LOCAL = """<ir_version: 8, opset_import: ["": 18, "own": 1]> net (float[batch,4] x) => (float[batch,4] y) { h = own.twice(x, w) y = own.twice(h, w) }
<domain: "own", opset_import: ["": 18]> twice (a, b) => (c) { d = MatMul(a, b) c = Relu(d) }"""


def test_local_functions() -> None:
    model = onnx.parser.parse_model(LOCAL)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), "w"))
    work = read_work(model.SerializeToString())
    assert [sizes(layer.nest) for layer in work.layers] == 2 * [{"m": 4, "c": 4}]
    assert len(work.others) == 2
    assert pairs(work) == ((work.layers[0].name, work.layers[1].name),)


def test_branches_and_loops() -> None:
    branch = (
        "a=MatMul(x,w) y=If<then_branch=f()=>(float[1,4] t){{ t={0}(a) }}, else_branch=g()=>(float[1,4] e){{ e=Relu(a) }}>(c) z=MatMul(y,w)"
    )
    free = read_work(draft(branch.format("Abs"), x="float[1,4]", outputs="z", w=(4, 4), c=np.array(True)))
    assert free.others == ("if1 (If)",)
    assert pairs(free) == (("matmul0", "matmul2"),), "a branch reads what lies outside"
    with pytest.raises(UnsupportedError) as caught:
        read_work(draft(branch.format("Abs").replace("Relu(a)", "MatMul(a,w)"), x="float[1,4]", outputs="z", w=(4, 4), c=np.array(True)))
    assert "node 'if1' (If): its body multiplies, and how often it runs is not known; export the network with the loop unrolled" in str(
        caught.value
    )


# What is refused, and the words in which.


def refusal(model: bytes | Path, kind: type[RidgelineError], batch: int | None = None) -> str:
    with pytest.raises(kind) as caught:
        read_work(model, batch=batch)
    assert "\n" not in str(caught.value)
    return str(caught.value)


CANNOT = "it multiplies, and cannot be written as a nest; export the network with it taken apart into products"
UNKNOWN = "ONNX has no such operator, so that nothing tells what it multiplies; export the network with ONNX's own operators"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (draft("y=LSTM(x,w,r)", x="float[5,1,4]", w=(1, 8, 4), r=(1, 8, 2)), f"node 'lstm0' (LSTM): {CANNOT}"),
        (draft("y=GRU(x,w,r)", x="float[5,1,4]", w=(1, 6, 4), r=(1, 6, 2)), f"node 'gru0' (GRU): {CANNOT}"),
        (draft("y=RNN(x,w,r)", x="float[5,1,4]", w=(1, 2, 4), r=(1, 2, 2)), f"node 'rnn0' (RNN): {CANNOT}"),
        (draft("y=Attention(x,x,x)", x="float[1,2,4,4]", opset=23), f"node 'attention0' (Attention): {CANNOT}"),
        (draft("y=DeformConv(x,w,o)", w=(3, 4, 3, 3), o=(1, 18, 4, 4), opset=19), f"node 'deformconv0' (DeformConv): {CANNOT}"),
        (
            draft("y=com.microsoft.MultiHeadAttention<num_heads=1>(x,x,x)", x="float[1,2,4]", domains='"com.microsoft":1'),
            f"node 'multiheadattention0' (com.microsoft.MultiHeadAttention): {UNKNOWN}",
        ),
        (draft("y=Foo(x)"), f"node 'foo0' (Foo): {UNKNOWN}"),
        (
            draft('y=Einsum<equation="bcij,bcij,bcij->bc">(x,x,x)'),
            "node 'einsum0' (Einsum): 'bcij,bcij,bcij->bc' is a product of 3 operands; export the network with products of two",
        ),
        (draft('y=Einsum<equation="bcij,kk->bc">(x,w)', w=(3, 3)), "node 'einsum0' (Einsum): 'kk' does not name each axis of (3, 3) once"),
        (
            draft('y=Einsum<equation="bcij,cm->bmi">(x,w)', w=(4, 3)),
            "node 'einsum0' (Einsum): a product of (1, 4, 6, 6) and (4, 3), where axis 'j' does not fit",
        ),
        (
            draft("y=Conv(x,w)", x="float[1,4,3,3,3,3]", w=(2, 4, 1, 1, 1, 1)),
            "node 'conv0' (Conv): a convolution of (1, 4, 3, 3, 3, 3) with (2, 4, 1, 1, 1, 1); one to 3 axes can be convolved",
        ),
        (
            draft("y=ConvTranspose<strides=[40,40]>(x,w)", w=(4, 3, 40, 40)),
            "node 'convtranspose0' (ConvTranspose): its strides (40, 40) make more than 1,024 convolutions of it",
        ),
    ],
)
def test_what_cannot_be_written_as_a_nest(model: bytes, message: str) -> None:
    assert refusal(model, UnsupportedError) == f"the network: {message}"


def without(model: bytes, field: str) -> bytes:
    proto = onnx.load_from_string(model)
    proto.ClearField(field)  # type: ignore[arg-type]
    return proto.SerializeToString()


CONV = draft("y=Conv(x,w)", w=(3, 4, 3, 3))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"", "the network holds no ONNX graph (0 bytes, no node); export the network again"),
        (b"no model at all", "the network is not an ONNX file, or is cut short (15 bytes)"),
        (CONV[:-100], "the network is not an ONNX file, or is cut short ("),
        (b"\n".join([CONV[:60], CONV[60:]]), "the network is "),
        (draft("a=Relu(x) y=Add(a,x)"), "the network has no layer that multiplies; its nodes are relu0 (Relu), add1 (Add)"),
        (
            draft("y=Relu(x)", x="float[batch,c,height,3]"),
            "the network: axes 1 ('c'), 2 ('height') of input 'x' are dynamic; only the first may be: export with a fixed size",
        ),
        (
            draft("y=Relu(x)", x="float[batch,tokens]"),
            "the network: axis 1 ('tokens') of input 'x' is dynamic; only the first may be: export with a fixed size",
        ),
        (draft("y=Relu(x)", x="float[batch,0,3]"), "the network: axis 1 of input 'x' has 0 elements"),
        (draft("y=Relu(x)", x="float[] x"), "the network: input 'x' has no shape; export it with one"),
        (
            draft("y=MatMul(x,w)", x="float[4611686018427387904,2,3]", w=(3, 2)),
            "the network: node 'matmul0' (MatMul): it has 55,340,232,221,128,654,848 iterations; at most 2^62 can be counted",
        ),
        (
            draft("y=Conv(x,w)", x="float[4611686018427387904,2,3,3] x, float[3,2,1,1] w"),
            "the network: node 'conv0' (Conv): it has 249,031,044,995,078,946,816 iterations; at most 2^62 can be counted",
        ),
        (
            draft("y=Conv(x,w)", w=(6, 4, 9, 9)),
            "the network: node 'conv0' (Conv): 'y' would have the shape (1, 6, -2, -2)",
        ),
        (
            draft("y=Conv<group=3>(x,w)", w=(6, 2, 3, 3)),
            "the network: node 'conv0' (Conv): a weight of the shape (6, 2, 3, 3) in 3 groups does not fit an input of 4 channels",
        ),
        (
            draft("y=ConvTranspose(x,w)", w=(3, 2, 3, 3)),
            "the network: node 'convtranspose0' (ConvTranspose): a weight of the shape (3, 2, 3, 3) in 1 groups does not fit an input of 4 channels",
        ),
        (draft("y=Conv<group=0>(x,w)", w=(6, 4, 3, 3)), "the network: node 'conv0' (Conv): it has 0 groups; it must have at least 1"),
        (
            draft("y=Conv(x,w)", w=(6, 4, 3)),
            "the network: node 'conv0' (Conv): the shape of 'y' is not known: 'conv0' (Conv): [ShapeInferenceError]",
        ),
        (
            draft("y=Conv<kernel_shape=[1,1]>(x,w)", w=(6, 4, 3, 3)),
            "the network: node 'conv0' (Conv): its kernel_shape is not that of its weight, (6, 4, 3, 3)",
        ),
        (
            draft(
                "p=MaxPool<kernel_shape=[9,9]>(x) s=Slice(p,b,e,a) y=Conv(s,w)",
                w=(6, 4, 3, 3),
                b=np.array([0]),
                e=np.array([1]),
                a=np.array([2]),
            ),
            "the network: node 'maxpool0' (MaxPool): 'p' would have the shape (1, 4, -2, -2)",
        ),
        (
            draft("a,b=Split<axis=1,num_outputs=3>(x) y=Conv(a,w)", w=(6, 2, 3, 3)),
            "the network: node 'conv1' (Conv): the shape of 'a' is not known: 'split0' (Split) has 2 outputs, and 3 by its num_outputs",
        ),
        (draft("a=Relu(b) b=Relu(a) y=MatMul(b,x)"), "the network: its nodes form a cycle through 'relu"),
        (draft("a=Relu(x) a=Relu(x) y=MatMul(a,x)"), "the network: value 'a' is computed twice"),
        (
            draft("a=NonZero(x) y=MatMul(a,w)", x="float[3,4]", w=(3, 4)),
            "the network: node 'matmul1' (MatMul): the shape of 'a' is not known",
        ),
        (
            draft("y=MatMul(x,w)", x="float[2,3]", w=(4, 5)),
            "the network: node 'matmul0' (MatMul): the shape of 'y' is not known: 'matmul0' (MatMul): [ShapeInferenceError]",
        ),
        (draft("y=Conv(x,v)"), "the network: node 'conv0' (Conv): the shape of 'v' is not known: nothing computes it"),
        (without(CONV, "opset_import"), "the network does not tell its opset; export the network again"),
        (without(CONV, "graph"), "the network holds no ONNX graph"),
    ],
)
def test_bad_files(model: bytes, message: str) -> None:
    assert refusal(model, InputError).startswith(message)


def test_bad_paths_and_batches(tmp_path: Path) -> None:
    assert refusal(tmp_path, InputError) == f"'{tmp_path}' is a folder; name an ONNX file"
    assert refusal(tmp_path / "no", InputError) == f"'{tmp_path / 'no'}' cannot be read: No such file or directory"
    (tmp_path / "text.onnx").write_text("import torch\n")
    assert refusal(tmp_path / "text.onnx", InputError).startswith(
        f"'{tmp_path / 'text.onnx'}' is not an ONNX file, or is cut short (13 bytes)"
    )
    assert refusal(CONV, InputError, batch=0) == "the network: a batch of 0; it must be 1 or more"
    fixed = draft("y=Conv(x,w)", x="float[2,4,6,6]", w=(3, 4, 3, 3))
    assert refusal(fixed, InputError, batch=4) == "the network: the batch is 4 by --batch, but its inputs have 'x': 2"


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_file_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, 399))] = data.draw(st.integers(0, 255))
    message = ""
    try:
        read_work(bytes(damaged))
    except RidgelineError as error:
        message = str(error)
    assert "\n" not in message


def test_links_of_networks() -> None:
    """Through activations, softmax and pools; not where a residual addition or a second reader comes between."""
    resnet = read_work(zoo.outline("resnet18").SerializeToString())
    assert [(link.source, link.target) for link in resnet.links] == [
        (f"layer{stage}.{block}.conv1", f"layer{stage}.{block}.conv2") for stage in range(1, 5) for block in range(2)
    ]
    bert = [link for link in read_work(zoo.outline("bert-base").SerializeToString()).links if link.source.startswith("layer0.")]
    named = {(link.source.removeprefix("layer0."), link.target.removeprefix("layer0."), link.operand) for link in bert}
    assert named == {
        ("attention.query.matmul", "attention.scores", "input"),
        ("attention.key.matmul", "attention.scores", "weight"),
        ("attention.value.matmul", "attention.context", "weight"),
        ("attention.scores", "attention.context", "input"),
        ("attention.context", "attention.output.matmul", "input"),
        ("mlp.up.matmul", "mlp.down.matmul", "input"),
    }
