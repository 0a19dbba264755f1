"""An engine's buffers cut to the tiles of one network: no element more than they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ridgeline.algorithm.graph import Graph
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.parts import works
from ridgeline.mapping.tiling import Need, Tiling, clipped, default_tiling, need


def snug(graph: Graph, engine: Engine, tilings: Mapping[str, Tiling]) -> Engine:
    """Two of the largest tile of a layer where the engine holds two, else one, in whole words of the buffers; as many accumulators as the largest
    group has pixels. `tilings` by node name; `default_tiling` for the rest. The output buffer stays: what fits half of it decides how the stores
    are cut.
    """
    needs = list(_needs(graph, engine, tilings))
    word = engine.weight_word_bytes
    return replace(
        engine,
        activation_bytes=word * max(_room(-(-item.activation_bytes // word), engine.activation_bytes // word) for item in needs),
        weight_bytes=word * max(_room(item.weight_words, engine.weight_words) for item in needs),
        accumulator_depth=max(item.accumulators for item in needs),
    )


def _needs(graph: Graph, engine: Engine, tilings: Mapping[str, Tiling]) -> Iterator[Need]:
    for node, made in works(graph, engine).items():
        for work in made:
            tiling = clipped(tilings[node], work, engine) if node in tilings else default_tiling(work, engine)
            yield need(tiling, work, engine)


def _room(tile: int, capacity: int) -> int:
    return 2 * tile if 2 * tile <= capacity else tile
