"""Compiling and running a test bench."""

import threading
from pathlib import Path

import pytest

from ridgeline.errors import MissingToolError, ToolError
from ridgeline.tools import csim

BENCH = '#include <cstdio>\nint main(int count, char **words) { std::printf("image 0\\nother\\nimage 1\\n"); return count - 2; }\n'


def test_it_is_compiled_and_told_of(tmp_path: Path) -> None:
    executable = csim.build({"main.cpp": BENCH}, ["-O0"], tmp_path)
    seen: list[int] = []
    csim.simulate(executable, ["one"], tmp_path / "run", progress=seen.append, limit_s=60)
    assert seen == [0, 1]


def test_a_bad_end(tmp_path: Path) -> None:
    executable = csim.build({"main.cpp": BENCH}, [], tmp_path)
    with pytest.raises(ToolError, match="the C simulation failed with status 1: it said nothing"):
        csim.simulate(executable, ["one", "two"], tmp_path / "run", progress=lambda image: None, limit_s=60)


def test_the_compilers_first_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"failed with status 1: main.cpp:1:1: error: "):
        csim.build({"main.cpp": "wrong\n"}, [], tmp_path)


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"no C\+\+ compiler"):
        csim.build({"main.cpp": BENCH}, [], tmp_path)


ENDLESS = '#include <cstdio>\nint main() { std::printf("image 0\\n"); std::fflush(stdout); for (volatile int turn = 0;; turn = 1 - turn); }\n'


def test_an_image_without_an_end(tmp_path: Path) -> None:
    executable = csim.build({"main.cpp": ENDLESS}, [], tmp_path)
    with pytest.raises(ToolError, match="the C simulation did not finish an image in 1 s"):
        csim.simulate(executable, [], tmp_path / "run", progress=lambda image: None, limit_s=1)


def test_it_is_ended_from_outside(tmp_path: Path) -> None:
    executable = csim.build({"main.cpp": ENDLESS}, [], tmp_path)
    stopped = threading.Event()
    with pytest.raises(ToolError, match="the C simulation was ended by signal 9"):
        csim.simulate(executable, [], tmp_path / "run", progress=lambda image: stopped.set(), limit_s=600, stopped=stopped)
