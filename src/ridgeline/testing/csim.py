"""A graph through the emitted C++: lowered, run by C simulation, and every value of every layer held against onnxruntime.

checked = run(int8(graph), engine, random_codes(rng, graph), folder)
assert checked.mismatch is None
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ridgeline.algorithm.graph import Array, Graph
from ridgeline.algorithm.onnx.golden import boundary_names, golden
from ridgeline.algorithm.onnx.golden_fixed import golden_fixed
from ridgeline.algorithm.onnx.golden_float import golden_float
from ridgeline.algorithm.passes.fixed import Fixed
from ridgeline.algorithm.passes.real import real
from ridgeline.backends.hls import Board, emit
from ridgeline.flows import csim, hls
from ridgeline.flows import design as files
from ridgeline.flows.check import Checked
from ridgeline.flows.options import FormatName
from ridgeline.flows.progress import Silent
from ridgeline.formats import ENGINE_FORMATS
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping import encoding
from ridgeline.mapping.lower import lower
from ridgeline.mapping.program import Program
from ridgeline.mapping.schedule import DramTiming
from ridgeline.mapping.tiling import Tiling

BOARD = Board(name="bench", part="xczu7ev-ffvc1156-2-e", clock_mhz=200)
DRAM = DramTiming(bytes_per_cycle=Fraction(16), read_latency_cycles=20, write_latency_cycles=20)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A graph in a number format."""

    name: FormatName
    graph: Graph
    encoding: encoding.Encoding
    golden: bytes


def int8(graph: Graph) -> Network:
    """Of an integer graph."""
    return Network(name="int8", graph=graph, encoding=encoding.INT8, golden=golden(graph))


def float32(graph: Graph) -> Network:
    """Of a float graph."""
    found = real(graph)
    return Network(name="float32", graph=found.graph, encoding=encoding.float32(found.limits), golden=golden_float(graph))


def fixed16(found: Fixed) -> Network:
    return Network(name="fixed16", graph=found.graph, encoding=encoding.fixed16(found.limits), golden=golden_fixed(found))


def run(
    network: Network, engine: Engine, inputs: Mapping[str, Array], folder: Path, *, tilings: Mapping[str, Tiling] | None = None
) -> Checked:
    """`inputs` are golden.onnx's, (images, *shape). The design is left in `folder`, as `ridgeline verify` reads it but for its inputs."""
    write(network, engine, folder, tilings=tilings)
    dtype = files.DTYPES[network.name]
    return csim.check(folder, {name: np.asarray(array, dtype) for name, array in inputs.items()}, folder / "work", Silent())


def write(network: Network, engine: Engine, folder: Path, *, tilings: Mapping[str, Tiling] | None = None) -> Program:
    """Lays the network's design in `folder`."""
    number, graph = ENGINE_FORMATS[network.name], network.graph
    program = lower(graph, engine, tilings, encoding=network.encoding)
    program.verify()
    for path, text in emit(program, BOARD, number).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / files.GOLDEN).write_bytes(network.golden)
    hls.write_program(folder, program, number)
    described = files.describe(program, graph, boundary_names(graph), DRAM, BOARD.name, "hls", network.name)
    files.write_json(described, folder / files.DESIGN)
    files.write_json(hls.predicted(program, number), folder / files.PREDICTION)
    return program
