"""Vision transformers: A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, table 1; the base size with patches of 16 x 16."""

from math import sqrt

import numpy as np

from ridgeline.algorithm.onnx.writer import ModelProto
from ridgeline.algorithm.zoo import transformer
from ridgeline.algorithm.zoo.bert import first_token
from ridgeline.algorithm.zoo.draft import Draft, draft
from ridgeline.algorithm.zoo.layers import window
from ridgeline.algorithm.zoo.transformer import Encoder

_PATCH = 16


def vit_b16(
    *, seed: int = 0, input_size: int = 224, width: int = 768, blocks: int = 12, heads: int = 12, classes: int = 1000
) -> ModelProto:
    """One class token stands before the (input_size / 16)^2 patches."""
    net = draft("vit-b16", seed)
    side, _ = window(_PATCH, _PATCH, 0).output("patches", input_size, input_size)
    sizes = Encoder(tokens=side * side + 1, width=width, heads=heads, inner=4 * width, epsilon=1e-6)
    x = _tokens(net, net.input("images", (3, input_size, input_size)), sizes)
    for number in range(blocks):
        x = _block(net, x, f"layer{number}", sizes)
    x = transformer.layer_norm(net, x, "norm", sizes)
    x = first_token(net, x, "class", sizes)
    x = transformer.dense(net, x, "head", inputs=width, outputs=classes, std=sizes.std)
    return net.model(x, (classes,))


def _block(net: Draft, x: str, name: str, sizes: Encoder) -> str:
    y = transformer.layer_norm(net, x, f"{name}.attention.norm", sizes)
    x = net.node("Add", [x, transformer.attention(net, y, f"{name}.attention", sizes)], f"{name}.attention.add")
    y = transformer.layer_norm(net, x, f"{name}.mlp.norm", sizes)
    return net.node("Add", [x, transformer.feed_forward(net, y, f"{name}.mlp", sizes)], f"{name}.mlp.add")


def _tokens(net: Draft, images: str, sizes: Encoder) -> str:
    """Patches as tokens. The class token is added to a token of zeros that padding puts first, which keeps the batch out of the graph."""
    fan_in = 3 * _PATCH * _PATCH
    weight = net.constant("patches.weight", net.normal((sizes.width, 3, _PATCH, _PATCH), std=sqrt(1 / fan_in)))
    bias = net.constant("patches.bias", net.normal((sizes.width,), std=0.02))
    x = net.node("Conv", [images, weight, bias], "patches", **window(_PATCH, _PATCH, 0).attributes)
    flat = net.constant("tokens.shape", np.array([0, sizes.width, sizes.tokens - 1], dtype=np.int64))
    x = net.node("Reshape", [x, flat], "tokens.flat")
    x = net.node("Transpose", [x], "tokens", perm=[0, 2, 1])
    x = net.node("Pad", [x, net.constant("tokens.pads", np.array([0, 1, 0, 0, 0, 0], dtype=np.int64))], "tokens.padded")
    token = net.constant("class_token", net.normal((1, 1, sizes.width), std=sizes.std))
    pads = net.constant("class_token.pads", np.array([0, 0, 0, 0, sizes.tokens - 1, 0], dtype=np.int64))
    x = net.node("Add", [x, net.node("Pad", [token, pads], "class_token.padded")], "tokens.classed")
    return net.node("Add", [x, net.constant("positions", net.normal((1, sizes.tokens, sizes.width), std=sizes.std))], "tokens.placed")
