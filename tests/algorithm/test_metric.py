"""What outputs lose: closed forms, and functions of the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ridgeline.algorithm.metric import read_metric
from ridgeline.errors import InputError


def outputs(array: object) -> dict[str, np.ndarray]:
    return {"y": np.array(array, np.float32)}


def test_cosine() -> None:
    metric = read_metric("cosine", labels=False)
    kept = outputs([[1, 0], [0, 2], [0, 0]])
    assert metric.loss(kept, kept, None) == 0
    assert metric.loss(outputs([[1, 1], [0, 1], [0, 0]]), kept, None) == pytest.approx((1 - np.sqrt(0.5)) / 3)
    assert metric.loss(outputs([[-1, 0], [0, 2], [1, 0]]), kept, None) == pytest.approx(3 / 3)


def test_divergence() -> None:
    metric = read_metric("kl", labels=False)
    p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    wanted = float(np.sum(p * np.log(p / q)))
    assert metric.loss(outputs([np.log(q) + 7]), outputs([np.log(p)]), None) == pytest.approx(wanted, rel=1e-6)


def test_accuracy() -> None:
    metric = read_metric("accuracy", labels=True)
    kept, labels = outputs([[1, 0], [0, 1], [1, 0], [1, 0]]), np.array([0, 1, 0, 1])
    assert metric.loss(outputs([[0, 1], [0, 1], [1, 0], [1, 0]]), kept, labels) == pytest.approx(0.25)


def test_own_function(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def score(outputs, reference, labels):\n    return -abs(outputs['y'] - reference['y']).max()\n")
    metric = read_metric(f"{path}:score", labels=False)
    assert metric.loss(outputs([[1.0, 5.0]]), outputs([[1.0, 3.0]]), None) == 2.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cosin", "metric 'cosin' is none of cosine, kl, accuracy"),
        ("accuracy", "needs labels"),
        ("nowhere.py:score", "is no Python file"),
        ("nowhere:score", "cannot be loaded"),
        ("math:pi", "is a float, no function"),
    ],
)
def test_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_metric(name, labels=False)


@pytest.mark.parametrize(("body", "message"), [("1 / 0", "raised ZeroDivisionError"), ("float('nan')", "gave nan"), ("'a'", "raised ValueError")])
def test_function_that_fails(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"def score(outputs, reference, labels):\n    return {body}\n")
    metric = read_metric(f"{path}:score", labels=False)
    with pytest.raises(InputError, match=message):
        metric.loss(outputs([[1.0]]), outputs([[1.0]]), None)
