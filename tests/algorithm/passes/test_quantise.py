"""Float graph in, integer graph out: near to the float values, and exactly what the contract says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.algorithm.floats import SIGMOID, Floats, everything

from ridgeline.algorithm import zoo
from ridgeline.algorithm.function import RELU, Function, clip
from ridgeline.algorithm.graph import Graph, Quantisation
from ridgeline.algorithm.onnx.golden_check import check_golden
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.operators import Add, AveragePool, Concat, Conv, ConvTranspose, Copy, MaxPool
from ridgeline.algorithm.passes.calibrate import noise
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.algorithm.reference import dequantise, quantisation, run_float, run_integer, sqnr_db
from ridgeline.algorithm.reference import quantise as codes_of
from ridgeline.errors import InputError, UnsupportedError

ENGINE_NETWORKS = [row.name for row in zoo.describe() if row.engine]


def codes(graph: Graph, reals: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {port.name: codes_of(reals[port.name], quantisation(graph, port.tensor)) for port in graph.inputs}


def worst_sqnr_db(floats: Graph, integers: Graph, reals: dict[str, np.ndarray]) -> float:
    wanted = run_float(floats, reals)
    found = run_integer(integers, codes(integers, reals))
    return min(sqnr_db(wanted[name], dequantise(found[name], quantisation(integers, name))) for name in found)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_every_operator_keeps_its_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    floats = everything(rng)
    integers = quantise(floats, noise(floats, rng))
    reals = noise(floats, rng)
    assert worst_sqnr_db(floats, integers, reals) >= 25
    assert check_golden(integers, codes(integers, reals)) is None


@pytest.mark.parametrize("name", ENGINE_NETWORKS)
def test_networks_keep_20_db(name: str) -> None:
    """Calibrated on one draw of noise, judged on another."""
    floats = read_network(zoo.reduced(name).SerializeToString()).graph
    integers = quantise(floats, noise(floats, np.random.default_rng(1)))
    reals = noise(floats, np.random.default_rng(2), images=2)
    assert worst_sqnr_db(floats, integers, reals) >= 20
    assert check_golden(integers, codes(integers, reals)) is None


def test_stages_obey_the_contract() -> None:
    floats = everything(np.random.default_rng(0))
    integers = quantise(floats, noise(floats, np.random.default_rng(1)))
    for node in integers.nodes:
        stage = node.stage
        assert stage is not None
        channels, height, width = integers.tensors[node.output].shape
        assert stage.bias.dtype == stage.multiplier.dtype == stage.shift.dtype == np.int32
        assert stage.bias.shape == (channels,)
        assert stage.multiplier.shape == stage.shift.shape
        assert stage.multiplier.shape in {(channels, 1, 1), (1, height, width)}
        assert stage.multiplier.min() >= 0
        assert stage.multiplier.max() < 2**17
        assert stage.shift.min() >= 1
        assert stage.shift.max() <= 63
        assert -128 <= stage.low <= stage.high <= 127
        assert node.bias is None
        assert node.weight is None or node.weight.dtype == np.int8
        if isinstance(node.operator, Conv | ConvTranspose | AveragePool | Add):
            assert stage.multiplier.min() >= 2**16  # 17 significant bits
    assert {node.name for node in integers.nodes if node.stage is not None and node.stage.table is not None} == {"swish", "gate", "copied"}
    mean = integers.node("mean").stage
    assert mean is not None
    assert mean.multiplier.shape == (1, 8, 8)


def test_moves_pass_codes_unchanged() -> None:
    floats = everything(np.random.default_rng(0))
    integers = quantise(floats, noise(floats, np.random.default_rng(1)))
    stage = integers.node("pool").stage
    assert stage is not None
    assert (stage.zero_point, stage.low, stage.high, stage.table) == (0, -128, 127, None)
    assert set(stage.multiplier.ravel().tolist()) == {2}
    assert set(stage.shift.ravel().tolist()) == {1}
    assert not stage.bias.any()
    assert quantisation(integers, "pool.out") == quantisation(integers, "stem.out")


def test_joined_tensors_share_a_scale() -> None:
    floats = everything(np.random.default_rng(0))
    integers = quantise(floats, noise(floats, np.random.default_rng(1)))
    assert len({quantisation(integers, name) for name in ("up.out", "stem.out", "joined.out")}) == 1
    stage = integers.node("joined").stage
    assert stage is not None
    accumulator = np.arange(-128, 128).reshape(1, 1, 16, 16).repeat(24, axis=1)
    inputs = {"up.out": accumulator[:, :8].astype(np.int8), "stem.out": accumulator[:, 8:].astype(np.int8)}
    joined = integers.node("joined")
    alone = replace(integers, nodes=(joined,), inputs=(), outputs=())
    found = joined.operator.accumulate(joined, *inputs.values(), zero_points=(0, 0))
    assert alone.nodes[0].stage is stage
    total = (found + stage.bias.reshape(1, -1, 1, 1)) * stage.multiplier.astype(np.int64) + (1 << (stage.shift.astype(np.int64) - 1))
    np.testing.assert_array_equal((total >> stage.shift) + stage.zero_point, accumulator)


def test_given_scales_are_kept() -> None:
    draft = Floats(rng=np.random.default_rng(0))
    source, after = Quantisation(scale=0.5, zero_point=3), Quantisation(scale=0.125, zero_point=-20)
    x = draft.input("x", (4, 6, 6), source)
    scales = np.array([0.01, 0.02, 0.04, 0.08, 0.01])
    weight_codes = draft.rng.integers(-128, 128, (5, 4, 3, 3))
    weight = (weight_codes * scales.reshape(-1, 1, 1, 1)).astype(np.float32)
    kept = draft.add("kept", Conv(), x, weight=weight, quantisation=after)
    pooled = draft.add("pooled", MaxPool(kernel=(2, 2)), kept, quantisation=Quantisation(scale=0.25, zero_point=0))
    floats = draft.graph(pooled)
    floats = replace(floats, nodes=(replace(floats.nodes[0], weight_scale=scales), *floats.nodes[1:]))
    integers = quantise(floats, noise(floats, np.random.default_rng(1)))
    assert quantisation(integers, "x") == source
    assert quantisation(integers, "kept.out") == after
    np.testing.assert_array_equal(integers.node("kept").weight, weight_codes)
    stage = integers.node("pooled").stage
    assert stage is not None
    assert stage.table is not None  # another scale behind a node that only moves codes
    assert stage.table.tolist() == [int(np.clip(np.rint((code + 20) / 2), -128, 127)) for code in range(-128, 128)]


def test_limits_become_limits_of_the_code() -> None:
    draft = Floats(rng=np.random.default_rng(0))
    x = draft.input("x", (4, 6, 6))
    after = Quantisation(scale=0.05, zero_point=-10)
    y = draft.add("limited", Conv(), x, weight=draft.weight(5, 4, 3, 3), function=clip(-1.0, 2.0), quantisation=after)
    floats = draft.graph(y)
    stage = quantise(floats, noise(floats, np.random.default_rng(1))).nodes[0].stage
    assert stage is not None
    assert (stage.low, stage.high, stage.table) == (-30, 30, None)


def test_a_limit_behind_a_pool_needs_no_table() -> None:
    draft = Floats(rng=np.random.default_rng(0))
    x = draft.input("x", (4, 6, 6), Quantisation(scale=0.05, zero_point=-10))
    y = draft.add("pool", MaxPool(kernel=(2, 2)), x, function=RELU)
    floats = draft.graph(y)
    stage = quantise(floats, noise(floats, np.random.default_rng(1))).nodes[0].stage
    assert stage is not None
    assert (stage.low, stage.high, stage.table) == (-10, 127, None)


def test_a_channel_that_is_all_bias() -> None:
    """Weights a billion times smaller than the bias, and none at all."""
    draft = Floats(rng=np.random.default_rng(0))
    x = draft.input("x", (4, 6, 6))
    weight = draft.weight(4, 4, 3, 3)
    weight[1] *= np.float32(1e-12)
    weight[2] = 0
    weight[3] = 0
    bias = np.array([0.3, -2.0, 1.5, 0.0], np.float32)
    floats = draft.graph(draft.add("dead", Conv(), x, weight=weight, bias=bias))
    integers = quantise(floats, noise(floats, np.random.default_rng(1)))
    assert worst_sqnr_db(floats, integers, noise(floats, np.random.default_rng(2))) >= 30


@given(ratio=st.floats(0.003, 300), seed=st.integers(0, 2**32 - 1), sign=st.sampled_from([-1.0, 1.0]))
@settings(max_examples=60)
def test_sums_of_two_scales(ratio: float, seed: int, sign: float) -> None:
    """The weights' share of the error: under a code of the result for any inputs, and under half a code in nine of ten draws."""
    draft = Floats(rng=np.random.default_rng(seed))
    first = Quantisation(scale=0.01, zero_point=int(draft.rng.integers(-128, 128)))
    second = Quantisation(scale=0.01 * ratio, zero_point=int(draft.rng.integers(-128, 128)))
    a, b = draft.input("a", (2, 16, 16), first), draft.input("b", (2, 16, 16), second)
    coefficients = np.array([[1.0, 0.5], [sign, sign]], np.float32)
    floats = draft.graph(draft.add("sum", Add(), a, b, weight=coefficients))
    reach = float(max(128 * first.scale, 128 * second.scale))
    reals = {name: draft.rng.uniform(-reach, reach, (4, 2, 16, 16)).astype(np.float32) for name in ("a", "b")}
    integers = quantise(floats, reals, method="minmax")
    inputs = {name: draft.rng.integers(-128, 128, (2, 2, 16, 16)).astype(np.int8) for name in ("a", "b")}
    after = quantisation(integers, "sum.out")
    wanted = run_float(floats, {name: dequantise(array, quantisation(integers, name)) for name, array in inputs.items()})["sum.out"]
    found = run_integer(integers, inputs)["sum.out"]
    inside = (found > -128) & (found < 127)
    assert inside.any()
    error = np.abs(found - (wanted / after.scale + after.zero_point))[inside]
    assert error.max() <= 1.0 + 0.5 + 0.01  # the pair's and the rounding's
    assert np.mean(error) <= 0.6


