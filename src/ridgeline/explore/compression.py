"""What a network loses with each choice of a format and a pattern for each weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.metric import Metric
from ridgeline.algorithm.onnx.compressible import Variants, Weight, activations, moments
from ridgeline.algorithm.onnx.load import Loaded
from ridgeline.algorithm.onnx.rounded import Rounded, rounding
from ridgeline.algorithm.passes.compress import DENSE, SEARCH, Choice, StoredWeight, store
from ridgeline.errors import InputError, RidgelineError, UnsupportedError
from ridgeline.explore.loss_search import Choices, Outcome, Table, search
from ridgeline.formats import read_format
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.running import running

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Progress: TypeAlias = Callable[[int, int], None]
MOST_ACTIVATIONS = 1 << 14  # of a batch, from which a scale is found
ANY_SIZE = (1024, 1024, 1024)  # of a product, to ask whether a chip runs it
SEED = 0
SENSED = 16  # images on which single changes are measured
DECODED_BYTES = 1 << 30  # of weights that are held ready


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Inputs (images, ...), labels (images,) or None, and the float network's outputs; `batch` images run at once."""

    feeds: Mapping[str, Array]
    labels: Array | None
    reference: Mapping[str, Array]
    batch: int

    @property
    def images(self) -> int:
        return len(next(iter(self.feeds.values())))

    def first(self, images: int) -> Samples:
        return Samples(
            feeds={name: array[:images] for name, array in self.feeds.items()},
            labels=None if self.labels is None else self.labels[:images],
            reference={name: array[:images] for name, array in self.reference.items()},
            batch=self.batch,
        )


def samples(variants: Variants, feeds: Mapping[str, Array], labels: Array | None, batch: int) -> Samples:
    return Samples(feeds=feeds, labels=labels, batch=batch, reference=outputs(variants.run, feeds, batch))


def outputs(run: Callable[[Mapping[str, Array]], Mapping[str, Array]], feeds: Mapping[str, Array], batch: int) -> dict[str, Array]:
    """All outputs, (images, ...), a batch at a time. Raises InputError for an output without a leading axis of images."""
    made = [run(part) for part in batches(feeds, batch)]
    joined = {name: np.concatenate([np.atleast_1d(part[name]) for part in made]) for name in made[0]}
    images = len(next(iter(feeds.values())))
    wrong = next((name for name, array in joined.items() if len(array) != images), None)
    if wrong is not None:
        raise InputError(f"output '{wrong}' has {len(joined[wrong]):,} rows for {images:,} images; what is lost is measured image by image")
    return joined


