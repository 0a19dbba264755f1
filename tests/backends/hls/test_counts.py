"""The running C++ does what the program says and no more: the bytes of its arrays, every access of them and of the memory, and every iteration of
its pipelined loops are counted in the executable, and in the program."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.backends.hls.engines import random_engine

from ridgeline.backends.hls import counts
from ridgeline.flows import csim
from ridgeline.hardware.engine.engine import TABLE_BYTES, TABLES, Engine
from ridgeline.mapping.program import Program
from ridgeline.testing import csim as bench
from ridgeline.testing.graphs import LAYER_KINDS, random_codes, random_layer_graph, random_network

PIPELINE = "#pragma HLS PIPELINE II = 1\n"
HERE = Path(__file__).parent


def counted(folder: Path) -> dict[str, tuple[int, ...]]:
    """What the executable of the folder's C++ counts for the first image: iterations, and (bytes, reads, writes) of each array."""
    kernel = (folder / "hls" / "engine.cpp").read_text()
    assert kernel.count(PIPELINE) == sum("HLS PIPELINE" in line for line in kernel.splitlines()) > 8
    (folder / "counted.cpp").write_text(kernel.replace(PIPELINE, "iterations++;\n"))
    flags = ["-O1", "-std=c++17", "-Wno-unknown-pragmas", "-I", folder / "hls", "-include", HERE / "counted.h"]
    command = ["g++", *flags, "-o", folder / "counted", folder / "counted.cpp", folder / "hls" / "main.cpp"]
    subprocess.run(list(map(str, command)), check=True)
    command = [folder / "counted", folder / "program.bin", folder / "hls" / "inputs.bin", "golden", folder / "hls" / "golden.bin"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode == 3:
        raise AssertionError(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout[done.stdout.index("iterations ") :]
    return {name: tuple(map(int, values)) for name, *values in (line.split() for line in said.splitlines())}


def expected(program: Program) -> dict[str, tuple[int, ...]]:
    """The same from the program alone."""
    engine, found = program.engine, counts(program.instructions, program.engine)
    lanes = engine.lanes_out
    return {
        "iterations": (found.iterations,),
        "activations": (engine.activation_bytes, found.activation_reads, found.activation_writes),
        "weights": (engine.weight_words * engine.weight_word_bytes, found.weight_reads, found.weight_writes),
        "accumulators": (4 * engine.accumulator_depth * lanes, found.accumulator_reads, found.accumulator_writes),
        "outputs": (engine.output_bytes // lanes * lanes, found.output_reads, found.output_writes),
        "tables": (lanes * TABLES * TABLE_BYTES, found.table_reads, found.table_writes),
        "memory": (0, found.memory_reads, found.memory_writes),
    }


def compare(graph, engine: Engine, folder: Path, seed: int) -> None:
    program = bench.write(bench.int8(graph), engine, folder)
    csim.write_bench(folder, random_codes(np.random.default_rng(seed), graph))
    found, wanted = counted(folder), expected(program)
    size = wanted["accumulators"]
    largest = int((folder / "hls" / "engine.h").read_text().split("GROUP = ")[1].split(";")[0])
    assert largest <= engine.accumulator_depth
    wanted["accumulators"] = (4 * largest * engine.lanes_out, *size[1:])
    assert found == wanted


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_layers(kind: str, tmp_path: Path) -> None:
    seed = LAYER_KINDS.index(kind)
    rng = np.random.default_rng(seed)
    engine = random_engine(rng, tm=int(rng.integers(1, 20)), tn=int(rng.integers(2, 20)), pixels=int(rng.integers(4, 50)))
    compare(random_layer_graph(rng, kind), engine, tmp_path, seed)


def test_a_bank_that_serves_twice_is_seen(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    graph = random_layer_graph(rng, "conv")
    bench.write(bench.int8(graph), random_engine(rng, tm=4, tn=5, pixels=20), tmp_path)
    csim.write_bench(tmp_path, random_codes(rng, graph))
    kernel = tmp_path / "hls" / "engine.cpp"
    wanted = "read[bank] = activations[bank < int(offset) ? next : word][bank];"
    assert wanted in kernel.read_text()
    kernel.write_text(kernel.read_text().replace(wanted, f"{wanted} {wanted}"))
    with pytest.raises(AssertionError, match="a bank of activations is used twice in iteration"):
        counted(tmp_path)


@pytest.mark.parametrize("seed", [1, 2])
def test_networks(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    compare(random_network(rng), random_engine(rng, tm=6, tn=9, pixels=30), tmp_path, seed)