def test_a_function_spends_codes_where_it_varies() -> None:
    """A sigmoid of values up to 100: the range in front of the table is the few that matter."""
    draft = Floats(rng=np.random.default_rng(0))
    x = draft.input("x", (1, 32, 32))
    floats = draft.graph(draft.add("gate", Conv(), x, weight=np.full((1, 1, 1, 1), 30, np.float32), function=SIGMOID))
    reals = noise(floats, np.random.default_rng(1))
    integers = quantise(floats, reals)
    assert worst_sqnr_db(floats, integers, reals) >= 28


def test_a_function_with_no_value_everywhere() -> None:
    draft = Floats(rng=np.random.default_rng(0))
    x = draft.input("x", (1, 8, 8), Quantisation(scale=0.1, zero_point=0))
    root = Function(expression=("sqrt", "x"))
    floats = draft.graph(draft.add("root", Copy(), x, function=root))
    integers = quantise(floats, {"x": np.abs(noise(floats, np.random.default_rng(1))["x"])})
    table = integers.nodes[0].stage.table if integers.nodes[0].stage else None
    assert table is not None
    assert set(table[:128].tolist()) == {quantisation(integers, "root.out").zero_point}


def test_an_accumulator_that_can_overflow_is_refused() -> None:
    """127 * 128 * 132,105 is the largest product sum of one sign that int32 holds."""
    draft = Floats(rng=np.random.default_rng(0))
    for count, fits in ((132_104, True), (132_105, False)):
        x = draft.input("x", (count, 1, 1), Quantisation(scale=1.0, zero_point=0))
        floats = Floats(rng=draft.rng, tensors={x: draft.tensors[x]})
        graph = floats.graph(floats.add("wide", Conv(), x, weight=np.ones((1, count, 1, 1), np.float32)))
        data = {"x": np.ones((1, count, 1, 1), np.float32)}
        if fits:
            quantise(graph, data)
            continue
        with pytest.raises(UnsupportedError) as caught:
            quantise(graph, data)
        assert str(caught.value) == (
            "node 'wide' (wide (Test)): its accumulator can reach [-2,147,498,880, 2,130,721,545], beyond 32 bits; "
            "split it into layers of fewer inputs"
        )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "calibration data holds no image: {}; give at least one for each input"),
        ({"x": np.zeros((0, 3, 16, 16))}, "calibration data holds no image: {'x': 0}; give at least one for each input"),
        ({"y": np.zeros((1, 3, 16, 16))}, "network 'floats' has no input 'y'; its inputs are x"),
        ({"x": np.zeros((1, 3, 16))}, "input 'x' is given shape (1, 3, 16); it takes (images, 3, 16, 16)"),
        (
            {"x": np.full((1, 3, 16, 16), np.nan)},
            "the calibration data of input 'x' holds values that are not finite; calibrate with data in the network's own range",
        ),
    ],
)
def test_bad_calibration_data(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError) as caught:
        quantise(everything(np.random.default_rng(0)), arrays)
    assert str(caught.value) == message


