"""Timeloop's mapping YAML: what is written is read with the same counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.algorithm.timeloop import problem_text, read_timeloop_problem
from ridgeline.errors import RidgelineError, UnsupportedError
from ridgeline.hardware.chip import Chip, read_chip
from ridgeline.mapping.count import count
from ridgeline.mapping.exchange.timeloop import read_timeloop_mapping, timeloop_mapping
from ridgeline.mapping.loops import TIMELOOP, Loop, LoopMapping
from ridgeline.testing.brute import every_mapping, random_small_case
from ridgeline.testing.loops import random_case

CHIP = read_chip("eyeriss-256")
NEST = parse("n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 6, "c": 4, "y": 5, "x": 7, "r": 3, "q": 3}, multiplies=True)


def back(folder: Path, mapping: LoopMapping, nest: Nest, chip: Chip) -> LoopMapping:
    (folder / "mapping.yaml").write_text(timeloop_mapping(mapping, nest, chip))
    return read_timeloop_mapping(folder / "mapping.yaml", nest, chip)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mappings")


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_mappings_keep_their_counts(folder: Path, seed: int) -> None:
    """Those that Timeloop can express: the others are refused by name."""
    nest, chip, mapping, conventions = random_case(np.random.default_rng(seed))
    try:
        found = back(folder, mapping, nest, chip)
    except UnsupportedError:
        return
    assert count(found, nest, chip, conventions) == count(mapping, nest, chip, conventions)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_mapping_of_small_cases_has_a_form(folder: Path, seed: int) -> None:
    """Levels' tensors at one position, imperfect factors too: the space of the search."""
    rng = np.random.default_rng(seed)
    nest, chip, conventions = random_small_case(rng)
    seen = others = 0
    for number, mapping in enumerate(every_mapping(nest, chip, imperfect=True)):
        if number % 97 and seen > 3:
            continue
        seen += 1
        if seen > 25:
            break
        try:
            found = back(folder, mapping, nest, chip)
        except UnsupportedError:  # this generator spreads the array's axes the other way round
            others += 1
            continue
        assert count(found, nest, chip, conventions) == count(mapping, nest, chip, conventions)
    assert others == 0 or len(chip.array) > 1


def test_enough_random_mappings_have_a_form(folder: Path) -> None:
    """Else the test above would say little."""
    written = imperfect = 0
    for seed in range(300):
        nest, chip, mapping, _ = random_case(np.random.default_rng(seed))
        try:
            text = timeloop_mapping(mapping, nest, chip)
        except UnsupportedError:
            continue
        written += 1
        imperfect += '"' in text
    assert written > 40
    assert imperfect > 10


def test_a_search_s_mapping_has_a_form(folder: Path) -> None:
    from ridgeline.mapping.search.solve import LEAST_EDP, best_mapping

    for space in ("timeloop", "full"):
        made = best_mapping(NEST, CHIP, LEAST_EDP, space=space, conventions=TIMELOOP)
        assert count(back(folder, made.mapping, NEST, CHIP), NEST, CHIP, TIMELOOP) == count(made.mapping, NEST, CHIP, TIMELOOP)


LOOPS = (Loop(axis="y", size=5), Loop(axis="x", size=2), Loop(axis="m", size=2), Loop(axis="x", size=4, array="columns"),
         Loop(axis="c", size=4, array="rows"), Loop(axis="q", size=3, array="rows"), Loop(axis="r", size=3), Loop(axis="m", size=3))  # fmt: skip
MAPPING = LoopMapping(
    loops=LOOPS,
    positions={
        "input": {"dram": 0, "glb": 1, "input_register": 6},
        "weight": {"dram": 0, "weight_register": 6},
        "output": {"dram": 0, "glb": 1, "sum_register": 7},
    },
)


def test_an_imperfect_factor_has_a_residual(folder: Path) -> None:
    text = timeloop_mapping(MAPPING, NEST, CHIP)
    entries = {(entry["target"], entry["type"]): entry for entry in yaml.safe_load(text)["mapping"]}
    assert entries["glb", "temporal"]["factors"][:2] == ["Q=2", "M=2"]
    assert entries["glb", "temporal"]["permutation"][:2] == ["M", "Q"]
    assert entries["columns", "spatial"]["factors"][0] == "Q=4,3"
    assert entries["glb", "dataspace"]["bypass"] == ["Weights"]
    assert back(folder, MAPPING, NEST, CHIP) == MAPPING


def written(folder: Path, **changed: str) -> Path:
    """The mapping above in Timeloop's other notations."""
    lines = {
        "dram": "- {target: dram, type: temporal, factors: P5, permutation: PQR}",
        "glb": "- {target: glb, type: temporal, factors: 'Q2 K2', permutation: KQ}",
        "bypass": "- {target: glb, type: bypass, keep: [Inputs, Outputs], bypass: [Weights]}",
        "columns": "- {target: inter_columns_spatial, type: spatial, factors: 'Q=4,3', split: 7}",
        "idle": "- {target: inter_columns_spatial, type: temporal, factors: 'Q1 K1'}",
        "rows": "- {target: rows, type: spatial, factors: 'C=4,S=0', permutation: SC, split: 0}",
        "weight": "- {target: weight_register, type: temporal, factors: 'R=3'}",
        "sum": "- {target: sum_register, type: temporal, factors: ['M=3']}",
    } | changed  # fmt: skip
    (folder / "given.yaml").write_text("mapping:\n" + "\n".join(line for line in lines.values() if line) + "\n")
    return folder / "given.yaml"


