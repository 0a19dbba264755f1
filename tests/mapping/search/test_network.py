"""Layers together: the product of two sums is not the sum of products."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.hardware.chip import Chip, read_chip
from ridgeline.mapping.estimate import estimate
from ridgeline.mapping.loops import Conventions
from ridgeline.mapping.search.network import Objective, map_nests, read_objective
from ridgeline.testing.brute import every_mapping, random_small_case


def points(nest: Nest, chip: Chip, rules: Conventions) -> list[tuple[float, int]]:
    """Energy and cycles of every mapping, those that another beats left out."""
    found: set[tuple[float, int]] = set()
    for mapping in every_mapping(nest, chip, imperfect=False):
        try:
            made = estimate(mapping, nest, chip, rules)
        except (DoesNotFitError, InputError):
            continue
        found.add((made.energy_pj, made.cycles))
    ordered = sorted(found)
    return [point for place, point in enumerate(ordered) if all(other[1] > point[1] for other in ordered[:place])]


@pytest.mark.parametrize("seed", range(25))
def test_equals_the_best_of_all_choices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, chip, rules = random_small_case(rng)
    second = parse("y c, c m -> y m", axes={"y": int(rng.integers(1, 4)), "c": 2, "m": int(rng.integers(1, 4))}, multiplies=True)
    fronts = [points(nest, chip, rules) for nest in (first, second, first)]
    if not all(fronts):
        with pytest.raises(DoesNotFitError, match="no mapping"):
            map_nests([first, second, first], chip, read_objective("edp"), space="timeloop", conventions=rules)
        return
    for name in ("energy", "latency", "edp", "energy*latency^2"):
        objective = read_objective(name)
        found = map_nests([first, second, first], chip, objective, space="timeloop", conventions=rules)
        best = min(objective.worth(sum(p[0] for p in choice), sum(p[1] for p in choice)) for choice in product(*fronts))
        worth = objective.worth(found.energy_pj, found.cycles)
        assert worth == pytest.approx(best, rel=1e-9)
        assert worth * (1 - found.gap) <= best * (1 + 1e-9)
        assert found.layers[0] is found.layers[2]


@pytest.mark.parametrize(
    ("text", "powers"),
    [("energy", (1, 0)), ("latency", (0, 1)), ("edp", (1, 1)), ("ed2p", (1, 2)), ("latency^3*energy", (1, 3)), ("energy^2", (2, 0))],
)
def test_objectives(text: str, powers: tuple[int, int]) -> None:
    assert read_objective(text) == Objective(energy_power=powers[0], cycles_power=powers[1])


@pytest.mark.parametrize("text", ["", "power", "energy^", "energy^0", "energy^10", "energy*energy", "edp*latency", "energy^-1", "energy^x"])
def test_objectives_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="give energy, latency, edp, ed2p, or a product such as"):
        read_objective(text)


def test_ctrl_c_ends_layers_that_search_for_minutes() -> None:
    hard = parse("n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 512, "c": 512, "y": 7, "x": 7, "r": 3, "q": 3}, multiplies=True)
    easy = parse("y c, c m -> y m", axes={"y": 2, "c": 2, "m": 2}, multiplies=True)

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_nests([hard, easy], read_chip("eyeriss-168"), read_objective("edp"), progress=interrupted)
