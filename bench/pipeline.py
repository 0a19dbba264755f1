"""Boards in a line: the dynamic programme against every partition, and published networks on published boards.

BENCH_PARTITIONS says how many random lines (1000), each with both objectives. The published figures (C. Zhang et al., ISLPED 2016) are of another
engine, in 16-bit fixed point at 150 MHz; ours are predictions in int8 at the device's clock: they are shown, not judged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from bench.row import Row, ridgeline
from ridgeline.system.line import Objective, Times, best

PARTITIONS = int(os.environ.get("BENCH_PARTITIONS", "1000"))
MOST_LAYERS, MOST_BOARDS = 10, 4
SEED = 2016
LINK_GB_PER_S = 1.25  # 10 Gb/s
LIMIT_S = 120.0
NETWORKS = (("alexnet", 4, "825.6 GOPS"), ("vgg16", 6, "1280.3 GOPS"), ("resnet18", 6, ""))  # and what was published
JUDGED = "resnet18"  # whose search has a limit


def measure() -> list[Row]:
    return [_optimal(), *(_network(name, boards, peer) for name, boards, peer in NETWORKS)]


def _optimal() -> Row:
    """Whole numbers of seconds: sums are exact in any order."""
    rng = np.random.default_rng(SEED)
    equal, compared, most, wrong = 0, 0, 0, ""
    objectives: tuple[Objective, ...] = ("throughput", "latency")
    for number in range(PARTITIONS):
        boards = int(rng.integers(1, MOST_BOARDS + 1))
        layers = int(rng.integers(boards, MOST_LAYERS + 1))
        times = Times(
            boards=rng.integers(1, 100, (boards, layers + 1, layers + 1)).astype(float),
            links=rng.integers(0, 100, (boards - 1, layers + 1)).astype(float),
        )
        good = True
        for objective in objectives:
            every = dict(_every(times, objective))
            found = best(times, objective)
            good &= found is not None and found.time_s == min(every.values()) == every[found.stops]
            compared, most = compared + len(every), max(most, len(every))
        equal += good
        wrong = wrong or ("" if good else f"line {number} of {layers} layers on {boards} boards")
    return Row(
        figure=f"{PARTITIONS:,} random lines, throughput and latency: equal to brute force",
        value=f"{equal:,}",
        target="all",
        worst=wrong or f"{compared:,} partitions, at most {most} of one line; to {MOST_LAYERS} layers and {MOST_BOARDS} boards",
        holds=equal == PARTITIONS,
    )


def _every(times: Times, objective: Objective) -> Iterator[tuple[tuple[int, ...], float]]:
    for cuts in combinations(range(1, times.layers), len(times.boards) - 1):
        starts, stops = (0, *cuts), (*cuts, times.layers)
        stages = [float(times.boards[board, start, stop]) for board, (start, stop) in enumerate(zip(starts, stops, strict=True))]
        stages += [float(times.links[board, stop]) for board, stop in enumerate(cuts)]
        yield stops, max(stages) if objective == "throughput" else sum(stages)


def _network(name: str, boards: int, peer: str) -> Row:
    asked = ("--device", "vc709", "--count", str(boards), "--link-gb-per-s", str(LINK_GB_PER_S), "--objective", "throughput")
    found = ridgeline("explore", name, *asked)
    seen = found["explored"]
    return Row(
        figure=f"{name} on {boards} x vc709 in a line: predicted, and the search",
        value=f"{found['throughput_images_per_s']:,.1f} images/s, {found['gops']:,.0f} GOPS; {seen['time_s']:.0f} s",
        target=f"search < {LIMIT_S:.0f} s" if name == JUDGED else "-",
        worst=f"{found['bottleneck']}; {seen['searched']} of {seen['sections']} sections searched; latency {1e3 * found['latency_s']:.1f} ms",
        holds=seen["time_s"] < LIMIT_S if name == JUDGED else None,
        peer=f"ISLPED'16, 16 bits, 150 MHz: {peer}" if peer else "",
    )
