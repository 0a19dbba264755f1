"""Exploring ResNet-18 on zcu102: points evaluated a second, and the whole answer, once the code is compiled.

Beside both stands ZigZag, run after them: it maps a network to one given chip, which is less than is asked here.
The machine may be shared: beside the wall time stands the processor time, which other programs' work does not lengthen much.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bench.peers import ran
from bench.row import Row

RATE, LIMIT_S = 10e6, 5.0
RATE_PEER = "ZigZag {version}: {rate:.0f} a second, {evaluations:,} evaluated; {processor_s:.1f} processor-s"
ANSWER_PEER = "ZigZag {version}: {wall_s:.1f} s, its AlexNet on its tpu_like, one chip"


def measure() -> list[Row]:
    from ridgeline.algorithm import zoo
    from ridgeline.algorithm.onnx.reader import read_network
    from ridgeline.algorithm.passes.calibrate import noise
    from ridgeline.algorithm.passes.quantise import quantise
    from ridgeline.explore.choose import choose, search
    from ridgeline.explore.space import Space
    from ridgeline.hardware.device import read_device

    network = read_network(zoo.model("resnet18").SerializeToString())
    graph = quantise(network.graph, noise(network.graph, np.random.default_rng(1)))
    device = read_device("zcu102")
    choice = choose(graph, device)  # compiles
    space = Space.of(device)
    wall, processor = _timed(lambda: search(graph, space))
    answer, answer_processor = _timed(lambda: choose(graph, device))
    explored = choice.explored
    covered = f"{explored.evaluated:,} evaluated for {explored.legal:,} legal, {explored.engines:,} engines; {processor:.1f} processor-s"
    engine = choice.engine
    name = f"{engine.lanes_out}x{engine.lanes_in} lanes, {choice.cycles:,} cycles; {answer_processor:.1f} processor-s"
    rate = explored.evaluated / wall
    peer = ran("zigzag")
    return [
        Row(
            figure="exploration: points evaluated a second",
            value=f"{rate / 1e6:.1f} M",
            target=">= 10 M",
            worst=covered,
            holds=rate >= RATE,
            peer=peer.cell(RATE_PEER),
        ),
        Row(
            figure="exploration: whole answer, warm",
            value=f"{answer:.2f} s",
            target=f"< {LIMIT_S:.0f} s",
            worst=name,
            holds=answer < LIMIT_S,
            peer=peer.cell(ANSWER_PEER),
        ),
    ]


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds, of all threads."""
    start, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - processor
