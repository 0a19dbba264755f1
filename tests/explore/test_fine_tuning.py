"""Fine-tuning inside `compress`: what is tried, kept, written and refused. Only the refusals run without torch, which is in the extra `train`."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from ridgeline.algorithm.onnx.trainable import walk
from ridgeline.cli.commands import ridgeline
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.explore import fine_tuning
from ridgeline.formats.file import read_packed
from ridgeline.formats.sparsity import read_pattern

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch, of the extra `train`")


def run(*words: object) -> Result:
    given = [DIGITS / "digits.onnx", "--data", DIGITS / "test.npz", "--objective", "size", *words]
    return CliRunner().invoke(ridgeline, ["compress", *map(str, given)])


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@needs_torch
def test_what_is_met_only_with_it(tmp_path: Path) -> None:
    """Cheaper and less lossy than what is best without; the file and the packed weights are those that were measured."""
    words = ("--formats", "int2,int3", "--sparsity", "2:4", "--loss", "15%")
    assert type(run(*words).exception).__name__ == "CheckFailedError"
    result = run(*words, "--fine-tune", 60, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    summary = told(result)
    tuned = summary["fine_tuned"]
    assert tuned["kept"]
    assert tuned["steps"] == 60
    limits = [each["limit"] / (0.95 * 0.15) for each in tuned["tries"]]  # 4 is left out where it finds what 8 found
    assert limits in ([pytest.approx(8)], [pytest.approx(each) for each in (8, 4)], [pytest.approx(each) for each in (8, 2)])
    assert all(each["loss_after"] < each["loss_before"] for each in tuned["tries"])
    assert summary["loss"]["test"] < tuned["without"]["loss"]["test"]
    assert summary["total"]["weight_bytes"] <= tuned["without"]["total"]["weight_bytes"]
    assert summary["loss"]["calibration"] == min(each["loss_after"] for each in tuned["tries"]) <= 0.15
    assert summary["loss"]["file_exact"] == pytest.approx(summary["loss"]["test"], abs=1e-4)
    assert [point["loss"] for point in summary["points"] if point["best"]] == [summary["loss"]["calibration"]]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Fine-tuned" in page
    for row in summary["layers"]:
        held, axes = read_packed(tmp_path / "out" / "weights.npz")[row["weight"]], (2, 3, 1) if len(row["shape"]) == 4 else 1
        read_pattern("2:4").pack(held, held != 0, axes)  # refuses what is in no such pattern
        assert row["pattern"] == "2:4"


@needs_torch
def test_without_gain_the_choice_stays() -> None:
    """One step at a negligible rate gains nothing; three limits are tried at most."""
    words = ("--formats", "int8,int4,int3", "--loss", "0.5%", "--json")
    plain, tuned = told(run(*words)), told(run(*words, "--fine-tune", 1, "--learning-rate", 1e-9))
    assert tuned["fine_tuned"]["kept"] is False
    assert 1 <= len(tuned["fine_tuned"]["tries"]) <= fine_tuning.TRIES
    assert (tuned["total"], tuned["layers"], tuned["loss"]) == (plain["total"], plain["layers"], plain["loss"])
    assert plain["fine_tuned"] is None


@needs_torch
def test_never_worse() -> None:
    words = ("--formats", "int4,int3,int2", "--loss", "5%", "--json")
    tuned = told(run(*words, "--fine-tune", 40))
    assert tuned["total"]["weight_bytes"] <= tuned["fine_tuned"]["without"]["total"]["weight_bytes"]
    assert tuned["loss"]["calibration"] <= 0.05


@needs_torch
def test_nothing_is_written_where_training_diverges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise InputError("fine-tuning: the loss is nan after 3 of 5 steps; give a --learning-rate below 1")

    monkeypatch.setattr(fine_tuning, "fine_tune", diverge)
    result = run("--formats", "int2", "--fine-tune", 5, "--out", tmp_path / "out")
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith("fine-tuning: the loss is nan after 3 of 5 steps")
    assert list(tmp_path.iterdir()) == []


@needs_torch
def test_operators_that_torch_has_no_row_for(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Tan", ["m"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy")
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], [weight]), opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, tmp_path / "tan.onnx")
    result = CliRunner().invoke(ridgeline, ["compress", str(tmp_path / "tan.onnx"), "--objective", "size", "--formats", "int4", "--fine-tune", "2"])
    assert isinstance(result.exception, UnsupportedError)
    assert str(result.exception) == f"--fine-tune does not differentiate Tan, which '{tmp_path / 'tan.onnx'}' has; leave --fine-tune out"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fine-tune", "5"], "--fine-tune needs torch, which is not installed; pip install torch"),
        (["--fine-tune", "5", "--learning-rate", "0"], "--learning-rate 0 must be above 0 and at most 1, in parts of a weight's root mean square"),
    ],
)
def test_refused_at_once(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if torch were not there."""
    monkeypatch.setattr(walk, "find_spec", lambda name: None)
    result = run(*words, "--out", tmp_path / "out")
    assert isinstance(result.exception, InputError)
    assert (str(result.exception), result.exception.exit_code) == (message, 2)
    assert list(tmp_path.iterdir()) == []
