"""Layers together: what keeping tensors on the chip between layers saves, against the same network layer by layer in the same run."""

from __future__ import annotations

from time import perf_counter

from bench.row import Row
from ridgeline.flows import source
from ridgeline.hardware.chip import read_chip
from ridgeline.mapping.fuse import FuseOptions, fuse, saved
from ridgeline.mapping.search.network import map_nests, read_objective

NETWORKS = ("mobilenetv2", "resnet18")
CHIP = "tpu-like"


def measure() -> list[Row]:
    return [_fused(name) for name in NETWORKS]


def _fused(name: str) -> Row:
    work, chip, objective = source.read_work(name, batch=None), read_chip(CHIP), read_objective("edp")
    start = perf_counter()
    alone = map_nests([layer.nest for layer in work.layers], chip, objective)
    middle = perf_counter()
    fused = fuse(work.layers, work.links, chip, alone, FuseOptions(objective=objective))
    end = perf_counter()
    less = saved(fused, alone)
    together = sum(len(segment.stages) > 1 for segment in fused.segments)
    return Row(
        figure=f"{name} on {CHIP}, fused against layer by layer",
        value=f"{100 * less['energy']:.1f} % less energy, {100 * less['cycles']:.1f} % fewer cycles, {together} segments",
        target="no worse",
        worst=f"{fused.tried} segments priced in {end - middle:.1f} s; layer by layer {middle - start:.1f} s, gap {alone.gap:.2g}",
        holds=objective.worth(fused.energy_pj, fused.cycles) <= objective.worth(alone.energy_pj, alone.cycles),
    )
