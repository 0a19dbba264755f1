"""Choices that lose more than may be lost, fine-tuned.

What is kept is cheaper than the choice that is found without, and is measured to lose no more than is allowed; else that choice stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.onnx.load import Loaded
from ridgeline.algorithm.onnx.rounded import Rounded
from ridgeline.algorithm.onnx.trainable.walk import Walk
from ridgeline.algorithm.passes.compress import DENSE, StoredWeight
from ridgeline.algorithm.passes.fine_tune import FineTune, Lessons, Pupil, Walked, fine_tune
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.explore.compression import Progress, Samples, Study, outputs
from ridgeline.explore.loss_search import Choices, Outcome, Point, Table, search

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
RELAXED = 8.0  # times the loss that is allowed, within which the first try is searched
TRIES = 3  # each with half the factor of the one before
NEAR = 1e-2  # of the largest number of an output, by which torch may differ from onnxruntime
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Try:
    """The choice found within `limit`, what it loses before and after fine-tuning, and its weights."""

    limit: float
    loss_before: float
    after: Point
    stored: Sequence[StoredWeight]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tuned:
    """`outcome` is the one without fine-tuning; `kept` the try that takes its place, if one does."""

    options: FineTune
    outcome: Outcome
    tries: Sequence[Try]
    kept: Try | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tuning:
    """A study's network, the arrays of its weights, how what meets them is rounded (by format and weight), and what it learns from."""

    study: Study
    loaded: Loaded
    arrays: Mapping[str, Array]
    rounded: Mapping[str, Mapping[str, Rounded]]
    lessons: Samples
    options: FineTune


def check_trainable(loaded: Loaded, arrays: Mapping[str, Array], lessons: Samples) -> None:
    """That torch computes what onnxruntime does. Raises InputError without torch, UnsupportedError for what it computes otherwise or not at all."""
    walk, some = Walk(loaded, arrays), lessons.first(lessons.batch)
    made = walk.run(_tensors(walk, some.feeds), _tensors(walk, arrays))
    floats = {name: array for name, array in some.reference.items() if array.dtype.kind == "f"}
    if not floats:
        raise InputError(f"--fine-tune: {loaded.name} has no output of real numbers to learn; leave --fine-tune out")
    for name, array in floats.items():
        error = np.abs(made[name].numpy() - array).max() if tuple(made[name].shape) == array.shape else np.inf
        if not error <= NEAR * np.abs(array).max():
            raise UnsupportedError(f"--fine-tune: torch computes output '{name}' of {loaded.name} otherwise than onnxruntime, by up to {error:.3g}")


def fine_tuned(tuning: Tuning, costs: Table, losses: Table, outcome: Outcome, limit: float, measured: Samples, progress: Progress) -> Tuned:
    """`outcome` is what the search found within `limit` by those costs and losses; `measured` is none of what is learnt from.

    Raises InputError where training diverges.
    """
    known = {point.choices: point.loss for point in outcome.points}

    def measure(choices: Choices) -> float:
        if choices not in known:
            known[choices] = tuning.study.loss(dict(enumerate(choices)), measured)
        return known[choices]

    tries: list[Try] = []
    for number in range(TRIES):
        relaxed = limit * RELAXED / 2**number
        found = search(costs, losses, relaxed, measure).best
        if any(found.choices == other.after.choices for other in tries):
            continue
        stored = _trained(tuning, found.choices, lambda done, total, past=number: progress(past * total + done, TRIES * total))
        after = replace(found, loss=loss_of(tuning.study, stored, measured))
        tries.append(Try(limit=relaxed, loss_before=found.loss, after=after, stored=stored))
        if after.loss <= limit:
            break
    return Tuned(options=tuning.options, outcome=outcome, tries=tries, kept=_kept(tries, outcome, limit))


def loss_of(study: Study, stored: Sequence[StoredWeight], measured: Samples) -> float:
    """With every weight so."""
    named = [(weight.name, item) for weight, item in zip(study.weights, stored, strict=True)]
    changed = {name: item.decode() for name, item in named}
    rounded = {name: item.choice.activations for name, item in named if item.choice.activations != DENSE}
    made = outputs(lambda feeds: study.variants.run(feeds, changed, rounded), measured.feeds, measured.batch)
    return study.metric.loss(made, measured.reference, measured.labels)


def _kept(tries: Sequence[Try], outcome: Outcome, limit: float) -> Try | None:
    """The cheapest within the limit, of equal ones the one that loses less; where none is, the one that loses least."""

    def rank(point: Point) -> tuple[bool, float, float]:
        within = point.loss <= limit
        return (not within, point.cost, point.loss) if within else (not within, point.loss, point.cost)

    best = min(tries, key=lambda each: rank(each.after))
    return best if rank(best.after) < rank(outcome.best) else None


def _trained(tuning: Tuning, choices: Choices, progress: Progress) -> list[StoredWeight]:
    study = tuning.study
    pupils = [
        Pupil(name=weight.name, place=weight.place, values=tuning.arrays[weight.name], stored=row[choice])
        for weight, row, choice in zip(study.weights, study.stored, choices, strict=True)
    ]
    kinds = {pupil.name: pupil.stored.choice.activations for pupil in pupils}
    walk = Walk(tuning.loaded, kinds, {name: tuning.rounded[kind][name] for name, kind in kinds.items() if kind != DENSE})
    seen = tuning.lessons
    lessons = Lessons(feeds=seen.feeds, reference=seen.reference, labels=seen.labels, batch=seen.batch)
    return fine_tune(walk, pupils, lessons, tuning.options, rng=np.random.default_rng(SEED), progress=progress)


def _tensors(walk: Walked, arrays: Mapping[str, Array]) -> dict[str, Any]:
    return {name: walk.tensor(array) for name, array in arrays.items()}
