"""Engines and tilings drawn at random, and one run of a program against the integer reference."""

from __future__ import annotations

import numpy as np

from ridgeline.algorithm.graph import Array, Graph
from ridgeline.algorithm.reference import run_integer
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping import image, interpreter
from ridgeline.mapping.program import Program
from ridgeline.testing.graphs import random_codes
from ridgeline.testing.mappings import random_tilings

__all__ = ["codes_for", "differences", "random_engine", "random_tilings"]


def random_engine(rng: np.random.Generator) -> Engine:
    def power(low: int, high: int) -> int:
        return 1 << int(rng.integers(low, high + 1))

    return Engine(
        lanes_out=power(2, 4),
        lanes_in=power(2, 4),
        taps=int(rng.integers(2, 5)),
        bus_bytes=power(2, 6),
        activation_bytes=power(12, 16),
        weight_bytes=power(12, 15),
        output_bytes=power(10, 13),
        accumulator_depth=power(5, 8),
    )


def differences(program: Program, graph: Graph, codes: dict[str, Array]) -> list[str]:
    """Runs the first image and names every node whose output in DRAM is not the reference's."""
    expected = run_integer(graph, codes)
    memory = image.memory(program)
    for port in graph.inputs:
        values = port.to_tensor(codes[port.name], graph.tensors[port.tensor])
        image.pack_input(program, memory, port.tensor, values[0])
    interpreter.run(program, memory)
    return [
        f"{node.name} {node.operator}: {np.argwhere(image.unpack(program, memory, node.output) != expected[node.output][0])[:3].tolist()}"
        for node in graph.nodes
        if (image.unpack(program, memory, node.output) != expected[node.output][0]).any()
    ]


def codes_for(rng: np.random.Generator, graph: Graph) -> dict[str, Array]:
    return random_codes(rng, graph, images=1)
