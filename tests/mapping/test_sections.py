"""Programs of a graph's sections, each on an engine of its own: one after another they leave the bytes of the whole graph."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mapping.cases import codes_for, random_engine

from ridgeline.algorithm.cut import alive, sections
from ridgeline.algorithm.graph import Array, Graph
from ridgeline.algorithm.reference import run_integer
from ridgeline.errors import DoesNotFitError
from ridgeline.mapping import image, interpreter
from ridgeline.mapping.lower import lower
from ridgeline.testing.graphs import random_network


def _through(piece: Graph, tensors: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """What the section's program leaves of what it writes, given (C, H, W) of what it reads."""
    program = lower(piece, random_engine(rng))
    program.verify()
    memory = image.memory(program)
    for port in piece.inputs:
        image.pack_input(program, memory, port.tensor, tensors[port.tensor])
    interpreter.run(program, memory)
    return {port.tensor: image.unpack(program, memory, port.tensor) for port in piece.outputs}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_network(rng, blocks=int(rng.integers(2, 6)))
    count = len(graph.nodes)
    cuts = sorted(int(cut) for cut in rng.choice(np.arange(1, count), size=min(3, count - 1), replace=False))
    codes = codes_for(rng, graph)
    whole = run_integer(graph, codes)
    tensors = {port.tensor: port.to_tensor(codes[port.name], graph.tensors[port.tensor])[0] for port in graph.inputs}
    for piece, stop in zip(sections(graph, (*cuts, count)), (*cuts, count), strict=True):
        try:
            tensors |= _through(piece, tensors, rng)
        except DoesNotFitError:
            return
        tensors = {name: tensors[name] for name in alive(graph, stop)}  # nothing but what crosses
    for port in graph.outputs:
        assert tensors[port.tensor].tobytes() == whole[port.tensor][0].tobytes()
