"""The digits example: its committed network reads its committed images, and both are what the README says."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def test_set() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "test.npz") as arrays:
        return dict(arrays)


def test_images_are_the_networks_input(test_set: dict[str, np.ndarray]) -> None:
    assert {name: (array.shape, array.dtype.name) for name, array in test_set.items()} == {
        "images": ((360, 1, 8, 8), "float32"),
        "labels": ((360,), "int64"),
    }
    assert test_set["images"].min() == 0
    assert test_set["images"].max() == 1
    assert np.bincount(test_set["labels"]).min() >= 35


def test_network_is_small_and_named_by_layer() -> None:
    model = onnx.load(FOLDER / "digits.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (FOLDER / "digits.onnx").stat().st_size < 100_000
    assert [value.name for value in model.graph.input] == ["images"]
    layers = [node.name for node in model.graph.node if node.op_type in {"Conv", "Gemm"}]
    assert layers == ["conv1", "conv2", "block.depthwise", "block.pointwise", "conv3", "fc"]
    assert not [node.name for node in model.graph.node if node.metadata_props or node.doc_string]


def test_network_reads_the_digits(test_set: dict[str, np.ndarray]) -> None:
    session = ort.InferenceSession(FOLDER / "digits.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": test_set["images"]})
    accuracy = (logits.argmax(axis=1) == test_set["labels"]).mean()
    assert accuracy >= 0.97
    assert f"{accuracy:.1%}".replace("%", " %") in (FOLDER / "README.md").read_text(encoding="utf-8")
