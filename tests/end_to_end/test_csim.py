"""Networks through the emitted C++ in every format: every value of every layer against onnxruntime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ridgeline.algorithm import zoo
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.passes.fixed import codes, fixed
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.algorithm.zoo import samples
from ridgeline.flows import floats
from ridgeline.flows.options import FormatName
from ridgeline.hardware.engine.engine import Engine
from ridgeline.testing import csim
from ridgeline.testing.graphs import informative

# Lanes that the Verilog does not have, and buffers so small that most layers are cut into tiles.
ENGINE = Engine(
    lanes_out=12, lanes_in=7, taps=3, bus_bytes=8, activation_bytes=1 << 14, weight_bytes=10000, output_bytes=2500, accumulator_depth=45
)
# Integers are the same however the C++ is compiled; tests/backends/hls looks for undefined behaviour.
QUICK = ("-O1", "-std=c++17", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-label")


@pytest.mark.parametrize("number", ["int8", "float32", "fixed16"])
@pytest.mark.parametrize("name", [entry.name for entry in zoo.describe() if entry.engine])
def test_every_distinct_block_of_the_zoo(name: str, number: FormatName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if number != "float32":
        monkeypatch.setattr("ridgeline.backends.hls.CXX_FLAGS", QUICK)
    network = read_network(zoo.reduced(name).SerializeToString(deterministic=True))
    (port,) = floats.network_inputs(network)
    reals = floats.engine_inputs(network, {port.name: samples.images(2, port.shape, seed=1)})
    made, inputs = prepared(number, network.graph, reals)
    checked = csim.run(made, ENGINE, inputs, tmp_path)
    assert checked.mismatch is None
    assert checked.values_compared > sum(array.size for array in checked.outputs.values())
    if number == "int8":
        assert all(informative(array) for array in checked.outputs.values())
    else:
        assert all(np.unique(array).size > 3 for array in checked.outputs.values())


def prepared(number: FormatName, graph, reals):
    """The network in a format, and golden.onnx's inputs."""
    if number == "int8":
        integer = quantise(graph, reals)
        return csim.int8(integer), floats.codes(integer, reals)
    if number == "float32":
        return csim.float32(graph), {name: array.astype(np.float32) for name, array in reals.items()}
    found = fixed(graph, reals)
    return csim.fixed16(found), {port.name: codes(reals[port.name], found.fractions[port.tensor]) for port in graph.inputs}
