"""Small records of partial mappings, and large ones."""

from __future__ import annotations

import pytest

from ridgeline.algorithm.nest import parse
from ridgeline.hardware.chip import read_chip
from ridgeline.mapping.loops import Conventions
from ridgeline.mapping.search import records
from ridgeline.mapping.search.solve import LEAST_EDP, best_mapping
from ridgeline.mapping.search.space import spaces

CONV = "n c (y+r) (x+q), m c r q -> n m y x"


def test_both_give_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    nest = parse(CONV, axes={"n": 1, "m": 6, "c": 4, "y": 5, "x": 3, "r": 3, "q": 2}, multiplies=True)
    chip = read_chip("tpu-like")
    small = best_mapping(nest, chip, LEAST_EDP)
    monkeypatch.setattr(records, "STATES", records.STATES[1:])
    large = best_mapping(nest, chip, LEAST_EDP)
    assert (small.worth, small.gap, small.covered) == (large.worth, large.gap, large.covered)


def test_what_small_ones_have_no_room_for() -> None:
    nest = parse(CONV, axes={"n": 2, "m": 6, "c": 4, "y": 5, "x": 3, "r": 3, "q": 2}, multiplies=True)
    found, _ = spaces(nest, read_chip("tpu-like"), Conventions(), "full")
    assert {records.STATES.index(space.state) for space in found} == {1}, "seven axes"
