"""How hardware/engine/resources.py's CELLS were found: `python -m bench.fit_cells [FAMILY ...]` prints a row for each family.

The lane and the requantiser are synthesised by themselves; least squares give the lane's figures. What whole engines need beyond their lanes
gives the rest, with the LUTs of a queue's bit and of a multiplexer as the family's structure has them. None of these engines is one of
those on which `python -m bench resources` judges the prediction.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ridgeline.backends.rtl import emit
from ridgeline.backends.rtl.board import ENGINE
from ridgeline.flows.synthesis import netlist
from ridgeline.hardware.device import Family
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.resources import CELLS, Cells, logic, tree_bits
from ridgeline.tools.yosys import Synthesis

BASE = Engine(
    lanes_out=8, lanes_in=8, bus_bytes=16, activation_bytes=32 << 10, weight_bytes=32 << 10, output_bytes=16 << 10, accumulator_depth=256
)
LANES = ((4, 1), (8, 1), (8, 3), (16, 3), (16, 8))  # lanes_in, taps
ENGINES = (
    replace(BASE, taps=1, bus_bytes=4),
    BASE,
    replace(BASE, lanes_out=4, lanes_in=16, bus_bytes=32),
    replace(BASE, lanes_out=16, lanes_in=4, bus_bytes=8),
    replace(BASE, lanes_out=8, lanes_in=8, bus_bytes=64),
)
NONE = Cells(
    lane_lut=0, lane_input_lut=0, tap_lut=0, requantise_lut=0, queue_bit_lut=0, multiplexer_lut=0, bus_byte_lut=0, rest_lut=0, lane_ff=0,
    lane_input_ff=0, requantise_ff=0, bus_byte_ff=0, vector_byte_ff=0, rest_ff=0, level_lut=0, place_lut=0,
)  # fmt: skip


def synthesised(engine: Engine, top: str, family: Family) -> Synthesis:
    with tempfile.TemporaryDirectory() as name:
        return netlist(emit(engine), top, family, Path(name))


def solved(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    found = np.linalg.lstsq(np.array(rows, float), np.array(values, float), rcond=None)[0]
    return [round(float(value), 1) for value in found]


def lane_cells(family: Family) -> dict[str, float]:
    engines = [replace(BASE, lanes_in=lanes_in, taps=taps) for lanes_in, taps in LANES]
    made = [synthesised(engine, "ridgeline_lane", family) for engine in engines]
    lut = solved([(1, engine.lanes_in, engine.taps) for engine in engines], [item.lut for item in made])
    registers = [item.ff - tree_bits(engine) - 8 * max(2, engine.taps) for engine, item in zip(engines, made, strict=True)]
    ff = solved([(1, engine.lanes_in) for engine in engines], registers)
    requantise = synthesised(BASE, "ridgeline_requantise", family)
    return {
        "lane_lut": lut[0], "lane_input_lut": lut[1], "tap_lut": lut[2], "lane_ff": ff[0], "lane_input_ff": ff[1],
        "requantise_lut": requantise.lut, "requantise_ff": requantise.ff,
    }  # fmt: skip


def rest_cells(family: Family, known: Mapping[str, float]) -> dict[str, float]:
    so_far = replace(NONE, **known)
    left = [np.subtract((item.lut, item.ff), logic(engine, so_far)) for engine, item in ((e, synthesised(e, ENGINE, family)) for e in ENGINES)]
    bus_lut, rest_lut = solved([(engine.bus_bytes, 1) for engine in ENGINES], [lut for lut, _ in left])
    bus, vector, rest = solved([(engine.bus_bytes, engine.vector_bytes, 1) for engine in ENGINES], [ff for _, ff in left])
    return {"bus_byte_lut": bus_lut, "rest_lut": rest_lut, "bus_byte_ff": bus, "vector_byte_ff": vector, "rest_ff": rest}


def storage_cells(family: Family, known: Mapping[str, float]) -> dict[str, float]:
    """From an engine and the same one with other weights: what has the vector of a sparse one for another reason is known already."""
    engine = replace(BASE, lanes_out=8, lanes_in=8, bus_bytes=16)
    plain, so_far = synthesised(engine, ENGINE, family).lut, replace(NONE, **known)

    def share(changed: Engine, field: str) -> float:
        more = synthesised(changed, ENGINE, family).lut - plain - (logic(changed, so_far)[0] - logic(engine, so_far)[0])
        return more / (logic(changed, replace(NONE, **{field: 1}))[0] - logic(engine, replace(NONE, **{field: 1}))[0])

    place = [share(replace(engine, sparsity=name), "place_lut") for name in ("2:4", "bank16:50%")]
    return {"level_lut": round(share(replace(engine, weight_format="flint4"), "level_lut"), 1), "place_lut": round(sum(place) / 2, 1)}


def main(families: Sequence[Family]) -> None:
    for family in families:
        structure = {"queue_bit_lut": CELLS[family].queue_bit_lut, "multiplexer_lut": CELLS[family].multiplexer_lut}
        known = {**structure, **lane_cells(family)}
        known |= rest_cells(family, known)
        print(f'    "{family}": {Cells(**known, **storage_cells(family, known))},', flush=True)


if __name__ == "__main__":
    main([family for family in CELLS if family in sys.argv[1:]] or ["ecp5", "xc7", "xcup"])
