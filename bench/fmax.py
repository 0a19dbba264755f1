"""The clock of the demo's own engine on an LFE5U-85F, after place and route: at the fixed seed, and of three seeds."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.demo import COMMAND
from bench.row import Row, ridgeline

SEEDS = (1, 2, 3)  # the first is the one that --synth uses
TARGET_MHZ = 100.0
LANES = 8


def measure() -> list[Row]:
    from ridgeline.flows.synthesis import netlist_with_pins, read_rtl, route
    from ridgeline.hardware.device import read_device

    device = read_device("ulx3s-85f")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        summary = ridgeline(*COMMAND, "--no-synth", "--out", str(work / "digits"))
        netlist = netlist_with_pins(read_rtl(work / "digits"), device, work / "yosys")
        routed = {seed: route(netlist, device, work / f"seed{seed}", seed=seed, bitstream=False) for seed in SEEDS}
    fmax = {seed: found.fmax_mhz or 0.0 for seed, found in routed.items()}
    engine = summary["engine"]
    lanes = f"{engine['lanes_out']} x {engine['lanes_in']} lanes"
    fits = min(engine["lanes_out"], engine["lanes_in"]) >= LANES and summary["bit_exact"]
    slowest = min(fmax, key=fmax.__getitem__)
    path = routed[slowest].critical_path
    return [
        Row(figure="Fmax on LFE5U-85F of the demo's engine, seed 1", value=f"{fmax[1]:.1f} MHz", target=f">= {TARGET_MHZ:.0f} MHz",
            worst=f"{lanes}, bit exact: {summary['bit_exact']}", holds=fits and fmax[1] >= TARGET_MHZ),
        Row(figure="the same, median of seeds 1 to 3", value=f"{statistics.median(fmax.values()):.1f} MHz", target="-",
            worst=f"{fmax[slowest]:.1f} MHz, seed {slowest}: to {path[-1].to if path else '-'}", holds=None),
    ]  # fmt: skip
