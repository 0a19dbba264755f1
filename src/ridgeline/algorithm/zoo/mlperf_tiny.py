"""Two networks of MLPerf Tiny: C. Banbury et al., "MLPerf Tiny Benchmark", NeurIPS 2021 Datasets and Benchmarks, with its reference models' shapes.

They were written for TensorFlow, whose "same" padding puts the odd row or column at the end: hence the asymmetric windows. Convolutions have
a bias although a batch normalisation follows. The final softmax is left out, as in every network here: the outputs are the logits.
"""

from ridgeline.algorithm.onnx.writer import ModelProto
from ridgeline.algorithm.zoo import layers
from ridgeline.algorithm.zoo.draft import Draft, draft
from ridgeline.algorithm.zoo.layers import Value, Window
from ridgeline.algorithm.zoo.resnet import BRANCH_GAIN


def resnet8(*, seed: int = 0, input_size: int = 32, width: int = 16, classes: int = 10) -> ModelProto:
    """Image classification on CIFAR-10; `width` is the first stage's channels."""
    net = draft("resnet8", seed)
    x = layers.image(net, 3, input_size, input_size)
    x = _unit(net, x, "conv1", channels=width, window=_same(x, (3, 3), (1, 1)))
    for stage in range(3):
        x = _block(net, x, f"stack{stage + 1}", channels=width * 2**stage, stride=1 if stage == 0 else 2)
    x = layers.global_average_pool(net, x, "avgpool")
    x = layers.flatten(net, x, "flatten")
    x = layers.classifier(net, x, "fc", classes=classes)
    return net.model(x.name, x.shape)


def ds_cnn(*, seed: int = 0, frames: int = 49, features: int = 10, width: int = 64, blocks: int = 4, classes: int = 12) -> ModelProto:
    """Keyword spotting on `frames` x `features` MFCCs (Y. Zhang et al., "Hello Edge", arXiv 1711.07128, size S)."""
    net = draft("ds-cnn", seed)
    x = layers.image(net, 1, frames, features)
    x = _unit(net, x, "conv1", channels=width, window=_same(x, (10, 4), (2, 2)))
    for number in range(1, blocks + 1):
        x = _unit(net, x, f"block{number}.depthwise", channels=width, window=_same(x, (3, 3), (1, 1)), groups=width)
        x = _unit(net, x, f"block{number}.pointwise", channels=width, window=_same(x, (1, 1), (1, 1)))
    x = layers.global_average_pool(net, x, "avgpool")
    x = layers.flatten(net, x, "flatten")
    x = layers.classifier(net, x, "fc", classes=classes)
    return net.model(x.name, x.shape)


def _block(net: Draft, x: Value, name: str, *, channels: int, stride: int) -> Value:
    strides = (stride, stride)
    y = _unit(net, x, f"{name}.unit1", channels=channels, window=_same(x, (3, 3), strides))
    y = layers.conv(net, y, f"{name}.conv2", channels=channels, window=_same(y, (3, 3), (1, 1)), bias=True)
    y = layers.batch_norm(net, y, f"{name}.bn2", gain=BRANCH_GAIN, lift=0.0)
    if x.shape != y.shape:
        x = layers.conv(net, x, f"{name}.shortcut", channels=channels, window=_same(x, (1, 1), strides), bias=True)
    y = layers.add(net, x, y, f"{name}.add")
    return layers.relu(net, y, f"{name}.relu2")


def _unit(net: Draft, x: Value, name: str, *, channels: int, window: Window, groups: int = 1) -> Value:
    x = layers.conv(net, x, f"{name}.conv", channels=channels, window=window, groups=groups, bias=True)
    x = layers.batch_norm(net, x, f"{name}.bn")
    return layers.relu(net, x, f"{name}.relu")


def _same(x: Value, kernel: tuple[int, int], stride: tuple[int, int]) -> Window:
    """TensorFlow's "same": ceil(size / stride) outputs, the odd zero last."""
    top, bottom = _margins(x.shape[1], kernel[0], stride[0])
    left, right = _margins(x.shape[2], kernel[1], stride[1])
    return Window(kernel=kernel, stride=stride, pads=(top, left, bottom, right))


def _margins(size: int, kernel: int, stride: int) -> tuple[int, int]:
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
