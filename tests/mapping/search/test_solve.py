"""The search against every mapping of small cases, and its certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter

import msgspec
import numpy as np
import pytest

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError, InputError, UnsupportedError
from ridgeline.hardware.chip import Chip, Unroll, read_chip
from ridgeline.mapping.estimate import estimate
from ridgeline.mapping.loops import TIMELOOP, ZIGZAG, Conventions
from ridgeline.mapping.search import kernel, solve
from ridgeline.mapping.search.solve import LEAST_CYCLES, LEAST_EDP, LEAST_ENERGY, best_mapping
from ridgeline.mapping.search.space import SpaceName
from ridgeline.mapping.search.study import compile_search
from ridgeline.testing.brute import best_of_all, random_small_case, random_uneven_case

GOALS = {"energy": LEAST_ENERGY, "latency": LEAST_CYCLES, "edp": LEAST_EDP}
CONV = parse("n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 64, "c": 64, "y": 56, "x": 56, "r": 3, "q": 3}, multiplies=True)


@pytest.fixture(scope="module")
def eyeriss() -> Chip:
    return read_chip("eyeriss-256")


def compare(nest: Nest, chip: Chip, rules: Conventions, best: Mapping[str, float], count: int, space: SpaceName) -> None:
    for name, goal in GOALS.items():
        if count == 0:
            with pytest.raises(DoesNotFitError, match="no mapping"):
                best_mapping(nest, chip, goal, space=space, conventions=rules)
            continue
        found = best_mapping(nest, chip, goal, space=space, conventions=rules)
        assert found.worth == pytest.approx(best[name], rel=1e-9)
        assert found.worth * (1 - found.gap) <= best[name] * (1 + 1e-9)


@pytest.mark.parametrize("seed", [*range(40), 1035])
def test_equals_the_best_of_all_mappings(seed: int) -> None:
    nest, chip, rules = random_small_case(np.random.default_rng(seed))
    best, count = best_of_all(nest, chip, rules, imperfect=False, uneven=False)
    compare(nest, chip, rules, best, count, "timeloop")


@pytest.mark.parametrize("width", [3, 20])
@pytest.mark.parametrize("seed", range(60))
def test_what_few_states_leave_aside_is_in_the_gap(seed: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    nest, chip, rules = random_small_case(np.random.default_rng(seed))
    best, count = best_of_all(nest, chip, rules, imperfect=False, uneven=False)
    monkeypatch.setattr(solve, "WIDTHS", (width,))
    for name, goal in GOALS.items() if count else ():
        try:
            found = best_mapping(nest, chip, goal, space="timeloop", conventions=rules)
        except DoesNotFitError:
            continue  # few states may find no mapping
        assert best[name] * (1 - 1e-9) <= found.worth
        assert found.worth * (1 - found.gap) <= best[name] * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(25))
def test_full_equals_the_best_of_all_imperfect_mappings(seed: int) -> None:
    """Where every tensor has its own level, or all are kept by each, as far as all mappings can be looked at."""
    nest, chip, rules = random_small_case(np.random.default_rng(seed))
    best, count = best_of_all(nest, chip, rules, imperfect=True, uneven=False)
    if 0 < count <= 60:
        best, count = best_of_all(nest, chip, rules, imperfect=True, uneven=True)
        compare(nest, chip, rules, best, count, "full")
    elif count:
        for name, goal in GOALS.items():
            assert best_mapping(nest, chip, goal, conventions=rules).worth <= best[name] * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(25))
def test_full_equals_the_best_of_all_uneven_mappings(seed: int) -> None:
    nest, chip, rules = random_uneven_case(np.random.default_rng(seed))
    best, count = best_of_all(nest, chip, rules, imperfect=True, uneven=True)
    compare(nest, chip, rules, best, count, "full")


def test_what_no_budget_counts_is_all_that_numba_compiles(eyeriss: Chip) -> None:
    compile_search()
    names = ("grow", "compact", "begin", "promise", "spread", "place", "finish", "merge", "products", "least_of_group", "positions")
    before = {name: len(getattr(kernel, name).signatures) for name in names}
    assert min(before.values()) > 0
    best_mapping(CONV, eyeriss, LEAST_EDP)
    assert {name: len(getattr(kernel, name).signatures) for name in names} == before


def test_row_stationary_convolution(eyeriss: Chip) -> None:
    """The mapping that Timeloop found for this chip and layer is the best: 6.28053 pJ a MAC and 688,128 cycles."""
    found = best_mapping(CONV, eyeriss, LEAST_ENERGY, space="timeloop", conventions=TIMELOOP)
    assert found.gap == 0
    assert found.estimate.energy_pj / CONV.iterations <= 6.281
    assert found.estimate.cycles <= 688_128


def test_the_larger_space_is_no_worse(eyeriss: Chip) -> None:
    small = parse("c (y+r), m c r -> m y", axes={"m": 7, "c": 5, "y": 11, "r": 3}, multiplies=True)
    free = msgspec.structs.replace(eyeriss, unroll={}, loops={}, array={"rows": 4, "columns": 4})
    for goal in GOALS.values():
        perfect, full = (best_mapping(small, free, goal, space=space) for space in ("timeloop", "full"))
        assert full.gap == perfect.gap == 0
        assert full.worth <= perfect.worth * (1 + 1e-9)


def test_caps(eyeriss: Chip) -> None:
    least = best_mapping(CONV, eyeriss, LEAST_ENERGY)
    fast = best_mapping(CONV, eyeriss, LEAST_CYCLES)
    capped = best_mapping(CONV, eyeriss, replace(LEAST_ENERGY, most_cycles=fast.estimate.cycles))
    assert capped.estimate.cycles == fast.estimate.cycles < least.estimate.cycles
    assert least.estimate.energy_pj < capped.estimate.energy_pj <= fast.estimate.energy_pj
    with pytest.raises(DoesNotFitError, match=r"on chip 'eyeriss-256' meets the caps of at most 5 pJ and 1,000 cycles$"):
        best_mapping(CONV, eyeriss, replace(LEAST_ENERGY, most_cycles=1_000, most_energy_pj=5.0))


def test_a_budget_gives_the_best_so_far_and_its_gap(eyeriss: Chip) -> None:
    free = msgspec.structs.replace(eyeriss, unroll={}, loops={})
    found = best_mapping(CONV, free, LEAST_ENERGY, stop=perf_counter() + 0.5)
    assert 0 < found.gap < 1
    assert estimate(found.mapping, CONV, free).energy_pj == found.estimate.energy_pj
    known = best_mapping(CONV, free, LEAST_ENERGY, stop=perf_counter() + 0.1, known=[(found.mapping, found.estimate)])
    assert known.worth <= found.worth


def test_compulsory_traffic_and_peak_are_bounds(eyeriss: Chip) -> None:
    found = best_mapping(CONV, eyeriss, LEAST_EDP).estimate
    assert found.cycles >= CONV.iterations / eyeriss.macs
    words = sum(CONV.footprint().values())
    assert sum(found.traffic_bytes["dram"].values()) >= 2 * words
    assert found.energy_pj > CONV.iterations * eyeriss.mac.pj


def tiny(**changes: object) -> Chip:
    return msgspec.structs.replace(read_chip("eyeriss-256"), unroll={}, loops={}, **changes)


def test_messages(eyeriss: Chip) -> None:
    levels = [msgspec.structs.replace(level, capacity_bytes=1) if level.name == "sum_register" else level for level in eyeriss.levels]
    with pytest.raises(DoesNotFitError, match="level 'sum_register' of chip 'eyeriss-256' needs 2 bytes, but it offers 1: 2 for the output"):
        best_mapping(CONV, tiny(levels=tuple(levels)), LEAST_EDP)
    asked = msgspec.structs.replace(eyeriss, unroll={"rows": Unroll(whole=("c",)), "columns": Unroll(whole=("m",))}, loops={})
    with pytest.raises(DoesNotFitError, match=r"unroll\.rows of chip 'eyeriss-256' asks for whole c = 64, but the array has 16 along 'rows'"):
        best_mapping(CONV, asked, LEAST_EDP)
    for rules in (ZIGZAG, Conventions(nominal=True), Conventions(latency="stalls")):
        with pytest.raises(UnsupportedError, match="cost a given mapping by ZigZag's rules or stalls"):
            best_mapping(CONV, eyeriss, LEAST_EDP, conventions=rules)
    with pytest.raises(InputError, match=r"its constraints let axis 'z' of nest .* run nowhere"):
        best_mapping(parse("z c, c m -> z m", axes={"z": 2, "c": 2, "m": 2}, multiplies=True), eyeriss, LEAST_EDP)
    scattered = parse("c y, c m r -> m (y*2+r)", axes={"c": 2, "y": 2, "m": 2, "r": 2}, multiplies=True)
    with pytest.raises(UnsupportedError, match="scattered into overlapping windows"):
        best_mapping(scattered, eyeriss, LEAST_EDP)
    huge = Nest(notation="y c, c m -> y m", axes={"y": 2**31, "c": 2**31, "m": 2}, inputs=scattered.inputs, output=parse(
        "y c, c m -> y m", axes={"y": 1, "c": 1, "m": 1}).output, multiplies=True)  # fmt: skip
    with pytest.raises(InputError, match="at most 2\\^62"):
        best_mapping(huge, eyeriss, LEAST_EDP)
