"""The search for ZigZag's rules against every order of loops that ZigZag itself would try."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError, UnsupportedError
from ridgeline.hardware.chip import read_chip
from ridgeline.mapping.estimate import estimate
from ridgeline.mapping.exchange.zigzag import Order, placed
from ridgeline.mapping.loops import ZIGZAG, LoopMapping
from ridgeline.mapping.search.even import even_mapping, even_mappings
from ridgeline.mapping.search.solve import LEAST_ENERGY

CHIP = read_chip("tpu-like")
CONV = "n c (y*s+r) (x*s+q), m c r q -> n m y x"
LANES = {"columns": "m", "rows": "c"}


def conv(stride: int = 1, **axes: int) -> Nest:
    return parse(CONV, axes={"n": 1, **axes}, factors={"s": stride}, multiplies=True)


def orders(nest: Nest, factors: tuple[tuple[str, int], ...]) -> Iterator[LoopMapping]:
    lanes = {array: {axis: min(32, nest.axes[axis])} for array, axis in LANES.items()}
    for order in dict.fromkeys(permutations(factors)):
        try:
            yield placed(Order(lanes=lanes, loops=order), nest, CHIP)
        except UnsupportedError:
            continue


@pytest.mark.parametrize(
    ("nest", "factors", "above"),
    [
        (conv(m=128, c=48, y=1, x=28, r=3, q=3), (("m", 4), ("c", 2), ("x", 28), ("r", 3), ("q", 3)), 0),
        (conv(m=512, c=512, y=7, x=7, r=1, q=1), (("m", 16), ("c", 4), ("c", 4), ("y", 7), ("x", 7)), 0),
        (
            parse("y c, c m -> y m", axes={"y": 4, "c": 384, "m": 1000}, multiplies=True),
            (("y", 4), ("c", 3), ("c", 4), ("m", 4), ("m", 8)),
            0,
        ),
        # What an access is rounded up to decides here: 25 lanes of 8 bits take 4 accesses of 64 bits.
        (conv(m=100, c=3, y=56, x=56, r=1, q=1, stride=2), (("m", 4), ("y", 56), ("x", 7), ("x", 8)), 0.002),
    ],
)
def test_not_above_any_of_zigzags_orders(nest: Nest, factors: tuple[tuple[str, int], ...], above: float) -> None:
    energies: list[float] = []
    for mapping in orders(nest, factors):
        try:
            energies.append(estimate(mapping, nest, CHIP, ZIGZAG).energy_pj)
        except DoesNotFitError:
            continue
    assert len(energies) > 10
    assert estimate(even_mapping(nest, CHIP, LEAST_ENERGY), nest, CHIP, ZIGZAG).energy_pj <= min(energies) * (1 + above + 1e-9)


def test_equal_nests_have_one_mapping() -> None:
    nests = [conv(m=64, c=32, y=8, x=8, r=3, q=3), conv(m=32, c=32, y=8, x=8, r=1, q=1), conv(m=64, c=32, y=8, x=8, r=3, q=3)]
    first, other, again = even_mappings(nests, CHIP, LEAST_ENERGY)
    assert first is again
    assert first != other
