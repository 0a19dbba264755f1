"""The core of `build` and `verify`: simulate the design that lies in a folder and hold every value against golden.onnx."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ridgeline.errors import CheckFailedError, InputError, ToolError
from ridgeline.flows import compare
from ridgeline.flows.design import DESIGN, GOLDEN, PREDICTION, PROGRAM, RTL, Design, Layer, Predicted, read_json
from ridgeline.flows.progress import Progress
from ridgeline.tools import simulator
from ridgeline.tools.simulator import Event, Job, Region, Simulation, Simulator, Stalls

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
GOLDEN_BYTES = 1 << 28  # of layers' values held at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to simulate. The share of stalls is of all cycles of each channel of the port."""

    stalls: Stalls = field(default_factory=Stalls)
    wave: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """`outputs` are the simulation's, (images, *shape); `layer_cycles` has one entry a layer. Cycles and events are of the first image; a C
    simulation has none. `largest_error` is that of real values, relative to a tensor's largest.
    """

    images: int
    values_compared: int
    cycles: int | None
    layer_cycles: tuple[int | None, ...]
    events: Mapping[Event, Array]
    outputs: Mapping[str, Array]
    mismatch: compare.Mismatch | None
    largest_error: float | None = None


def check(folder: Path, inputs: Mapping[str, Array], work: Path, settings: Settings, progress: Progress) -> Checked:
    """Runs all images of `inputs` (int8, by golden.onnx's input names) on what lies in `folder`; files of the run go to `work`.

    Raises CheckFailedError when the design does not compile, does not finish, breaks a rule of AXI or raises `error`. A wrong value is no error
    here: see `mismatch`.
    """
    design, prediction = read_json(Design, folder / DESIGN), read_json(Predicted, folder / PREDICTION)
    if settings.wave is not None and (settings.wave.is_dir() or not settings.wave.absolute().parent.is_dir()):
        raise InputError(f"waveform '{settings.wave}' cannot be written: it must be a file in a folder that exists")
    progress.step("compiling the simulator")
    compiled = compile_design(folder, design, work / "simulator", trace=settings.wave is not None)
    progress.step("simulating")
    simulation = _simulate(folder, design, prediction, compiled, inputs, work=work / "run", settings=settings, progress=progress)
    _require_sound(simulation, prediction)
    progress.step("comparing every value with onnxruntime")
    run = simulation.runs[0]
    measured = layer_cycles(design.layers, run.events[Event.MAC_DONE], run.cycles)
    return replace(compared(folder, design, inputs, simulation.dumps), cycles=run.cycles, layer_cycles=measured, events=run.events)


def compile_design(folder: Path, design: Design, work: Path, *, trace: bool = False) -> Simulator:
    paths = sorted([*(folder / RTL).rglob("*.v"), *(folder / RTL).rglob("*.sv")])
    if not paths:
        raise InputError(f"'{folder / RTL}' holds no Verilog; give a folder that `ridgeline build` made")
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    try:
        return simulator.build(files, design.engine["bus_bytes"], work, trace=trace)
    except ToolError as error:
        said = str(error).removesuffix(f"; its log: {error.log}").replace(f"{work.absolute()}/", "")
        raise CheckFailedError(f"the design does not compile: {said}") from error


