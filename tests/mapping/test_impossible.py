"""No estimate is below what must move or above the array's peak, on random mappings; and a count that is too small is caught."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from itertools import product
from math import prod

import msgspec
import numpy as np
import pytest

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.access import Access
from ridgeline.mapping.count import count
from ridgeline.mapping.estimate import estimate
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.testing.loops import random_case

CASES = 200
module = import_module("ridgeline.mapping.estimate")


def touched(nest: Nest, name: str) -> int:
    """Elements of a tensor, one multiplication at a time."""
    operand = next(operand for operand in nest.operands if operand.name == name)
    found: set[tuple[int, ...]] = set()
    for place in product(*(range(size) for size in nest.axes.values())):
        at = dict(zip(nest.axes, place, strict=True))
        found.add(tuple(sum(step * at[axis] for axis, step in index.items()) for index in operand.indices))
    return len(found)


def test_nothing_is_below_what_must_move_or_above_the_peak() -> None:
    looked_at = 0
    for seed in range(CASES):
        nest, chip, mapping, rules = random_case(np.random.default_rng(seed))
        try:
            made = estimate(mapping, nest, chip, replace(rules, latch=False))
        except DoesNotFitError:
            continue
        looked_at += 1
        assert made.cycles * prod(chip.array.values()) >= nest.iterations
        for tensor in ("input", "weight", "output"):
            level = mapping.chain(tensor, chip)[0].name
            assert made.traffic_bytes[level][tensor] * 8 >= touched(nest, tensor) * min(getattr(chip.widths, tensor), chip.widths.partial)
        assert made.energy_pj >= nest.iterations * chip.mac.pj
    assert looked_at > CASES / 4


def case_of_few_multipliers() -> tuple[Nest, Chip, LoopMapping]:
    """One that fits, on memories without a limit, of more multiplications than the array makes in a cycle."""
    for seed in range(CASES):
        nest, chip, mapping, rules = random_case(np.random.default_rng(seed))
        free = {"capacity_bytes": None, "read_bits_per_cycle": None, "write_bits_per_cycle": None, "one_port": False}
        chip = msgspec.structs.replace(chip, levels=tuple(msgspec.structs.replace(level, **free) for level in chip.levels))
        if nest.iterations > chip.macs and not rules.latch:
            return nest, chip, mapping
    raise LookupError


def test_a_count_that_is_too_small_is_our_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    nest, chip, mapping = case_of_few_multipliers()
    exact = count(mapping, nest, chip, Conventions())
    monkeypatch.setattr(module, "count", lambda *_: replace(exact, steps=1))
    with pytest.raises(AssertionError, match=r"MACs in 1 cycles are .* of the array's peak"):
        estimate(mapping, nest, chip)
    monkeypatch.setattr(module, "count", lambda *_: replace(exact, accesses=dict.fromkeys(exact.accesses, Access())))
    with pytest.raises(AssertionError, match="0 elements of the input pass level"):
        estimate(mapping, nest, chip)
