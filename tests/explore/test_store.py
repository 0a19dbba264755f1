"""The store of answers: what it gives back, what makes a question another one, and files that are none."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import InputError
from ridgeline.explore import store as module
from ridgeline.explore.store import FORMAT, Answer, Question, open_store, question_key
from ridgeline.hardware.chip import read_chip
from ridgeline.mapping.loops import TIMELOOP, Conventions
from ridgeline.mapping.search.network import map_nests, read_objective

CHIP = read_chip("eyeriss-256")
QUESTION = Question(objective=read_objective("edp"), space="full", conventions=Conventions())


def nest(outputs: int = 4, inputs: int = 3) -> Nest:
    return parse("n c, c m -> n m", axes={"n": 2, "c": inputs, "m": outputs}, multiplies=True)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    answer = Answer(found=map_nests([nest(), nest(5), nest()], CHIP, QUESTION.objective))
    with open_store(tmp_path / "new" / "a.sqlite") as store:
        assert store.answer("a") is None
        store.keep("a", answer)
        store.keep("b", Answer(failure="no room"))
    with open_store(tmp_path / "new" / "a.sqlite") as store:
        assert len(store) == 2
        assert store.answer("a") == answer
        assert store.answer("b") == Answer(failure="no room")
        store.keep("b", answer)
        assert store.answer("b") == Answer(failure="no room"), "the first answer stays"


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3),
)
def test_equal_layers_are_one_question(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    keys = [question_key([nest(*sizes) for sizes in layers], CHIP, QUESTION) for layers in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_every_part_of_a_question_counts() -> None:
    questions = [
        QUESTION,
        replace(QUESTION, objective=read_objective("energy")),
        replace(QUESTION, space="timeloop"),
        replace(QUESTION, conventions=TIMELOOP),
        replace(QUESTION, budget_s=1.0),
        replace(QUESTION, budget_s=2.0),
    ]
    keys = {question_key([nest()], CHIP, question) for question in questions}
    keys.add(question_key([nest()], msgspec.structs.replace(CHIP, clock_mhz=CHIP.clock_mhz + 1), QUESTION))
    keys.add(question_key([nest(), nest()], CHIP, QUESTION))
    assert len(keys) == len(questions) + 2


def test_another_mapper_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    before = question_key([nest()], CHIP, QUESTION)
    monkeypatch.setattr(module, "_mapper", lambda: "another")
    assert question_key([nest()], CHIP, QUESTION) != before


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error, open_store(path) as store:
        store.answer("a")
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_another_version(tmp_path: Path) -> None:
    with open_store(tmp_path / "a"):
        pass
    with sqlite3.connect(tmp_path / "a") as connection:
        connection.execute("UPDATE ridgeline_store SET format = ?", (FORMAT + 1,))
    assert f"is of version {FORMAT + 1}, and this Ridgeline reads version {FORMAT}" in refused(tmp_path / "a")


def test_a_database_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a")
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.commit()
    connection.close()
    before = (tmp_path / "a").read_bytes()
    assert "is a database of another program (it has a table 'songs')" in refused(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == before


def test_no_database(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("layer,energy\n" * 100)
    assert "is no SQLite database" in refused(tmp_path / "a")
    (tmp_path / "folder").mkdir()
    assert "unable to open database file" in refused(tmp_path / "folder")
    assert "cannot be made: " in refused(tmp_path / "a" / "b")


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with open_store(tmp_path / "a") as store:
        assert len(store) == 0


def test_damage(tmp_path: Path) -> None:
    with open_store(tmp_path / "a") as store:
        store.keep("a", Answer(failure="no room"))
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    assert "is damaged" in refused(tmp_path / "a")


def test_an_answer_that_cannot_be_read(tmp_path: Path) -> None:
    with open_store(tmp_path / "a"):
        pass
    with sqlite3.connect(tmp_path / "a") as connection:
        connection.execute("INSERT INTO answers VALUES ('a', x'00')")
    assert "is damaged: an answer in it cannot be read" in refused(tmp_path / "a")


def test_a_full_disk(tmp_path: Path) -> None:
    with open_store(tmp_path / "a") as store:
        store._connection.execute("PRAGMA max_page_count = 6")
        with pytest.raises(InputError, match="database or disk is full; make room"):
            store.keep("a", Answer(failure=os.urandom(20_000).hex()))
        store.keep("b", Answer(failure="small"))
        assert len(store) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what is read-only")
def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    with open_store(tmp_path / "a"):
        pass
    (tmp_path / "a").chmod(0o400)
    assert "attempt to write a readonly database" in refused(tmp_path / "a")


def test_another_process_is_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.1)
    with open_store(tmp_path / "a"):
        pass
    other = sqlite3.connect(tmp_path / "a", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert "is in use by another process; wait until that ends" in refused(tmp_path / "a")
    other.close()


def test_the_mapper_s_version_holds_whatever_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys, ridgeline.mapping.search.network\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith(('ridgeline.mapping', 'ridgeline.hardware.', 'ridgeline.algorithm.'))))"
    )
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    read: list[str] = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: read.append(str(self)) or plain(self))
    module._mapper.cache_clear()
    question_key([nest()], CHIP, QUESTION)
    assert len(imported) >= 8
    assert set(imported) <= set(read)
