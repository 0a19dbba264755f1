"""The C simulation of the C++ that lies in a folder: every image of its inputs, and every value of every layer against golden.onnx."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ridgeline.errors import CheckFailedError, InputError, ToolError
from ridgeline.flows import compare
from ridgeline.flows.check import Checked, compared, golden_values, program_image, tensor_values
from ridgeline.flows.design import DESIGN, GOLDEN, PREDICTION, PROGRAM, Design, Predicted, read_json
from ridgeline.flows.progress import Progress
from ridgeline.tools import csim

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SOURCES = ("engine.h", "engine.cpp", "main.cpp")
INSTRUCTIONS = "instructions.bin"  # of a format whose elements are no bytes; else they lie in program.bin
DUMPS = "dumps.bin"
START_S, SLOWEST_CYCLES_PER_S = 60.0, 10_000  # an image that takes longer, a hundredth of a slow machine's pace, is taken to hang
BENCH_INPUTS, BENCH_GOLDEN = "inputs.bin", "golden.bin"  # beside the C++: the first image, for `make csim`


def check(folder: Path, inputs: Mapping[str, Array], work: Path, progress: Progress) -> Checked:
    """Runs all images of `inputs` (by golden.onnx's input names) on the C++ in `folder`; files of the run go to `work`.

    Raises CheckFailedError when the C++ does not compile or does not run to its end. A wrong value is no error here: see `mismatch`.
    """
    design = read_json(Design, folder / DESIGN)
    progress.step("compiling the C++")
    executable = _compiled(folder, work / "csim")
    progress.step("running the C simulation")
    limit_s = START_S + read_json(Predicted, folder / PREDICTION).cycles / SLOWEST_CYCLES_PER_S
    dumps = _run(folder, design, inputs, executable, work=work / "csim-run", limit_s=limit_s, progress=progress)
    progress.step("comparing every value with onnxruntime")
    return compared(folder, design, inputs, dumps)


def _compiled(folder: Path, work: Path) -> Path:
    from ridgeline.backends.hls import CXX_FLAGS, FOLDER

    missing = [name for name in SOURCES if not (folder / FOLDER / name).is_file()]
    if missing:
        raise InputError(f"'{folder / FOLDER / missing[0]}' is missing; give a folder that `ridgeline build --backend hls` made")
    try:
        return csim.build({name: (folder / FOLDER / name).read_bytes() for name in SOURCES}, CXX_FLAGS, work)
    except ToolError as error:
        said = str(error).removesuffix(f"; its log: {error.log}").replace(f"{work.absolute()}/", "")
        raise CheckFailedError(f"the C++ does not compile: {said}") from error


def _run(
    folder: Path, design: Design, inputs: Mapping[str, Array], executable: Path, *, work: Path, limit_s: float, progress: Progress
) -> dict[str, Array]:
    """(images, bytes) by tensor; images are spread over the processors."""
    _require_program(folder, design)
    images = len(next(iter(inputs.values())))
    workers = max(1, min(images, os.cpu_count() or 1))
    bounds = [images * index // workers for index in range(workers + 1)]
    done = [0] * workers
    stopped = threading.Event()

    def run(worker: int) -> dict[str, Array]:
        def seen(image: int) -> None:
            done[worker] = image + 1
            progress.advance(sum(done), images)

        part = {name: array[bounds[worker] : bounds[worker + 1]] for name, array in inputs.items()}
        with _job(folder, design, part, work / str(worker)) as arguments:
            csim.simulate(executable, arguments, work / str(worker), progress=seen, limit_s=limit_s, stopped=stopped)
        return _dumps(design, work / str(worker) / DUMPS, len(next(iter(part.values()))))

    with ThreadPoolExecutor(workers) as pool:
        try:
            parts = list(pool.map(run, range(workers)))
        except BaseException:  # Ctrl-C too
            stopped.set()
            raise
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _require_program(folder: Path, design: Design) -> None:
    if design.format == "int8":
        program_image(folder, design)
        return
    for name in (PROGRAM, INSTRUCTIONS):
        if not (folder / name).is_file():
            raise InputError(f"'{folder / name}' is missing; give a folder that `ridgeline build` made")


@contextmanager
def _job(folder: Path, design: Design, inputs: Mapping[str, Array], work: Path) -> Generator[list[str | Path]]:
    """The test bench's arguments, its inputs written. What goes wrong with it is a failed check."""
    work.mkdir(parents=True, exist_ok=True)
    packed_inputs(design, inputs).tofile(work / BENCH_INPUTS)
    program = [PROGRAM] if design.format == "int8" else [PROGRAM, INSTRUCTIONS]
    try:
        yield [*((folder / name).absolute() for name in program), BENCH_INPUTS, "dump", DUMPS]
    except ToolError as error:
        raise CheckFailedError(str(error).removesuffix(f"; its log: {error.log}")) from error


def packed_inputs(design: Design, inputs: Mapping[str, Array]) -> Array:
    """uint8 (images, bytes): the inputs as they lie in DRAM, one tensor after another."""
    ports = {port.tensor: port for port in design.inputs}
    columns = [
        compare.packed(design.tensors[name], tensor_values(port.of_graph(), design, inputs[port.name]), design.dtype)
        for name, port in ports.items()
    ]
    return np.concatenate(columns, axis=1)


def _dumps(design: Design, path: Path, images: int) -> dict[str, Array]:
    names = compare.dumped(design)
    size = np.dtype(design.dtype).itemsize
    widths = [design.tensors[name].shape[1] * design.tensors[name].row_bytes * size for name in names]
    found = np.fromfile(path, np.uint8)
    if found.size != images * sum(widths):
        raise CheckFailedError(f"the C simulation wrote {found.size:,} bytes of layers; {images * sum(widths):,} were expected")
    starts = np.cumsum([0, *widths])
    table = found.reshape(images, sum(widths))
    return {name: table[:, start : start + width] for name, start, width in zip(names, starts[:-1], widths, strict=True)}


def write_bench(folder: Path, inputs: Mapping[str, Array]) -> None:
    """What `make csim` reads: the first image, and golden.onnx's value of every layer for it."""
    from ridgeline.backends.hls import FOLDER

    design = read_json(Design, folder / DESIGN)
    first = {name: array[:1] for name, array in inputs.items()}
    packed_inputs(design, first).tofile(folder / FOLDER / BENCH_INPUTS)
    _, expected = next(iter(golden_values(folder / GOLDEN, design, first)))
    np.concatenate(_golden(design, expected)).tofile(folder / FOLDER / BENCH_GOLDEN)


def _golden(design: Design, expected: Mapping[str, Array]) -> Sequence[Array]:
    """The values of each tensor that the test bench looks at, in its order."""
    layers = {layer.output: expected[layer.golden] for layer in design.layers}
    ports = {port.tensor: port for port in design.outputs}
    found: list[Array] = []
    for name in compare.dumped(design):
        values = layers[name] if name in layers else tensor_values(ports[name].of_graph(), design, expected[ports[name].name])
        found.append(np.ascontiguousarray(values).reshape(-1).astype(design.dtype))
    return found
