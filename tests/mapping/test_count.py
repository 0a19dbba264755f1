"""The closed form against the walk over single multiplications, on random mappings; bench/counts.py compares more."""

from collections import Counter

import numpy as np
import pytest

from ridgeline.mapping.count import count
from ridgeline.mapping.loops import check
from ridgeline.mapping.walk import walk
from ridgeline.testing.loops import FEATURES, ITERATIONS, features, random_case

CASES = 300


@pytest.mark.parametrize("first", range(0, CASES, 50))
def test_equal_to_the_walk(first: int) -> None:
    for seed in range(first, first + 50):
        nest, chip, mapping, conventions = random_case(np.random.default_rng(seed))
        counted, walked = count(mapping, nest, chip, conventions), walk(mapping, nest, chip, conventions)
        assert counted.steps == walked.steps, f"seed {seed}"
        assert dict(counted.accesses) == dict(walked.accesses), f"seed {seed}"


def test_random_cases_are_legal_and_have_everything_in_them() -> None:
    occurred: Counter[str] = Counter()
    for seed in range(CASES):
        case = random_case(np.random.default_rng(seed))
        nest, chip, mapping, _ = case
        check(mapping, nest, chip)
        assert nest.iterations <= ITERATIONS
        occurred.update(features(case))
    assert {name: occurred[name] for name in FEATURES if occurred[name] < CASES // 50} == {}


def test_same_seed_same_case() -> None:
    assert random_case(np.random.default_rng(7)) == random_case(np.random.default_rng(7))
