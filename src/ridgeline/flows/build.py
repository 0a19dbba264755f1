"""`ridgeline build`: from an ONNX file to a verified accelerator."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ridgeline.errors import InputError
from ridgeline.flows import design as files
from ridgeline.flows import floats, hls, source
from ridgeline.flows.check import Checked, Settings
from ridgeline.flows.choose import choose, explored, read_target, resources
from ridgeline.flows.csim import write_bench
from ridgeline.flows.data import Data, noise, read_data
from ridgeline.flows.folder import output_folder
from ridgeline.flows.options import Backend, Options, require_storage
from ridgeline.flows.pages import write_report
from ridgeline.flows.prepare import MOST_IMAGES, Prepared, prepare
from ridgeline.flows.progress import Progress, Silent
from ridgeline.flows.simulate import failure, main_check, simulate
from ridgeline.flows.summary import Accuracy, Results, accuracy, summary
from ridgeline.flows.synthesis import Synthesis, synthesise
from ridgeline.tools import verilator
from ridgeline.tools.simulator import Stalls

if TYPE_CHECKING:
    from ridgeline.algorithm.onnx.network import Network
    from ridgeline.explore.choose import Choice
    from ridgeline.hardware.device import Device
    from ridgeline.mapping.program import Program

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

SIMULATED_CYCLES = 1 << 23  # predicted ones, when --images does not say how many to run
NOISE_IMAGES = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """`failure` says what a check found wrong; the folder is there all the same."""

    out: Path
    summary: Mapping[str, Any]
    failure: str | None


def build(options: Options, progress: Progress | None = None) -> Built:
    """Raises RidgelineError; then nothing is written."""
    progress = progress or Silent()
    with output_folder(options.out) as folder, tempfile.TemporaryDirectory(prefix="ridgeline-") as work:
        found, failure = _build(options, folder, Path(work), progress)
    return Built(out=options.out, summary=found, failure=failure)


def _build(options: Options, folder: Path, work: Path, progress: Progress) -> tuple[dict[str, Any], str | None]:
    from ridgeline.algorithm.passes.lighten import lightened

    hls.require(options)
    require_storage(options)
    device = read_target(options)
    settings = Settings(stalls=Stalls(share=options.stalls, seed=options.seed), wave=folder / "wave.vcd" if options.wave else None)
    _require_tools(options)
    progress.step("reading the network")
    network = source.read_model(options.network, batch=options.batch)
    network = replace(network, graph=replace(network.graph, name=source.network_name(options.network)))
    network = replace(network, graph=lightened(network.graph, weights=options.weights, sparsity=options.sparsity))
    data = _data(options, network)
    prepared = prepare(options.format, network, data, folder, progress, activations=options.activations)
    progress.step("choosing the engine")
    choice = _choice(prepared, device, options)
    program = _lowered(prepared, choice, folder, device, options.backend, progress)
    predicted = files.read_json(files.Predicted, folder / files.PREDICTION)
    images = _images(options, data, predicted.cycles)
    codes = {name: array[:images] for name, array in prepared.inputs.items()}
    checks = simulate(folder, codes, work, settings, progress)
    _write_outputs(folder, codes, main_check(checks))
    if options.backend != "rtl":
        write_bench(folder, codes)
    synthesis = synthesise(folder, device, seed=options.seed, progress=progress) if options.synth else None
    progress.step("writing the report")
    results = _results(network, prepared, data.first(images), folder, checks, choice=choice, synthesis=synthesis, device=device)
    found = summary(results)
    files.write_json(found, folder / "summary.json")
    write_report(folder / "report.html", found, results, program, choice, device)
    if options.data is None:
        progress.note("no --data: calibrated and verified on seeded noise, so quality figures say nothing about real inputs")
    return found, failure(checks)


def _choice(prepared: Prepared, device: Device, options: Options) -> Choice:
    if options.backend == "hls":
        return hls.choose(prepared.graph, device, options)
    return choose(prepared.graph, device, options)


def _require_tools(options: Options) -> None:
    """What is missing is said now, not in minutes. Raises MissingToolError."""
    if options.backend != "hls":
        verilator.root()
    verilator.cxx()


def _data(options: Options, network: Network) -> Data:
    inputs = floats.network_inputs(network)
    if options.data is None:
        data = noise(inputs, images=min(MOST_IMAGES, max(NOISE_IMAGES, options.images or 0)), seed=options.seed)
    else:
        data = read_data(options.data, inputs)
    most = min(data.images, MOST_IMAGES)
    if options.images is not None and not 1 <= options.images <= most:
        raise InputError(f"--images is {options.images}; the data holds {data.images:,} images, of which 1 to {most} can be simulated")
    return data


def _lowered(
    prepared: Prepared, choice: Choice, folder: Path, device: Device, backend: Backend, progress: Progress
) -> Program:  # fmt: skip
    """The program; writes program.bin, design.json, prediction.json, and the Verilog, the C++ or both."""
    from ridgeline.backends.rtl import emit
    from ridgeline.explore.board import require_memory
    from ridgeline.explore.space import device_timing
    from ridgeline.mapping.lower import lower
    from ridgeline.mapping.schedule import predict

    progress.step("lowering and predicting")
    number = prepared.number
    program = lower(prepared.graph, choice.engine, choice.tilings, encoding=prepared.encoding)
    require_memory(program.memory_bytes * number.bytes, device, choice.copies)
    timing = device_timing(device, choice.copies)
    hls.write_program(folder, program, number)
    described = files.describe(program, prepared.graph, prepared.golden_names, timing, device.name, backend, prepared.name)
    files.write_json(described, folder / files.DESIGN)
    foreseen = hls.predicted(program, number) if backend == "hls" else files.predicted(predict(program, timing))
    files.write_json(foreseen, folder / files.PREDICTION)
    if backend != "rtl":
        progress.step("emitting C++")
        hls.write(folder, program, device, number)
    if backend != "hls":
        progress.step("emitting Verilog")
        for path, text in emit(choice.engine, choice.copies).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    return program


def _images(options: Options, data: Data, predicted_cycles: int) -> int:
    return options.images or max(1, min(data.images, MOST_IMAGES, SIMULATED_CYCLES // max(1, predicted_cycles)))


def _write_outputs(folder: Path, codes: Mapping[str, Array], checked: Checked) -> None:
    """outputs.npz: what golden.onnx is fed and what the simulation gave; np.savez would refuse an array called 'file'."""
    with zipfile.ZipFile(folder / files.OUTPUTS, "w") as archive:
        for name, array in {**codes, **checked.outputs}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as sink:
                np.lib.format.write_array(sink, np.ascontiguousarray(array), allow_pickle=False)


def _results(
    network: Network, prepared: Prepared, data: Data, folder: Path, checks: Mapping[str, Checked], *, choice: Choice,
    synthesis: Synthesis | None, device: Device,
) -> Results:  # fmt: skip
    from ridgeline.algorithm.onnx.inputs import output_names
    from ridgeline.algorithm.onnx.runtime import run
    from ridgeline.algorithm.reference import sqnr_db

    checked = main_check(checks)
    ports = [port.name for port in prepared.graph.outputs]
    first = output_names(network.model)[0]
    wanted = floats.values(network, [*ports, first], data.arrays)
    codes = prepared.codes(floats.engine_inputs(network, data.arrays))
    golden = prepared.reals(run((folder / files.GOLDEN).read_bytes(), codes))
    hardware = prepared.reals(checked.outputs)
    scores = Accuracy()
    if data.labels is not None:
        finals = {name: floats.finals(network, found, data.arrays)[first] for name, found in (("golden", golden), ("hardware", hardware))}
        scores = Accuracy(**{name: accuracy(array, data.labels) for name, array in {"real": wanted[first], **finals}.items()})
    design = files.read_json(files.Design, folder / files.DESIGN)
    return Results(
        design=design,
        predicted=files.read_json(files.Predicted, folder / files.PREDICTION),
        checked=checked,
        checks=checks,
        sqnr_db={name: sqnr_db(wanted[name], golden[name]) for name in ports},
        accuracy=scores,
        host=[(item.node, item.reason) for item in network.host],
        clock_mhz=device.clock_mhz,
        copies=choice.copies,
        explored=explored(choice),
        resources=hls.resources(choice, prepared.number) if design.backend == "hls" else resources(choice),
        synthesized=None if synthesis is None else synthesis.resources,
        fmax_mhz=None if synthesis is None else synthesis.fmax_mhz,
        rtl=None if design.backend == "hls" else _verilog(folder),
        hls=None if design.backend == "rtl" else hls.KERNEL,
        report="report.html",
    )


def _verilog(folder: Path) -> str:
    """The file, or the folder where there are several."""
    found = [path.relative_to(folder).as_posix() for path in (folder / files.RTL).rglob("*.v")]
    return found[0] if len(found) == 1 else files.RTL
