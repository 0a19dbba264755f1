"""Number formats: published tables, what they make of a Gaussian, equality with torchao, and how fast tensors are quantised.

BENCH_FORMATS_MB shrinks the tensor of the throughput rows from 1,000 MB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from bench.peers import Ran, ran
from bench.row import Row
from ridgeline.formats import Encoded, ScaleRule, Search, pack, quantise, read_format

MEGABYTES = int(os.environ.get("BENCH_FORMATS_MB", "1000"))
COLUMNS = 4096
VALUES = 10_000_000  # that are compared with torchao
# Values in code order: ANT (MICRO'22) and the OCP's E2M1.
TABLES = {
    "uflint4": (0, 1, 2, 3, 4, 5, 6, 7, 64, 32, 16, 24, 8, 10, 12, 14),
    "flint4": (0, 1, 2, 3, 16, 8, 4, 6, 0, -1, -2, -3, -16, -8, -4, -6),
    "pot4": (0, 1, 2, 4, 8, 16, 32, 64, 0, -1, -2, -4, -8, -16, -32, -64),
    "e2m1": (0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6),
}
GAUSSIAN = {"e1m2": 18.90, "flint4": 18.24, "pot4": 14.23, "e2m1": 18.97, "nf4": 20.05, "mxfp4": 18.78, "nvfp4": 20.44}  # dB
SPEEDS = (("mxfp4", False, 300), ("flint4", False, 300), ("flint4", True, 20), ("nvfp4", False, None), ("int8", False, None), ("olive4", True, None))
MX = ("mxfp4", "mxfp6e2m3", "mxfp6e3m2", "mxfp8e4m3", "mxfp8e5m2")


def measure() -> list[Row]:
    return [*_tables(), *_gaussian(), *_torchao(), *_throughput()]


def _tables() -> list[Row]:
    wrong = [name for name, values in TABLES.items() if tuple(read_format(name).decode(np.arange(16)).tolist()) != values]
    return [
        Row(
            figure="code tables as published",
            value=f"{len(TABLES) - len(wrong)} of {len(TABLES)}",
            target="all",
            worst=", ".join(wrong) or "-",
            holds=not wrong,
        )
    ]


def _gaussian() -> list[Row]:
    values = np.random.default_rng(0).normal(size=1_000_000).astype(np.float32)
    rows: list[Row] = []
    for name, wanted in GAUSSIAN.items():
        search = None if name in ("mxfp4", "nvfp4") else Search(least=0.2, most=1.5)
        found = quantise(values, read_format(name), search=search).sqnr_db(values)
        label = "int4 of levels +-7 (e1m2)" if name == "e1m2" else name
        figure = f"{label}: SQNR of 1 M Gaussian values"
        rows.append(Row(figure=figure, value=f"{found:.2f} dB", target=f"{wanted} +- .1", worst="-", holds=bool(abs(found - wanted) <= 0.1)))
    return rows


def _torchao() -> list[Row]:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(VALUES // 3200, 3200)).astype(np.float32) * 2.0 ** rng.integers(-12, 12, (VALUES // 3200, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values.npy"
        np.save(path, values.astype(np.float32))
        peer = ran("torchao", str(path), folder)
        if not peer.figures:
            return [Row(figure="codes and scales equal to torchao's", value="not run", target="all", worst="-", holds=None, peer=peer.instead)]
        names = [f"{name}-{rule}" for name in MX for rule in ScaleRule] + ["nvfp4"]
        return [_equality(name, np.load(path), dict(np.load(Path(folder) / f"{name}.npz")), peer) for name in names]


def _equality(label: str, values: np.ndarray, theirs: Mapping[str, np.ndarray], peer: Ran) -> Row:
    name, _, rule = label.partition("-")
    number = read_format(name)
    number = replace(number, rule=ScaleRule(rule)) if rule else number
    quantise(values[:2], number)
    start = perf_counter()
    encoded = quantise(values, number)
    rate = values.nbytes / 1e6 / (perf_counter() - start)
    codes = int(np.count_nonzero(encoded.codes != theirs["codes"].reshape(encoded.codes.shape)))
    scales = int(np.count_nonzero(encoded.scales != theirs["scales"]))
    return Row(
        figure=f"{label}: {values.size:,} codes and their scales beside torchao's",
        value=f"{codes} codes, {scales} scales differ; {rate:.0f} MB/s",
        target="none differ",
        worst="-",
        holds=codes == scales == 0,
        peer=f"torchao {peer.figures['version']}: {peer.figures['megabytes_per_s'][label]:.0f} MB/s",
    )


def _throughput() -> list[Row]:
    return [_speed(name, searched, target) for name, searched, target in SPEEDS]


def _speed(name: str, searched: bool, target: int | None) -> Row:
    """In a process of its own, so that its peak memory is its own."""
    printed = subprocess.run([sys.executable, "-m", "bench.formats", name, str(int(searched))], capture_output=True, text=True, check=True).stdout
    rate, factor = (float(word) for word in printed.split())
    words = "searched scales" if searched else "scales from the largest"
    return Row(
        figure=f"{name}, {words}: quantise and pack {MEGABYTES:,} MB",
        value=f"{rate:.0f} MB/s, peak memory {factor:.2f} of the tensor",
        target=f">= {target} MB/s, <= 2" if target else "-",
        worst="-",
        holds=rate >= target and factor <= 2 if target else None,
    )


def _one(name: str, searched: bool) -> None:
    """Prints MB/s and the peak memory, less what the process had before the tensor, over the tensor's size."""
    _quantised(np.ones((2, COLUMNS), np.float32), name, searched)
    before = _memory("VmRSS")
    rows = max(1, MEGABYTES * 1_000_000 // 4 // COLUMNS)
    values, rng = np.empty((rows, COLUMNS), np.float32), np.random.default_rng(2)
    for start in range(0, rows, 1024):
        rng.standard_normal(dtype=np.float32, out=values[start : start + 1024])
    start = perf_counter()
    pack(_quantised(values, name, searched))
    rate = values.nbytes / 1e6 / (perf_counter() - start)
    print(rate, (_memory("VmHWM") - before) / values.nbytes)


def _memory(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at the most."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def _quantised(values: np.ndarray, name: str, searched: bool) -> Encoded:
    number = read_format(name)
    if name in ("mxfp4", "nvfp4"):
        return quantise(values, number)
    search = None if name == "olive4" or not searched else Search()
    return quantise(values, number, granularity="channel", search=search)


if __name__ == "__main__":
    _one(sys.argv[1], sys.argv[2] == "1")
