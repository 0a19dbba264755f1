"""A user's constraints: what they replace, and what is said of those that collide."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ridgeline.errors import InputError
from ridgeline.hardware.chip import Chip, Loops, Systolic, Unroll, read_chip
from ridgeline.hardware.constraints import constrained


def applied(tmp_path: Path, text: str, name: str = "eyeriss-256") -> Chip:
    (tmp_path / "own.toml").write_text(text)
    return constrained(read_chip(name), tmp_path / "own.toml")


def test_tables_replace_the_chips_of_their_name(tmp_path: Path) -> None:
    chip, before = (
        applied(tmp_path, "[unroll.rows]\nfactors = { c = 4 }\n[loops.glb]\n[levels.glb]\nkeeps = ['input']\n"),
        read_chip("eyeriss-256"),
    )
    assert chip.unroll == {**before.unroll, "rows": Unroll(factors={"c": 4})}
    assert chip.loops == {**before.loops, "glb": Loops()}
    assert (chip.level("glb").keeps, chip.level("glb").must_keep) == (("input",), ("input",))
    assert [level for level in chip.levels if level.name != "glb"] == [level for level in before.levels if level.name != "glb"]


def test_no_constraints_change_nothing(tmp_path: Path) -> None:
    assert applied(tmp_path, "") == read_chip("eyeriss-256")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[unroll.depth]\n", "unroll: the array has no axis 'depth'; it has rows, columns"),
        ("[loops.gbl]\n", "loops: no level is called 'gbl'; there are dram, glb,"),
        ("[levels.gbl]\n", "levels: unknown level 'gbl'; did you mean 'glb'?"),
        ("[levels.glb]\nkeeps = ['bias']\n", "Invalid enum value 'bias'"),
        ("[levels.glb]\nmust_keep = ['weight']\n", "level 'glb' must keep the weight, which is not in its 'keeps'"),
        ("[levels.dram]\nkeeps = ['input', 'output']\n", "the outermost level 'dram' does not keep the weight"),
        ("[unroll.rows]\nfactors = { c = 32 }\n", "unroll.rows: its factors make 32, but the array has 16 along 'rows'"),
        ("[unroll.rows]\nfactors = { k = 2 }\n", "unroll.rows names the loop axis 'k'; loop axes are n, g, m, c"),
        ("[unroll.rows]\nwhole = ['y']\n", "unroll.rows and loops.glb both want 'y' whole; it can run in full in one of them"),
        ("[loops.dram]\nwhole = ['r']\n", "loops.dram and loops.weight_register both want 'r' whole"),
        (
            "[unroll.rows]\nwhole = ['q']\nfactors = { q = 3 }\n",
            "unroll.rows wants 'q' whole, and 3 of it in its factors; keep one of the two",
        ),
        ("[loops.glb]\naxes = ['m']\nwhole = ['y']\n", "loops.glb wants 'y' whole, which its axes, m, leave out; add it to them"),
        ("[unrol.rows]\n", "Object contains unknown field `unrol`"),
        ("[unroll\n", "is no TOML"),
    ],
)
def test_bad_constraints(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        applied(tmp_path, text)
    assert message in str(error.value)
    assert "own.toml'" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_systolic_array_that_takes_back_more_than_a_fill() -> None:
    with pytest.raises(ValueError, match="systolic: last_cycles, -5, take back more than one fill of 3"):
        msgspec.structs.replace(read_chip("systolic-32"), systolic=Systolic(fill_cycles=3, last_cycles=-5, source="made up"))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"constraints file '.*own\.toml' cannot be read: No such file"):
        constrained(read_chip("eyeriss-256"), tmp_path / "own.toml")
