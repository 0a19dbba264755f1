"""Designs of a chip: how many a second, and what a second run and a larger study take with the store of the first."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.row import Row, ridgeline

NETWORK, CHIP = "resnet8", "eyeriss-256"
FEWER, MORE = "array.rows=8..16:4 glb.capacity_bytes=64K..256K:x2", "array.rows=8..16:4 glb.capacity_bytes=64K..512K:x2"


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        _explored(Path(folder) / "compiled.sqlite", FEWER)
        store = Path(folder) / "store.sqlite"
        first, took = _explored(store, FEWER)
        second, again = _explored(store, FEWER)
        larger, _ = _explored(store, MORE)
    count, new = len(first["designs"]), len(larger["designs"]) - len(first["designs"])
    same = all(second[key] == first[key] for key in ("best", "pareto", "designs"))
    return [
        Row(
            figure=f"{NETWORK}: {count} designs of {CHIP}, each with its best mappings",
            value=f"{took:.1f} s, {took / count:.2f} s a design",
            target="-",
            worst=f"{len(first['pareto'])} in the Pareto set; {'proven the best' if first['certificate']['optimal'] else 'not proven'}",
            holds=None,
        ),
        Row(
            figure="the same again, with the store of the first run",
            value=f"{second['store']['evaluated']} evaluated, {100 * again / took:.0f} % of the time",
            target="0 evaluated, the same result",
            worst=f"{again:.1f} s, most of it the start; results {'equal' if same else 'differ'}",
            holds=second["store"]["evaluated"] == 0 and same,
        ),
        Row(
            figure="a study with one value more, with that store",
            value=f"{larger['store']['evaluated']} of {len(larger['designs'])} evaluated",
            target=f"{new}, the new ones",
            worst="-",
            holds=larger["store"]["evaluated"] == new,
        ),
    ]


def _explored(store: Path, vary: str) -> tuple[dict[str, Any], float]:
    """What a fresh process finds, and its wall time."""
    start = perf_counter()
    found = ridgeline("explore", NETWORK, "--chip", CHIP, "--vary", vary, "--store", str(store))
    return found, perf_counter() - start