def test_values_beyond_float_are_refused_without_a_warning() -> None:
    with pytest.raises(InputError, match="holds values that are not finite; calibrate with data in the network's own range"):
        quantise(everything(np.random.default_rng(0)), {"x": np.full((1, 3, 16, 16), 3e38, np.float32)})


def test_same_data_same_graph_and_progress_is_told() -> None:
    floats = everything(np.random.default_rng(0))
    told: list[tuple[int, int]] = []
    first, second = (
        quantise(floats, noise(floats, np.random.default_rng(1)), progress=lambda done, images: told.append((done, images)))
        for _ in range(2)
    )
    assert told[-1] == (8, 8)
    for one, other in zip(first.nodes, second.nodes, strict=True):
        assert one.stage is not None
        assert other.stage is not None
        np.testing.assert_array_equal(one.stage.multiplier, other.stage.multiplier)
        np.testing.assert_array_equal(one.stage.bias, other.stage.bias)


def test_joining_given_scales_rescales() -> None:
    draft = Floats(rng=np.random.default_rng(0))
    a = draft.input("a", (2, 4, 4), Quantisation(scale=0.02, zero_point=10))
    b = draft.input("b", (3, 4, 4), Quantisation(scale=0.01, zero_point=-60))
    floats = draft.graph(draft.add("joined", Concat(), a, b, function=RELU))
    reals = noise(floats, np.random.default_rng(1))
    integers = quantise(floats, reals)
    assert worst_sqnr_db(floats, integers, {name: np.clip(array, -0.6, 1.5) for name, array in reals.items()}) >= 30
