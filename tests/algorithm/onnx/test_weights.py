"""Weights of a mebibyte and more are kept beside the model, wherever the file has them."""

from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from tests.algorithm.onnx.compare import Array, check_network, kinds, run
from tests.algorithm.onnx.drafts import draft

from ridgeline.algorithm.onnx.host import with_outputs
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.onnx.weights import LARGE_BYTES
from ridgeline.errors import InputError
from ridgeline.flows.floats import values

LARGE = (1024, 300)  # 1.2 MB


def dense() -> bytes:
    return draft("a=Gemm<transB=1>(x,w,b) r=Relu(a) y=Gemm(r,v)", x="float[batch,300]", w=LARGE, b=(1024,), v=(1024, 5))


def external(folder: Path, model: bytes) -> Path:
    path = folder / "net.onnx"
    onnx.save(onnx.load_from_string(model), path, save_as_external_data=True, location="net.data", size_threshold=0)
    return path


@pytest.mark.parametrize("beside", [False, True])
def test_a_large_weight_lies_beside_the_model(beside: bool, tmp_path: Path) -> None:
    network = read_network(external(tmp_path, dense()) if beside else dense())
    assert {name: array.shape for name, array in network.weights.items()} == {"w": LARGE}
    assert len(network.model) < 50_000
    check_network(network, original=dense())
    feeds: dict[str, Array] = {"x": np.ones((2, 300), np.float32)}
    shown = run(with_outputs(network.model, ["r", "y"]), feeds, network.weights)
    assert list(shown) == ["r", "y"]
    np.testing.assert_array_equal(values(network, ["y"], feeds)["y"], run(dense(), feeds)["y"])
    assert read_network(dense()).model == network.model


def test_a_weight_just_too_small_stays_in_the_model() -> None:
    elements = LARGE_BYTES // 4
    least = draft("y=Gemm(x,w)", x="float[batch,256]", w=(256, elements // 256))
    below = draft("y=Gemm(x,w)", x="float[batch,255]", w=(255, elements // 256))
    assert (list(read_network(least).weights), list(read_network(below).weights)) == (["w"], [])


@pytest.mark.parametrize(
    "model",
    [
        draft("t=Transpose(w) a=Gemm(x,t) y=Relu(a)", x="float[batch,300]", w=LARGE),
        draft("i=Identity(w) a=Gemm<transB=1>(x,i) y=Relu(a)", x="float[batch,300]", w=LARGE),
        draft("t=Mul(w,k) a=MatMul(x,t) y=Relu(a)", x="float[batch,1024]", w=LARGE, k=np.float32(0.5)),
    ],
)
def test_a_large_weight_that_is_computed_of_constants(model: bytes) -> None:
    network = read_network(model)
    assert len(network.model) < 50_000
    assert [array.size for array in network.weights.values()] == [LARGE[0] * LARGE[1]]
    check_network(network, original=model)


def test_a_large_constant_of_a_node(tmp_path: Path) -> None:
    model = onnx.load_from_string(draft("y=Gemm<transB=1>(x,w)", x="float[batch,300]", w=LARGE))
    weight = model.graph.initializer.pop()
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w"], value=weight))
    for network in (read_network(model.SerializeToString()), read_network(external(tmp_path, model.SerializeToString()))):
        assert [array.shape for array in network.weights.values()] == [LARGE]
        check_network(network, original=model.SerializeToString())


def test_a_large_weight_that_is_also_an_input() -> None:
    model = onnx.load_from_string(dense())
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, LARGE))
    network = read_network(model.SerializeToString())
    assert [port.name for port in network.graph.inputs] == ["x"]
    check_network(network, original=dense())


def test_a_large_constant_is_joined_for_every_image() -> None:
    network = read_network(draft("a=Concat<axis=1>(x,k) y=Relu(a)", x="float[batch,4,300,300]", k=(1, 3, 300, 300)))
    check_network(network)
    assert kinds(network) == "Concat+"


def test_a_large_weight_that_nothing_reads_is_dropped() -> None:
    assert not read_network(draft("y=Relu(x)", w=LARGE)).weights


@pytest.mark.parametrize("beside", [False, True])
def test_a_large_weight_that_is_not_finite_is_named(beside: bool, tmp_path: Path) -> None:
    weight = np.zeros(LARGE, np.float32)
    weight[3, 7] = np.inf
    model = draft("y=Gemm<transB=1>(x,w)", x="float[batch,300]", w=weight)
    with pytest.raises(InputError, match=r"weight 'w' holds inf at index \[3, 7\] \(1 such values\)$"):
        read_network(external(tmp_path, model) if beside else model)


def test_a_large_weight_cut_short_is_named(tmp_path: Path) -> None:
    path = external(tmp_path, dense())
    data = (tmp_path / "net.data").read_bytes()
    (tmp_path / "net.data").write_bytes(data[:2000])
    with pytest.raises(InputError, match=r"weight 'w' of .* cannot be read from 'net\.data': "):
        read_network(path)
    model = onnx.load_from_string(dense())
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    with pytest.raises(InputError, match="constant 'w' is broken: "):
        read_network(model.SerializeToString())


def test_a_file_beyond_two_gibibytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(InputError) as caught:
        read_network(path)
    assert str(caught.value) == (
        f"'{path}' has 2,147,483,648 bytes, and one ONNX file at most 2,147,483,647; keep its weights as external data"
    )
