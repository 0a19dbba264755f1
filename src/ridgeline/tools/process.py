"""Running other programs: what they say goes to a log file, a bad end becomes one line."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ridgeline.errors import ToolError


def run(command: Sequence[str | Path], *, name: str, cwd: Path, log: Path, env: Mapping[str, str | None] | None = None) -> str:
    """Runs `command` in `cwd` and returns what it said (stdout and stderr together), which `log` keeps.

    `env` is added to the environment, where None removes a variable. Raises ToolError with the first line that says error.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        status = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    said = log.read_text(encoding="utf-8", errors="replace")
    if status != 0:
        raise ToolError(f"{name} {how_it_ended(status)}: {first_error(said)}", log=log)
    return said


def how_it_ended(status: int) -> str:
    return f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"


def first_error(said: str) -> str:
    """The first line that announces an error (`ERROR: ...`, `%Error: ...`, `t.cpp:3: error: ...`), else the last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    announced = (line for line in lines if re.search(r"error(-\w+)?:", line, re.IGNORECASE))
    return next(announced, lines[-1] if lines else "it said nothing")


def write_files(files: Mapping[str, str | bytes], folder: Path) -> None:
    """Writes `{relative path: content}` under `folder`; a file whose content is already there keeps its time."""
    for path, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_bytes() != data:
            target.write_bytes(data)
