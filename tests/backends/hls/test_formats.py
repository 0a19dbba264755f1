"""The C++ in float32 and fixed16: random layers on random parameters, against onnxruntime on the golden network of the format."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.algorithm.real_graphs import real_graph, real_inputs
from tests.backends.hls.engines import random_engine

from ridgeline.algorithm.passes.fixed import codes, fixed
from ridgeline.algorithm.reference import run_float, sqnr_db
from ridgeline.flows.compare import TOLERANCE
from ridgeline.testing import csim as bench
from ridgeline.testing.graphs import LAYER_KINDS, random_layer_graph, random_network

QUICK = ("-O1", "-std=c++17", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-label", "-fsanitize=undefined", "-fno-sanitize-recover")
random_parameters = given(
    kind=st.sampled_from((*LAYER_KINDS, "network", "network")), tm=st.integers(1, 24), tn=st.integers(2, 24), pixels=st.integers(1, 60),
    seed=st.integers(0, 1 << 30),
)  # fmt: skip
some = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled in less time, and with every overflow an error."""
    monkeypatch.setattr("ridgeline.backends.hls.CXX_FLAGS", QUICK)


def drawn(kind: str, rng: np.random.Generator):
    return real_graph(rng, random_network(rng) if kind == "network" else random_layer_graph(rng, kind))


@some
@random_parameters
def test_float32(kind: str, tm: int, tn: int, pixels: int, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(seed)
    graph = drawn(kind, rng)
    engine = random_engine(rng, tm=tm, tn=tn, pixels=pixels)
    checked = bench.run(bench.float32(graph), engine, real_inputs(rng, graph, images=2), tmp_path_factory.mktemp("float32"))
    assert checked.mismatch is None
    assert checked.largest_error is not None
    assert checked.largest_error <= TOLERANCE


@some
@random_parameters
def test_fixed16(kind: str, tm: int, tn: int, pixels: int, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bit for bit; and what it computes is the float network."""
    rng = np.random.default_rng(seed)
    graph = drawn(kind, rng)
    engine = random_engine(rng, tm=tm, tn=tn, pixels=pixels)
    inputs = real_inputs(rng, graph, images=2)
    found = fixed(graph, inputs)
    coded = {port.name: codes(inputs[port.name], found.fractions[port.tensor]) for port in graph.inputs}
    checked = bench.run(bench.fixed16(found), engine, coded, tmp_path_factory.mktemp("fixed16"))
    assert checked.mismatch is None
    wanted = run_float(graph, inputs)
    for port in graph.outputs:
        reals = checked.outputs[port.name] * 2.0 ** -found.fractions[port.tensor]
        assert sqnr_db(port.to_array(wanted[port.tensor]), reals) > 45
