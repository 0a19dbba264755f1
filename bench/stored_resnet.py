"""ResNet-18 with weights of 4 bits and of 2:4 beside int8 on engines of equal multipliers: cycles, bytes, and what the engine takes more.

Cycles are those of each network's own program (`mapping.schedule`), which simulation holds to within 2 % (`stored-layers`); tilings are the
search's for each engine. The memory is zcu104's, and beside it one of a part of its rate, as small boards have, where bytes count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from bench.row import Row
from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.passes.calibrate import noise
from ridgeline.algorithm.passes.lighten import lightened
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.explore.choose import confirm, refine
from ridgeline.explore.space import device_timing
from ridgeline.flows import source
from ridgeline.hardware.device import read_device
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.resources import resources
from ridgeline.mapping.schedule import DramTiming, Prediction

ENGINE = Engine(
    lanes_out=16, lanes_in=16, bus_bytes=16, activation_bytes=256 << 10, weight_bytes=128 << 10, output_bytes=32 << 10, accumulator_depth=512
)
STORAGES = (("int8", "none"), ("flint4", "none"), ("int8", "2:4"), ("flint4", "2:4"))
DEVICE, NARROW = "zcu104", 32  # and a memory so many times slower
COVERED, FASTER = 0.90, 1.7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    name: str
    engine: Engine
    graph: Graph
    fast: Prediction
    slow: Prediction

    def sparse(self) -> frozenset[str]:
        return frozenset(node.name for node in self.graph.nodes if node.sparsity != "none")


def measure() -> list[Row]:
    runs = {run.name: run for run in _runs()}
    plain = runs["int8"]
    return [_sparse(plain, runs["int8 2:4"]), *(_whole(plain, run) for run in runs.values()), _logic(runs)]


def _runs() -> Iterator[Run]:
    network, device = source.read_model("resnet18").graph, read_device(DEVICE)
    calibration = noise(network, np.random.default_rng(1), images=1)
    dram = device_timing(device)
    slower = DramTiming(
        bytes_per_cycle=Fraction(dram.bytes_per_cycle) / NARROW, read_latency_cycles=dram.read_latency_cycles,
        write_latency_cycles=dram.write_latency_cycles,
    )  # fmt: skip
    for weights, sparsity in STORAGES:
        graph = quantise(lightened(network, weights=weights, sparsity=sparsity), calibration)
        engine = replace(ENGINE, weight_format=weights, sparsity=sparsity)
        fast, slow = (refine(graph, engine, memory, confirm(graph, engine, memory))[1] for memory in (dram, slower))
        name = weights if sparsity == "none" else f"{weights} {sparsity}"
        yield Run(name=name, engine=engine, graph=graph, fast=fast, slow=slow)


def _sparse(plain: Run, run: Run) -> Row:
    """Of the layers that are sparse alone."""
    names = run.sparse()
    share = sum(layer.macs for layer in run.fast.layers if layer.node in names) / run.fast.macs
    before, after = (_cycles(each.fast, names) for each in (plain, run))
    ratios = {node: before[node] / after[node] for node in names}
    worst = min(ratios, key=lambda node: ratios[node])
    speed = sum(before.values()) / sum(after.values())
    return Row(
        figure=f"ResNet-18, 2:4 on {_lanes(run.engine)} lanes: MACs covered, speed on them against dense int8",
        value=f"{share:.1%}, {speed:.2f}x",
        target=f">= {COVERED:.0%}, >= {FASTER}x",
        worst=f"{worst}: {ratios[worst]:.2f}x",
        holds=share >= COVERED and speed >= FASTER,
    )


def _cycles(prediction: Prediction, names: frozenset[str]) -> Mapping[str, int]:
    return {layer.node: layer.cycles for layer in prediction.layers if layer.node in names}


def _whole(plain: Run, run: Run) -> Row:
    """The whole network, on both memories."""
    bound, slow = ([layer.node for layer in prediction.layers if layer.bound == "memory"] for prediction in (run.fast, run.slow))
    speeds = [before.cycles / after.cycles for before, after in ((plain.fast, run.fast), (plain.slow, run.slow))]
    return Row(
        figure=f"ResNet-18, {run.name}: cycles, bytes read; speed against int8, and on 1/{NARROW} of the memory's rate",
        value=f"{run.fast.cycles:,}, {run.fast.read_bytes:,}; {speeds[0]:.2f}x, {speeds[1]:.2f}x",
        target="-",
        worst=f"bound by DRAM: {', '.join(bound) or 'no layer'}; on the slower memory {len(slow)} of {len(run.slow.layers)}",
        holds=None,
    )


def _logic(runs: Mapping[str, Run]) -> Row:
    """What the engines take, as predicted: `resources` holds that against Yosys."""
    family = read_device(DEVICE).family
    needs = {name: resources(run.engine, family) for name, run in runs.items()}
    plain = needs["int8"]
    more = ", ".join(f"{name} {need.lut / plain.lut - 1:+.1%}" for name, need in needs.items() if name != "int8")
    return Row(
        figure=f"LUTs of these engines over dense int8's {plain.lut:,}, {family}, predicted",
        value=more,
        target="DSP equal",
        worst=", ".join(f"{name}: {need.dsp} DSP, {need.bram_18kb} BRAM, {need.lut:,} LUT, {need.ff:,} FF" for name, need in needs.items()),
        holds=len({need.dsp for need in needs.values()}) == 1,
    )


def _lanes(engine: Engine) -> str:
    return f"{engine.lanes_out} x {engine.lanes_in}"
