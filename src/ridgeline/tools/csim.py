"""C simulation: an emitted C++ kernel and its test bench as a program of this machine."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ridgeline.errors import ToolError
from ridgeline.tools import process, verilator


def build(files: Mapping[str, str | bytes], flags: Sequence[str], out: Path) -> Path:
    """The executable of `{path: content}`, compiled in the folder `out`.

    Raises MissingToolError without a C++ compiler, ToolError when it refuses a file.
    """
    out.mkdir(parents=True, exist_ok=True)
    process.write_files(files, out)
    executable = out / "csim"
    sources = [path for path in files if path.endswith(".cpp")]
    compiler = verilator.cxx()
    process.run([compiler, *flags, "-o", executable.absolute(), *sources], name=compiler, cwd=out, log=out / "csim.log")
    return executable


def simulate(
    executable: Path,
    arguments: Sequence[str | Path],
    folder: Path,
    *,
    progress: Callable[[int], None],
    limit_s: float,
    stopped: threading.Event | None = None,
) -> None:
    """Runs the test bench in `folder`; `progress` is told each finished image. Raises ToolError for a bad end, and for an image that takes longer
    than `limit_s`; `stopped` ends it from outside."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "csim.log"
    command = [str(word) for word in (executable.absolute(), *arguments)]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True) as running,
        _Watch(running, limit_s, stopped or threading.Event()) as watch,
    ):
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("image "):
                watch.seen()
                progress(int(line.split()[1]))
        status = running.wait()
    if watch.late:
        raise ToolError(f"the C simulation did not finish an image in {limit_s:,.0f} s", log=log)
    if status != 0:
        raise ToolError(f"the C simulation {process.how_it_ended(status)}: {process.first_error(log.read_text())}", log=log)


class _Watch:
    """Ends a process that says nothing for too long, or that nobody wants any more; at the block's end in any case."""

    def __init__(self, running: subprocess.Popen[str], limit_s: float, stopped: threading.Event) -> None:
        self.late = False
        self._running, self._limit_s, self._stopped = running, limit_s, stopped
        self._deadline = time.monotonic() + limit_s
        self._thread = threading.Thread(target=self._watched, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.kill()
        self._thread.join()

    def seen(self) -> None:
        self._deadline = time.monotonic() + self._limit_s

    def _watched(self) -> None:
        while self._running.poll() is None:
            self.late = time.monotonic() > self._deadline
            if self.late or self._stopped.wait(process.POLL_S):
                self._running.kill()
                return
