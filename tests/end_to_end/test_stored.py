"""Weights of 4 bits and sparse ones through the emitted Verilog: layers that carry them beside dense int8 ones, on one engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.end_to_end.conftest import DRAM

from ridgeline.algorithm.reference import run_integer
from ridgeline.flows.check import Settings
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.program import Compute
from ridgeline.mapping.schedule import predict
from ridgeline.testing.graphs import informative, random_codes, random_layer_graph, random_network
from ridgeline.testing.hardware import run
from ridgeline.tools.simulator import Stalls

ENGINE = Engine(
    lanes_out=4, lanes_in=4, bus_bytes=4, activation_bytes=1 << 14, weight_bytes=1 << 12, output_bytes=1 << 10, accumulator_depth=64,
    weight_format="flint4", sparsity="2:4",
)  # fmt: skip


def test_layers_and_networks_are_exact_and_last_as_long_as_predicted(tmp_path: Path) -> None:
    forms: set[tuple[int, int]] = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        how = {"weight_format": "int8" if seed == 5 else "flint4", "sparsity": "2:4" if seed % 3 else "none"}
        if seed % 2:
            graph = random_network(rng, blocks=4, largest_channels=24, largest_size=10, **how)
        else:
            graph = random_layer_graph(rng, "conv", largest_channels=40, largest_size=10, **how)
        codes = random_codes(rng, graph, images=2)
        stalls = Stalls(share=0.3 * (seed > 2), seed=seed + 1)
        checked = run(graph, ENGINE, codes, tmp_path / str(seed), dram=DRAM, settings=Settings(stalls=stalls))
        assert checked.mismatch is None
        expected = run_integer(graph, codes)
        for port in graph.outputs:
            assert np.array_equal(checked.outputs[port.name], port.to_array(expected[port.tensor]))
        program = lower(graph, ENGINE)
        forms |= {(item.packed, item.sparse) for item in program.instructions if isinstance(item, Compute)}
        if not stalls.share:
            assert abs(predict(program, DRAM).cycles / checked.cycles - 1) < 0.02
            assert any(informative(values) for values in checked.outputs.values())
    assert forms == {(0, 0), (1, 0), (0, 1), (1, 1)}
