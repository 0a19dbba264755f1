"""MobileNetV2: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2, width multiplier 1."""

from ridgeline.algorithm.onnx.writer import ModelProto
from ridgeline.algorithm.zoo import layers
from ridgeline.algorithm.zoo.draft import Draft, draft
from ridgeline.algorithm.zoo.layers import Value, Window, window

BRANCH_GAIN = 0.5

# The table's t, c, n, s: expansion, output channels, repeats, stride of the first.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenetv2(*, seed: int = 0, input_size: int = 224, width: int = 32, repeats: int = 4, classes: int = 1000) -> ModelProto:
    """`width` is the first layer's channels, the others in proportion and rounded to multiples of 8 as the authors' code does; `repeats` is the
    most blocks that any row of the table has."""
    net = draft("mobilenetv2", seed)
    x = layers.image(net, 3, input_size, input_size)
    x = _unit(net, x, "stem", channels=_rounded(width), window=window(3, 2))
    number = 0
    for expansion, channels, blocks, stride in _STAGES:
        for block in range(min(blocks, repeats)):
            number += 1
            x = _inverted_residual(net, x, f"block{number}", expansion, _rounded(channels * width / 32), stride if block == 0 else 1)
    x = _unit(net, x, "head", channels=_rounded(1280 * width / 32), window=window(1))
    x = layers.global_average_pool(net, x, "avgpool")
    x = layers.flatten(net, x, "flatten")
    x = layers.classifier(net, x, "fc", classes=classes)
    return net.model(x.name, x.shape)


def _inverted_residual(net: Draft, x: Value, name: str, expansion: int, channels: int, stride: int) -> Value:
    residual = stride == 1 and x.shape[0] == channels
    inner = x.shape[0] * expansion
    y = x if expansion == 1 else _unit(net, x, f"{name}.expand", channels=inner, window=window(1))
    y = _unit(net, y, f"{name}.depthwise", channels=inner, window=window(3, stride), groups=inner)
    y = layers.conv(net, y, f"{name}.project.conv", channels=channels, window=window(1))
    y = layers.batch_norm(net, y, f"{name}.project.bn", gain=BRANCH_GAIN if residual else 1.0, lift=0.0)
    return layers.add(net, x, y, f"{name}.add") if residual else y


def _unit(net: Draft, x: Value, name: str, *, channels: int, window: Window, groups: int = 1) -> Value:
    x = layers.conv(net, x, f"{name}.conv", channels=channels, window=window, groups=groups)
    x = layers.batch_norm(net, x, f"{name}.bn")
    return layers.relu6(net, x, f"{name}.relu6")


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, at least 8, and never under nine tenths of what was asked."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
