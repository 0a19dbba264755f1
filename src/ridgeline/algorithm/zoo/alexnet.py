"""AlexNet as its paper has it: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep CNNs", NIPS 2012.

The one-tower drawing of the two-GPU network, so that its second, fourth and fifth convolutions have two groups. The input is 227 x 227: the
paper's 224 does not give its own 55 x 55 first layer. Without the local response normalisation, as accelerator papers and later networks have it.
"""

from ridgeline.algorithm.onnx.writer import ModelProto
from ridgeline.algorithm.zoo import layers
from ridgeline.algorithm.zoo.draft import Draft, draft
from ridgeline.algorithm.zoo.layers import Value, window

# name, channels, kernel, stride, pad, groups, pooled
_CONVOLUTIONS = (
    ("conv1", 96, 11, 4, 0, 1, True),
    ("conv2", 256, 5, 1, 2, 2, True),
    ("conv3", 384, 3, 1, 1, 1, False),
    ("conv4", 384, 3, 1, 1, 2, False),
    ("conv5", 256, 3, 1, 1, 2, True),
)


def alexnet(*, seed: int = 0, input_size: int = 227, width: int = 96, hidden: int = 4096, classes: int = 1000) -> ModelProto:
    """`width` is conv1's channels, the others in proportion; `hidden` is the width of fc6 and fc7."""
    net = draft("alexnet", seed)
    x = layers.image(net, 3, input_size, input_size)
    for name, channels, kernel, stride, pad, groups, pooled in _CONVOLUTIONS:
        x = layers.folded_conv(net, x, name, channels=channels * width // 96, window=window(kernel, stride, pad), groups=groups)
        x = layers.relu(net, x, f"relu{name[-1]}")
        if pooled:
            x = layers.max_pool(net, x, f"pool{name[-1]}", window=window(3, 2, 0))
    x = head(net, x, hidden=hidden, classes=classes)
    return net.model(x.name, x.shape)


def head(net: Draft, x: Value, *, hidden: int, classes: int) -> Value:
    """The three dense layers that AlexNet and VGG end in."""
    x = layers.flatten(net, x, "flatten")
    for number in (6, 7):
        x = layers.folded_dense(net, x, f"fc{number}", units=hidden)
        x = layers.relu(net, x, f"relu{number}")
    return layers.classifier(net, x, "fc8", classes=classes)
