"""C simulation: an emitted C++ kernel and its test bench as a program of this machine."""

from __future__ import annotations

import subprocess
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


def simulate(executable: Path, arguments: Sequence[str | Path], folder: Path, *, progress: Callable[[int], None]) -> None:
    """Runs the test bench in `folder`; `progress` is told each finished image. Raises ToolError for a bad end."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "csim.log"
    command = [str(word) for word in (executable.absolute(), *arguments)]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True) as running,
    ):
        try:
            assert running.stdout is not None
            for line in running.stdout:
                if line.startswith("image "):
                    progress(int(line.split()[1]))
            status = running.wait()
        except BaseException:
            running.kill()
            raise
    if status != 0:
        raise ToolError(f"the C simulation {process.how_it_ended(status)}: {process.first_error(log.read_text())}", log=log)
