"""Every operator's meaning against onnxruntime's float operators, on small integers, where both are exact."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.graph import Array, Graph, Node
from ridgeline.algorithm.onnx.runtime import run
from ridgeline.algorithm.onnx.writer import initializer, model, node, value
from ridgeline.algorithm.operators import Add, AveragePool, Concat, Conv, ConvTranspose, Expand, Join, MaxPool, Mul, Resize, Select, Take
from ridgeline.testing.graphs import LAYER_KINDS, random_layer_graph

SEEDS = st.integers(0, 2**32 - 1)


def onnx_values(operator: str, inputs: list[Array], constants: list[Array], **attributes: object) -> Array:
    """One ONNX operator on float32 arrays."""
    feeds = {f"x{index}": array.astype(np.float32) for index, array in enumerate(inputs)}
    fixed = {f"c{index}": array for index, array in enumerate(constants)}
    made = model(
        "one",
        nodes=[node(operator, [*feeds, *fixed], ["y"], name="only", attributes=attributes)],  # type: ignore[arg-type]
        initializers=[initializer(name, array) for name, array in fixed.items()],
        inputs=[value(name, np.float32, array.shape[1:]) for name, array in feeds.items()],
        outputs=[value("y", np.float32, [f"d{axis}" for axis in range(inputs[0].ndim - 1)])],  # type: ignore[list-item]
    )
    return run(made.SerializeToString(), feeds)["y"]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One node and real inputs with small integer values."""

    graph: Graph
    node: Node
    inputs: list[Array]

    def values(self) -> Array:
        return self.node.operator.accumulate(self.node, *self.inputs, zero_points=(0,) * len(self.inputs))


