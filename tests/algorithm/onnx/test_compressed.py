"""A network with weights in other formats: what stock onnxruntime computes from the file, against the decoded weights in the float network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ridgeline.algorithm.onnx.compressed import OPSET, compress, lifted, save
from ridgeline.algorithm.onnx.compressible import Variants, Weight, activations, array, constants_as_initialisers, moments, read_weights
from ridgeline.algorithm.onnx.load import Loaded, load_model
from ridgeline.algorithm.onnx.rounded import check_rounding, rounding
from ridgeline.algorithm.onnx.runtime import call, run, session
from ridgeline.errors import InputError
from ridgeline.formats import Search, quantise, read_format

SHAPES = {"w1": (5, 3, 3, 3), "w2": (180, 7), "w3": (9, 7)}
SCALARS = ("int2", "int3", "int4", "int6", "int8", "e4m3", "e5m2", "e2m1", "flint4", "flint5", "pot4", "nf4", "olive4", "olive-flint4")
BLOCKS = ("mxfp4", "mxfp6e2m3", "mxfp8e4m3", "mxint8", "nvfp4", "nvfp4-46", "m2xfp")
DECODED = ("olive8", "bfloat16")  # no operator of onnxruntime's decodes these


def network(opset: int = 21, *, constant: bool = False) -> bytes:
    """A convolution, a product and a product with the other operand's rows as outputs."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["a"], ["f"], name="flat"),
        helper.make_node("MatMul", ["f", "w2"], ["b"], name="product"),
        helper.make_node("Gemm", ["b", "w3"], ["y"], name="gemm", transB=1),
    ]
    initialisers = [numpy_helper.from_array(held, name) for name, held in arrays.items()]
    if constant:
        nodes.insert(0, helper.make_node("Constant", [], ["w1"], value=initialisers.pop(0)))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 6, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 9])
    graph = helper.make_graph(nodes, "small", [x], [y], initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def read(opset: int = 21) -> tuple[Loaded, tuple[Weight, ...], dict[str, np.ndarray]]:
    loaded = lifted(constants_as_initialisers(load_model(network(opset))))
    weights = read_weights(loaded)
    return loaded, weights, {weight.name: array(loaded, weight) for weight in weights}


def images(count: int = 4) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((count, 3, 6, 6)).astype(np.float32)}


def test_weights() -> None:
    _, weights, _ = read()
    assert [(weight.name, weight.channel, weight.reduction, weight.layers, weight.place.along) for weight in weights] == [
        ("w1", 0, (2, 3, 1), ("conv",), 1), ("w2", 1, (0,), ("product",), 0), ("w3", 0, (1,), ("gemm",), 1)
    ]  # fmt: skip


def test_constants_are_weights_too() -> None:
    loaded = constants_as_initialisers(load_model(network(constant=True)))
    assert [weight.name for weight in read_weights(loaded)] == ["w1", "w2", "w3"]


def test_nothing_to_compress() -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name="relu")], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises(InputError, match="has no float weights that a convolution or a product multiplies by"):
        read_weights(load_model(model.SerializeToString()))


def test_variants_are_the_network() -> None:
    loaded, weights, arrays = read()
    variants = Variants(loaded, weights, arrays)
    own = run(network(), images())["y"]
    np.testing.assert_allclose(variants.run(images())["y"], own, rtol=1e-4, atol=1e-3)
    zeros = variants.run(images(), {"w3": np.zeros(SHAPES["w3"], np.float32)})["y"]
    assert not zeros.any()


CASES = [(name, granularity, opset) for opset, ways in ((13, ("channel", "group")), (21, ("tensor", "channel", "group")))
         for name in (*SCALARS, *BLOCKS, *DECODED) for granularity in ways if granularity == "group" or name not in BLOCKS]  # fmt: skip


@pytest.mark.parametrize(("name", "granularity", "opset"), CASES)
def test_file_computes_what_the_codes_stand_for(name: str, granularity: str, opset: int) -> None:
    loaded, weights, arrays = read(opset)
    words: dict[str, dict[str, object]] = {
        weight.name: {
            "tensor": {"granularity": "tensor"},
            "channel": {"granularity": "channel", "axis": weight.channel},
            "group": {"axis": weight.place.along} if name in BLOCKS else {"granularity": "group", "axis": weight.place.along, "group": 2},
        }[granularity]
        for weight in weights
    }
    encoded = {key: quantise(held, read_format(name), **words[key]) for key, held in arrays.items()}  # type: ignore[arg-type]
    made = compress(loaded, encoded)
    assert made.as_floats == (tuple(arrays) if name in DECODED else ())
    assert made.model.opset_import[0].version >= OPSET
    found = call(session(made.model.SerializeToString(), exact=True), images())["y"]
    wanted = Variants(loaded, weights, arrays).run(images(), {key: item.decode() for key, item in encoded.items()})["y"]
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["int8", "e4m3", "e5m2"])
def test_inputs_are_rounded_where_the_run_says_so(name: str) -> None:
    """Against rounding by hand, and the file against the session that switches."""
    loaded, weights, arrays = read()
    how = rounding(images()["x"], name, Search(least=0.5, most=1.0, step=0.05))
    variants = Variants(loaded, weights, arrays, {name: {"w1": how}})
    np.testing.assert_array_equal(variants.run(images())["y"], Variants(loaded, weights, arrays).run(images())["y"])
    levels = read_format(name)
    rounded = levels.decode(levels.encode(images()["x"] / np.float32(how.scale))) * how.scale
    by_hand = Variants(loaded, weights, arrays).run({"x": rounded.astype(np.float32)})["y"]
    switched = variants.run(images(), rounded={"w1": name})["y"]
    assert np.abs(switched - by_hand).max() <= 1e-4 * np.abs(by_hand).max()
    made = compress(loaded, {"w3": quantise(arrays["w3"], read_format("int8"))}, {"w1": how})
    found = call(session(made.model.SerializeToString(), exact=True), images())["y"]
    wanted = variants.run(images(), {"w3": quantise(arrays["w3"], read_format("int8")).decode()}, {"w1": name})["y"]
    assert np.abs(found - wanted).max() <= 1e-2 * np.abs(wanted).max()


