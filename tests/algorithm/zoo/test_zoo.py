"""Every network of the zoo at reduced size: well formed, alive through its depth, and fit for int8."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from tests.algorithm.zoo import models

from ridgeline.algorithm import zoo
from ridgeline.algorithm.zoo import samples
from ridgeline.errors import InputError

EVERY = zoo.names()
ENGINE = [entry.name for entry in zoo.describe() if entry.engine]


def _node(model: onnx.ModelProto, name: str) -> dict[str, object]:
    found = next(node for node in model.graph.node if node.name == name)
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in found.attribute}


def test_names() -> None:
    assert EVERY == ("alexnet", "vgg16", "resnet18", "resnet50", "mobilenetv2", "resnet8", "ds-cnn", "bert-base", "vit-b16")
    assert list(EVERY[:7]) == ENGINE


@pytest.mark.parametrize("name", EVERY)
def test_conforms(name: str) -> None:
    model = zoo.reduced(name)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert model.graph.name == name
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert [node.output[0] for node in model.graph.node] == names
    used = {tensor for node in model.graph.node for tensor in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= used


@pytest.mark.parametrize("name", EVERY)
def test_signal_lives_through_the_depth(name: str) -> None:
    model = zoo.reduced(name)
    batch = 4
    tensors = models.run_all(model, models.inputs(model, batch))
    kinds = {node.output[0]: node.op_type for node in model.graph.node}
    for tensor, values in tensors.items():
        assert np.isfinite(values).all(), tensor
        if kinds[tensor] in {"Conv", "BatchNormalization", "Relu", "Clip", "LayerNormalization", "Gemm"}:
            assert 0.1 < values.std() < 10, tensor
        if kinds[tensor] in {"Relu", "Clip"}:
            assert 0.3 < (values > 0).mean() < 0.99, tensor
    output = tensors[model.graph.output[0].name]
    assert len(output) == batch
    assert output.std(axis=0).max() > 0.05


@pytest.mark.parametrize("name", ENGINE)
def test_int8_keeps_20_db(name: str, tmp_path: Path) -> None:
    """By onnxruntime's own quantiser: a scale per weight channel, minimum and maximum of 16 images, judged on 16 others."""
    model = zoo.reduced(name)
    images = models.inputs(model, 32, seed=1)["images"]
    onnx.save(model, tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "int8.onnx",
        _Calibration(images[:16]),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )
    exact = models.run(model, {"images": images[16:]})
    rounded = models.run(onnx.load(tmp_path / "int8.onnx"), {"images": images[16:]})
    sqnr_db = 10 * np.log10(np.square(exact).sum() / np.square(exact - rounded).sum())
    assert 20 <= sqnr_db < 80


class _Calibration(CalibrationDataReader):
    def __init__(self, images: models.Array) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, models.Array] | None:
        image = next(self._images, None)
        return None if image is None else {"images": image[None]}


@pytest.mark.parametrize("name", EVERY)
def test_seed_decides_the_bytes(name: str) -> None:
    first, again, other = (zoo.reduced(name, seed=seed).SerializeToString(deterministic=True) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_alexnet_has_the_groups_of_the_paper() -> None:
    model = zoo.reduced("alexnet")
    assert [_node(model, f"conv{number}")["group"] for number in range(1, 6)] == [1, 2, 1, 2, 2]


def test_resnet50_has_its_stride_on_the_3x3() -> None:
    model = zoo.reduced("resnet50")
    assert _node(model, "layer2.0.conv1")["strides"] == [1, 1]
    assert _node(model, "layer2.0.conv2")["strides"] == [2, 2]


def test_tensorflow_padding_is_asymmetric() -> None:
    assert _node(zoo.reduced("ds-cnn"), "conv1.conv")["pads"] == [4, 1, 5, 1]
    assert _node(zoo.reduced("resnet8"), "stack2.unit1.conv")["pads"] == [0, 0, 1, 1]


def test_vit_puts_its_class_token_first() -> None:
    model = zoo.reduced("vit-b16")
    tokens = models.run_all(model, models.inputs(model, 2))
    token = next(onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == "class_token")
    placed = tokens["tokens.classed"]
    np.testing.assert_array_equal(placed[:, 0], np.repeat(token[0], 2, axis=0))
    np.testing.assert_array_equal(placed[:, 1:], tokens["tokens"])


def test_bert_does_not_look_at_masked_tokens() -> None:
    model = zoo.reduced("bert-base")
    feeds = models.inputs(model, 2)
    changed = {**feeds, "input_ids": np.where(feeds["attention_mask"] == 1, feeds["input_ids"], 50)}
    assert not np.array_equal(changed["input_ids"], feeds["input_ids"])
    np.testing.assert_array_equal(models.run(model, feeds), models.run(model, changed))


@settings(max_examples=15)
@given(size=st.integers(5, 40), width=st.integers(1, 9), classes=st.integers(1, 12))
def test_resnet8_at_any_size(size: int, width: int, classes: int) -> None:
    model = zoo.model("resnet8", input_size=size, width=width, classes=classes)
    assert models.run(model, models.inputs(model, 2)).shape == (2, classes)


@settings(max_examples=15)
@given(count=st.integers(1, 4), channels=st.integers(1, 4), height=st.integers(1, 40), width=st.integers(1, 40))
def test_samples_of_any_shape(count: int, channels: int, height: int, width: int) -> None:
    images = samples.images(count, (channels, height, width), seed=7)
    assert images.shape == (count, channels, height, width)
    assert images.dtype == np.float32
    assert np.abs(images).max() <= samples.LIMIT
    np.testing.assert_array_equal(images, samples.images(count, (channels, height, width), seed=7))


def test_samples_look_normalised_and_smooth() -> None:
    images = samples.images(64, (3, 32, 32))
    assert abs(images.mean()) < 0.1
    assert 0.8 < images.std() < 1.1
    assert np.diff(images, axis=3).std() < images.std()


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("resnet-18", {}, "unknown model 'resnet-18'; did you mean 'resnet18'?"),
        ("vgg16", {"widht": 8}, "model 'vgg16' has no parameter 'widht'; did you mean 'width'?"),
        ("vgg16", {"q": 8}, "model 'vgg16' has no parameter 'q'; it has input_size, width, hidden, classes"),
        ("vgg16", {"width": 0}, "model 'vgg16': width is 0; give a whole number of at least 1"),
        ("alexnet", {"input_size": 40}, "'pool5': a 3 x 3 window does not fit its 1 x 1 input; raise the input size"),
        ("bert-base", {"tokens": 513}, "bert-base: tokens 513 is over the 512 positions that it has; give at most 512"),
        ("vit-b16", {"width": 100, "heads": 12}, "width 100 does not divide into 12 heads; give a multiple of 12"),
    ],
)
def test_refusals(name: str, overrides: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        zoo.model(name, **overrides)
    assert str(caught.value) == message


def test_listing_builds_nothing() -> None:
    code = "import sys; from ridgeline.algorithm import zoo; zoo.describe(); sys.exit('onnx' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
