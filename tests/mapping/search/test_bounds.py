"""No mapping goes below what bounds say, and no certificate claims more than is true."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest

from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.estimate import estimate
from ridgeline.mapping.loops import LoopMapping, home
from ridgeline.mapping.search.solve import LEAST_CYCLES, LEAST_EDP, LEAST_ENERGY, Goal, best_mapping, prepare
from ridgeline.mapping.search.space import least_anywhere
from ridgeline.testing.brute import best_of_all, every_mapping, random_small_case, random_uneven_case

MOST_MAPPINGS = 300
GOALS: dict[str, Goal] = {"energy": LEAST_ENERGY, "latency": LEAST_CYCLES, "edp": LEAST_EDP}


def kept(mapping: LoopMapping, chip: Chip) -> frozenset[tuple[str, str]]:
    return frozenset((level, tensor) for tensor, levels in mapping.positions.items() for level in levels if level != home(chip, tensor).name)


@pytest.mark.parametrize("seed", range(10))
def test_every_mapping_takes_at_least_one_of_the_costs_of_the_levels_it_keeps(seed: int) -> None:
    nest, chip, rules = (random_uneven_case if seed % 2 else random_small_case)(np.random.default_rng(seed))
    try:
        prepared = prepare(nest, chip, "full", rules)
    except DoesNotFitError:
        pytest.skip("nothing fits")
    anywhere, checked = least_anywhere(prepared.spaces[0]), 0
    for mapping in every_mapping(nest, chip, imperfect=True, uneven=bool(seed % 2)):
        if checked == MOST_MAPPINGS:
            break
        try:
            made = estimate(mapping, nest, chip, rules)
        except DoesNotFitError:
            continue
        checked += 1
        for bound in (prepared.least[kept(mapping, chip)], anywhere):
            below = (bound.energy <= made.energy_pj * (1 + 1e-9)) & (bound.cycles <= made.cycles * (1 + 1e-9))
            assert below.any(), (mapping, made.energy_pj, made.cycles)
    if not checked:
        pytest.skip("nothing fits")


@pytest.mark.parametrize("seed", range(1000, 1004))
def test_a_search_that_time_ends_claims_no_more_than_is_true(seed: int) -> None:
    nest, chip, rules = random_uneven_case(np.random.default_rng(seed))
    best, count = best_of_all(nest, chip, rules, imperfect=True, uneven=True)
    for name, goal in GOALS.items() if count else ():
        found = best_mapping(nest, chip, goal, space="full", conventions=rules, stop=perf_counter())
        assert found.worth * (1 - found.gap) <= best[name] * (1 + 1e-9) <= found.worth * (1 + 2e-9)
