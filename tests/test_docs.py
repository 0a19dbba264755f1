"""Every example of the documentation runs and prints what it says."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_commands(command, printed, tmp_path):
    program, *arguments = shlex.split(command)
    assert program == "ridgeline", f"only ridgeline's own commands stand in console blocks, not {program}"
    environment = os.environ | {"COLUMNS": "100"}
    arguments = [str(tmp_path / part) if part.startswith("build/") else part for part in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "ridgeline", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = done.stdout.replace(f"{tmp_path}/", "")
    assert doctest.OutputChecker().check_output(printed, found, OPTIONS), found
