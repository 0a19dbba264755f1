"""What weights in their formats and patterns cost on a chip.

Where a chip steps over the zeros of both operands, a layer's steps are counted on the bitmap of its stored weights and on those of the inputs that
calibration met: speed = dense steps / counted steps. The array takes 1 / speed of the time that its mapping takes dense, and no memory moves more
bits a second: time = the larger of array cycles / (clock x speed) and each level's bits / its rate, of the best mapping for these. Inputs move as
bitmaps too: a bit an element and the values that are not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TypeAlias

import msgspec

from ridgeline.algorithm.layers import Layer
from ridgeline.algorithm.onnx.compressible import Weight
from ridgeline.algorithm.passes.compress import DENSE, Choice, StoredWeight
from ridgeline.errors import DoesNotFitError
from ridgeline.explore.bitmaps import Met
from ridgeline.explore.loss_search import Table
from ridgeline.formats.sparsity import Steps
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.dual_side import speed
from ridgeline.mapping.running import depends_on_values, running
from ridgeline.mapping.search.network import NetworkFound, map_nests, nest_key, read_objective

Progress: TypeAlias = Callable[[int, int], None]
REDUCED = ("c", "r", "q", "t")  # axes of a nest that a product adds up along
MORE_TIME = (1, 4, 16)  # times its budget that a question gets


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of all layers of a weight, or of a network; `bits` are stored. `steps` of `dense_steps` were counted from bitmaps, on a sample of
    the layers' tiles; none where zeros of values save nothing."""

    time_s: float = 0.0
    energy_pj: float = 0.0
    bits: int = 0
    gap: float = 0.0  # of the worst mapping to the best that there could be, relative
    steps: int = 0
    dense_steps: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            time_s=self.time_s + other.time_s, energy_pj=self.energy_pj + other.energy_pj, bits=self.bits + other.bits,
            gap=max(self.gap, other.gap), steps=self.steps + other.steps, dense_steps=self.dense_steps + other.dense_steps,
        )  # fmt: skip

    def of(self, objective: str) -> float:
        return {"latency": self.time_s, "energy": self.energy_pj, "size": float(self.bits)}[objective]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """`table[weight][choice]`; `rest` is of layers without such weights, `plain` of each weight as it was."""

    table: Sequence[Sequence[Cost]]
    plain: Sequence[Cost]
    rest: Cost

    def worths(self, objective: str) -> Table:
        return [[cost.of(objective) for cost in row] for row in self.table]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pricing:
    """Layers on a chip, mapped for an objective; equal questions are asked once. `budget_s` is for each. `met`: what bitmaps are counted
    on, where the chip skips zeros of values."""

    chip: Chip | None
    objective: str
    layers: Sequence[Layer]
    budget_s: float
    met: Met | None = None
    known: dict[object, Cost] = field(default_factory=dict[object, Cost])

    def cost(self, weight: Weight, stored: StoredWeight | None) -> Cost:
        """Of a weight's layers; as it was, in the chip's own format, where `stored` is None."""
        bits = weight.elements * weight.bits if stored is None else stored.bits
        if self.chip is None:
            return Cost(bits=bits)
        made = Cost()
        for layer in (layer for layer in self.layers if weight.name in layer.inputs):
            counted = None if stored is None else self._counted(self.chip, weight, stored, layer)
            made += self._mapped(layer, self.chip if stored is None else self._running(self.chip, stored, layer, counted))
            if counted is not None:
                made += Cost(steps=counted.sparse, dense_steps=counted.dense)
        return replace(made, bits=bits)

    def rest(self, weights: Collection[Weight]) -> Cost:
        if self.chip is None:
            return Cost()
        names = {weight.name for weight in weights}
        return sum((self._mapped(layer, self.chip) for layer in self.layers if names.isdisjoint(layer.inputs)), Cost())

    def _counted(self, chip: Chip, weight: Weight, stored: StoredWeight, layer: Layer) -> Steps | None:
        choice = stored.choice
        if self.met is None or not depends_on_values(chip, choice.format_name, inputs_format(chip, choice), choice.pattern):
            return None
        return self.met.steps(layer, weight, stored.decode())

    def _running(self, chip: Chip, stored: StoredWeight, layer: Layer, counted: Steps | None) -> Chip:
        choice, axes = stored.choice, layer.nest.axes
        columns, depth = axes.get("m", 1), prod(axes[axis] for axis in REDUCED if axis in axes)
        size = layer.nest.iterations // (columns * depth), columns, depth
        bits = round(stored.bits_per_element, 3)
        inputs = inputs_format(chip, choice)
        if counted is None or self.met is None:
            return running(chip, weight=choice.format_name, weight_bits=bits, input=inputs, pattern=choice.pattern, size=size)
        held = round(1 + self.met.density(layer) * chip.widths.input, 3)  # a bit of the bitmap, and the values
        return running(
            chip, weight=choice.format_name, weight_bits=bits, input=inputs, input_bits=held, pattern=choice.pattern, speed=speed(counted)
        )

    def _mapped(self, layer: Layer, chip: Chip) -> Cost:
        key = nest_key(layer.nest), msgspec.json.encode(chip)
        if key not in self.known:
            found = self._found(layer, chip)
            self.known[key] = Cost(time_s=found.cycles / (chip.clock_mhz * 1e6), energy_pj=found.energy_pj, gap=found.gap)
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


def inputs_format(chip: Chip, choice: Choice) -> str | None:
    """Of inputs that are rounded to nothing, the chip's own."""
    return chip.format if choice.activations == DENSE else choice.activations


def price(pricing: Pricing, weights: Sequence[Weight], stored: Sequence[Sequence[StoredWeight]], progress: Progress) -> Costs:
    """Raises UnsupportedError for a format or pattern that the chip does not run."""
    table: list[list[Cost]] = []
    for number, (weight, row) in enumerate(zip(weights, stored, strict=True)):
        table.append([pricing.cost(weight, item) for item in row])
        progress(number + 1, len(weights))
    return Costs(table=table, plain=[pricing.cost(weight, None) for weight in weights], rest=pricing.rest(weights))
