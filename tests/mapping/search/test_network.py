"""Layers together: the product of two sums is not the sum of products."""

from __future__ import annotations

from dataclasses import replace
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


def three_layers(seed: int) -> tuple[list[Nest], Chip, Conventions]:
    """Of which the first and the last are equal."""
    rng = np.random.default_rng(seed)
    first, chip, rules = random_small_case(rng)
    second = parse("y c, c m -> y m", axes={"y": int(rng.integers(1, 4)), "c": 2, "m": int(rng.integers(1, 4))}, multiplies=True)
    return [first, second, first], chip, rules


@pytest.mark.parametrize("seed", range(25))
def test_equals_the_best_of_all_choices(seed: int) -> None:
    nests, chip, rules = three_layers(seed)
    fronts = [points(nest, chip, rules) for nest in nests]
    if not all(fronts):
        with pytest.raises(DoesNotFitError, match="no mapping"):
            map_nests(nests, chip, read_objective("edp"), space="timeloop", conventions=rules)
        return
    for name in ("energy", "latency", "edp", "energy*latency^2"):
        objective = read_objective(name)
        found = map_nests(nests, chip, objective, space="timeloop", conventions=rules)
        best = min(objective.worth(sum(p[0] for p in choice), sum(p[1] for p in choice)) for choice in product(*fronts))
        worth = objective.worth(found.energy_pj, found.cycles)
        assert worth == pytest.approx(best, rel=1e-9)
        assert worth * (1 - found.gap) <= best * (1 + 1e-9)
        assert found.layers[0] is found.layers[2]


def sums(fronts: list[list[tuple[float, int]]]) -> list[tuple[float, int]]:
    return [(sum(p[0] for p in choice), sum(p[1] for p in choice)) for choice in product(*fronts)]


@pytest.mark.parametrize("seed", range(25))
def test_the_pareto_set_is_that_of_all_choices(seed: int) -> None:
    nests, chip, rules = three_layers(seed)
    fronts = [points(nest, chip, rules) for nest in nests]
    if not all(fronts):
        return
    ordered = sorted(set(sums(fronts)))
    best = [point for place, point in enumerate(ordered) if all(other[1] > point[1] for other in ordered[:place])]
    found = map_nests(nests, chip, read_objective("pareto"), space="timeloop", conventions=rules)
    assert found.gap == 0
    cycles = {point[1] for point in found.front}
    assert cycles <= {point[1] for point in best}
    for energy, fewest in best:
        assert any(e <= energy * (1 + 1e-6) and c <= fewest for e, c in found.front)


@pytest.mark.parametrize("seed", range(25))
def test_within_caps_it_is_the_best_of_all_choices(seed: int) -> None:
    nests, chip, rules = three_layers(seed)
    fronts = [points(nest, chip, rules) for nest in nests]
    if not all(fronts):
        return
    every = sums(fronts)
    fewest, least = min(point[1] for point in every), min(point[0] for point in every)
    caps = [("energy", fewest, np.inf), ("latency", np.inf, least), ("edp", 1.3 * fewest, 1.3 * least), ("ed2p", 9 * fewest, np.inf)]
    for name, cycles, energy in caps:
        objective = replace(read_objective(name), most_cycles=cycles, most_energy_pj=energy)
        allowed = [point for point in every if objective.allows(*point)]
        if not allowed:
            with pytest.raises(DoesNotFitError, match="no mappings meet the caps: these layers take at least"):
                map_nests(nests, chip, objective, space="timeloop", conventions=rules)
            continue
        found = map_nests(nests, chip, objective, space="timeloop", conventions=rules)
        assert objective.allows(found.energy_pj, found.cycles)
        assert found.gap == 0
        assert objective.worth(found.energy_pj, found.cycles) == pytest.approx(min(objective.worth(*point) for point in allowed), rel=1e-9)


def test_a_set_that_time_ends_says_how_far_it_may_be_off() -> None:
    nest = parse("n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 64, "c": 32, "y": 14, "x": 14, "r": 3, "q": 3}, multiplies=True)
    ended, longer = (map_nests([nest, nest], read_chip("eyeriss-168"), read_objective("pareto"), budget_s=s) for s in (0.8, 3.0))
    assert 0 < ended.gap < 1
    for energy, cycles in longer.front:
        assert any(e * (1 - ended.gap) <= energy * (1 + 1e-9) and c * (1 - ended.gap) <= cycles for e, c in ended.front)


@pytest.mark.parametrize(
    ("text", "powers"),
    [("energy", (1, 0)), ("latency", (0, 1)), ("edp", (1, 1)), ("ed2p", (1, 2)), ("latency^3*energy", (1, 3)), ("energy^2", (2, 0))],
)
def test_objectives(text: str, powers: tuple[int, int]) -> None:
    assert read_objective(text) == Objective(energy_power=powers[0], cycles_power=powers[1])


@pytest.mark.parametrize("text", ["", "power", "energy^", "energy^0", "energy^10", "energy*energy", "edp*latency", "energy^-1", "energy^x"])
def test_objectives_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="give energy, latency, edp, ed2p, pareto, or a product such as"):
        read_objective(text)


def test_ctrl_c_ends_layers_that_search_for_minutes() -> None:
    hard = parse("n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 512, "c": 512, "y": 7, "x": 7, "r": 3, "q": 3}, multiplies=True)
    easy = parse("y c, c m -> y m", axes={"y": 2, "c": 2, "m": 2}, multiplies=True)

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_nests([hard, easy], read_chip("eyeriss-168"), read_objective("edp"), progress=interrupted)
