"""Every example of the documentation runs and prints what it says."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from tests.cli.command import run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def commands(page):
    """(command, lines that it prints) of each `console` block; a line `...` stands for any lines."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples(page):
    result = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert result.failed == 0


@pytest.mark.parametrize(("command", "printed"), [pair for page in PAGES for pair in commands(page)])
def test_commands(command, printed, tmp_path, capsys, monkeypatch):
    program, *arguments = shlex.split(command)
    assert program == "ridgeline", f"only ridgeline's own commands stand in console blocks, not {program}"
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(ROOT)
    status, out, err = run(capsys, *[tmp_path / part if part.startswith("build/") else part for part in arguments])
    assert status == 0, err
    found = out.replace(f"{tmp_path}/", "")
    assert doctest.OutputChecker().check_output(printed, found, OPTIONS), found
