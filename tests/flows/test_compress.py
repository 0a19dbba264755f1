"""`ridgeline compress`: what it chooses, writes and refuses."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from ridgeline.algorithm.onnx.runtime import call, session
from ridgeline.cli.commands import ridgeline
from ridgeline.errors import InputError
from ridgeline.flows.compress import read_loss
from ridgeline.formats.file import read_packed
from ridgeline.hardware.chip import CHIPS

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
SIZE = ("--objective", "size")


def run(*words: object) -> Result:
    return CliRunner().invoke(ridgeline, ["compress", *map(str, words)])


def digits(*words: object) -> Result:
    return run(DIGITS / "digits.onnx", "--data", DIGITS / "test.npz", *words)


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compressed") / "out"
    result = digits(*SIZE, "--formats", "int8,int4,nvfp4,flint4", "--sparsity", "none,2:4", "--loss", "1%", "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_what_is_told(folder: Path) -> None:
    summary = json.loads((folder / "compress.json").read_text())
    assert summary["loss"]["calibration"] <= 0.01 >= summary["loss"]["test"]
    assert summary["images"] == {"calibration": 180, "measured": 72, "test": 180}
    assert [row["choice"] for row in summary["single"]] == [
        "int8", "int4", "nvfp4", "flint4", "int8 2:4", "int4 2:4", "nvfp4 2:4", "flint4 2:4"
    ]  # fmt: skip
    assert summary["total"]["weight_bytes"] < min(row["total"]["weight_bytes"] for row in summary["single"] if row["test_loss"] <= 0.01)
    assert summary["total"]["weight_bytes"] == sum(row["bytes"] for row in summary["layers"])
    assert sum(point["best"] for point in summary["points"]) == 1
    assert sum(np.prod(row["shape"]) for row in summary["layers"]) == summary["weights"]["elements"] == 15_600


def test_the_file_loses_what_is_said(folder: Path) -> None:
    """Against the cosines of stock onnxruntime on both files, worked out here."""
    summary = json.loads((folder / "compress.json").read_text())
    with np.load(DIGITS / "test.npz") as held:
        (name,) = (key for key in held.files if key != "labels")
        images = held[name][180:].astype(np.float32)
    outputs: list[np.ndarray] = []
    for path in (DIGITS / "digits.onnx", folder / "compressed.onnx"):
        loaded = session(path)
        made = [next(iter(call(loaded, {name: images[at : at + 1]}).values())) for at in range(len(images))]
        outputs.append(np.concatenate(made).reshape(len(images), -1).astype(np.float64))
    norms = np.linalg.norm(outputs[0], axis=1) * np.linalg.norm(outputs[1], axis=1)
    assert summary["loss"]["file"] == pytest.approx(1 - float(np.mean(np.sum(outputs[0] * outputs[1], axis=1) / norms)), abs=1e-4)


def test_packed_weights_are_those_of_the_file(folder: Path) -> None:
    summary = json.loads((folder / "compress.json").read_text())
    packed = read_packed(folder / "weights.npz")
    assert {row["weight"]: tuple(row["shape"]) for row in summary["layers"]} == {name: held.shape for name, held in packed.items()}
    model = onnx.load(folder / "compressed.onnx")
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, held.shape) for name, held in packed.items())
    with np.load(DIGITS / "test.npz") as held:
        feeds = {key: held[key][:1].astype(np.float32) for key in held.files if key != "labels"}
    made = call(session(model.SerializeToString(), optimise=False), feeds)
    for name, held in packed.items():
        assert np.array_equal(made[name], held), name


def test_the_report_says_what_was_chosen(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "bits a weight" in page
    assert "int4" in page


def test_tighter_limits_cost_more() -> None:
    costs = [told(digits(*SIZE, "--formats", "int8,int4,int3", "--loss", loss, "--json"))["total"]["weight_bytes"] for loss in ("0.02%", "1%", "5%")]
    assert costs[0] > costs[1] > costs[2]


def test_accuracy_and_functions_of_the_user(tmp_path: Path) -> None:
    summary = told(digits(*SIZE, "--formats", "int8,int4", "--metric", "accuracy", "--loss", "1%", "--json"))
    assert summary["loss"]["calibration"] <= 0.01
    path = tmp_path / "mine.py"
    path.write_text("def score(outputs, reference, labels):\n    raise ValueError('no such\\nlabels')\n")
    result = digits(*SIZE, "--metric", f"{path}:score")
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == f"metric '{path}:score' raised ValueError: no such labels"


def test_a_limit_that_nothing_meets(tmp_path: Path) -> None:
    """The best is written all the same, and the run says so by its status."""
    result = digits(*SIZE, "--formats", "int2,int3", "--loss", "0", "--out", tmp_path / "out", "--json")
    assert result.exit_code != 0
    assert "nothing loses at most 0 (cosine): the least is" in str(result.exception)
    assert type(result.exception).__name__ == "CheckFailedError"
    assert (tmp_path / "out" / "compressed.onnx").is_file()


def product(path: Path, weight: np.ndarray) -> Path:
    """A network of one product, of 128 rows an image."""
    inputs, outputs = weight.shape
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 128, size]) for name, size in (("x", inputs), ("y", outputs)))
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")], "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString())
    return path


def test_the_choice_is_the_chips(tmp_path: Path) -> None:
    """A chip whose array multiplies int8 for less takes int8; one that only decodes weights takes what has fewer bytes."""
    weight = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    network, other = product(tmp_path / "fc.onnx", weight), tmp_path / "decodes.toml"
    text = (CHIPS / "a100.toml").read_text()
    other.write_text(text[: text.index("[[runs]]")] + text[text.index("[[decodes]]") :])
    words = ("--formats", "int8,int4", "--activations", "int8", "--loss", "5%", "--budget", "2", "--objective", "energy", "--json")
    found = [told(run(network, "--chip", chip, *words)) for chip in ("h100", other)]
    assert all(0 <= each["total"]["mapping_gap"] < 1 for each in found)
    kinds = [each["layers"][0] for each in found]
    assert [(row["format"], row["activations"]) for row in kinds] == [("int8", "int8"), ("int4", "none")]


def chained(path: Path, *, outlier: float) -> Path:
    """Three products in a row; one of the first one's inputs is `outlier` times as large as the others, and weighs as much less."""
    rng, sizes = np.random.default_rng(5), (64, 256, 256, 64)
    weights = [rng.standard_normal(pair).astype(np.float32) / np.float32(np.sqrt(pair[0])) for pair in pairwise(sizes)]
    weights[0][0] /= outlier
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 32, size]) for name, size in (("x", 64), ("a2", 64)))
    nodes = [helper.make_node("MatMul", ["x" if n == 0 else f"a{n - 1}", f"w{n}"], [f"a{n}"], name=f"fc{n}") for n in range(3)]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, f"w{n}") for n, weight in enumerate(weights)])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString())
    inputs = rng.standard_normal((48, 32, 64)).astype(np.float32)
    inputs[..., 0] *= outlier
    np.savez(path.with_suffix(".npz"), x=inputs)
    return path