def test_other_notations(folder: Path) -> None:
    assert read_timeloop_mapping(written(folder), NEST, CHIP) == MAPPING


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"glb": "- {target: glb, type: temporal, factors: 'Q3 M2'}"}, "the factors over 'x' make 11, but the layer has 7"),
        ({"columns": "- {target: columns, type: spatial, factors: 'Q=4'}"}, "the factors over 'x' make 8, but the layer has 7; an imperfect"),
        ({"columns": "- {target: columns, type: spatial, factors: 'Q=4,5'}"}, "a factor over 'x' is 4,5; the residual must be in 1..4"),
        ({"rows": "- {target: row, type: spatial, factors: 'C=4'}"}, "no fan-out of chip 'eyeriss-256' has this name; there are columns, rows"),
        ({"dram": "- {target: drum, type: temporal, factors: P5}"}, "chip 'eyeriss-256' has no such level; there are dram, glb"),
        ({"dram": "- {target: dram, type: temporal, factors: X5}"}, "'X' is no dimension; there are N, G, C, M, K, P, Q, R, S"),
        ({"dram": "- {target: dram, type: temporal, factors: P5 G2}"}, "factor G=2, but the layer has no such axis"),
        ({"dram": "- {target: dram, type: skew, factors: P5}"}, "type 'skew' has no counterpart; types are temporal, spatial and dataspace"),
        ({"dram": "- {target: 0, type: temporal, factors: P5}"}, "a target is the name of a level or container, not its number"),
        ({"idle": "- {target: rows, type: temporal, factors: 'C=2'}"}, "a fan-out keeps nothing and has no loops in time"),
        ({"sum": "- {target: sum_register, type: temporal, factors: 'M=3', no_reuse: [Inputs]}"}, "'no_reuse' has no counterpart"),
        ({"bypass": "- {target: glb, type: bypass, keep: [Weights]}"}, "level 'glb' of chip 'eyeriss-256' does not keep the weight"),
        ({"bypass": "- {target: glb, type: bypass, bypass: [Inputs]}"}, "level 'glb' may not be passed by the input"),
        ({"bypass": "- {target: glb, type: bypass, keep: [Inputs], bypass: [Inputs]}"}, "the input is in keep and in bypass"),
        ({"weight": "- {target: glb, type: temporal, factors: R3}"}, "a second 'temporal' of one target"),
        ({"weight": "- {target: weight_register, type: temporal, factor: R3}"}, "unknown field `factor`"),
        ({"weight": "- {target: weight_register, type: temporal, factors: [R, 3]}"}, "['R', 3] is no text and no list of texts"),
        ({"rows": "- {target: rows, type: spatial, factors: 'M=2 C=4 S=3'}"}, "24 multipliers along 'rows' of chip 'eyeriss-256', which has 16"),
    ],
)  # fmt: skip
def test_what_is_refused(folder: Path, changed: dict[str, str], message: str) -> None:
    if "24 multipliers" in message:
        changed = {**changed, "glb": "- {target: glb, type: temporal, factors: 'Q2'}"}
    with pytest.raises(RidgelineError) as caught:
        read_timeloop_mapping(written(folder, **changed), NEST, CHIP)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_has_no_form() -> None:
    def refused(loops: tuple[Loop, ...], **positions: dict[str, int]) -> str:
        with pytest.raises(UnsupportedError) as caught:
            timeloop_mapping(LoopMapping(loops=loops, positions={**MAPPING.positions, **positions}), NEST, CHIP)
        return str(caught.value)

    apart = refused(LOOPS, input={"dram": 0, "glb": 2, "input_register": 6}, output={"dram": 0, "glb": 0, "sum_register": 7})
    assert apart == "the output at level 'glb' is held at other loops than the level's other tensors"
    order = refused((LOOPS[0], *LOOPS[3:6], *LOOPS[1:3], *LOOPS[6:]))
    assert order == "the loops over axis 'x' in time and over the array stand in another order than Timeloop's levels do"
    split = (LOOPS[0], LOOPS[2], LOOPS[1], Loop(axis="m", size=3), *LOOPS[3:7])
    inner = {"input": {"dram": 0, "glb": 1, "input_register": 8}, "weight": {"dram": 0, "weight_register": 8}}
    twice = refused(split, output={"dram": 0, "glb": 1, "sum_register": 8}, **inner)
    assert twice == "'glb' has two loops over axis 'm', with others between them; Timeloop has one"


def test_a_chip_whose_tensors_stay_inside_has_no_form(folder: Path) -> None:
    text = timeloop_mapping(MAPPING, NEST, CHIP)
    (folder / "outside.yaml").write_text(text)
    chip = msgspec.structs.replace(CHIP, homes={"input": "glb"})
    inside = replace(MAPPING, positions={**MAPPING.positions, "input": {"glb": 0, "input_register": 6}})
    message = r"homes\.input is 'glb'; Timeloop's tensors begin and end at the outermost level"
    with pytest.raises(UnsupportedError, match=message):
        timeloop_mapping(inside, NEST, chip)
    with pytest.raises(UnsupportedError, match=message):
        read_timeloop_mapping(folder / "outside.yaml", NEST, chip)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_problems_read_back(folder: Path, seed: int) -> None:
    nest = random_case(np.random.default_rng(seed))[0]
    (folder / "layer.yaml").write_text(problem_text(nest))
    found = read_timeloop_problem(folder / "layer.yaml")
    read = found.work.layers[0].nest
    assert dict(read.axes) == dict(nest.axes)
    assert {found.dimensions[name] for name in found.dimensions} == set(nest.axes)
    for ours, other in zip(read.operands, nest.operands, strict=True):
        assert [dict(index) for index in ours.indices] == [dict(index) for index in other.indices]
