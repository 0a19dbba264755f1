"""Running other programs: what they say goes to a log file, a bad end becomes one line."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path

from ridgeline.errors import ToolError

POLL_S = 0.2


def run(command: Sequence[str | Path], *, name: str, cwd: Path, log: Path, env: Mapping[str, str | None] | None = None) -> str:
    """Runs `command` in `cwd` and returns what it said (stdout and stderr together), which `log` keeps.

    `env` is added to the environment, where None removes a variable. Raises ToolError with the first line that says error.
    """
    with started(command, cwd=cwd, log=log, env=env) as running:
        status = running.wait()
    return result(status, name=name, log=log)


def race(
    command: Sequence[str | Path],
    *,
    name: str,
    logs: Sequence[Path],
    variants: Sequence[Sequence[str]],
    score: Callable[[str], float | None],
    env: Mapping[str, str | None] | None = None,
) -> int:
    """Runs `command` with each variant's words at once, each in its log's folder, until every one has said how well it does; then only the
    one with the lowest score goes on. Returns its number. `score` makes a figure of what a run has said so far, or None; an infinite one
    means that the run will not end.

    Raises ToolError with the first line that says error, of the one that went on.
    """
    with ExitStack() as stack:
        runs = [
            stack.enter_context(started([*command, *words], cwd=log.parent, log=log, env=env))
            for words, log in zip(variants, logs, strict=True)
        ]
        scores = [_awaited(running, log, score) for running, log in zip(runs, logs, strict=True)]
        best = scores.index(min(scores))
        endless = scores[best] == inf and runs[best].poll() is None
        for number, running in enumerate(runs):
            if number != best or endless:
                running.kill()
        if endless:
            raise ToolError(f"{name} came to no end; try another --seed", log=logs[best])
        result(runs[best].wait(), name=name, log=logs[best])
    return best


def _awaited(running: subprocess.Popen[bytes], log: Path, score: Callable[[str], float | None]) -> float:
    """Its score; infinite if it ends without one."""
    while True:
        ended = running.poll() is not None
        found = score(log.read_text(encoding="utf-8", errors="replace"))
        if found is not None:
            return found
        if ended:
            return inf
        time.sleep(POLL_S)


@contextmanager
def started(
    command: Sequence[str | Path], *, cwd: Path, log: Path, env: Mapping[str, str | None] | None
) -> Generator[subprocess.Popen[bytes]]:
    """The running process; it does not outlive the block."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        ) as running,
    ):
        try:
            yield running
        except BaseException:
            running.kill()
            raise


def result(status: int, *, name: str, log: Path) -> str:
    """What an ended process said. Raises ToolError for a bad end."""
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
    return next(announced, lines[-1] if lines else "it said nothing; a full disk is one reason")


def write_files(files: Mapping[str, str | bytes], folder: Path) -> None:
    """Writes `{relative path: content}` under `folder`; a file whose content is already there keeps its time."""
    for path, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_bytes() != data:
            target.write_bytes(data)