def draw(kind: str, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    graph = random_layer_graph(rng, kind)
    (only,) = graph.nodes
    inputs = [rng.integers(-9, 10, (2, *shape)).astype(np.float64) for shape in graph.input_shapes(only)]
    return Drawn(graph=graph, node=only, inputs=inputs)


def expected(drawn: Drawn) -> Array:
    weight = drawn.node.weight
    floats = [] if weight is None else [weight.astype(np.float32)]
    match drawn.node.operator:
        case Conv() as conv:
            return onnx_values(
                "Conv", drawn.inputs, floats, strides=conv.strides, pads=conv.pads, dilations=conv.dilations, group=conv.groups
            )
        case ConvTranspose() as conv:
            return onnx_values(
                *("ConvTranspose", drawn.inputs, floats),
                strides=conv.strides,
                pads=conv.pads,
                dilations=conv.dilations,
                group=conv.groups,
                output_padding=conv.output_padding,
            )
        case MaxPool() as pool:
            return onnx_values(
                "MaxPool", drawn.inputs, [], kernel_shape=pool.kernel, strides=pool.strides, pads=pool.pads, dilations=pool.dilations
            )
        case AveragePool() as pool:
            means = onnx_values(
                *("AveragePool", drawn.inputs, []),
                kernel_shape=pool.kernel,
                strides=pool.strides,
                pads=pool.pads,
                count_include_pad=int(pool.count_include_pad),
            )
            return np.rint(means * pool.counted(drawn.inputs[0].shape[1:]))
        case Add():
            assert weight is not None
            terms = [array * weight[side].astype(np.float64).reshape(1, -1, 1, 1) for side, array in enumerate(drawn.inputs)]
            return onnx_values("Add", terms, [])
        case Mul():
            return onnx_values("Mul", drawn.inputs, [])
        case Concat():
            return onnx_values("Concat", drawn.inputs, [], axis=1)
        case Join(axis=axis):
            return onnx_values("Concat", drawn.inputs, [], axis={"y": 2, "x": 3}[axis])
        case Take(rows=rows, columns=columns):
            taken = onnx_values("Gather", drawn.inputs, [np.array(rows)], axis=2)
            return onnx_values("Gather", [taken], [np.array(columns)], axis=3)
        case Resize(factors=factors):
            upsampled = np.array([1, 1, *factors], np.int64)
            return np.kron(drawn.inputs[0], np.ones(upsampled))
        case Expand(size=size):
            return onnx_values("Expand", drawn.inputs, [np.array([1, 1, *size], np.int64)])
        case Select() as select:
            return np.stack([selected(select, image) for image in drawn.inputs[0]])
        case _:
            return drawn.inputs[0]


def selected(select: Select, image: Array) -> Array:
    result = np.full((len(select.channels), *select.size), select.border or 0.0)
    for c, y, x in np.ndindex(*result.shape):
        row, column = select.origin[0] + y * select.steps[0], select.origin[1] + x * select.steps[1]
        if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
            result[c, y, x] = image[select.channels[c], row, column]
    return result


@pytest.mark.parametrize("kind", LAYER_KINDS)
@given(seed=SEEDS)
@settings(max_examples=25)
def test_as_onnx_has_it(kind: str, seed: int) -> None:
    drawn = draw(kind, seed)
    np.testing.assert_array_equal(drawn.values(), expected(drawn))


@pytest.mark.parametrize("kind", LAYER_KINDS)
@given(seed=SEEDS)
@settings(max_examples=25)
def test_codes_with_a_zero_point_are_the_same_sums(kind: str, seed: int) -> None:
    """accumulate(code) - accumulate(zero point everywhere) = accumulate(code - zero point), whatever the padding."""
    drawn = draw(kind, seed)
    if isinstance(drawn.node.operator, Mul):
        return
    zero_point = int(np.random.default_rng(seed).integers(-100, 100))
    zeros = (zero_point,) * len(drawn.inputs)
    codes = [(array + zero_point).astype(np.int8) for array in drawn.inputs]
    level = [np.full_like(array, zero_point) for array in codes]
    operator = drawn.node.operator
    if isinstance(operator, Select) and operator.border is not None:  # a number there is a code
        found = replace(operator, border=operator.border + zero_point).accumulate(drawn.node, *codes, zero_points=zeros)
        np.testing.assert_array_equal(found - zero_point, drawn.values())
        return
    found = operator.accumulate(drawn.node, *codes, zero_points=zeros)
    assert found.dtype == np.int64
    assert found.shape[1:] == drawn.node.operator.output_shape(drawn.node, *drawn.graph.input_shapes(drawn.node))
    rest = drawn.node.operator.accumulate(drawn.node, *level, zero_points=zeros)
    if isinstance(drawn.node.operator, MaxPool):
        wanted = expected(drawn)
        inside = np.isfinite(wanted)
        np.testing.assert_array_equal((found - zero_point)[inside], wanted[inside])
        return
    np.testing.assert_array_equal(found - rest, drawn.values())


def test_the_product_of_two_codes() -> None:
    only = Node(name="product", operator=Mul(), inputs=("a", "b"), output="y")
    codes = [np.array([-128, 127], np.int8).reshape(1, 2, 1, 1)] * 2
    assert Mul().accumulate(only, *codes, zero_points=(127, -128)).ravel().tolist() == [0, 0]
    assert Mul().accumulate(only, *codes, zero_points=(127, 127)).ravel().tolist() == [255 * 255, 0]


@pytest.mark.parametrize("channels", [1, 1024, 1025, 5000])
def test_long_sums_of_extreme_codes_are_exact(channels: int) -> None:
    """Beyond the run that one float32 sum holds exactly."""
    only = Node(name="long", operator=Conv(), inputs=("x",), output="y", weight=np.full((1, channels, 1, 1), -128, np.int8))
    codes = np.full((1, channels, 1, 1), -128, np.int8)
    codes[0, 0] = -127
    assert Conv().accumulate(only, codes, zero_points=(0,)).item() == 16384 * channels - 128


@pytest.mark.parametrize("kind", LAYER_KINDS)
@given(seed=SEEDS)
@settings(max_examples=10)
def test_nests_agree_with_shapes(kind: str, seed: int) -> None:
    drawn = draw(kind, seed)
    shapes = drawn.graph.input_shapes(drawn.node)
    nest = drawn.node.operator.nest(drawn.node, *shapes)
    assert drawn.graph.macs(drawn.node) == nest.macs
    weighted = isinstance(drawn.node.operator, Conv | ConvTranspose)
    assert (nest.macs > 0) == weighted
    if isinstance(drawn.node.operator, Conv):
        assert drawn.node.weight is not None
        assert nest.macs == drawn.graph.tensors[drawn.node.output].elements * drawn.node.weight[0].size
        assert nest.footprint()["weight"] == drawn.node.weight.size
    if not isinstance(drawn.node.operator, ConvTranspose):
        assert nest.footprint()["output"] == drawn.graph.tensors[drawn.node.output].elements
