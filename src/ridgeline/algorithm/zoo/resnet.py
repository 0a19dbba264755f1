"""Residual networks: K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.

ResNet-50 is the version called 1.5, as MLPerf and torchvision have it: a block's stride is on its 3x3 convolution.
"""

from collections.abc import Callable
from typing import TypeAlias

from ridgeline.algorithm.onnx.writer import ModelProto
from ridgeline.algorithm.zoo import layers
from ridgeline.algorithm.zoo.draft import Draft, draft
from ridgeline.algorithm.zoo.layers import Value, window

# What a block's branch adds, in units of what flows past it: below 1, so that depth does not drown the input.
BRANCH_GAIN = 0.4

# (draft, input, name, channels, stride) -> output
_Block: TypeAlias = Callable[[Draft, Value, str, int, int], Value]


def resnet18(*, seed: int = 0, input_size: int = 224, width: int = 64, blocks: int = 2, classes: int = 1000) -> ModelProto:
    """`width` is the first stage's channels, the others in proportion; `blocks` is the most that any stage has."""
    net = draft("resnet18", seed)
    return _resnet(net, _basic, (2, 2, 2, 2), input_size=input_size, width=width, blocks=blocks, classes=classes)


def resnet50(*, seed: int = 0, input_size: int = 224, width: int = 64, blocks: int = 6, classes: int = 1000) -> ModelProto:
    """`width` is the first stage's inner channels, the others in proportion; `blocks` is the most that any stage has."""
    net = draft("resnet50", seed)
    return _resnet(net, _bottleneck, (3, 4, 6, 3), input_size=input_size, width=width, blocks=blocks, classes=classes)


def _resnet(net: Draft, block: _Block, stages: tuple[int, ...], *, input_size: int, width: int, blocks: int, classes: int) -> ModelProto:
    x = layers.image(net, 3, input_size, input_size)
    x = layers.conv(net, x, "conv1", channels=width, window=window(7, 2))
    x = layers.batch_norm(net, x, "bn1")
    x = layers.relu(net, x, "relu")
    x = layers.max_pool(net, x, "maxpool", window=window(3, 2))
    for stage, repeats in enumerate(stages):
        for number in range(min(repeats, blocks)):
            stride = 2 if stage > 0 and number == 0 else 1
            x = block(net, x, f"layer{stage + 1}.{number}", width * 2**stage, stride)
    x = layers.global_average_pool(net, x, "avgpool")
    x = layers.flatten(net, x, "flatten")
    x = layers.classifier(net, x, "fc", classes=classes)
    return net.model(x.name, x.shape)


def _basic(net: Draft, x: Value, name: str, channels: int, stride: int) -> Value:
    y = layers.conv(net, x, f"{name}.conv1", channels=channels, window=window(3, stride))
    y = layers.batch_norm(net, y, f"{name}.bn1")
    y = layers.relu(net, y, f"{name}.relu1")
    y = layers.conv(net, y, f"{name}.conv2", channels=channels, window=window(3))
    y = layers.batch_norm(net, y, f"{name}.bn2", gain=BRANCH_GAIN, lift=0.0)
    y = layers.add(net, y, _shortcut(net, x, name, channels, stride), f"{name}.add")
    return layers.relu(net, y, f"{name}.relu2")


def _bottleneck(net: Draft, x: Value, name: str, channels: int, stride: int) -> Value:
    y = layers.conv(net, x, f"{name}.conv1", channels=channels, window=window(1))
    y = layers.batch_norm(net, y, f"{name}.bn1")
    y = layers.relu(net, y, f"{name}.relu1")
    y = layers.conv(net, y, f"{name}.conv2", channels=channels, window=window(3, stride))
    y = layers.batch_norm(net, y, f"{name}.bn2")
    y = layers.relu(net, y, f"{name}.relu2")
    y = layers.conv(net, y, f"{name}.conv3", channels=4 * channels, window=window(1))
    y = layers.batch_norm(net, y, f"{name}.bn3", gain=BRANCH_GAIN, lift=0.0)
    y = layers.add(net, y, _shortcut(net, x, name, 4 * channels, stride), f"{name}.add")
    return layers.relu(net, y, f"{name}.relu3")


def _shortcut(net: Draft, x: Value, name: str, channels: int, stride: int) -> Value:
    if x.shape[0] == channels and stride == 1:
        return x
    y = layers.conv(net, x, f"{name}.downsample.conv", channels=channels, window=window(1, stride))
    return layers.batch_norm(net, y, f"{name}.downsample.bn")
