"""The baselines: legal mappings, never better than the proven best, the same for the same seed."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from ridgeline.algorithm.nest import parse
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.hardware.chip import Unroll, read_chip
from ridgeline.mapping.estimate import estimate
from ridgeline.mapping.loops import Conventions
from ridgeline.mapping.search.baseline import Method, Sampling, sample_mapping, sample_mappings
from ridgeline.mapping.search.solve import LEAST_EDP, best_mapping
from ridgeline.mapping.search.space import SpaceName
from ridgeline.testing.brute import random_small_case

METHODS: tuple[Method, ...] = ("random", "annealing")
PRODUCT = parse("y c, c m -> y m", axes={"y": 24, "c": 40, "m": 36}, multiplies=True)


def edp(energy_pj: float, cycles: float) -> float:
    return energy_pj * cycles


@pytest.mark.parametrize("method", METHODS)
def test_never_better_than_the_proven_best(method: Method) -> None:
    reached = looked_at = 0
    for seed in range(14):
        nest, chip, rules = random_small_case(np.random.default_rng(seed))
        try:
            best = best_mapping(nest, chip, LEAST_EDP, conventions=rules)
        except DoesNotFitError:
            with pytest.raises(DoesNotFitError, match="none of 50 sampled mappings"):
                sample_mapping(nest, chip, edp, Sampling(method=method, samples=50), rules)
            continue
        try:
            found = sample_mapping(nest, chip, edp, Sampling(method=method, samples=300, seed=seed), rules)
        except DoesNotFitError:
            continue
        looked_at += 1
        assert estimate(found.mapping, nest, chip, rules) == found.estimate
        worth = edp(found.estimate.energy_pj, found.estimate.cycles)
        assert worth >= best.worth * (1 - best.gap) * (1 - 1e-9)
        reached += worth <= best.worth * (1 + 1e-9)
    assert looked_at >= 6
    assert reached >= looked_at / 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["eyeriss-256", "tpu-like", "simba-like"])
def test_samples_obey_the_chips_constraints(method: Method, name: str) -> None:
    chip = read_chip(name)
    found = sample_mapping(PRODUCT, chip, edp, Sampling(method=method, samples=400))
    assert 0 < found.legal <= found.samples == 400
    for array, rule in chip.unroll.items():
        for axis, factor in rule.factors.items():
            assert any(
                loop.array == array and loop.axis == axis and loop.size == min(factor, PRODUCT.axes[axis]) for loop in found.mapping.loops
            )
    for level in chip.levels:
        assert all(level.name in found.mapping.positions[tensor] for tensor in level.must_keep)


@pytest.mark.parametrize("method", METHODS)
def test_what_the_chip_asks_for_may_leave_no_room_on_the_array(method: Method) -> None:
    """Whole y takes 12 of 16 rows, c all that is left or more, and m then nothing."""
    chip = msgspec.structs.replace(read_chip("eyeriss-256"), unroll={"rows": Unroll(axes=("c", "m", "y"), whole=("y",))}, loops={})
    nest = parse("y c, c m -> y m", axes={"y": 12, "c": 40, "m": 36}, multiplies=True)
    found = sample_mapping(nest, chip, edp, Sampling(method=method, samples=400))
    assert [loop.size for loop in found.mapping.loops if loop.array == "rows"] == [12]


def test_tensors_that_stay_on_the_chip() -> None:
    chip = msgspec.structs.replace(read_chip("eyeriss-256"), homes={"input": "glb", "output": "glb"})
    found = sample_mapping(PRODUCT, chip, edp, Sampling(method="random", samples=200))
    assert set(found.estimate.traffic_bytes["dram"]) == {"weight"}


def test_tensors_of_a_level_may_hold_different_loops() -> None:
    """But not in the space `timeloop`."""
    chip = msgspec.structs.replace(read_chip("eyeriss-256"), unroll={}, loops={})
    uneven: dict[SpaceName, int] = {"timeloop": 0, "full": 0}
    for seed in range(40):
        for space in uneven:
            found = sample_mapping(PRODUCT, chip, edp, Sampling(method="random", samples=40, seed=seed, space=space))
            at = {levels["glb"] for levels in found.mapping.positions.values() if "glb" in levels}
            uneven[space] += len(at) > 1
    assert uneven["full"] > 0
    assert uneven["timeloop"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_finds_the_same(method: Method) -> None:
    chip = read_chip("eyeriss-256")
    one, two, other = (sample_mapping(PRODUCT, chip, edp, Sampling(method=method, samples=60, seed=seed)) for seed in (1, 1, 2))
    assert one == two
    assert (one.mapping, one.legal) != (other.mapping, other.legal)


@pytest.mark.parametrize("space", ["timeloop", "zigzag"])
def test_factors_divide(space: SpaceName) -> None:
    fixed = {"rows": Unroll(factors={"c": 1}), "columns": Unroll(factors={"m": 1})} if space == "zigzag" else {}
    chip = msgspec.structs.replace(read_chip("eyeriss-256"), unroll=fixed, loops={})
    found = sample_mapping(PRODUCT, chip, edp, Sampling(method="random", samples=200, space=space))
    for axis, size in PRODUCT.axes.items():
        assert np.prod([loop.size for loop in found.mapping.loops if loop.axis == axis]) == size


def test_the_unrolling_of_zigzags_space_is_the_chips() -> None:
    with pytest.raises(InputError, match=r"space 'zigzag' takes the unrolling that the chip fixes; give unroll\.rows its factors"):
        sample_mapping(PRODUCT, read_chip("eyeriss-256"), edp, Sampling(method="random", samples=20, space="zigzag"))


def test_more_samples_are_no_worse_and_equal_layers_are_drawn_for_once() -> None:
    chip = read_chip("eyeriss-256")
    few, many = (sample_mapping(PRODUCT, chip, edp, Sampling(method="random", samples=samples)) for samples in (20, 200))
    assert edp(many.estimate.energy_pj, many.estimate.cycles) <= edp(few.estimate.energy_pj, few.estimate.cycles)
    twice = sample_mappings([PRODUCT, PRODUCT], chip, edp, Sampling(method="random", samples=20), Conventions())
    assert twice == (few, few)
