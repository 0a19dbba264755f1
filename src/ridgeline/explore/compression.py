"""What a network loses with each choice of a format and a pattern for each weight, and what the choices cost on a chip."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, prod
from typing import Any, TypeAlias

import msgspec
import numpy as np

from ridgeline.algorithm.layers import Layer
from ridgeline.algorithm.metric import Metric
from ridgeline.algorithm.onnx.compressible import Variants, Weight
from ridgeline.algorithm.passes.compress import DENSE, Choice, Place, StoredWeight, store
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.explore.compress import Choices, Outcome, Table, search
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.running import running
from ridgeline.mapping.search.network import NetworkFound, map_nests, nest_key, read_objective

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Progress: TypeAlias = Callable[[int, int], None]
REDUCED = ("c", "r", "q", "t")  # axes of a nest that a product adds up along
MORE_TIME = (1, 4, 16)  # times its budget that a question gets
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
    return Samples(feeds=feeds, labels=labels, batch=batch, reference=outputs(variants, feeds, batch, {}))


def outputs(
    variants: Variants, feeds: Mapping[str, Array], batch: int, changed: Mapping[str, Array], rounded: Collection[str] = ()
) -> dict[str, Array]:
    """All outputs, (images, ...). Raises InputError for an output without a leading axis of images."""
    images = len(next(iter(feeds.values())))
    made = [variants.run({name: array[at : at + batch] for name, array in feeds.items()}, changed, rounded) for at in range(0, images, batch)]
    joined = {name: np.concatenate([np.atleast_1d(part[name]) for part in made]) for name in variants.outputs}
    wrong = next((name for name, array in joined.items() if len(array) != images), None)
    if wrong is not None:
        raise InputError(f"output '{wrong}' has {len(joined[wrong]):,} rows for {images:,} images; what is lost is measured image by image")
    return joined


@dataclass(slots=True, kw_only=True, eq=False)
class Study:
    """`stored[weight][choice]`: None where a weight does not take the choice."""

    weights: Sequence[Weight]
    choices: Sequence[Choice]
    stored: Sequence[Sequence[StoredWeight | None]]
    variants: Variants
    metric: Metric
    decoded: dict[tuple[int, int], Array] = field(default_factory=dict[tuple[int, int], Array])

    def place(self, name: str) -> Place:
        return place_of(next(weight for weight in self.weights if weight.name == name))

    def loss(self, choices: Mapping[int, int], measured: Samples) -> float:
        """With those weights at those choices, the others as they are."""
        changed = {self.weights[weight].name: self._decoded(weight, choice) for weight, choice in choices.items()}
        rounded = {self.weights[weight].name for weight, choice in choices.items() if self.choices[choice].activations != DENSE}
        made = outputs(self.variants, measured.feeds, measured.batch, changed, rounded)
        return self.metric.loss(made, measured.reference, measured.labels)

    def _decoded(self, weight: int, choice: int) -> Array:
        key = weight, choice
        if key not in self.decoded:
            stored = self.stored[weight][choice]
            if stored is None:
                raise KeyError(key)
            while self.decoded and sum(array.nbytes for array in self.decoded.values()) > DECODED_BYTES:
                del self.decoded[next(iter(self.decoded))]
            self.decoded[key] = stored.decode()
        return self.decoded[key]

    def single_losses(self, measured: Samples, progress: Progress) -> Table:
        """Of each choice of each weight alone, on the first images."""
        some, done = measured.first(SENSED), 0
        table: list[list[float]] = []
        for weight, row in enumerate(self.stored):
            losses: list[float] = []
            for choice, stored in enumerate(row):
                losses.append(inf if stored is None else self.loss({weight: choice}, some))
                done += 1
                progress(done, len(self.stored) * len(row))
            table.append(losses)
        return table

    def search(self, costs: Table, losses: Table, limit: float, measured: Samples) -> Outcome:
        def measure(choices: Choices) -> float:
            return self.loss(dict(enumerate(choices)), measured)

        return search(costs, losses, limit, measure)


def place_of(weight: Weight) -> Place:
    return Place(channel=weight.channel, reduction=weight.reduction, along=weight.along)


def store_all(
    weights: Sequence[Weight], arrays: Mapping[str, Array], choices: Sequence[Choice], moments: Mapping[str, Array], progress: Progress
) -> list[list[StoredWeight | None]]:
    """Every weight in every choice. Raises InputError for weights that are not finite, naming the weight."""
    table: list[list[StoredWeight | None]] = []
    for number, weight in enumerate(weights):
        try:
            table.append([store(arrays[weight.name], place_of(weight), choice, moments.get(weight.name)) for choice in choices])
        except InputError as error:
            raise InputError(f"weight '{weight.name}': {error}") from error
        progress(number + 1, len(weights))
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of all layers of a weight, or of a network; `bits` are stored."""

    time_s: float = 0.0
    energy_pj: float = 0.0
    bits: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(time_s=self.time_s + other.time_s, energy_pj=self.energy_pj + other.energy_pj, bits=self.bits + other.bits)

    def of(self, objective: str) -> float:
        return {"latency": self.time_s, "energy": self.energy_pj, "size": float(self.bits)}[objective]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """`table[weight][choice]`, None where the weight does not take it; `rest` is of layers without such weights, `plain` of each weight as it was."""

    table: Sequence[Sequence[Cost | None]]
    plain: Sequence[Cost]
    rest: Cost

    def worths(self, objective: str) -> Table:
        return [[inf if cost is None else cost.of(objective) for cost in row] for row in self.table]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pricing:
    """Layers on a chip, mapped for an objective; equal questions are asked once. `budget_s` is for each."""

    chip: Chip | None
    objective: str
    layers: Mapping[str, Sequence[Layer]]  # by the name of the node
    budget_s: float
    known: dict[object, Cost] = field(default_factory=dict[object, Cost])

    def cost(self, weight: Weight, stored: StoredWeight | None) -> Cost:
        """Of a weight's layers; as it was, in the chip's own format, where `stored` is None."""
        bits = weight.elements * 32 if stored is None else stored.bits
        if self.chip is None:
            return Cost(bits=bits)
        made = Cost()
        for layer in (layer for name in weight.layers for layer in self.layers.get(name, ())):
            made += self._mapped(layer, self.chip if stored is None else self._running(self.chip, stored, layer))
        return Cost(time_s=made.time_s, energy_pj=made.energy_pj, bits=bits)

    def rest(self, weights: Collection[Weight]) -> Cost:
        if self.chip is None:
            return Cost()
        taken = {name for weight in weights for name in weight.layers}
        others = (layer for name, layers in self.layers.items() if name not in taken for layer in layers)
        return sum((self._mapped(layer, self.chip) for layer in others), Cost())

    def _running(self, chip: Chip, stored: StoredWeight, layer: Layer) -> Chip:
        choice, axes = stored.choice, layer.nest.axes
        columns, depth = axes.get("m", 1), prod(axes[axis] for axis in REDUCED if axis in axes)
        size = layer.nest.iterations // (columns * depth), columns, depth
        bits = round(stored.bits_per_element, 3)
        inputs = chip.format if choice.activations == DENSE else choice.activations
        return running(chip, weight=choice.format_name, weight_bits=bits, input=inputs, pattern=choice.pattern, size=size)

    def _mapped(self, layer: Layer, chip: Chip) -> Cost:
        key = nest_key(layer.nest), msgspec.json.encode(chip)
        if key not in self.known:
            found = self._found(layer, chip)
            self.known[key] = Cost(time_s=found.cycles / (chip.clock_mhz * 1e6), energy_pj=found.energy_pj)
        return self.known[key]

    def _found(self, layer: Layer, chip: Chip) -> NetworkFound:
        """With more time where a first mapping takes it. Raises DoesNotFitError."""
        objective = read_objective("latency" if self.objective == "size" else self.objective)
        for more in MORE_TIME:
            try:
                return map_nests([layer.nest], chip, objective, budget_s=more * self.budget_s)
            except DoesNotFitError:
                continue
        return map_nests([layer.nest], chip, objective)


def price(pricing: Pricing, weights: Sequence[Weight], stored: Sequence[Sequence[StoredWeight | None]], progress: Progress) -> Costs:
    """Raises UnsupportedError for a format or pattern that the chip does not run."""
    table: list[list[Cost | None]] = []
    for number, (weight, row) in enumerate(zip(weights, stored, strict=True)):
        table.append([None if item is None else pricing.cost(weight, item) for item in row])
        progress(number + 1, len(weights))
    return Costs(table=table, plain=[pricing.cost(weight, None) for weight in weights], rest=pricing.rest(weights))