def test_inputs_are_chosen_layer_by_layer(tmp_path: Path) -> None:
    """int8 by int8 costs less on the chip: it is taken where it loses little, and left where a large input makes its steps coarse."""
    network, out = chained(tmp_path / "fc.onnx", outlier=300), tmp_path / "out"
    words = ("--data", tmp_path / "fc.npz", "--chip", "h100", "--formats", "int8", "--activations", "none,int8")
    result = run(network, *words, "--objective", "energy", "--budget", "1", "--loss", "1%", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    summary = told(result)
    assert [(row["layers"], row["activations"]) for row in summary["layers"]] == [(["fc0"], "none"), (["fc1"], "int8"), (["fc2"], "int8")]
    assert [(row["format"], row["pattern"], row["activations"]) for row in summary["single"]] == [("int8", "none", "none"), ("int8", "none", "int8")]
    exact, cheap = summary["single"]
    assert exact["loss"] < 0.01 < cheap["loss"]
    assert cheap["total"]["energy_pj"] < summary["total"]["energy_pj"] < exact["total"]["energy_pj"]
    with np.load(tmp_path / "fc.npz") as held:
        images = held["x"][24:]
    wanted, found = (call(session(path), {"x": images})["a2"].reshape(24, -1).astype(np.float64) for path in (network, out / "compressed.onnx"))
    cosines = np.sum(wanted * found, axis=1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(found, axis=1)
    assert summary["loss"]["file"] == pytest.approx(1 - float(np.mean(cosines)), abs=1e-5)
    assert summary["loss"]["file_exact"] == pytest.approx(summary["loss"]["test"], rel=1e-3)


def test_losses_of_weights_and_of_inputs_are_added() -> None:
    """Where that takes fewer measurements; a single format of inputs is measured with the weights."""
    words = (*SIZE, "--formats", "int4,int3", "--loss", "1", "--json")
    summed = told(digits(*words, "--activations", "none,int8,e4m3"))
    apart = told(digits(*words, "--activations", "e4m3"))
    count = summed["weights"]["compressed"]
    assert summed["alone"] == {"measurements": count * (2 + 2), "summed": True}
    assert apart["alone"] == {"measurements": count * 2, "summed": False}
    assert {row["activations"] for row in summed["layers"]} == {"none"}, "rounded inputs make no weight smaller"
    assert [row["choice"] for row in summed["single"]][:4] == ["int4", "int4 x int8", "int4 x e4m3", "int3"]


def test_pairs_that_the_chip_lacks(tmp_path: Path) -> None:
    """By name; where none of the inputs' formats is run, the chip's own are taken."""
    network = product(tmp_path / "fc.onnx", np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))
    words = (network, "--chip", "h100", "--formats", "int8,int4", "--budget", "1", "--loss", "1", "--json")
    result = run(*words, "--activations", "none,int8,e5m2")
    assert [row["choice"] for row in told(result)["single"]] == ["int8", "int8 x int8", "int4"]
    assert "chip 'h100' runs all but int8 x e5m2, int4 x int8, int4 x e5m2 of what was asked for" in result.stderr
    assert "left out: int8 weights with e5m2 inputs are not run by chip 'h100', but with other inputs" in result.stderr
    assert [row["choice"] for row in told(run(*words, "--activations", "int8"))["single"]] == ["int8 x int8", "int4"]


def test_zeros_of_both_operands(tmp_path: Path) -> None:
    """A chip that steps over them: its steps are counted, and fewer weights and inputs take less time."""
    network = product(tmp_path / "fc.onnx", np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32))
    rng = np.random.default_rng(1)
    values = rng.standard_normal((8, 128, 512)).astype(np.float32)
    found: dict[str, dict[str, Any]] = {}
    for name, inputs in (("dense", values), ("half", values * (rng.random(values.shape) < 0.5))):
        np.savez(tmp_path / "x.npz", x=inputs.astype(np.float32))
        words = ("--data", tmp_path / "x.npz", "--chip", "dstc", "--formats", "float16", "--sparsity", "none,unstructured:70%,bitmap", "--json")
        found[name] = told(run(network, *words, "--loss", "1", "--budget", "1", "--round"))
    rows = {name: {row["pattern"]: row["total"]["time_s"] for row in each["single"]} for name, each in found.items()}
    assert all(row["unstructured:70%"] < min(row["bitmap"], row["none"]) for row in rows.values())
    assert rows["half"]["unstructured:70%"] < rows["dense"]["unstructured:70%"]
    layer = found["half"]["layers"][0]
    assert layer["pattern"] == "unstructured:70%"
    assert 0 < layer["steps"] < found["dense"]["layers"][0]["steps"] < layer["dense_steps"]


