"""The zoo's CNNs, reduced, through the reader."""

from pathlib import Path

import pytest
from tests.algorithm.onnx.compare import check, check_network

from ridgeline.algorithm import zoo
from ridgeline.algorithm.onnx.reader import read_network

CNNS = ("alexnet", "vgg16", "resnet18", "resnet50", "mobilenetv2", "resnet8", "ds-cnn")


@pytest.mark.parametrize("name", CNNS)
def test_a_network_of_the_zoo_computes_what_onnxruntime_does(name: str) -> None:
    network = check(zoo.reduced(name).SerializeToString())
    assert network.host == ()


def test_the_digits_network_is_read_from_its_path() -> None:
    path = Path("examples/digits/digits.onnx")
    network = read_network(path)
    check_network(network, original=path.read_bytes())
    assert network.graph.inputs[0].shape == (1, 8, 8)
    assert network.host == ()
    assert network.front is None
    assert network.back is None
