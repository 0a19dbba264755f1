"""What users would pick instead, run in the same bench: each peer's peer_NAME.py, in a virtual environment of its own under build/peers.

The environments are made once, from the versions in peers.txt. BENCH_PEERS=0 leaves the peers out. A peer that cannot be installed or
fails says so in its cell, and the bench goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "build" / "peers"
VERSIONS = HERE / "peers.txt"
INSTALL_S, RUN_S = 1_200, 1_200  # how long each may take
REASON = 120  # characters of a failure that fit a cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    packages: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])  # of its environment


PEERS = {
    "torchao": Peer(packages=("torch", "torchao", "numpy")),
    "zigzag": Peer(packages=("zigzag-dse", "six")),
    "hls4ml": Peer(
        packages=("hls4ml", "keras", "jax", "onnx", "onnxruntime"),
        variables={"KERAS_BACKEND": "jax", "KERAS_HOME": str(ENVIRONMENTS / "hls4ml" / "keras")},
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A peer's figures, or the words that stand in their place."""

    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])
    instead: str = ""

    def cell(self, words: str) -> str:
        return words.format(**self.figures) if self.figures else self.instead


def ran(name: str, *arguments: str) -> Ran:
    """What the peer's script measures now, with the arguments that it takes."""
    if os.environ.get("BENCH_PEERS") == "0":
        return Ran()
    try:
        python = _installed(name)
    except (OSError, subprocess.SubprocessError) as error:
        return Ran(instead=f"{name} not installed: {_reason(error)}")
    print(f"bench: peer {name}", file=sys.stderr, flush=True)
    try:
        printed = _run([python, "-P", str(HERE / f"peer_{name}.py"), *arguments], RUN_S, PEERS[name].variables)
        return Ran(figures=json.loads(printed.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return Ran(instead=f"{name} failed: {_reason(error)}")


def _installed(name: str) -> str:
    """The Python of the peer's environment, which is made anew if it is not there or holds other versions. Raises as subprocess.run."""
    folder, packages = ENVIRONMENTS / name, PEERS[name].packages
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = "\n".join([*packages, VERSIONS.read_text(encoding="utf-8")])
    if not ready.is_file() or ready.read_text(encoding="utf-8") != wanted:
        print(f"bench: peer {name}: {', '.join(packages)} are installed, once", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], INSTALL_S)
        _run([str(python), "-m", "pip", "install", "--quiet", "--constraint", str(VERSIONS), *packages], INSTALL_S)
        ready.write_text(wanted, encoding="utf-8")
    return str(python)


def _run(command: Sequence[str], limit_s: int, variables: Mapping[str, str] | None = None) -> str:
    environment = {**os.environ, **(variables or {})}
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit_s, env=environment).stdout


def _reason(error: Exception) -> str:
    """One line: pip's first error or a command's last line, else the error's own."""
    match error:
        case subprocess.TimeoutExpired():
            return f"not done after {error.timeout:.0f} s"
        case subprocess.CalledProcessError():
            lines = error.stderr.strip().splitlines() or [f"exit status {error.returncode}"]
        case _:
            lines = str(error).splitlines() or [type(error).__name__]
    if any("NewConnectionError" in line for line in lines):
        return "no connection to the package index"
    return next((line for line in lines if line.startswith("ERROR: ")), lines[-1]).removeprefix("ERROR: ")[:REASON]