def test_what_the_chip_lacks() -> None:
    """Said by name, with what it would fall back to; refused where nothing else is left."""
    result = digits("--chip", "h100", "--formats", "int8,olive4", "--sparsity", "none,2:4,bank16:50%", "--budget", "1", "--loss", "100%", "--json")
    assert result.exit_code == 0, result.output
    assert "left out: olive4 codes pairs, which pattern 2:4 would part" in result.stderr
    assert "left out: olive4 weights with bfloat16 inputs are not run by chip 'h100': they would be decoded to bfloat16" in result.stderr
    assert "left out: int8 weights with bfloat16 inputs in pattern bank16:50% are not run by chip 'h100'" in result.stderr
    assert {row["choice"] for row in told(result)["single"]} == {"int8"}
    result = digits("--chip", "h100", "--formats", "olive4")
    assert str(result.exception).startswith("olive4 weights with bfloat16 inputs are not run by chip 'h100': they would be decoded to bfloat16")


def test_weights_that_may_not_be_padded() -> None:
    result = digits(*SIZE, "--formats", "int8", "--sparsity", "2:4", "--no-pad")
    assert str(result.exception).startswith("weight 'conv1.weight': sparsity: 16 x 9 weights do not divide into 2:4, which needs 16 x 12")


def test_layers_that_stay() -> None:
    summary = told(digits(*SIZE, "--formats", "int4", "--keep", "conv1", "--loss", "1", "--json"))
    assert "conv1" not in [name for row in summary["layers"] for name in row["layers"]]


def test_compensation_helps() -> None:
    losses = [told(digits(*SIZE, "--formats", "int3", "--loss", "1", word, "--json"))["loss"]["test"] for word in ("--compensate", "--round")]
    assert losses[0] < losses[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--formats", "int9x", *SIZE], "unknown format 'int9x'"),
        (["--formats", ",", *SIZE], "take names with commas"),
        (["--loss", "much", *SIZE], "--loss 'much' is no number"),
        (["--loss", "-1%", *SIZE], "must be 0 or more"),
        (["--keep", "", "--formats", "int4"], "--objective latency is of a chip"),
        (["--keep", "c", *SIZE], "--keep 'c' keeps every weight as it is"),
        (["--sparsity", "5:4", *SIZE], "5:4"),
        (["--activations", "none,int4", *SIZE], "activations in int4 are not what onnxruntime computes; take int8, e4m3, e5m2, or none"),
        (["--activations", ",", *SIZE], "--activations takes names with commas"),
        (["--chip", "h1000"], "unknown chip 'h1000'"),
    ],
)
def test_refused(words: list[str], message: str, tmp_path: Path) -> None:
    result = digits(*words, "--out", tmp_path / "out")
    assert result.exception is not None
    assert isinstance(result.exception, InputError), result.exception
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    weight = np.ones((4, 3), np.float32)
    weight[2, 1] = np.inf
    path = product(tmp_path / "broken.onnx", weight)
    result = run(path, *SIZE)
    assert "weight 'w' holds inf at index [2, 1]" in str(result.exception)


@pytest.mark.parametrize(("text", "value"), [("2%", 0.02), ("0.5", 0.5), ("0", 0.0)])
def test_loss(text: str, value: float) -> None:
    assert read_loss(text) == value
