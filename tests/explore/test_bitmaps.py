"""Steps of layers from real bitmaps against a walk over every product, and what a chip that skips zeros makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from onnx import TensorProto, helper, numpy_helper

from ridgeline.algorithm.layers import Layer
from ridgeline.algorithm.onnx.compressible import Weight, read_weights
from ridgeline.algorithm.onnx.load import Loaded, load_model
from ridgeline.algorithm.onnx.work import read_work
from ridgeline.algorithm.passes.compress import Choice, StoredWeight, store
from ridgeline.errors import InputError
from ridgeline.explore.bitmaps import IMAGES, met
from ridgeline.explore.pricing import Cost, Pricing
from ridgeline.hardware.chip import read_chip


@dataclass(frozen=True, kw_only=True)
class Case:
    loaded: Loaded
    layer: Layer
    weight: Weight


def case(operator: str, image: tuple[int, ...], weight: np.ndarray, **attributes: object) -> Case:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *image])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(operator, ["x", "w"], ["y"], name="layer", **attributes)
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    loaded = load_model(model)
    return Case(loaded=loaded, layer=read_work(model).layers[0], weight=read_weights(loaded)[0])


def sparse(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> np.ndarray:
    return (rng.standard_normal(shape) * (rng.random(shape) < share)).astype(np.float32)


def walked(rows: list[list[bool]], columns: list[list[bool]]) -> tuple[int, int]:
    """(counted, dense) of rows (rows, depth) by columns (columns, depth): for each tile of 32 and each step of the depth."""
    found = dense = 0
    for top in range(0, len(rows), 32):
        for left in range(0, len(columns), 32):
            for k in range(len(rows[0])):
                a, b = ([line[k] for line in lines[at : at + 32]] for lines, at in ((rows, top), (columns, left)))
                found += ceil(sum(a) / 8) * ceil(sum(b) / 16)
                dense += ceil(len(a) / 8) * ceil(len(b) / 16)
    return found, dense


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2), st.integers(1, 3), st.sampled_from((1, 2)), st.integers(0, 2), st.integers(0, 2))
def test_steps_of_a_convolution(seed: int, groups: int, stride: int, dilation: int, before: int, after: int) -> None:
    rng, size, kernel, channels, made = np.random.default_rng(seed), 7, 3, 2, 20
    weight = sparse(rng, (groups * made, channels, kernel, kernel), 0.4)
    images = sparse(rng, (IMAGES, groups * channels, size, size), 0.5)
    pads = [before, before, after, after]
    given_ = case("Conv", images.shape[1:], weight, strides=[stride] * 2, dilations=[dilation] * 2, pads=pads, group=groups)
    found = met(given_.loaded, [given_.weight], [{"x": images}]).steps(given_.layer, given_.weight, weight)
    padded = np.pad(images, ((0, 0), (0, 0), (before, after), (before, after)))
    places = range(0, padded.shape[2] - dilation * (kernel - 1), stride)
    wanted = [0, 0]
    for image in padded:
        for group in range(groups):
            part = image[group * channels : (group + 1) * channels]
            depth = [(c, r, q) for c in range(channels) for r in range(kernel) for q in range(kernel)]
            rows = [[bool(part[c, y + r * dilation, x + q * dilation]) for c, r, q in depth] for y in places for x in places]
            columns = [[bool(line[at]) for at in depth] for line in weight[group * made : (group + 1) * made]]
            for number, count in enumerate(walked(rows, columns)):
                wanted[number] += count
    assert [found.sparse, found.dense] == wanted


@pytest.mark.parametrize(("operator", "attributes"), [("MatMul", {}), ("Gemm", {}), ("Gemm", {"transB": 1})])
def test_steps_of_a_product(operator: str, attributes: dict[str, object]) -> None:
    rng = np.random.default_rng(1)
    columns_first = bool(attributes)
    weight = sparse(rng, (40, 12) if columns_first else (12, 40), 0.4)
    values = sparse(rng, (IMAGES, 12) if operator == "Gemm" else (IMAGES, 37, 12), 0.5)
    given_ = case(operator, values.shape[1:], weight, **attributes)
    found = met(given_.loaded, [given_.weight], [{"x": values}]).steps(given_.layer, given_.weight, weight)
    columns = (weight if columns_first else weight.T) != 0
    parts = [walked((np.atleast_2d(image) != 0).tolist(), columns.tolist()) for image in values]
    assert (found.sparse, found.dense) == tuple(map(sum, zip(*parts, strict=True)))


def test_data_of_another_size() -> None:
    weight = np.ones((3, 2, 3, 3), np.float32)
    given_ = case("Conv", (2, 6, 6), weight)
    seen = met(given_.loaded, [given_.weight], [{"x": np.ones((4, 2, 6, 6), np.float32)}])
    other = case("Conv", (2, 9, 9), weight)
    with pytest.raises(InputError, match=r"layer 'layer' reads an input of 1 x 2 x 9 x 9, but the data make one of 4 x 2 x 6 x 6 for 4 images"):
        seen.steps(other.layer, other.weight, weight)


def held(given_: Case, mask: np.ndarray) -> StoredWeight:
    """Half of the weights stay: those of the mask, which are larger."""
    return store(np.where(mask, np.float32(1), np.float32(0.5)), given_.weight.place, Choice(format="float16", pattern="unstructured:50%"))


def test_the_cost_is_of_the_arrangement() -> None:
    """Half of the weights: whole columns, or anywhere. The first leave out every other step of 16 columns, the others few of them."""
    rng, size = np.random.default_rng(2), 64
    given_ = case("MatMul", (size, size), np.ones((size, size), np.float32))
    seen = met(given_.loaded, [given_.weight], [{"x": np.ones((IMAGES, size, size), np.float32)}])
    core = replace(read_chip("dstc"), array={"sms": 1, "cores": 1, "rows": 8, "columns": 16})
    pricing = Pricing(chip=core, objective="latency", layers=(given_.layer,), budget_s=60, met=seen)
    columns = np.broadcast_to(np.arange(size) % 32 < 16, (size, size))
    anywhere = np.zeros(size * size, np.bool_)
    anywhere[rng.permutation(size * size)[: size * size // 2]] = True
    costs: dict[str, Cost] = {}
    for name, mask in (("columns", columns), ("anywhere", anywhere.reshape(size, size))):
        costs[name] = pricing.cost(given_.weight, held(given_, np.ascontiguousarray(mask)))
    assert costs["columns"].bits == costs["anywhere"].bits
    assert costs["columns"].steps * 2 == costs["columns"].dense_steps == costs["anywhere"].dense_steps
    assert costs["columns"].steps < 0.75 * costs["anywhere"].steps
    dense = pricing.cost(given_.weight, None)
    assert dense.gap == costs["columns"].gap == costs["anywhere"].gap == 0, "the best mappings"
    assert dense.dense_steps == 0
    assert costs["columns"].time_s < 0.75 * costs["anywhere"].time_s < costs["anywhere"].time_s < dense.time_s
    share = costs["anywhere"].steps / costs["anywhere"].dense_steps
    assert costs["anywhere"].time_s == pytest.approx(dense.time_s * share, rel=1e-3), "the array does, and no memory holds it up"
