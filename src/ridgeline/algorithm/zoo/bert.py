"""BERT: J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", NAACL 2019; the base size, uncased.

Embeddings, the encoder and the pooler, which is what the paper's 110M parameters count. Inputs are token numbers, segment numbers and a
mask that is 1 where a token counts.
"""

import numpy as np

from ridgeline.algorithm.onnx.writer import ModelProto
from ridgeline.algorithm.zoo import transformer
from ridgeline.algorithm.zoo.draft import Draft, draft
from ridgeline.algorithm.zoo.transformer import Encoder
from ridgeline.errors import InputError

_POSITIONS = 512
_SEGMENTS = 2


def bert_base(
    *, seed: int = 0, tokens: int = 128, width: int = 768, blocks: int = 12, heads: int = 12, vocabulary: int = 30522
) -> ModelProto:
    """`tokens` is the length of a sequence, at most 512; the output is the pooled first token (width)."""
    if tokens > _POSITIONS:
        raise InputError(f"bert-base: tokens {tokens} is over the {_POSITIONS} positions that it has; give at most {_POSITIONS}")
    net = draft("bert-base", seed)
    sizes = Encoder(tokens=tokens, width=width, heads=heads, inner=4 * width, epsilon=1e-12)
    x = _embeddings(net, sizes, vocabulary)
    mask = _mask(net, sizes)
    for number in range(blocks):
        x = _block(net, x, f"layer{number}", sizes, mask)
    x = first_token(net, x, "first", sizes)
    x = transformer.dense(net, x, "pooler", inputs=width, outputs=width, std=sizes.std)
    return net.model(net.node("Tanh", [x], "pooled"), (width,))


def _block(net: Draft, x: str, name: str, sizes: Encoder, mask: str) -> str:
    y = transformer.attention(net, x, f"{name}.attention", sizes, mask=mask)
    x = transformer.layer_norm(net, net.node("Add", [x, y], f"{name}.attention.add"), f"{name}.attention.norm", sizes)
    y = transformer.feed_forward(net, x, f"{name}.mlp", sizes)
    return transformer.layer_norm(net, net.node("Add", [x, y], f"{name}.mlp.add"), f"{name}.mlp.norm", sizes)


def _embeddings(net: Draft, sizes: Encoder, vocabulary: int) -> str:
    x = _looked_up(net, "input_ids", "embeddings.word", sizes, rows=vocabulary)
    segments = _looked_up(net, "token_type_ids", "embeddings.segment", sizes, rows=_SEGMENTS)
    table = net.constant("embeddings.position.weight", net.normal((_POSITIONS, sizes.width), std=sizes.std))
    bounds = [
        net.constant(f"embeddings.position.{key}", np.array([at], dtype=np.int64)) for key, at in (("start", 0), ("end", sizes.tokens))
    ]
    positions = net.node("Slice", [table, *bounds], "embeddings.position")
    x = net.node("Add", [x, segments], "embeddings.typed")
    x = net.node("Add", [x, positions], "embeddings.placed")
    return transformer.layer_norm(net, x, "embeddings.norm", sizes)


def _looked_up(net: Draft, ids: str, name: str, sizes: Encoder, *, rows: int) -> str:
    table = net.constant(f"{name}.weight", net.normal((rows, sizes.width), std=sizes.std))
    return net.node("Gather", [table, net.input(ids, (sizes.tokens,), np.int64)], name, axis=0)


def _mask(net: Draft, sizes: Encoder) -> str:
    """What is added to the scores: 0 where a token counts, -10000 where not, as the authors' code does; (1, 1, tokens)."""
    shape = net.constant("mask.shape", np.array([0, 1, 1, sizes.tokens], dtype=np.int64))
    kept = net.node("Cast", [net.input("attention_mask", (sizes.tokens,), np.int64)], "mask.float", to=1)
    kept = net.node("Reshape", [kept, shape], "mask.broadcast")
    shifted = net.node("Sub", [kept, net.constant("mask.one", np.array(1, dtype=np.float32))], "mask.shifted")
    return net.node("Mul", [shifted, net.constant("mask.weight", np.array(10000, dtype=np.float32))], "mask")


def first_token(net: Draft, x: str, name: str, sizes: Encoder) -> str:
    """(tokens, width) -> (width)."""
    slices = (("start", 0), ("end", 1), ("axis", 1))
    bounds = [net.constant(f"{name}.{key}", np.array([at], dtype=np.int64)) for key, at in slices]
    x = net.node("Slice", [x, *bounds], f"{name}.slice")
    return net.node("Reshape", [x, net.constant(f"{name}.shape", np.array([0, sizes.width], dtype=np.int64))], name)