def batches(feeds: Mapping[str, Array], batch: int) -> Iterator[dict[str, Array]]:
    for at in range(0, len(next(iter(feeds.values()))), batch):
        yield {name: array[at : at + batch] for name, array in feeds.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """What calibration tells of what meets each weight: the moments to compensate errors by, and how it is rounded. By the weight's name."""

    moments: Mapping[str, Array] = field(default_factory=dict[str, Array])
    rounded: Mapping[str, Rounded] = field(default_factory=dict[str, Rounded])


def calibrate(loaded: Loaded, weights: Sequence[Weight], parts: Iterable[Mapping[str, Array]], *, compensate: bool, rounding_to: str) -> Calibration:
    """Over all layers that share a weight. `rounding_to` is a format, or none."""
    is_rounded = rounding_to != DENSE
    if not compensate and not is_rounded:
        return Calibration()
    rng = np.random.default_rng(SEED)
    found: dict[str, Array] = {}
    some: dict[str, list[Array]] = {weight.name: [] for weight in weights}
    met = [(weight, name) for weight in weights for name in weight.inputs]
    for values in activations(loaded, [name for _, name in met], iter(parts)):
        for weight, name in met:
            made = moments(weight, values[name], rng) if compensate else None
            if made is not None:
                found[weight.name] = found[weight.name] + made if weight.name in found else made
            if is_rounded:
                some[weight.name].append(rng.choice(values[name].reshape(-1), MOST_ACTIVATIONS))
    rounded = {name: rounding(np.concatenate(each), rounding_to, SEARCH) for name, each in some.items() if is_rounded}
    return Calibration(moments=found, rounded=rounded)


def runnable(chip: Chip, choices: Sequence[Choice], rounding_to: str) -> tuple[list[Choice], list[tuple[Choice, RidgelineError]]]:
    """The choices that the chip runs, with inputs in that format where it multiplies by them, else in its own; and why it does not run the others."""
    kept: list[Choice] = []
    refused: list[tuple[Choice, RidgelineError]] = []
    for choice in choices:
        try:
            kept.append(_on_chip(chip, choice, rounding_to))
        except (UnsupportedError, InputError) as error:  # the latter for what depends on the values
            refused.append((choice, error))
    return kept, refused


def _on_chip(chip: Chip, choice: Choice, rounding_to: str) -> Choice:
    def ask(inputs: str | None) -> None:
        bits = read_format(choice.format_name).bits
        running(chip, weight=choice.format_name, weight_bits=bits, input=inputs, pattern=choice.pattern, size=ANY_SIZE)

    if rounding_to not in (DENSE, chip.format):
        try:
            ask(rounding_to)
            return replace(choice, activations=rounding_to)
        except UnsupportedError:
            pass
    ask(chip.format)
    return choice


@dataclass(slots=True, kw_only=True, eq=False)
class Study:
    """`stored[weight][choice]`."""

    weights: Sequence[Weight]
    choices: Sequence[Choice]
    stored: Sequence[Sequence[StoredWeight]]
    variants: Variants
    metric: Metric
    decoded: dict[tuple[int, int], Array] = field(default_factory=dict[tuple[int, int], Array])

    def loss(self, choices: Mapping[int, int], measured: Samples) -> float:
        """With those weights at those choices, the others as they are."""
        changed = {self.weights[weight].name: self._decoded(weight, choice) for weight, choice in choices.items()}
        rounded = {self.weights[weight].name for weight, choice in choices.items() if self.choices[choice].activations != DENSE}
        made = outputs(lambda feeds: self.variants.run(feeds, changed, rounded), measured.feeds, measured.batch)
        return self.metric.loss(made, measured.reference, measured.labels)

    def _decoded(self, weight: int, choice: int) -> Array:
        key = weight, choice
        if key not in self.decoded:
            while self.decoded and sum(array.nbytes for array in self.decoded.values()) > DECODED_BYTES:
                del self.decoded[next(iter(self.decoded))]
            self.decoded[key] = self.stored[weight][choice].decode()
        return self.decoded[key]

    def single_losses(self, measured: Samples, progress: Progress) -> Table:
        """Of each choice of each weight alone, on the first images."""
        some, done = measured.first(SENSED), 0
        table: list[list[float]] = []
        for weight, row in enumerate(self.stored):
            losses: list[float] = []
            for choice in range(len(row)):
                losses.append(self.loss({weight: choice}, some))
                done += 1
                progress(done, len(self.stored) * len(row))
            table.append(losses)
        return table

    def search(self, costs: Table, losses: Table, limit: float, measured: Samples) -> Outcome:
        def measure(choices: Choices) -> float:
            return self.loss(dict(enumerate(choices)), measured)

        return search(costs, losses, limit, measure)


def store_all(
    weights: Sequence[Weight], arrays: Mapping[str, Array], choices: Sequence[Choice], moments: Mapping[str, Array], progress: Progress
) -> list[list[StoredWeight]]:
    """Every weight in every choice. Raises InputError for weights that are not finite, naming the weight."""
    table: list[list[StoredWeight]] = []
    for number, weight in enumerate(weights):
        try:
            table.append([store(arrays[weight.name], weight.place, choice, moments.get(weight.name)) for choice in choices])
        except InputError as error:
            raise InputError(f"weight '{weight.name}': {error}") from error
        progress(number + 1, len(weights))
    return table
