"""An integer graph through the emitted Verilog: lowered, simulated, and every value of every layer held against onnxruntime.

checked = run(graph, engine, random_codes(rng, graph), folder, dram=dram)
assert checked.mismatch is None
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ridgeline.algorithm.graph import Array, Graph
from ridgeline.algorithm.onnx.golden import boundary_names, golden
from ridgeline.backends.rtl import emit
from ridgeline.flows import design as files
from ridgeline.flows.check import Checked, Settings, check
from ridgeline.flows.progress import Silent
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.schedule import DramTiming, Prediction, predict
from ridgeline.mapping.tiling import Tiling


def run(
    graph: Graph, engine: Engine, codes: Mapping[str, Array], folder: Path, *, dram: DramTiming, settings: Settings | None = None,
    tilings: Mapping[str, Tiling] | None = None,
) -> Checked:  # fmt: skip
    """`codes` are golden.onnx's inputs, int8 (images, *shape). The design is left in `folder`, as `ridgeline verify` reads it but for its inputs."""
    write(graph, engine, folder, dram=dram, tilings=tilings)
    return check(folder, codes, folder / "work", settings or Settings(), Silent())


def write(graph: Graph, engine: Engine, folder: Path, *, dram: DramTiming, tilings: Mapping[str, Tiling] | None = None) -> Prediction:
    """Lays the graph's design in `folder`."""
    program = lower(graph, engine, tilings)
    prediction = predict(program, dram)
    for path, content in verilog(engine).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    (folder / files.GOLDEN).write_bytes(golden(graph))
    (folder / files.PROGRAM).write_bytes(program.image())
    files.write_json(files.describe(program, graph, boundary_names(graph), dram, "simulation"), folder / files.DESIGN)
    files.write_json(files.predicted(prediction), folder / files.PREDICTION)
    return prediction


_emitted: dict[Engine, Mapping[str, str]] = {}


def verilog(engine: Engine) -> Mapping[str, str]:
    """The engine's files, emitted once a process."""
    if engine not in _emitted:
        _emitted[engine] = emit(engine)
    return _emitted[engine]
