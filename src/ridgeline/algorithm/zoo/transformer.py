"""The encoder layer that BERT and ViT share, on tokens of shape (tokens, width).

Weights are normal with the standard deviation 0.02 that both papers start from, scaled with the width; a layer normalisation keeps the signal's size.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from ridgeline.algorithm.zoo.draft import Draft
from ridgeline.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """The sizes of every layer of one encoder; `inner` is the width between the feed-forward's two products."""

    tokens: int
    width: int
    heads: int
    inner: int
    epsilon: float

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise InputError(f"width {self.width} does not divide into {self.heads} heads; give a multiple of {self.heads}")

    @property
    def std(self) -> float:
        return 0.02 * sqrt(768 / self.width)


def dense(net: Draft, x: str, name: str, *, inputs: int, outputs: int, std: float) -> str:
    weight = net.constant(f"{name}.weight", net.normal((inputs, outputs), std=std))
    product = net.node("MatMul", [x, weight], f"{name}.matmul")
    return net.node("Add", [product, net.constant(f"{name}.bias", net.normal((outputs,), std=0.02))], name)


def layer_norm(net: Draft, x: str, name: str, sizes: Encoder) -> str:
    weight = net.constant(f"{name}.weight", net.normal((sizes.width,), std=0.1, mean=1.0))
    bias = net.constant(f"{name}.bias", net.normal((sizes.width,), std=0.1))
    return net.node("LayerNormalization", [x, weight, bias], name, axis=-1, epsilon=sizes.epsilon)


def attention(net: Draft, x: str, name: str, sizes: Encoder, *, mask: str | None = None) -> str:
    """Multi-head self-attention; `mask` is added to the scores of every head and query."""
    query, key, value = (_heads(net, x, f"{name}.{part}", sizes) for part in ("query", "key", "value"))
    key = net.node("Transpose", [key], f"{name}.key.columns", perm=[0, 1, 3, 2])
    scores = net.node("MatMul", [query, key], f"{name}.scores")
    factor = net.constant(f"{name}.scale", np.array(1 / sqrt(sizes.width // sizes.heads), dtype=np.float32))
    scores = net.node("Mul", [scores, factor], f"{name}.scaled")
    scores = scores if mask is None else net.node("Add", [scores, mask], f"{name}.masked")
    shares = net.node("Softmax", [scores], f"{name}.softmax", axis=-1)
    mixed = net.node("MatMul", [shares, value], f"{name}.context")
    mixed = net.node("Transpose", [mixed], f"{name}.context.by_token", perm=[0, 2, 1, 3])
    shape = net.constant(f"{name}.tokens", np.array([0, sizes.tokens, sizes.width], dtype=np.int64))
    mixed = net.node("Reshape", [mixed, shape], f"{name}.joined")
    return dense(net, mixed, f"{name}.output", inputs=sizes.width, outputs=sizes.width, std=sizes.std)


def feed_forward(net: Draft, x: str, name: str, sizes: Encoder) -> str:
    x = dense(net, x, f"{name}.up", inputs=sizes.width, outputs=sizes.inner, std=sizes.std)
    x = gelu(net, x, f"{name}.gelu")
    return dense(net, x, f"{name}.down", inputs=sizes.inner, outputs=sizes.width, std=sizes.std)


def gelu(net: Draft, x: str, name: str) -> str:
    """0.5 x (1 + erf(x / sqrt 2)): opset 17 has no Gelu."""
    root, one, half = (
        net.constant(f"{name}.{key}", np.array(number, dtype=np.float32))
        for key, number in (("root", sqrt(0.5)), ("one", 1), ("half", 0.5))
    )
    share = net.node("Erf", [net.node("Mul", [x, root], f"{name}.scaled")], f"{name}.erf")
    share = net.node("Add", [share, one], f"{name}.shifted")
    return net.node("Mul", [net.node("Mul", [x, share], f"{name}.doubled"), half], name)


def _heads(net: Draft, x: str, name: str, sizes: Encoder) -> str:
    """(tokens, width) -> (heads, tokens, width / heads)."""
    x = dense(net, x, name, inputs=sizes.width, outputs=sizes.width, std=sizes.std)
    shape = net.constant(f"{name}.heads", np.array([0, sizes.tokens, sizes.heads, sizes.width // sizes.heads], dtype=np.int64))
    x = net.node("Reshape", [x, shape], f"{name}.split")
    return net.node("Transpose", [x], f"{name}.by_head", perm=[0, 2, 1, 3])
