"""What `compress --json` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ridgeline.algorithm.passes.compress import StoredWeight
    from ridgeline.explore.compression import Samples, Study
    from ridgeline.explore.fine_tuning import Try, Tuned
    from ridgeline.explore.loss_search import Outcome, Point
    from ridgeline.explore.pricing import Cost, Costs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What the summary is made from."""

    network: str
    objective: str
    metric: str
    chip: str | None
    limit: float
    study: Study
    costs: Costs
    outcome: Outcome
    losses: Sequence[Sequence[float]]
    images: int  # to calibrate on, of which losses are measured on those of `calibration`
    calibration: Samples
    test: Samples
    tuned: Tuned | None = None

    @property
    def kept(self) -> Try | None:
        """What is fine-tuned and takes the outcome's place."""
        return None if self.tuned is None else self.tuned.kept

    def best(self) -> Point:
        return self.outcome.best if self.kept is None else self.kept.after

    def chosen(self) -> list[StoredWeight]:
        if self.kept is not None:
            return list(self.kept.stored)
        return [row[choice] for row, choice in zip(self.study.stored, self.outcome.best.choices, strict=True)]

    def summary(self) -> dict[str, Any]:
        study, best = self.study, self.best()
        elements = sum(weight.elements for weight in study.weights)
        return {
            "network": self.network,
            "chip": self.chip,
            "objective": self.objective,
            "metric": self.metric,
            "limit": self.limit,
            "loss": {"calibration": best.loss, "test": self._tested_best()},
            "images": {"calibration": self.images, "measured": self.calibration.images, "test": self.test.images},
            "total": self._total(best.choices),
            "before": self._before(),
            "weights": {"compressed": len(study.weights), "elements": elements},
            "alone": self._alone(),
            "layers": [self._layer(number) for number in range(len(study.weights))],
            "single": [self._single(number) for number in range(len(study.choices))],
            "fine_tuned": self._fine_tuned(),
            "points": [self._point(point) for point in sorted(self._points(), key=lambda point: (point.cost, point.loss))],
        }

    def _tested_best(self) -> float:
        from ridgeline.explore.fine_tuning import loss_of

        return self._tested(self.outcome.best) if self.kept is None else loss_of(self.study, self.kept.stored, self.test)

    def _fine_tuned(self) -> dict[str, Any] | None:
        """What was tried, and what is found without."""
        if self.tuned is None:
            return None
        without = self.outcome.best
        return {
            "steps": self.tuned.options.steps,
            "learning_rate": self.tuned.options.learning_rate,
            "tries": [
                {"limit": each.limit, "loss_before": each.loss_before, "loss_after": each.after.loss, "cost": each.after.cost}
                for each in self.tuned.tries
            ],
            "kept": self.kept is not None,
            "without": {"loss": {"calibration": without.loss, "test": self._tested(without)}, "total": self._total(without.choices)},
        }

    def _points(self) -> tuple[Point, ...]:
        return self.outcome.points if self.kept is None else (*self.outcome.points, self.kept.after)

    def _tested(self, point: Point) -> float:
        return self.study.loss(dict(enumerate(point.choices)), self.test)

    def _alone(self) -> dict[str, Any]:
        """How many measurements of a weight alone there were, and whether a choice's loss is a sum of two: of its weights, of its inputs."""
        terms = self.study.terms()
        return {"measurements": len(self.study.weights) * len({term for row in terms for term in row}), "summed": any(len(row) > 1 for row in terms)}

    def _total(self, choices: Sequence[int]) -> dict[str, Any]:
        return self._figures([row[choice] for row, choice in zip(self.costs.table, choices, strict=True)])

    def _before(self) -> dict[str, Any]:
        return self._figures(list(self.costs.plain))

    def _figures(self, costs: Sequence[Cost]) -> dict[str, Any]:
        from ridgeline.explore.pricing import Cost

        made = sum(costs, Cost())
        elements = sum(weight.elements for weight in self.study.weights)
        found: dict[str, Any] = {"weight_bytes": -(-made.bits // 8), "bits_per_weight": made.bits / elements}
        if self.chip is not None:
            whole = made + self.costs.rest
            found |= {"time_s": whole.time_s, "energy_pj": whole.energy_pj, "mapping_gap": whole.gap}
        return found

    def _layer(self, number: int) -> dict[str, Any]:
        weight, choice = self.study.weights[number], self.best().choices[number]
        stored, cost, plain = self.study.stored[number][choice], self.costs.table[number][choice], self.costs.plain[number]
        on_chip = {} if self.chip is None else {"time_s": cost.time_s, "energy_pj": cost.energy_pj}
        on_chip |= {"steps": cost.steps, "dense_steps": cost.dense_steps} if cost.dense_steps else {}
        before = {} if self.chip is None else {"time_s_before": plain.time_s, "energy_pj_before": plain.energy_pj}
        return {
            "weight": weight.name, "layers": list(weight.layers), "shape": list(weight.shape), "format": stored.choice.format,
            "pattern": stored.choice.pattern, "activations": stored.choice.activations, "bits_per_element": stored.bits_per_element,
            "bytes": -(-stored.bits // 8), "loss_alone": self.losses[number][choice], **on_chip, **before,
        }  # fmt: skip

    def _single(self, choice: int) -> dict[str, Any]:
        """The whole network in one choice."""
        point = next((each for each in self.outcome.points if set(each.choices) == {choice}), None)
        one = self.study.choices[choice]
        named = {"choice": one.name, "format": one.format, "pattern": one.pattern, "activations": one.activations}
        if point is None:
            return {**named, "loss": None, "test_loss": None, "total": None}
        return {**named, "loss": point.loss, "test_loss": self._tested(point), "total": self._total(point.choices)}

    def _point(self, point: Point) -> dict[str, Any]:
        others = [other for other in self._points() if (other.cost, other.loss) != (point.cost, point.loss)]
        beaten = any(other.cost <= point.cost and other.loss <= point.loss for other in others)
        kinds = {self.study.choices[choice].name for choice in point.choices}
        return {
            "loss": point.loss, "cost": point.cost, "choice": kinds.pop() if len(kinds) == 1 else "mixed", "pareto": not beaten,
            "best": point is self.best(),
        }  # fmt: skip
