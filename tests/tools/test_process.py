"""Running other programs."""

import sys
from pathlib import Path

import pytest

from ridgeline.errors import ToolError
from ridgeline.tools.process import first_error, race, run, write_files


def test_what_it_says_is_returned_and_kept(tmp_path: Path) -> None:
    said = run([sys.executable, "-c", "print('hello')"], name="python", cwd=tmp_path, log=tmp_path / "logs" / "log")
    assert said == "hello\n" == (tmp_path / "logs" / "log").read_text()


def test_environment_adds_and_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEFT", "1")
    code = "import os; print(os.environ.get('LEFT'), os.environ.get('ADDED'))"
    said = run([sys.executable, "-c", code], name="python", cwd=tmp_path, log=tmp_path / "log", env={"LEFT": None, "ADDED": "2"})
    assert said == "None 2\n"


def test_a_bad_end_is_one_line_with_the_log(tmp_path: Path) -> None:
    code = "import sys; print('begin'); print('ERROR: no such module'); print('end'); sys.exit(3)"
    with pytest.raises(ToolError) as caught:
        run([sys.executable, "-c", code], name="yosys", cwd=tmp_path, log=tmp_path / "log")
    assert str(caught.value) == f"yosys failed with status 3: ERROR: no such module; its log: {tmp_path / 'log'}"


def test_a_signal_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="yosys was ended by signal 9: it said nothing"):
        run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], name="yosys", cwd=tmp_path, log=tmp_path / "log")


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("", "it said nothing; a full disk is one reason"),
        ("one\ntwo\n", "two"),
        ("0 errors\nERROR: bad\n", "ERROR: bad"),
        ("a\n%Error-UNSUPPORTED: t.v:1\nb", "%Error-UNSUPPORTED: t.v:1"),
        ("In file\nt.cpp:3:1: fatal error: no header\n", "t.cpp:3:1: fatal error: no header"),
    ],
)
def test_first_error(said: str, line: str) -> None:
    assert first_error(said) == line


def test_files_that_are_there_keep_their_time(tmp_path: Path) -> None:
    write_files({"a/b.v": "text", "c.bin": b"\x00"}, tmp_path)
    before = (tmp_path / "a" / "b.v").stat().st_mtime_ns
    write_files({"a/b.v": "text", "c.bin": b"\x01"}, tmp_path)
    assert (tmp_path / "a" / "b.v").stat().st_mtime_ns == before
    assert (tmp_path / "c.bin").read_bytes() == b"\x01"


RACER = """
import sys, time
print("score", sys.argv[1], flush=True)
time.sleep(60 if sys.argv[1] != "2" else 0)
print("done")
"""


def score(said: str) -> float | None:
    return float(said.split()[1]) if said.endswith("\n") else None


def test_of_several_runs_only_the_best_goes_on(tmp_path: Path) -> None:
    logs = [tmp_path / str(number) / "log" for number in range(3)]
    best = race([sys.executable, "-c", RACER], name="racer", logs=logs, variants=[["3"], ["2"], ["5"]], score=score)
    assert best == 1
    assert [log.read_text() for log in logs] == ["score 3\n", "score 2\ndone\n", "score 5\n"]


def test_a_race_in_which_all_fail_says_why(tmp_path: Path) -> None:
    logs = [tmp_path / str(number) / "log" for number in range(2)]
    code = "import sys; print('ERROR: no room', end=''); sys.exit(4)"
    with pytest.raises(ToolError, match="racer failed with status 4: ERROR: no room"):
        race([sys.executable, "-c", code], name="racer", logs=logs, variants=[["a"], ["b"]], score=score)


def test_a_race_without_an_end_is_ended(tmp_path: Path) -> None:
    logs = [tmp_path / str(number) / "log" for number in range(2)]
    with pytest.raises(ToolError, match="racer came to no end; try another --seed"):
        race([sys.executable, "-c", RACER], name="racer", logs=logs, variants=[["inf"], ["inf"]], score=score)
