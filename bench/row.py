"""One measured figure beside its target."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    figure: str
    value: str
    target: str
    worst: str  # the worst single case behind the value, by name
    holds: bool | None  # None: shown, not judged
    peer: str = ""


def table(rows: Sequence[Row]) -> str:
    """Columns as wide as their widest cell."""
    head = ("figure", "value", "target", "worst case", "holds", "peer")
    verdict = {True: "yes", False: "NO", None: "-"}
    cells = [head, *((row.figure, row.value, row.target, row.worst, verdict[row.holds], row.peer) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)


def as_json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1)


def ridgeline(*arguments: str) -> dict[str, Any]:
    """What the command prints as JSON; exit status 1 (a check failed) is a result too. Raises RuntimeError for any other."""
    done = subprocess.run([sys.executable, "-m", "ridgeline", *arguments, "--json"], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"ridgeline {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout)


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"
