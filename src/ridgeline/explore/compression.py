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
from ridgeline.mapping.running import depends_on_values, running

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
    """What calibration tells of what meets each weight: by its name the moments to compensate errors by, and by format and name how it is rounded."""

    moments: Mapping[str, Array] = field(default_factory=dict[str, Array])
    rounded: Mapping[str, Mapping[str, Rounded]] = field(default_factory=dict[str, Mapping[str, Rounded]])


def calibrate(
    loaded: Loaded, weights: Sequence[Weight], parts: Iterable[Mapping[str, Array]], *, compensate: bool, rounding_to: Sequence[str] = ()
) -> Calibration:
    """Over all layers that share a weight. `rounding_to` are formats; weights that meet the same values have the same scales."""
    if not compensate and not rounding_to:
        return Calibration()
    rng = np.random.default_rng(SEED)
    found: dict[str, Array] = {}
    some: dict[str, list[Array]] = {name: [] for weight in weights for name in weight.inputs}
    met = [(weight, name) for weight in weights for name in weight.inputs]
    for values in activations(loaded, [name for _, name in met], iter(parts)):
        for weight, name in met:
            made = moments(weight, values[name], rng) if compensate else None
            if made is not None:
                found[weight.name] = found[weight.name] + made if weight.name in found else made
        for name in some if rounding_to else ():
            some[name].append(rng.choice(values[name].reshape(-1), MOST_ACTIVATIONS))
    scales: dict[tuple[tuple[str, ...], str], Rounded] = {}
    for weight in weights:
        for kind in rounding_to:
            if (weight.inputs, kind) not in scales:
                scales[weight.inputs, kind] = rounding(np.concatenate([part for name in weight.inputs for part in some[name]]), kind, SEARCH)
    return Calibration(moments=found, rounded={kind: {weight.name: scales[weight.inputs, kind] for weight in weights} for kind in rounding_to})


def runnable(chip: Chip, choices: Sequence[Choice], activations: Sequence[str]) -> tuple[list[Choice], list[tuple[Choice, RidgelineError]]]:
    """Each choice with inputs in each of those formats, as far as the chip runs the pair; where it runs none of them, with inputs in the chip's own.
    And why it does not run the others."""
    kept: list[Choice] = []
    refused: list[tuple[Choice, RidgelineError]] = []
    for choice in choices:
        pairs = [replace(choice, activations=kind) for kind in activations]
        answers = [(pair, _refusal(chip, pair)) for pair in pairs]
        if choice not in pairs and all(error is not None for _, error in answers):
            answers.append((choice, _refusal(chip, choice)))
        kept += [pair for pair, error in answers if error is None]
        refused += [(pair, error) for pair, error in answers if error is not None]
    return kept, refused


def _refusal(chip: Chip, choice: Choice) -> RidgelineError | None:
    """Why the chip does not run it."""
    inputs = chip.format if choice.activations == DENSE else choice.activations
    bits = read_format(choice.format_name).bits
    speed = 1.0 if depends_on_values(chip, choice.format_name, inputs, choice.pattern) else None  # it is counted later
    try:
        running(chip, weight=choice.format_name, weight_bits=bits, input=inputs, pattern=choice.pattern, size=ANY_SIZE, speed=speed)
    except (UnsupportedError, InputError) as error:  # the latter for a pattern without a density
        return error
    return None


Term: TypeAlias = tuple[int | None, str]  # a choice whose weights are stored so, None as they are, and what inputs are rounded to


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
        return self._loss({weight: self._whole(choice) for weight, choice in choices.items()}, measured)

    def _loss(self, terms: Mapping[int, Term], measured: Samples) -> float:
        changed = {self.weights[weight].name: self._decoded(weight, choice) for weight, (choice, _) in terms.items() if choice is not None}
        rounded = {self.weights[weight].name: kind for weight, (_, kind) in terms.items() if kind != DENSE}
        made = outputs(lambda feeds: self.variants.run(feeds, changed, rounded), measured.feeds, measured.batch)
        return self.metric.loss(made, measured.reference, measured.labels)

    def _whole(self, choice: int) -> Term:
        """The first choice that stores weights so, and the inputs' format."""
        kinds = [_of_weights(each) for each in self.choices]
        return kinds.index(kinds[choice]), self.choices[choice].activations

    def _decoded(self, weight: int, choice: int) -> Array:
        key = weight, choice
        if key not in self.decoded:
            while self.decoded and sum(array.nbytes for array in self.decoded.values()) > DECODED_BYTES:
                del self.decoded[next(iter(self.decoded))]
            self.decoded[key] = self.stored[weight][choice].decode()
        return self.decoded[key]

    def terms(self) -> list[tuple[Term, ...]]:
        """What is measured of each choice of a weight alone: itself, or where several share them and that makes fewer measurements, the weight stored
        so with its inputs as they are, and its inputs rounded with the weight as it is. The losses of the two are added."""
        whole = [(self._whole(choice),) for choice in range(len(self.choices))]
        parts = [_parts(term) for (term,) in whole]
        return parts if len({term for row in parts for term in row}) < len({row[0] for row in whole}) else list(whole)

    def single_losses(self, measured: Samples, progress: Progress) -> Table:
        """Of each choice of each weight alone, on the first images, of the terms that `terms` says."""
        some, rows = measured.first(SENSED), self.terms()
        wanted = list(dict.fromkeys(term for row in rows for term in row))
        table: list[list[float]] = []
        for weight in range(len(self.weights)):
            losses: dict[Term, float] = {}
            for term in wanted:
                losses[term] = self._loss({weight: term}, some)
                progress(weight * len(wanted) + len(losses), len(self.weights) * len(wanted))
            table.append([sum(losses[term] for term in row) for row in rows])
        return table

    def search(self, costs: Table, losses: Table, limit: float, measured: Samples) -> Outcome:
        def measure(choices: Choices) -> float:
            return self.loss(dict(enumerate(choices)), measured)

        return search(costs, losses, limit, measure)


def _of_weights(choice: Choice) -> Choice:
    """Without what becomes of the inputs."""
    return replace(choice, activations=DENSE)


def _parts(term: Term) -> tuple[Term, ...]:
    choice, kind = term
    return ((choice, DENSE),) if kind == DENSE else ((choice, DENSE), (None, kind))


def store_all(
    weights: Sequence[Weight], arrays: Mapping[str, Array], choices: Sequence[Choice], moments: Mapping[str, Array], progress: Progress
) -> list[list[StoredWeight]]:
    """Every weight in every choice; choices that differ in their activations alone share what is stored.

    Raises InputError for weights that are not finite, naming the weight.
    """
    table: list[list[StoredWeight]] = []
    for number, weight in enumerate(weights):
        try:
            kinds = dict.fromkeys(_of_weights(choice) for choice in choices)
            made = {kind: store(arrays[weight.name], weight.place, kind, moments.get(weight.name)) for kind in kinds}
            table.append([replace(made[_of_weights(choice)], choice=choice) for choice in choices])
        except InputError as error:
            raise InputError(f"weight '{weight.name}': {error}") from error
        progress(number + 1, len(weights))
    return table
