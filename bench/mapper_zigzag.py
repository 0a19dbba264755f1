"""ZigZag and the mapper on ZigZag's own networks and its tpu_like: each one's best mappings costed in both, the time, and one mapping in both.

BENCH_ZIGZAG=all takes its ResNet-18 too, with a limit of 4 loop prime factors, which is three minutes of ZigZag.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import msgspec

from bench.peers import Ran, ran
from bench.row import Row, percent
from ridgeline.algorithm.layers import Layer
from ridgeline.algorithm.onnx.work import read_work
from ridgeline.hardware.chip import Chip, read_chip
from ridgeline.mapping.estimate import Estimate, estimate
from ridgeline.mapping.exchange.zigzag import read_mappings, write_mappings
from ridgeline.mapping.loops import ZIGZAG, Conventions, LoopMapping
from ridgeline.mapping.search.even import even_mappings
from ridgeline.mapping.search.solve import LEAST_ENERGY

NETWORKS = {"alexnet": "6", "resnet18": "4"}  # and ZigZag's limit of loop prime factors
FASTER, SAME = 100, 0.05
RULES = {"ZigZag's rules": ZIGZAG, "ours": Conventions()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Costed:
    """Mappings of a network's layers; `theirs` are ZigZag's costs of them, by layer."""

    mappings: tuple[LoopMapping, ...]
    theirs: Mapping[str, Mapping[str, Any]]


def measure() -> list[Row]:
    rows: list[Row] = []
    for network, limit in NETWORKS.items():
        if network == "alexnet" or os.environ.get("BENCH_ZIGZAG") == "all":
            rows += _compared(network, limit)
    return rows


def _compared(network: str, limit: str) -> list[Row]:
    """ZigZag's search, ours, and ZigZag's cost of what ours found."""
    searched = ran("zigzag", network, limit)
    if not searched.figures:
        return [Row(figure=f"{network} on tpu-like beside ZigZag", value="-", target="-", worst="-", holds=None, peer=searched.instead)]
    chip, layers = read_chip("tpu-like"), read_work(Path(searched.figures["workload"])).layers
    nests = [layer.nest for layer in layers]
    even_mappings(nests, chip, LEAST_ENERGY)
    start = perf_counter()
    mappings = even_mappings(nests, chip, LEAST_ENERGY)
    took = perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mapping.yaml"
        file.write_text(write_mappings(layers, mappings, chip), encoding="utf-8")
        costed = ran("zigzag", network, limit, str(file))
        file.write_bytes(msgspec.yaml.encode([_entry(layer) for layer in searched.figures["layers"]]))
        own = read_mappings(file, layers, chip)
    pairs = [Costed(mappings=own, theirs=_by_name(searched)), Costed(mappings=mappings, theirs=_by_name(costed))]
    return [
        _energy(network, layers, chip, *pairs),
        _time(network, took, searched),
        *(_both(network, layers, chip, pairs, name) for name in RULES),
    ]


def _entry(layer: Mapping[str, Any]) -> dict[str, Any]:
    return {key: layer[key] for key in ("name", "spatial_mapping", "temporal_ordering")}


def _by_name(found: Ran) -> dict[str, Mapping[str, Any]]:
    return {layer["name"]: layer for layer in found.figures["layers"]} if found.figures else {}


def _energy(network: str, layers: Sequence[Layer], chip: Chip, own: Costed, ours: Costed) -> Row:
    in_theirs = [sum(layer["energy_pj"] for layer in costed.theirs.values()) for costed in (ours, own)]
    in_ours = [sum(made.energy_pj for made in _estimates(layers, costed, chip, Conventions())) for costed in (ours, own)]
    return Row(
        figure=f"{network} on tpu-like, energy: our best and ZigZag's, costed in ZigZag and in Ridgeline",
        value=f"{in_theirs[0]:.6g} and {in_theirs[1]:.6g} pJ; {in_ours[0]:.6g} and {in_ours[1]:.6g} pJ",
        target="ours not above in either",
        worst=f"{len(layers)} layers",
        holds=all(ours <= theirs * (1 + 1e-9) for ours, theirs in (in_theirs, in_ours)),
    )


def _time(network: str, took: float, searched: Ran) -> Row:
    ratio = searched.figures["wall_s"] / took
    return Row(
        figure=f"{network} on tpu-like, energy: the whole search, warm, beside ZigZag's",
        value=f"{took:.2f} s, 1/{ratio:.0f}",
        target=f"<= 1/{FASTER}",
        worst="-",
        holds=ratio >= FASTER,
        peer=searched.cell("ZigZag {version}: {wall_s:.1f} s, {evaluations:,} evaluations"),
    )


def _both(network: str, layers: Sequence[Layer], chip: Chip, pairs: Sequence[Costed], name: str) -> Row:
    """Differences of energy and cycles from ZigZag's, over all layers of both answers."""
    energy: dict[str, float] = {}
    cycles: dict[str, float] = {}
    for number, costed in enumerate(pairs):
        for layer, made in zip(layers, _estimates(layers, costed, chip, RULES[name]), strict=True):
            theirs = costed.theirs[layer.name]
            key = f"{layer.name} ({('ZigZag', 'our')[number]} mapping)"
            energy[key], cycles[key] = (abs(a / b - 1) for a, b in ((made.energy_pj, theirs["energy_pj"]), (made.cycles, theirs["cycles"])))
    worst = max(energy, key=lambda key: energy[key])
    shown = [f"{kind} {percent(median(found.values()))} median, {percent(max(found.values()))} worst" for kind, found in
             (("energy", energy), ("cycles", cycles))]  # fmt: skip
    return Row(
        figure=f"{network}: one mapping in both cost models, by {name}",
        value="; ".join(shown),
        target=f"<= {percent(SAME)}" if RULES[name].nominal else "explained in docs/why.md",
        worst=worst,
        holds=max(*energy.values(), *cycles.values()) <= SAME if RULES[name].nominal else None,
    )


def _estimates(layers: Sequence[Layer], costed: Costed, chip: Chip, rules: Conventions) -> list[Estimate]:
    return [estimate(mapping, layer.nest, chip, rules) for layer, mapping in zip(layers, costed.mappings, strict=True)]
