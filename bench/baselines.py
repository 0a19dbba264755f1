"""What random search and simulated annealing find in the time of the proven search."""

from __future__ import annotations

from math import inf
from time import perf_counter

from bench.row import Row
from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.chip import Chip, read_chip
from ridgeline.mapping.search.baseline import Method, Sampling, sample_mapping
from ridgeline.mapping.search.solve import LEAST_EDP, best_mapping

CHIP = "tpu-like"
SEEDS = 5
METHODS: tuple[Method, ...] = ("random", "annealing")
LAYERS: dict[str, Nest] = {
    "conv 3x3, 56x56, 64 -> 64": parse(
        "n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 64, "c": 64, "y": 56, "x": 56, "r": 3, "q": 3}, multiplies=True
    ),
    "depthwise 3x3, 28x28, 144": parse("g (y+r) (x+q), g r q -> g y x", axes={"g": 144, "y": 28, "x": 28, "r": 3, "q": 3}, multiplies=True),
    "matmul 128 x 768 x 768": parse("y c, c m -> y m", axes={"y": 128, "c": 768, "m": 768}, multiplies=True),
}


def measure() -> list[Row]:
    chip = read_chip(CHIP)
    return [_row(name, nest, chip) for name, nest in LAYERS.items()]


def _row(name: str, nest: Nest, chip: Chip) -> Row:
    """The median of a few seeds. A baseline anneals over the samples that it would look at in that time."""
    best_mapping(nest, chip, LEAST_EDP)  # compiles once
    best = best_mapping(nest, chip, LEAST_EDP)
    found = {method: sorted(_sampled(nest, chip, (method, seed), best.time_s) / best.worth for seed in range(SEEDS)) for method in METHODS}
    words = {method: "no mapping" if ratios[SEEDS // 2] == inf else f"{ratios[SEEDS // 2]:.3g} x" for method, ratios in found.items()}
    return Row(
        figure=f"{name} on {chip.name}: energy x delay of baselines in the proven search's time, over the optimum",
        value=f"random {words['random']}, annealing {words['annealing']}",
        target=">= 1, as the optimum is proven",
        worst=f"median of {SEEDS} seeds; the search takes {best.time_s:.2f} s, gap {best.gap:.2g}",
        holds=best.gap == 0 and min(min(ratios) for ratios in found.values()) >= 1 - 1e-9,
    )


def _sampled(nest: Nest, chip: Chip, drawn: tuple[Method, int], time_s: float) -> float:
    """Energy x cycles of the best sample, infinite where none fits."""
    method, seed = drawn
    try:
        samples = max(1, int(time_s / _time_of_one(nest, chip, method)))
        found = sample_mapping(nest, chip, _edp, Sampling(method=method, samples=samples, seed=seed, stop=perf_counter() + time_s))
    except DoesNotFitError:
        return inf
    return _edp(found.estimate.energy_pj, found.estimate.cycles)


def _time_of_one(nest: Nest, chip: Chip, method: Method) -> float:
    start, samples = perf_counter(), 200
    sample_mapping(nest, chip, _edp, Sampling(method=method, samples=samples))
    return (perf_counter() - start) / samples


def _edp(energy_pj: float, cycles: float) -> float:
    return energy_pj * cycles
