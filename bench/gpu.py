"""Matrix products on an NVIDIA GPU, dense and 2:4, beside what the mapper predicts from half of the sizes.

Needs torch with CUDA; without it the rows say "not measured". Median of 30 runs after a warm-up, times of the device's own events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from bench.row import Row, percent

SIZES = (256, 512, 1024, 2048, 4096, 8192, 16384)
KINDS = ("bfloat16", "e4m3", "int8")
RUNS, WARM = 30, 10
SEED = 0
NEAR = 0.15
TABLE = Path("build") / "gpu.json"
FIGURE = "matrix products on a GPU, {kind}{pattern}: time at sizes that the fit did not see"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    kind: str
    sparse: bool
    size: int
    time_s: float


def measure() -> list[Row]:
    why = _missing()
    if why:
        cases = [(kind, sparse) for kind in KINDS for sparse in (False, True)]
        return [_row(kind, sparse=sparse, value=f"not measured: {why}", worst="-", holds=None) for kind, sparse in cases]
    timed = list(_timed())
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(json.dumps({"date": date.today().isoformat(), "device": _device(), "table": [_told(item) for item in timed]}, indent=1))
    return [row for kind in KINDS for sparse in (False, True) for row in _judged(timed, kind, sparse=sparse)]


def _missing() -> str:
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    return "" if torch.cuda.is_available() else "no NVIDIA GPU at hand"


def _device() -> str:
    import torch

    return str(torch.cuda.get_device_name())


def _told(item: Timed) -> Mapping[str, Any]:
    return {"format": item.kind, "pattern": "2:4" if item.sparse else "none", "size": item.size, "time_s": item.time_s}


def _timed() -> Iterator[Timed]:
    for kind in KINDS:
        for sparse in (False, True):
            for size in SIZES:
                product = _product(kind, size, sparse=sparse)
                if product is not None:
                    yield Timed(kind=kind, sparse=sparse, size=size, time_s=_median_s(product))


def _product(kind: str, size: int, *, sparse: bool) -> Callable[[], object] | None:
    """None for what this device or torch does not multiply."""
    import torch

    dtype = {"bfloat16": torch.bfloat16, "e4m3": torch.float8_e4m3fn, "int8": torch.int8}[kind]
    rng = torch.Generator("cuda").manual_seed(SEED)
    left = torch.randn(size, size, device="cuda", generator=rng).clamp(-3, 3)
    right = torch.randn(size, size, device="cuda", generator=rng).clamp(-3, 3)
    if sparse:
        groups = left.abs().reshape(size, -1, 4)
        left = torch.where(groups.argsort(-1).argsort(-1) >= 2, left.reshape(size, -1, 4), 0.0).reshape(size, size)
    a, b = (30 * left if kind == "int8" else left).to(dtype), (30 * right if kind == "int8" else right).to(dtype)
    try:
        held = torch.sparse.to_sparse_semi_structured(a) if sparse else a
        run = _multiply(kind, held, b, sparse=sparse)
        run()
    except (RuntimeError, NotImplementedError, ValueError):
        return None
    return run


def _multiply(kind: str, a: Any, b: Any, *, sparse: bool) -> Callable[[], object]:
    """a b^T: both run along their last axis."""
    import torch

    if kind == "bfloat16":
        return lambda: a @ b.t()
    if kind == "int8":
        return lambda: torch._int_mm(a, b.t())
    if sparse:
        return lambda: torch._cslt_sparse_mm(a.packed, b.t(), out_dtype=torch.bfloat16)
    one = torch.ones((), device="cuda")
    return lambda: torch._scaled_mm(a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


def _median_s(run: Callable[[], object]) -> float:
    import torch

    for _ in range(WARM):
        run()
    times: list[float] = []
    for _ in range(RUNS):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop) / 1e3)
    return float(np.median(times))


def _judged(timed: list[Timed], kind: str, *, sparse: bool) -> Iterator[Row]:
    found = [item for item in timed if item.kind == kind and item.sparse == sparse]
    if len(found) < 4:
        yield _row(kind, sparse=sparse, value="not measured: torch does not multiply so here", worst="-", holds=None)
        return
    order = np.random.default_rng(SEED).permutation(len(found))
    fitted, held_out = [found[place] for place in sorted(order[::2])], [found[place] for place in sorted(order[1::2])]
    errors = {item.size: _predicted(fitted, item.size) / item.time_s - 1 for item in held_out}
    worst = max(errors, key=lambda size: abs(errors[size]))
    value = ", ".join(f"{size}: {percent(error)}" for size, error in errors.items())
    yield _row(kind, sparse=sparse, value=value, worst=f"{worst}, on {_device()}", holds=all(abs(error) <= NEAR for error in errors.values()))


def _predicted(fitted: list[Timed], size: int) -> float:
    """Along straight lines of log time over log size, the last ones carried on beyond the ends."""
    xs, ys = np.log([item.size for item in fitted]), np.log([item.time_s for item in fitted])
    place = int(np.clip(np.searchsorted(xs, log(size)), 1, len(xs) - 1))
    slope = (ys[place] - ys[place - 1]) / (xs[place] - xs[place - 1])
    return float(np.exp(ys[place - 1] + slope * (log(size) - xs[place - 1])))


def _row(kind: str, *, sparse: bool, value: str, worst: str, holds: bool | None) -> Row:
    return Row(figure=FIGURE.format(kind=kind, pattern=", 2:4" if sparse else ""), value=value, target=f"within {NEAR:.0%}", worst=worst, holds=holds)
