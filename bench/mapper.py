"""The mapper: a published case, certificates, whole networks in a fresh process, a systolic array's cycles in closed form, and its speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

import msgspec
import numpy as np

from bench.row import Row
from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError
from ridgeline.flows import source
from ridgeline.hardware.chip import Chip, chip_names, read_chip
from ridgeline.mapping.loops import TIMELOOP, Conventions
from ridgeline.mapping.search import solve
from ridgeline.mapping.search.network import map_nests, read_objective
from ridgeline.mapping.search.solve import LEAST_CYCLES, LEAST_EDP, LEAST_ENERGY, Covered, Found, Goal, best_mapping
from ridgeline.mapping.search.space import SpaceName
from ridgeline.testing.brute import best_of_all, random_small_case, random_uneven_case

CASES, UNEVEN_CASES = 110, 60
FEW_STATES = (3, 20)
COLD_S = 5
SEARCHES, LONG_S = 7, 10
NETWORKS = ("bert-base", "vgg16")
# AlexNet ungrouped and unpadded: input, kernel, stride, input and output channels; SCALE-Sim 3.0.0's cycles on 32 x 32, weight stationary.
ALEXNET = ((227, 11, 4, 3, 96), (27, 5, 1, 96, 256), (13, 3, 1, 256, 384), (13, 3, 1, 384, 384), (13, 3, 1, 384, 256))
SCALE_SIM = (112_283, 373_799, 185_759, 278_639, 185_759)


def measure() -> list[Row]:
    return [_published(), _free(), *_brute(), _systolic(), *map(_cold, NETWORKS), _speed()]


def conv() -> Nest:
    axes = {"n": 1, "m": 64, "c": 64, "y": 56, "x": 56, "r": 3, "q": 3}
    return parse("n c (y+r) (x+q), m c r q -> n m y x", axes=axes, multiplies=True)


def _published() -> Row:
    chip = read_chip("eyeriss-256")
    best_mapping(conv(), chip, LEAST_ENERGY, space="timeloop", conventions=TIMELOOP)
    start = perf_counter()
    best = best_mapping(conv(), chip, LEAST_ENERGY, space="timeloop", conventions=TIMELOOP)
    took = perf_counter() - start
    energy, cycles = best.estimate.energy_pj / best.estimate.macs, best.estimate.cycles
    return Row(
        figure="conv 3x3, 56x56, 64 -> 64 on eyeriss-256, row stationary, warm",
        value=f"{energy:.4f} pJ a MAC, {cycles:,} cycles in {took:.3f} s{', optimal' if best.gap == 0 else ''}",
        target="<= 6.281, <= 688,128, < 0.5 s",
        worst="Timeloop 4cf6d4c: the same in 11.9 s",
        holds=energy <= 6.281 and cycles <= 688_128 and took < 0.5,
    )


def _free() -> Row:
    start = perf_counter()
    best = _unconstrained()
    took = perf_counter() - start
    return Row(
        figure="the same, unconstrained, energy x delay, with a certificate",
        value=f"{took:.1f} s, gap {best.gap:.3g}",
        target="< 10 s",
        worst="AccelForge 1.0.467: unfinished at 500 s",
        holds=took < 10 and best.gap == 0,
    )


def _brute() -> list[Row]:
    """Every mapping of small cases, one by one; beside the search, and what it claims where it looks at few states."""
    compared, equal, mappings, claims, wrong = 0, 0, 0, 0, 0
    goals: dict[str, Goal] = {"energy": LEAST_ENERGY, "latency": LEAST_CYCLES, "edp": LEAST_EDP}
    spaces: tuple[SpaceName, SpaceName] = ("timeloop", "full")
    for space, draw, cases in zip(spaces, (random_small_case, random_uneven_case), (CASES, UNEVEN_CASES), strict=True):
        for seed in range(cases):
            nest, chip, rules = draw(np.random.default_rng(1000 + seed))
            best, count = best_of_all(nest, chip, rules, imperfect=space == "full", uneven=space == "full")
            mappings += count
            for name, goal in goals.items() if count else ():
                compared += 1
                worth = best_mapping(nest, chip, goal, space=space, conventions=rules).worth
                equal += abs(worth / best[name] - 1) < 1e-9
                for width in FEW_STATES:
                    claimed = _claimed(nest, chip, goal, space, rules, width)
                    claims += claimed is not None
                    wrong += claimed is not None and not claimed[0] <= best[name] * (1 + 1e-9) <= claimed[1] * (1 + 2e-9)
    return [
        Row(
            figure="search against every mapping of small cases, every objective",
            value=f"{equal} of {compared} equal",
            target="all of >= 300",
            worst=f"{mappings:,} mappings",
            holds=equal == compared >= 300,
        ),
        Row(
            figure="the same with few states, which prove little: claims of what the best could be that are wrong",
            value=f"{wrong} of {claims}",
            target="0",
            worst=f"{' and '.join(map(str, FEW_STATES))} states of a slot go on",
            holds=wrong == 0 < claims,
        ),
    ]


def _claimed(nest: Nest, chip: Chip, goal: Goal, space: SpaceName, rules: Conventions, width: int) -> tuple[float, float] | None:
    """The least that the best could be, and what was found; None where few states find nothing."""
    with patch.object(solve, "WIDTHS", (width,)):
        try:
            found = best_mapping(nest, chip, goal, space=space, conventions=rules)
        except DoesNotFitError:
            return None
    return found.worth * (1 - found.gap), found.worth


def systolic_nest(size: int, kernel: int, stride: int, channels: int, outputs: int) -> Nest:
    """A convolution as the product that such an array runs: rows of c = kernel x kernel x channels."""
    pixels = -(-(size - kernel + stride) // stride)
    return parse("y c, c m -> y m", axes={"y": pixels**2, "c": kernel**2 * channels, "m": outputs}, multiplies=True)


def _systolic() -> Row:
    """SCALE-Sim's closed form, folds (outputs + 2 x 32 + 32 - 2) - 1, on AlexNet's published cycles and 50 random shapes."""
    chip = read_chip("systolic-32")
    rng = np.random.default_rng(0)
    shapes = [(int(rng.integers(7, 64)), int(rng.integers(1, 6)), int(rng.integers(1, 4)), *map(int, rng.integers(1, 300, 2))) for _ in range(50)]
    nests = [systolic_nest(*shape) for shape in (*ALEXNET, *shapes)]
    wanted = [(-(-n.axes["c"] // 32)) * (-(-n.axes["m"] // 32)) * (n.axes["y"] + 94) - 1 for n in nests]
    start = perf_counter()
    cycles = [best_mapping(nest, chip, LEAST_CYCLES).estimate.cycles for nest in nests[:5]]
    took = perf_counter() - start
    cycles += [best_mapping(nest, chip, LEAST_CYCLES).estimate.cycles for nest in nests[5:]]
    equal = sum(ours == other for ours, other in zip(cycles, wanted, strict=True))
    published = sum(ours == other for ours, other in zip(cycles, SCALE_SIM, strict=False))
    return Row(
        figure="SCALE-Sim's cycles, 32 x 32 weight stationary: AlexNet and 50 random shapes",
        value=f"{published} of 5 published and {equal} of 55 equal, AlexNet in {took:.3f} s",
        target="all, < 0.1 s",
        worst="SCALE-Sim 3.0.0: 286 s",
        holds=published == 5 and equal == 55 and took < 0.1,
    )


def _cold(network: str) -> Row:
    """On every chip of the catalogue, each in a process of its own, as a user calls it."""
    gaps: dict[str, float] = {}
    times: dict[str, float] = {}
    for chip in chip_names():
        command = [str(Path(sys.executable).with_name("ridgeline")), "map", network, "--chip", chip, "--json"]
        if not times:
            subprocess.run(command, check=True, capture_output=True)  # compiles once
        start = perf_counter()
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        times[chip] = perf_counter() - start
        gaps[chip] = msgspec.json.decode(ended.stdout)["certificate"]["gap"] if ended.returncode == 0 else 1.0
    slowest, widest = (max(values, key=lambda chip: values[chip]) for values in (times, gaps))
    proven, close = sum(gap == 0 for gap in gaps.values()), sum(gap < 0.1 for gap in gaps.values())
    return Row(
        figure=f"{network} on every chip of the catalogue, energy x delay, cold process",
        value=f"{times[slowest]:.1f} s at most, tpu-like {times['tpu-like']:.1f} s; of {len(gaps)} chips {proven} proven, {close} within 10 %",
        target=f"< {COLD_S} s",
        worst=f"{slowest}; {widest} within {100 * gaps[widest]:.0f} %",
        holds=times[slowest] < COLD_S and max(gaps.values()) < 1,
    )


def _unconstrained() -> Found:
    chip = msgspec.structs.replace(read_chip("eyeriss-256"), unroll={}, loops={})
    return best_mapping(conv(), chip, LEAST_EDP, conventions=TIMELOOP)


def _speed() -> Row:
    """The median of several searches of one layer; and a network's, which takes its whole budget."""
    rates = sorted(_rates(found.covered, found.time_s) for found in (_unconstrained() for _ in range(SEARCHES)))
    counted, pruned = rates[SEARCHES // 2]
    nests = [layer.nest for layer in source.read_work(NETWORKS[0]).layers]
    longer = map_nests(nests, read_chip("eyeriss-168"), read_objective("edp"), budget_s=LONG_S)
    network, _ = _rates(longer.covered, longer.time_s)
    return Row(
        figure="partial mappings a second on 2 cores, looked at one by one; pruned with proof",
        value=f"{counted:.2f} M/s; {pruned:.2f} M/s",
        target=">= 5 M/s looked at",
        worst=f"that layer, {SEARCHES} times: {rates[0][0]:.2f} to {rates[-1][0]:.2f}; {NETWORKS[0]} on eyeriss-168 in {LONG_S} s: {network:.2f}",
        holds=counted >= 5,
    )


def _rates(covered: Covered, took: float) -> tuple[float, float]:
    return covered.counted / took / 1e6, covered.pruned / took / 1e6
