"""Random tilings: what a test of the lowering, the schedule or the hardware draws beside its graph."""

from __future__ import annotations

import numpy as np

from ridgeline.algorithm.graph import Graph
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.layer import Work
from ridgeline.mapping.parts import works
from ridgeline.mapping.tiling import Order, Tiling, clipped, legal

_TRIES = 20


def random_tilings(rng: np.random.Generator, graph: Graph, engine: Engine) -> dict[str, Tiling]:
    """Legal tilings of some nodes, of any shape."""
    found: dict[str, Tiling] = {}
    for name, made in works(graph, engine).items():
        for _ in range(_TRIES):
            tiling = _random_tiling(rng, made[0], engine)
            if all(legal(tiling, work, engine) for work in made):
                found[name] = tiling
                break
    return found


def _random_tiling(rng: np.random.Generator, work: Work, engine: Engine) -> Tiling:
    def upto(limit: int) -> int:
        return int(rng.integers(1, limit + 1))

    y, x = upto(work.size[0]), upto(work.size[1])
    pieces = upto(work.runs) if rng.random() < 0.25 else 0
    blocks = 1 if pieces else upto(work.blocks)
    order = Order(int(rng.integers(2)))
    tiling = Tiling(y=y, x=x, m=blocks * engine.lanes_out, c=pieces, order=order, group_y=upto(y), group_x=upto(x))
    return clipped(tiling, work, engine)
