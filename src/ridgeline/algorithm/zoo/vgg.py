"""VGG: K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015; configuration D."""

from ridgeline.algorithm.onnx.writer import ModelProto
from ridgeline.algorithm.zoo import layers
from ridgeline.algorithm.zoo.alexnet import head
from ridgeline.algorithm.zoo.draft import draft
from ridgeline.algorithm.zoo.layers import window

# channels and convolutions of each stage
_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg16(*, seed: int = 0, input_size: int = 224, width: int = 64, hidden: int = 4096, classes: int = 1000) -> ModelProto:
    """`width` is the first stage's channels, the others in proportion; `hidden` is the width of fc6 and fc7."""
    net = draft("vgg16", seed)
    x = layers.image(net, 3, input_size, input_size)
    for stage, (channels, convolutions) in enumerate(_STAGES, start=1):
        for number in range(1, convolutions + 1):
            x = layers.folded_conv(net, x, f"conv{stage}_{number}", channels=channels * width // 64, window=window(3))
            x = layers.relu(net, x, f"relu{stage}_{number}")
        x = layers.max_pool(net, x, f"pool{stage}", window=window(2, 2, 0))
    x = head(net, x, hidden=hidden, classes=classes)
    return net.model(x.name, x.shape)
