"""What a user may ask of `build`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ridgeline.errors import InputError
from ridgeline.hardware.engine.storage import bank, levels

Objective = Literal["latency", "throughput"]
Backend = Literal["rtl", "hls", "both"]
EngineKind = Literal["programmable", "uniform"]
ReductionName = Literal["channels", "row", "window"]
FormatName = Literal["int8", "float32", "fixed16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`pins` fixes fields of hardware.engine.Engine, `caps` limits resources (dsp, bram, lut, ff); `images` None simulates a sensible number."""

    network: str
    out: Path
    data: Path | None = None
    device: str = "ulx3s-85f"
    batch: int | None = None
    images: int | None = None
    objective: Objective = "latency"
    backend: Backend = "rtl"
    format: FormatName = "int8"
    weights: str = "int8"  # of the layers between the first and the last
    sparsity: str = "none"  # of the same
    activations: str = "int8"  # that they read
    engine: EngineKind = "programmable"
    reduction: ReductionName = "channels"  # what a uniform engine spreads over its Tn lanes
    ports: int | None = None  # of 512 bits, a uniform engine's, shared out between weights and maps
    pins: Mapping[str, int] = field(default_factory=dict[str, int])
    caps: Mapping[str, int] = field(default_factory=dict[str, int])
    clock_mhz: float | None = None
    seed: int = 1
    stalls: float = 0.0
    synth: bool = False
    wave: bool = False
    count: int | None = None  # of boards in a line
    link_gb_per_s: float | None = None  # between two of them


def require_storage(options: Options, *, line: bool = False) -> None:
    """Raises InputError for weights or a sparsity that the engine cannot store, or with what has no such engine; `line`: of several boards."""
    if options.activations != "int8" and options.weights == "int8":
        raise InputError(f"--activations {options.activations} are those that layers of 4-bit weights read; give --weights too, such as flint4")
    if (options.weights, options.sparsity) == ("int8", "none"):
        return
    if options.weights != "int8":
        levels(options.weights)
    bank(options.sparsity)
    asked = f"--weights {options.weights}" if options.weights != "int8" else f"--sparsity {options.sparsity}"
    for option, given, own in (
        ("backend", options.backend, "rtl"), ("format", options.format, "int8"), ("engine", options.engine, "programmable"),
    ):  # fmt: skip
        if given != own:
            raise InputError(f"{asked} with --{option} {given}: only the programmable engine in Verilog stores weights so; leave out --{option}")
    if line:
        raise InputError(f"{asked}: engines of boards in a line store int8; leave it out, or give one board")


def lanes(text: str) -> tuple[int, int]:
    """(lanes_out, lanes_in) of "16x16"."""
    found = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if found is None:
        raise InputError(f"lanes '{text}' are not of the form OUTxIN, such as 16x16")
    return int(found[1]), int(found[2])
