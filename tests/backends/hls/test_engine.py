"""The C++ of any <Tm, Tn, Tr, Tc> compiles, and computes what golden.onnx does."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.backends.hls.engines import random_engine

from ridgeline.algorithm.graph import Graph
from ridgeline.algorithm.onnx.golden import golden
from ridgeline.algorithm.onnx.runtime import run as onnxruntime
from ridgeline.flows import csim
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.parts import works
from ridgeline.mapping.program import Compute
from ridgeline.mapping.tiling import Tiling, legal
from ridgeline.testing import csim as bench
from ridgeline.testing.graphs import LAYER_KINDS, random_codes, random_layer_graph, random_network

QUICK = ("-O1", "-std=c++17", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-label", "-fsanitize=undefined", "-fno-sanitize-recover")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled in less time, and with every overflow an error."""
    monkeypatch.setattr("ridgeline.backends.hls.CXX_FLAGS", QUICK)


def groups_of(graph: Graph, engine: Engine, tr: int, tc: int) -> dict[str, Tiling]:
    """Groups of Tr x Tc pixels for every node whose tiles then fit the buffers; the reduction in pieces if it must be."""
    found: dict[str, Tiling] = {}
    for node, made in works(graph, engine).items():
        for pieces in (0, 1):
            tiling = Tiling(y=tr, x=tc, m=engine.lanes_out, c=pieces, group_y=tr, group_x=tc)
            if node not in found and all(legal(tiling, work, engine) for work in made):
                found[node] = tiling
    return found


@settings(max_examples=9, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(LAYER_KINDS), tm=st.integers(1, 64), tn=st.integers(2, 64), tr=st.integers(1, 9), tc=st.integers(1, 9),
    seed=st.integers(0, 1 << 30),
)  # fmt: skip
def test_random_layers_on_random_parameters(
    kind: str, tm: int, tn: int, tr: int, tc: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    graph = random_layer_graph(rng, kind)
    engine = random_engine(rng, tm=tm, tn=tn, pixels=tr * tc)
    tilings = groups_of(graph, engine, tr, tc)
    checked = bench.run(bench.int8(graph), engine, random_codes(rng, graph), tmp_path_factory.mktemp("layer"), tilings=tilings)
    assert checked.mismatch is None
    assert checked.values_compared > 0


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tm=st.integers(1, 24), tn=st.integers(2, 24), seed=st.integers(0, 1 << 30))
def test_random_networks(tm: int, tn: int, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(seed)
    graph = random_network(rng)
    engine = random_engine(rng, tm=tm, tn=tn, pixels=int(rng.integers(1, 80)))
    assert bench.run(bench.int8(graph), engine, random_codes(rng, graph, images=2), tmp_path_factory.mktemp("network")).mismatch is None


@pytest.mark.parametrize(("tm", "tn"), [(137, 4), (5, 131), (1, 480), (200, 2)])
def test_lanes_that_only_the_uniform_search_chooses(tm: int, tn: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(tm)
    graph = random_layer_graph(rng, "conv")
    words = max(tm, tn)
    engine = Engine(
        lanes_out=tm, lanes_in=tn, taps=1, bus_bytes=1, activation_bytes=200 * words, weight_bytes=200 * words, output_bytes=400 * tm,
        accumulator_depth=60,
    )  # fmt: skip
    assert bench.run(bench.int8(graph), engine, random_codes(rng, graph), tmp_path).mismatch is None


def test_groups_are_of_the_tiles_asked_for(tmp_path: Path) -> None:
    """Tr = 3, Tc = 5: the accumulators are as many as the largest group has pixels."""
    rng = np.random.default_rng(5)
    graph = random_layer_graph(rng, "pointwise", largest_size=14)
    (node,) = graph.nodes
    engine = Engine(lanes_out=7, lanes_in=3, bus_bytes=4, activation_bytes=9016, weight_bytes=5000, output_bytes=3000, accumulator_depth=64)
    tilings = {node.name: Tiling(y=3, x=5, m=7, group_y=3, group_x=5)}
    program = bench.write(bench.int8(graph), engine, tmp_path, tilings=tilings)
    largest = max(item.output_rows * item.output_columns for item in program.instructions if isinstance(item, Compute))
    assert f"constexpr int GROUP = {largest};" in (tmp_path / "hls" / "engine.h").read_text()
    assert bench.run(bench.int8(graph), engine, random_codes(rng, graph), tmp_path, tilings=tilings).mismatch is None


def test_the_verilogs_program_runs_unchanged(tmp_path: Path) -> None:
    """An engine of powers of two: its image is the one that the Verilog runs."""
    rng = np.random.default_rng(8)
    graph = random_network(rng)
    engine = Engine(
        lanes_out=8, lanes_in=4, taps=2, bus_bytes=16, activation_bytes=8192, weight_bytes=8192, output_bytes=2048, accumulator_depth=64
    )
    codes = random_codes(rng, graph, images=3)
    program = bench.write(bench.int8(graph), engine, tmp_path)
    assert (tmp_path / "program.bin").read_bytes() == program.image()
    checked = bench.run(bench.int8(graph), engine, codes, tmp_path)
    assert checked.mismatch is None
    wanted = onnxruntime(golden(graph), codes)
    assert all(np.array_equal(wanted[name], values) for name, values in checked.outputs.items())


def test_the_bench_of_the_folder_agrees(tmp_path: Path) -> None:
    """`make csim` compares the first image by itself, and sees a wrong value."""
    import subprocess

    rng = np.random.default_rng(9)
    graph = random_layer_graph(rng, "conv")
    engine = random_engine(rng, tm=5, tn=6, pixels=12)
    bench.write(bench.int8(graph), engine, tmp_path)
    csim.write_bench(tmp_path, random_codes(rng, graph))
    make = ["make", "csim", "CXXFLAGS=-O1 -std=c++17"]
    done = subprocess.run(make, cwd=tmp_path / "hls", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{graph.nodes[0].name}: {graph.tensors[graph.nodes[0].output].elements} values, 0 wrong" in done.stdout
    golden_bin = tmp_path / "hls" / "golden.bin"
    damaged = bytearray(golden_bin.read_bytes())
    damaged[0] ^= 1
    golden_bin.write_bytes(damaged)
    done = subprocess.run(make, cwd=tmp_path / "hls", capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert " 1 wrong" in done.stdout