def shared() -> bytes:
    """Three products of one tensor, as those of attention."""
    rng = np.random.default_rng(3)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])
    nodes = [helper.make_node("MatMul", ["x", f"w_{name}"], [name], name=name) for name in "qkv"]
    initialisers = [numpy_helper.from_array(rng.standard_normal((16, 8)).astype(np.float32), f"w_{name}") for name in "qkv"]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 8]) for name in "qkv"]
    graph = helper.make_graph(nodes, "shared", [x], outputs, initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


@pytest.mark.parametrize(("kinds", "roundings"), [("int8 none e4m3", 2), ("int8 int8 none", 1), ("int8 int8 int8", 1), ("e4m3 int8 e4m3", 2)])
def test_weights_that_share_an_input_disagree(kinds: str, roundings: int) -> None:
    """Each takes its own version, rounded by hand here; those that agree share one; the session that switches says the same."""
    loaded = lifted(load_model(shared()))
    weights = read_weights(loaded)
    arrays = {weight.name: array(loaded, weight) for weight in weights}
    values = np.random.default_rng(4).standard_normal((5, 16)).astype(np.float32)
    ways = {name: rounding(values, name, Search(least=0.5, most=1.0, step=0.05)) for name in ("int8", "e4m3")}
    chosen = {f"w_{name}": kind for name, kind in zip("qkv", kinds.split(), strict=True) if kind != "none"}
    made = compress(loaded, {}, {name: ways[kind] for name, kind in chosen.items()})
    assert sum(node.op_type == "QuantizeLinear" for node in made.model.graph.node) == roundings
    switched = Variants(loaded, weights, arrays, {kind: dict.fromkeys(arrays, how) for kind, how in ways.items()}).run({"x": values}, rounded=chosen)
    found = call(session(made.model.SerializeToString(), exact=True), {"x": values})
    for name, kind in zip("qkv", kinds.split(), strict=True):
        taken = values
        if kind != "none":
            levels, scale = read_format(kind), np.float32(ways[kind].scale)
            taken = (levels.decode(levels.encode(values / scale)) * scale).astype(np.float32)
        np.testing.assert_allclose(found[name], taken @ arrays[f"w_{name}"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(switched[name], found[name], rtol=1e-4, atol=1e-4)


def test_refused_rounding() -> None:
    with pytest.raises(InputError, match="activations in int4 are not what onnxruntime computes; take int8, e4m3, e5m2, or none"):
        check_rounding("int4")


def test_codes_are_stored_packed(tmp_path: Path) -> None:
    loaded, _, arrays = read()
    path = tmp_path / "small.onnx"
    save(compress(loaded, {key: quantise(held, read_format("int4")) for key, held in arrays.items()}), path)
    tensors = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    assert {name: len(tensors[f"{name}/codes"].raw_data) for name in SHAPES} == {
        name: -(-int(np.prod(shape)) // 2) for name, shape in SHAPES.items()
    }
    assert not set(SHAPES) & set(tensors)


def test_moments_are_those_of_the_windows() -> None:
    """Against each window, cut out one by one."""
    loaded, weights, _ = read()
    feeds = images(2)
    values = next(activations(loaded, [weight.inputs[0] for weight in weights], iter([feeds])))
    conv, product, _ = weights
    found = moments(conv, values["x"], np.random.default_rng(0))
    padded = np.pad(feeds["x"].astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = [np.moveaxis(padded[n, :, y : y + 3, x : x + 3], 0, -1).reshape(-1) for n in range(2) for y in range(6) for x in range(6)]
    assert found is not None
    np.testing.assert_allclose(found, np.stack(rows).T @ np.stack(rows), rtol=1e-6, atol=1e-6)
    flat = values["f"].astype(np.float64)
    np.testing.assert_allclose(moments(product, values["f"], np.random.default_rng(0)), flat.T @ flat, rtol=1e-6)  # type: ignore[arg-type]
