"""An integer graph through the emitted C++: lowered, run by C simulation, and every value of every layer held against onnxruntime.

checked = run(graph, engine, random_codes(rng, graph), folder)
assert checked.mismatch is None
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from ridgeline.algorithm.graph import Array, Graph
from ridgeline.algorithm.onnx.golden import boundary_names, golden
from ridgeline.backends.hls import Board, emit
from ridgeline.flows import csim, hls
from ridgeline.flows import design as files
from ridgeline.flows.check import Checked
from ridgeline.flows.progress import Silent
from ridgeline.formats import FORMATS
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.program import Program
from ridgeline.mapping.schedule import DramTiming
from ridgeline.mapping.tiling import Tiling

BOARD = Board(name="bench", part="xczu7ev-ffvc1156-2-e", clock_mhz=200)
DRAM = DramTiming(bytes_per_cycle=Fraction(16), read_latency_cycles=20, write_latency_cycles=20)


def run(
    graph: Graph, engine: Engine, codes: Mapping[str, Array], folder: Path, *, tilings: Mapping[str, Tiling] | None = None
) -> Checked:
    """`codes` are golden.onnx's inputs, int8 (images, *shape). The design is left in `folder`, as `ridgeline verify` reads it but for its inputs."""
    write(graph, engine, folder, tilings=tilings)
    return csim.check(folder, codes, folder / "work", Silent())


def write(graph: Graph, engine: Engine, folder: Path, *, tilings: Mapping[str, Tiling] | None = None) -> Program:
    """Lays the graph's design in `folder`."""
    program = lower(graph, engine, tilings)
    program.verify()
    for path, text in emit(program, BOARD).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / files.GOLDEN).write_bytes(golden(graph))
    hls.write_program(folder, program, FORMATS["int8"])
    files.write_json(files.describe(program, graph, boundary_names(graph), DRAM, BOARD.name, "hls"), folder / files.DESIGN)
    files.write_json(hls.predicted(program, FORMATS["int8"]), folder / files.PREDICTION)
    return program
