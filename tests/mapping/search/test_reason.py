"""The reason for no mapping against every mapping of small cases, and against the search where constraints collide."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.hardware.chip import Chip, Loops, Unroll, read_chip
from ridgeline.mapping.estimate import occupied_bytes
from ridgeline.mapping.loops import Conventions, LoopMapping, check
from ridgeline.mapping.search.reason import why_none
from ridgeline.mapping.search.solve import LEAST_ENERGY, best_mapping
from ridgeline.testing.brute import every_mapping, random_small_case, random_uneven_case

LACK = re.compile(r"level '(\w+)' of chip '[\w-]+' needs ([\d,]+) bytes, but it offers ([\d,]+)")
CONV = parse("n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 64, "c": 64, "y": 56, "x": 56, "r": 3, "q": 3}, multiplies=True)
RULES = Conventions()


def lack(reason: str) -> tuple[str, int, int]:
    found = LACK.search(reason)
    assert found, reason
    return found[1], int(found[2].replace(",", "")), int(found[3].replace(",", ""))


def least_lack(nest: Nest, chip: Chip, rules: Conventions) -> float:
    """Over every mapping: the least of its largest lacks, in bytes."""
    least = float("inf")
    for mapping in every_mapping(nest, chip, imperfect=True):
        try:
            check(mapping, nest, chip)
        except InputError:
            continue
        held = occupied_bytes(mapping, nest, chip, rules)
        lacks = [held[level.name] - level.usable_bytes for level in chip.levels[1:] if level.usable_bytes is not None]
        least = min(least, max(lacks))
    return least


def confined_chip(rng: np.random.Generator, chip: Chip, nest: Nest) -> Chip:
    """Some levels run only some axes, the outermost too."""
    loops: dict[str, Loops] = {}
    for level in chip.levels:
        if rng.random() < 0.9:
            loops[level.name] = Loops(axes=tuple(axis for axis in nest.axes if rng.random() < 0.6))
    levels = tuple(
        level if level is chip.levels[0] else msgspec.structs.replace(level, capacity_bytes=int(rng.integers(2, 12)))
        for level in chip.levels
    )
    return msgspec.structs.replace(chip, loops=loops, levels=levels)


def test_the_level_and_its_bytes_are_those_of_every_mapping() -> None:
    lacking = nowhere = 0
    for seed in range(90):
        rng = np.random.default_rng(seed)
        nest, chip, rules = random_small_case(rng)
        if nest.iterations > 36:
            continue
        chip = confined_chip(rng, chip, nest)
        least = least_lack(nest, chip, rules)
        if least <= 0:
            continue
        reason = why_none(nest, chip, rules, split=False)
        if least == float("inf"):
            nowhere += 1
            assert "let no level run" in reason
            continue
        lacking += 1
        name, needed, offered = lack(reason)
        assert offered == chip.level(name).usable_bytes
        assert needed - offered == int(np.ceil(least))
    assert lacking >= 8
    assert nowhere >= 3


def test_a_nest_that_maps_lacks_nothing() -> None:
    """Constraints of every kind, as far as the search takes them."""
    mapped = failed = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        nest, chip, rules = random_small_case(rng)
        chip = confined_chip(rng, chip, nest)
        axes = list(nest.axes)
        array = next(iter(chip.array))
        axis = axes[int(rng.integers(len(axes)))]
        rule = Unroll(whole=(axis,)) if rng.random() < 0.5 else Unroll(axes=tuple(axes[:2]), factors={axis: 1})
        chip = msgspec.structs.replace(chip, unroll={array: rule})
        reason = why_none(nest, chip, rules)
        try:
            best_mapping(nest, chip, LEAST_ENERGY, conventions=rules)
        except (DoesNotFitError, InputError):
            failed += 1
            assert "fit chip" not in reason
        else:
            mapped += 1
            assert "the smallest tiles fit chip" in reason
    assert mapped >= 10
    assert failed >= 10


@pytest.fixture(scope="module")
def eyeriss() -> Chip:
    return read_chip("eyeriss-256")


def test_whole_axes_beyond_the_capacity(eyeriss: Chip) -> None:
    """Rows of 56 and the 16 that the columns take, 58 x 18 inputs of 2 bytes a channel, with the outputs of one: by hand."""
    chip = msgspec.structs.replace(
        eyeriss, unroll={"columns": Unroll(factors={"x": 16}), "rows": Unroll(whole=("q",))},
        levels=tuple(msgspec.structs.replace(level, capacity_bytes=1_000) if level.name == "glb" else level for level in eyeriss.levels),
    )  # fmt: skip
    reason = why_none(CONV, chip, RULES)
    assert lack(reason) == ("glb", 2 * 58 * 18 + 2 * 56 * 16, 1_000)
    for words in ("loops.glb runs y whole, 56", "unroll.columns spreads 16 of x inside it", "2,088 for the input", "1,792 for the output"):
        assert words in reason
    assert reason.count("\n") == 0


def test_one_element_that_does_not_fit(eyeriss: Chip) -> None:
    levels = tuple(
        msgspec.structs.replace(level, capacity_bytes=1, must_keep=("input",)) if level.name == "input_register" else level
        for level in eyeriss.levels
    )
    reason = why_none(CONV, msgspec.structs.replace(eyeriss, levels=levels), RULES)
    assert lack(reason) == ("input_register", 6, 1)
    assert "as loops.weight_register runs r whole, 3;" in reason
    product = parse("y c, c m -> y m", axes={"y": 8, "c": 8, "m": 8}, multiplies=True)
    reason = why_none(product, msgspec.structs.replace(eyeriss, levels=levels), RULES)
    assert lack(reason) == ("input_register", 2, 1)
    assert "for one element of each" in reason


def test_constraints_that_collide(eyeriss: Chip) -> None:
    def reason(**changed: object) -> str:
        return why_none(CONV, msgspec.structs.replace(eyeriss, **changed), RULES)

    asked = reason(unroll={**eyeriss.unroll, "rows": Unroll(whole=("q",), factors={"c": 8})})
    assert "unroll.rows of chip 'eyeriss-256' asks for factors c = 8 and whole q = 3, but the array has 16 along 'rows'" in asked
    lost = reason(
        loops={level.name: Loops(axes=("c", "y", "x", "r", "q")) for level in eyeriss.levels},
        unroll={"rows": Unroll(axes=("c", "m")), "columns": Unroll(axes=("x",))},
    )
    assert "and loops.sum_register of chip 'eyeriss-256' let no level run the axis 'm'" in lost
    assert lost.endswith("unroll.rows takes 16 of its 64 steps")


def test_a_tensor_whose_home_is_too_small(eyeriss: Chip) -> None:
    """58 x 58 inputs of 64 channels, and one output each: by hand."""
    chip = msgspec.structs.replace(eyeriss, unroll={}, loops={}, homes={"input": "glb"})
    reason = why_none(CONV, chip, RULES)
    assert lack(reason) == ("glb", 2 * 58 * 58 * 64 + 2, 131_072)
    assert "as the whole input has its home there; relax one, drop one of its must_keep (input, output), or raise" in reason


def test_what_does_not_fit_with_uneven_tiles_and_homes() -> None:
    """Against every mapping, tensors of a level at different loops included."""
    lacking = homes = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        nest, chip, rules = random_uneven_case(rng)
        if nest.iterations > 12:
            continue
        small = [msgspec.structs.replace(level, must_keep=level.keeps, capacity_bytes=int(rng.integers(1, 4))) for level in chip.levels[1:]]
        chip = msgspec.structs.replace(chip, levels=(chip.levels[0], *small))
        least = float("inf")
        for mapping in legal(nest, chip):
            tiles = occupied_bytes(mapping, nest, chip, rules)
            least = min(least, max(tiles[level.name] - (level.usable_bytes or 0) for level in chip.levels[1:]))
            if least <= 0:
                break
        if least > 0:
            lacking, homes = lacking + 1, homes + bool(chip.homes)
            _, needed, offered = lack(why_none(nest, chip, rules))
            assert needed - offered == int(np.ceil(least))
    assert lacking >= 5
    assert homes >= 2


def legal(nest: Nest, chip: Chip) -> Iterator[LoopMapping]:
    for mapping in every_mapping(nest, chip, imperfect=True, uneven=True):
        try:
            check(mapping, nest, chip)
        except InputError:
            continue
        yield mapping
