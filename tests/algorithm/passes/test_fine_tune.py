"""Fine-tuning: the gradient by hand, the schedule, masks that stay, losses that fall. Skipped without torch, which is in the extra `train`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.passes.compress import Place, StoredWeight, read_choice, store
from ridgeline.algorithm.passes.fine_tune import PRUNED, FineTune, Lessons, Pupil, fine_tune, gradual_mask, share, straight_through
from ridgeline.errors import InputError
from ridgeline.formats.sparsity import read_pattern

torch: Any = pytest.importorskip("torch", reason="needs torch, of the extra `train`")

MATRIX = Place(channel=1, reduction=(0,), along=0)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Line:
    """y = x w, in place of a network."""

    torch: Any = torch

    def tensor(self, array: np.ndarray) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array))

    def run(self, feeds: Any, weights: Any) -> dict[str, Any]:
        return {"y": feeds["x"] @ weights["w"]}


def taught(name: str, pattern: str, steps: int, rate: float = 0.01, metric: str = "mse") -> tuple[StoredWeight, StoredWeight, Any]:
    """A line's weight before and after, and what it loses."""
    weight, x = normal(16, 6), normal(64, 5, seed=1) @ normal(5, 16, seed=2) + 0.1 * normal(64, 16, seed=3)  # inputs that say much of each other
    pupil = Pupil(name="w", place=MATRIX, values=weight, stored=store(weight, MATRIX, read_choice(name, pattern)))
    lessons = Lessons(feeds={"x": x}, reference={"y": x @ weight}, labels=None, batch=16)
    options = FineTune(steps=steps, learning_rate=rate, metric=metric)
    (after,) = fine_tune(Line(), [pupil], lessons, options, rng=np.random.default_rng(0), progress=lambda done, total: None)
    return pupil.stored, after, lambda stored: float(np.square(x @ (stored.decode() - weight)).mean())


@pytest.mark.parametrize("pattern", ["none", "2:4"])
def test_the_gradient_is_the_one_by_hand(pattern: str) -> None:
    """Of the mean square of x q(w) - y: 2 x^T (x q(w) - y) / n, where the mask keeps."""
    x, y, weight = normal(5, 8), normal(5, 3, seed=1), normal(8, 3, seed=2)
    stored = store(weight, MATRIX, read_choice("int3", pattern))
    values = torch.from_numpy(weight.copy()).requires_grad_()
    made = torch.from_numpy(x) @ straight_through(Line(), values, stored)
    np.testing.assert_allclose(made.detach().numpy(), x @ stored.decode(), atol=1e-5)
    (made - torch.from_numpy(y)).square().mean().backward()
    mask = np.ones_like(weight) if stored.sparse is None else stored.sparse.mask
    np.testing.assert_allclose(values.grad.numpy(), mask * (2 * x.T @ (x @ stored.decode() - y) / y.size), atol=1e-5)


def test_the_schedule_is_cubic() -> None:
    """Equation 1 of Zhu and Gupta, from 0 to 1."""
    assert share(0) == 0
    assert share(PRUNED / 2) == pytest.approx(1 - 0.5**3)
    assert share(PRUNED) == share(1) == 1


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["2:4", "1:4", "bank8:75%", "unstructured:60%", "block2x2:50%"]), st.integers(0, 99))
def test_masks_shrink_to_the_patterns(pattern: str, seed: int) -> None:
    """What goes first is smaller than what goes later; at the end nothing but the pattern's own elements stay."""
    weight, choice = normal(16, 4, seed=seed), read_choice("int4", pattern)
    masks = [gradual_mask(weight, MATRIX, choice, dropped) for dropped in (0.0, 0.4, 0.8, 1.0)]
    assert masks[0].all()
    assert all(np.all(later <= before) for before, later in pairwise(masks))
    assert np.array_equal(masks[-1], read_pattern(pattern).mask(np.abs(weight), axis=MATRIX.reduction))
    for mask in masks[1:3]:
        waits = mask & ~masks[-1]
        assert np.abs(weight)[~mask].max(initial=0) <= np.abs(weight)[waits].min(initial=np.inf)


@pytest.mark.parametrize("steps", [1, 2, 3, 30])
def test_patterns_are_kept_exactly(steps: int) -> None:
    _, after, _ = taught("int4", "2:4", steps)
    assert after.sparse is not None
    assert (after.sparse.mask.reshape(4, 4, 6).sum(axis=1) == 2).all()
    assert (after.decode()[~after.sparse.mask] == 0).all()
    read_pattern("2:4").pack(after.decode(), after.sparse.mask, MATRIX.reduction)


def test_the_mask_is_frozen_in_the_last_third(monkeypatch: pytest.MonkeyPatch) -> None:
    from ridgeline.algorithm.passes import fine_tune as module

    asked: list[float] = []
    monkeypatch.setattr(module, "gradual_mask", lambda *given: asked.append(given[-1]) or gradual_mask(*given))
    taught("int4", "2:4", 30)
    assert len(asked) == 21  # of steps 0 to 20
    assert asked[9:] == [1.0] * 12


@pytest.mark.parametrize(("name", "pattern"), [("int2", "none"), ("int3", "none"), ("int4", "2:4"), ("nvfp4", "2:4"), ("m2xfp", "none")])
def test_losses_fall(name: str, pattern: str) -> None:
    before, after, loss = taught(name, pattern, 60)
    assert loss(after) < loss(before)
    assert after.bits == before.bits


@pytest.mark.parametrize("metric", ["cosine", "kl", "accuracy"])
def test_metrics_and_repeats(metric: str) -> None:
    first, second = (taught("int3", "none", 20, metric=metric)[1] for _ in range(2))
    assert np.array_equal(first.decode(), second.decode())


def test_labels_teach_where_accuracy_is_asked_for() -> None:
    """Where the float network cannot tell the classes apart, what is trained can."""
    x, weight, labels = np.eye(4, dtype=np.float32), np.ones((4, 4), np.float32), np.array([1, 2, 3, 0])
    pupil = Pupil(name="w", place=MATRIX, values=weight, stored=store(weight, MATRIX, read_choice("int8")))
    lessons = Lessons(feeds={"x": x}, reference={"y": x @ weight}, labels=labels, batch=4)
    found: dict[str, StoredWeight] = {}
    for metric in ("mse", "accuracy"):
        options = FineTune(steps=20, metric=metric)
        (found[metric],) = fine_tune(Line(), [pupil], lessons, options, rng=np.random.default_rng(0), progress=lambda done, total: None)
    assert np.array_equal(found["mse"].decode(), pupil.stored.decode())
    assert np.array_equal((x @ found["accuracy"].decode()).argmax(axis=1), labels)


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.5, float("nan")])
def test_rates_that_are_none(rate: float) -> None:
    with pytest.raises(InputError, match=r"^--learning-rate .* must be above 0 and at most 1, in parts of a weight's root mean square$"):
        FineTune(steps=1, learning_rate=rate, metric="mse")


def test_a_loss_that_is_no_number() -> None:
    weight = normal(16, 6)
    pupil = Pupil(name="w", place=MATRIX, values=weight, stored=store(weight, MATRIX, read_choice("int4")))
    lessons = Lessons(feeds={"x": np.full((4, 16), 1e30, np.float32)}, reference={"y": np.zeros((4, 6), np.float32)}, labels=None, batch=4)
    with pytest.raises(InputError, match=r"^fine-tuning: the loss is inf after 0 of 5 steps; give a --learning-rate below 0\.01$"):
        fine_tune(Line(), [pupil], lessons, FineTune(steps=5, metric="mse"), rng=np.random.default_rng(0), progress=lambda done, total: None)