def _simulate(
    folder: Path, design: Design, prediction: Predicted, compiled: Simulator, inputs: Mapping[str, Array], *, work: Path, settings: Settings,
    progress: Progress,
) -> Simulation:  # fmt: skip
    """Images are spread over the processors; a waveform is of the first one only."""
    images = len(next(iter(inputs.values())))
    workers = 1 if settings.wave is not None else max(1, min(images, os.cpu_count() or 1))
    bounds = [images * index // workers for index in range(workers + 1)]
    cycles = [0] * workers
    expected = max(1, images * prediction.cycles)
    stopped = threading.Event()

    def run(worker: int) -> Simulation:
        def seen(image: int, cycle: int) -> None:
            if stopped.is_set():
                raise KeyboardInterrupt
            cycles[worker] = image * prediction.cycles + cycle
            progress.advance(min(sum(cycles), expected), expected)

        part = {name: array[bounds[worker] : bounds[worker + 1]] for name, array in inputs.items()}
        job = _job(folder, design, prediction, part, settings)
        return simulator.simulate(compiled, job, work / str(worker), progress=seen)

    with ThreadPoolExecutor(workers) as pool:
        try:
            parts = list(pool.map(run, range(workers)))
        except BaseException:  # Ctrl-C too: the simulators end at their next word
            stopped.set()
            raise
    return Simulation(
        runs=tuple(run for part in parts for run in part.runs),
        dumps={name: np.concatenate([part.dumps[name] for part in parts]) for name in parts[0].dumps},
        violations=tuple(line for part in parts for line in part.violations),
    )


def _job(folder: Path, design: Design, prediction: Predicted, inputs: Mapping[str, Array], settings: Settings) -> Job:
    def region(name: str) -> Region:
        tensor = design.tensors[name]
        return Region(name=name, address=tensor.address, bytes=tensor.shape[1] * tensor.row_bytes)

    graph_ports = {port.name: port.of_graph() for port in design.inputs}
    codes = {port.tensor: tensor_values(port, design, inputs[name]) for name, port in graph_ports.items()}
    return Job(
        image=program_image(folder, design),
        entry=design.entry,
        memory_bytes=design.memory_bytes,
        inputs={region(name): compare.packed(design.tensors[name], values) for name, values in codes.items()},
        dumps=tuple(region(name) for name in compare.dumped(design)),
        dram=design.dram.timing(),
        limit_cycles=limit_cycles(prediction, settings),
        stalls=settings.stalls,
        wave=settings.wave,
    )


def limit_cycles(prediction: Predicted, settings: Settings) -> int:
    """A design that takes longer is taken to hang: twice what was predicted and 10,000; with stalls as many times more as they may cost."""
    rest = 1 - settings.stalls.share
    return 2 * prediction.cycles + 10_000 if rest == 1 else round((2 * prediction.cycles + 10_000) * 2 / rest)


def program_image(folder: Path, design: Design) -> bytes:
    """Raises InputError for a program that is missing or larger than the memory."""
    try:
        image = (folder / PROGRAM).read_bytes()
    except OSError as error:
        raise InputError(f"'{folder / PROGRAM}' cannot be read: {error.strerror}") from error
    if not design.entry < len(image) <= design.memory_bytes:
        raise InputError(f"'{folder / PROGRAM}' has {len(image):,} bytes; it must end between {design.entry:,} and {design.memory_bytes:,}")
    return image


def tensor_values(port: Any, design: Design, array: Array) -> Array:
    """(images, C, H, W) of an input port's array."""
    from ridgeline.algorithm.graph import Tensor

    return port.to_tensor(array, Tensor(name=port.tensor, shape=design.tensors[port.tensor].shape))


def _require_sound(simulation: Simulation, prediction: Predicted) -> None:
    for image, run in enumerate(simulation.runs):
        if not run.done:
            allowed = f"{prediction.cycles:,} were predicted, and twice that and 10,000 allowed"
            raise CheckFailedError(f"image {image}: the design did not finish in {run.cycles:,} cycles; {allowed}")
    if simulation.violations:
        count = len(simulation.violations)
        raise CheckFailedError(f"the design is at fault in {simulation.violations[0]}" + (f" ({count} such)" if count > 1 else ""))


def compared(folder: Path, design: Design, inputs: Mapping[str, Array], dumps: Mapping[str, Array]) -> Checked:
    """`dumps` (images, bytes) by tensor, against golden.onnx; without cycles."""
    found = compare.outputs(design, dumps)
    written = {layer.output for layer in design.layers}
    values = sum(found[port.name].size for port in design.outputs if port.tensor not in written)  # the others are layers' outputs
    mismatch: compare.Mismatch | None = None
    errors: list[float] = []
    for start, expected in golden_values(folder / GOLDEN, design, inputs):
        count = len(next(iter(expected.values())))
        part = slice(start, start + count)
        values += sum(expected[layer.golden].size for layer in design.layers)
        own = {name: dump[part] for name, dump in dumps.items()}
        wrong = compare.first_mismatch(design, expected, own, start)
        wrong = wrong or compare.first_wrong_output(expected, {name: array[part] for name, array in found.items()}, start)
        mismatch = _earlier(design.layers, mismatch, wrong)
        if design.format == "float32":
            errors.append(compare.largest_error(design, expected, own))
    return Checked(
        images=len(next(iter(inputs.values()))),
        values_compared=values,
        cycles=None,
        layer_cycles=(None,) * len(design.layers),
        events={},
        outputs=found,
        mismatch=mismatch,
        largest_error=max(errors, default=None),
    )


def golden_values(path: Path, design: Design, inputs: Mapping[str, Array]) -> Iterator[tuple[int, Mapping[str, Array]]]:
    """Yields (first image, values by name), a few images at a time: the network's outputs from golden.onnx as it is, every layer's from a copy
    whose layer boundaries are outputs."""
    from ridgeline.algorithm.onnx.host import with_outputs
    from ridgeline.algorithm.onnx.runtime import call, session

    try:
        golden = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    names = tuple(dict.fromkeys(layer.golden for layer in design.layers))
    outputs = tuple(port.name for port in design.outputs)
    original, copy = session(golden), session(with_outputs(golden, names))
    images = len(next(iter(inputs.values())))
    elements = sum(tensor.shape[0] * tensor.shape[1] * tensor.shape[2] for tensor in design.tensors.values())
    batch = max(1, min(images, GOLDEN_BYTES // (8 * max(1, elements))))
    for start in range(0, images, batch):
        feeds = {name: array[start : start + batch] for name, array in inputs.items()}
        found = {**call(copy, feeds, names), **call(original, feeds, outputs)}
        compare.check_described(design, found)
        yield start, found


def layer_cycles(layers: Sequence[Layer], mac_done: Array, cycles: int) -> tuple[int, ...]:
    """A layer's cycles: from the array's last read for the previous layer to its last for this one; the last layer's end is the program's."""
    ends: list[int] = []
    computes = 0
    for layer in layers:
        computes += layer.computes
        ends.append(int(mac_done[computes - 1]) + 1 if computes <= len(mac_done) else cycles)
    ends[-1] = cycles
    return tuple(end - before for before, end in zip([0, *ends], ends, strict=False))


def _earlier(layers: Sequence[Layer], first: compare.Mismatch | None, second: compare.Mismatch | None) -> compare.Mismatch | None:
    """The one whose layer comes first in the program; the first image's on a tie."""
    if first is None or second is None:
        return first or second
    order = {layer.name: place for place, layer in enumerate(layers)}
    return second if order.get(second.layer, len(order)) < order.get(first.layer, len(order)) else first
