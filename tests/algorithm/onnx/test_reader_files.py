"""Files as torch's two exporters, Keras's and onnxruntime's quantiser write them (`files/make_*.py` made them), and files with external data."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.algorithm.onnx.compare import check, check_network, kinds, random_feeds, run
from tests.algorithm.onnx.drafts import draft

from ridgeline.algorithm.onnx.host import with_outputs
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.reference import run_float
from ridgeline.errors import InputError

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize("network", ["blocks", "gates", "sequence"])
@pytest.mark.parametrize("exporter", ["torch_script", "torch_dynamo"])
def test_both_exporters_of_torch_give_the_same_network(exporter: str, network: str) -> None:
    model = (FILES / f"{exporter}_{network}.onnx").read_bytes()
    read = check(model, original=model)
    other = read_network(FILES / f"torch_{'dynamo' if exporter == 'torch_script' else 'script'}_{network}.onnx")
    assert len(read.graph.nodes) == len(other.graph.nodes)
    assert [host.node.split()[-1] for host in read.host] == (["(Softmax)"] if network == "blocks" else [])


# The engine's nodes of each of Keras's files; "+" marks a unary function. All lie as channels, height and width: no node puts axes in order.
KERAS = {
    "plain": "Copy+ Conv+ MaxPool Conv+ AveragePool Conv+ Conv",
    "separable": "Conv+ Conv+ AveragePool Conv+ Conv+ Expand Mul Conv Conv Add Conv Conv+ AveragePool Conv+",
    "encoder": "Conv+ Conv+ ConvTranspose+ Conv Resize Concat Conv Copy+ Copy+ Conv Add Select Join+ Conv",
    "sequence": "Conv+ Add Conv+ MaxPool Conv Conv+ MaxPool AveragePool Concat Conv",
}


@pytest.mark.parametrize("network", KERAS)
def test_files_of_keras(network: str) -> None:
    model = (FILES / f"keras_{network}.onnx").read_bytes()
    read = check(model, original=model)
    assert kinds(read) == KERAS[network]
    assert [host.node.split()[-1] for host in read.host] == (["(Softmax)"] if network == "plain" else [])
    shape = tuple(extent.dim_value for extent in onnx.load_from_string(model).graph.input[0].type.tensor_type.shape.dim[1:])
    assert read.graph.inputs[0].shape == shape


def test_tf2onnx_gives_the_network_that_keras_exports() -> None:
    model = (FILES / "tf2onnx_plain.onnx").read_bytes()
    read, other = check(model, original=model), read_network(FILES / "keras_plain.onnx")
    assert kinds(read) == KERAS["plain"]
    for first, second in zip(read.graph.nodes, other.graph.nodes, strict=True):
        assert (first.weight is None) == (second.weight is None)
        assert first.weight is None or np.array_equal(first.weight, second.weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("codes", ["qint8", "quint8"])
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_a_quantised_file_keeps_its_scales(form: str, codes: str) -> None:
    model = (FILES / f"ort_{form}_{codes}.onnx").read_bytes()
    network = read_network(model)
    assert all(tensor.quantisation is not None for tensor in network.graph.tensors.values())
    weighted = [node for node in network.graph.nodes if node.weight is not None]
    assert weighted
    for node in weighted:
        assert node.weight is not None
        assert node.weight_scale is not None
        steps = node.weight / node.weight_scale.reshape(-1, 1, 1, 1)
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
        assert np.abs(steps).max() < 128.5
    port = network.graph.inputs[0]
    kept = network.graph.tensors[port.tensor].quantisation
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(model).graph.initializer}
    offset = 128 if codes == "quint8" else 0
    assert kept is not None
    assert kept.scale == pytest.approx(float(constants[f"{port.name}_scale"].reshape(-1)[0]))
    assert kept.zero_point == int(constants[f"{port.name}_zero_point"].reshape(-1)[0]) - offset


@pytest.mark.parametrize("codes", ["qint8", "quint8"])
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_the_float_graph_of_a_quantised_file_is_near_it(form: str, codes: str) -> None:
    network = read_network(FILES / f"ort_{form}_{codes}.onnx")
    feeds = random_feeds(network.model, 8)
    expected = run(network.model, feeds)
    tensors = run_float(network.graph, {port.name: feeds[port.name].astype(np.float64) for port in network.graph.inputs})
    for port in network.graph.outputs:
        noise = port.to_array(tensors[port.tensor]) - expected[port.name]
        assert 10 * np.log10((expected[port.name] ** 2).sum() / (noise**2).sum()) > 35


def external(folder: Path) -> Path:
    model = onnx.load_from_string(draft("y=Conv(x,w)", w=(8, 4, 3, 3)))
    path = folder / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    return path


def test_external_data_is_read_beside_the_file(tmp_path: Path) -> None:
    path = external(tmp_path)
    model = onnx.load(path).SerializeToString()
    check_network(read_network(path), original=model)


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "net.data").unlink()
    with pytest.raises(InputError, match=r"keeps weight 'w' in the external file 'net\.data', which is not in"):
        read_network(path)


def test_external_data_cut_short_is_named(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "net.data").write_bytes(b"12")
    with pytest.raises(InputError, match=r"weight 'w' .*net\.data|constant 'w' is broken"):
        read_network(path)


def test_external_data_of_a_file_given_as_bytes_asks_for_the_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"external file 'net\.data'; read the network by its path"):
        read_network(external(tmp_path).read_bytes())


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    model = onnx.load_from_string(external(tmp_path).read_bytes())
    (tmp_path / "inner").mkdir()
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../net.data"
    path = tmp_path / "inner" / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="weight 'w'"):
        read_network(path)


def test_the_same_file_gives_the_same_bytes() -> None:
    path = FILES / "torch_script_blocks.onnx"
    first, second = read_network(path), read_network(path)
    assert (first.model, first.back, first.graph.inputs) == (second.model, second.back, second.graph.inputs)
    assert [node.name for node in first.graph.nodes] == [node.name for node in second.graph.nodes]


def test_the_model_gives_any_named_values() -> None:
    network = read_network(FILES / "torch_script_gates.onnx")
    names = [port.name for port in (*network.graph.inputs, *network.graph.outputs)]
    feeds = random_feeds(network.model, 3)
    found = run(with_outputs(network.model, names), feeds)
    assert list(found) == names
    np.testing.assert_array_equal(found[names[0]], feeds[names[0]])
