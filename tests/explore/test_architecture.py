"""Designs of a chip: the Pareto set against all pairs, the best against each design mapped alone, and designs that have no mapping."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flows import tiny

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.explore.architecture import Design, Mapped, explore_designs, pareto
from ridgeline.explore.store import Question, open_store
from ridgeline.explore.vary import designs, read_vary
from ridgeline.hardware.area import chip_area
from ridgeline.hardware.chip import read_chip
from ridgeline.hardware.vary import varied
from ridgeline.mapping.loops import Conventions
from ridgeline.mapping.search.network import map_nests, read_objective

CHIP = read_chip("eyeriss-256")
QUESTION = Question(objective=read_objective("edp"), space="full", conventions=Conventions())


def nests() -> list[Nest]:
    one = parse("n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 6, "c": 4, "y": 5, "x": 5, "r": 3, "q": 3}, multiplies=True)
    other = parse("n c, c m -> n m", axes={"n": 1, "c": 24, "m": 10}, multiplies=True)
    return [one, other, one]


def point(energy: int, time: int, area: int) -> Design:
    mapped = Mapped(energy_pj=energy, cycles=time, time_s=time, worth=energy * time, gap=0.0)
    return Design(parameters={"point": energy}, status="mapped", area_mm2=area, mapped=mapped)


@given(st.lists(st.tuples(*[st.integers(1, 6)] * 3), max_size=40))
def test_pareto_set_against_all_pairs(points: list[tuple[int, int, int]]) -> None:
    wanted = [one for one in points if not any(other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in points)]
    found = pareto([point(*values) for values in points])
    assert [(d.mapped.energy_pj, d.mapped.time_s, d.area_mm2) for d in found if d.mapped] == wanted


def test_each_design_is_the_chip_mapped_alone(tmp_path: Path) -> None:
    every = list(designs(read_vary("array.columns=4..16:x2 glb.capacity_bytes=1K,64K clock_mhz=100,200", CHIP)))
    with open_store(tmp_path / "a") as store:
        found = explore_designs(nests(), CHIP, every, QUESTION, store)
        assert (found.evaluated, found.reused) == (12, 0)
        again = explore_designs(nests(), CHIP, every, QUESTION, store)
        assert (again.evaluated, again.reused) == (0, 12)
    assert (again.designs, again.pareto, again.best) == (found.designs, found.pareto, found.best)
    assert found.gap == 0
    worths = []
    for values, design in zip(every, found.designs, strict=True):
        variant = varied(CHIP, values)
        alone = map_nests(nests(), variant, QUESTION.objective)
        assert design.mapped is not None
        assert (design.mapped.energy_pj, design.mapped.cycles) == pytest.approx((alone.energy_pj, alone.cycles))
        assert design.mapped.time_s == design.mapped.cycles / (values["clock_mhz"] * 1e6)
        assert design.area_mm2 == chip_area(variant).mm2
        worths.append(alone.energy_pj * alone.cycles / values["clock_mhz"])
    assert found.best.parameters == every[min(range(len(every)), key=lambda number: worths[number])]
    assert found.best in found.pareto


def test_designs_without_a_mapping_or_too_large_are_told(tmp_path: Path) -> None:
    cap = chip_area(varied(CHIP, {"array.columns": 8})).mm2
    every = list(designs(read_vary("array.columns=0,8,16 sum_register.capacity_bytes=1,32", CHIP)))
    with open_store(tmp_path / "a") as store:
        found = explore_designs(nests(), CHIP, every, QUESTION, store, area_cap_mm2=cap)
        statuses = [design.status for design in found.designs]
        assert statuses == ["no chip", "no chip", "no mapping", "mapped", "above the area cap", "above the area cap"]
        assert len(store) == 2, "only what fits under the cap is mapped, and what has no mapping is kept too"
        assert explore_designs(nests(), CHIP, every, QUESTION, store, area_cap_mm2=cap).evaluated == 0
    reason = found.designs[2].reason
    assert reason is not None
    assert "level 'sum_register' of chip 'eyeriss-256' needs 2 bytes" in reason


def test_no_design_is_left(tmp_path: Path) -> None:
    with open_store(tmp_path / "a") as store:
        with pytest.raises(
            DoesNotFitError, match=r"none of 2 designs has a mapping: .*level 'sum_register' of chip 'eyeriss-256' needs 2 bytes"
        ):
            explore_designs(nests(), CHIP, designs(read_vary("sum_register.capacity_bytes=1 array.rows=8,16", CHIP)), QUESTION, store)
        with pytest.raises(DoesNotFitError, match=r"none of 2 designs has a mapping: its area is above 0\.001 mm2"):
            explore_designs(nests(), CHIP, designs(read_vary("array.rows=8,16", CHIP)), QUESTION, store, area_cap_mm2=0.001)


def test_a_cap_without_areas(tmp_path: Path) -> None:
    old = msgspec.structs.replace(CHIP, node_nm=350)
    with open_store(tmp_path / "a") as store:
        with pytest.raises(InputError, match=r"--area-cap-mm2 5: chip 'eyeriss-256': \[mac\] has no area_mm2"):
            explore_designs(nests(), old, designs(read_vary("array.rows=8,16", old)), QUESTION, store, area_cap_mm2=5)
        found = explore_designs(nests(), old, designs(read_vary("array.rows=8,16", old)), QUESTION, store)
    assert [design.area_mm2 for design in found.designs] == [None, None]


def test_killed_at_random_moments_and_resumed(tmp_path: Path) -> None:
    """50 times: nothing kept is lost or evaluated again, and what comes out is byte for byte that of one run."""
    (tmp_path / "tiny.onnx").write_bytes(tiny.model())
    command = [sys.executable, str(Path(__file__).with_name("kills.py")), str(tmp_path), str(tmp_path / "tiny.onnx"), "50", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["killed"], found["again"], found["lost"], found["designs"]) == (50, 0, 0, 40)
    assert found["equal"] == found["rounds"]
    assert found["grew"] > found["rounds"], "some runs went on from what a killed one had kept"
