"""`ridgeline build`: from an ONNX file to a verified accelerator."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ridgeline.errors import CheckFailedError, InputError
from ridgeline.flows import design as files
from ridgeline.flows import floats, source
from ridgeline.flows.check import Checked, Settings, check
from ridgeline.flows.choose import choose, explored, read_target, require_memory, resources
from ridgeline.flows.data import Data, noise, read_data
from ridgeline.flows.folder import output_folder
from ridgeline.flows.options import Options
from ridgeline.flows.pages import write_report
from ridgeline.flows.progress import Progress, Silent
from ridgeline.flows.summary import Accuracy, Results, accuracy, summary
from ridgeline.flows.synthesis import Synthesis, synthesise
from ridgeline.tools import verilator
from ridgeline.tools.simulator import Stalls

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.algorithm.onnx.network import Network
    from ridgeline.explore.choose import Choice
    from ridgeline.hardware.device import Device
    from ridgeline.mapping.program import Program

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

CALIBRATION_MACS = 1 << 36  # spent on calibrating, in images that the data may not have
REFERENCE_MACS = 1 << 34  # on plain numpy integers
SIMULATED_CYCLES = 1 << 23  # predicted ones, when --images does not say how many to run
MOST_IMAGES = 512
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
    device = read_target(options)
    settings = Settings(stalls=Stalls(share=options.stalls, seed=options.seed), wave=folder / "wave.vcd" if options.wave else None)
    _require_tools()
    progress.step("reading the network")
    network = source.read_model(options.network, batch=options.batch)
    network = replace(network, graph=replace(network.graph, name=source.network_name(options.network)))
    data = _data(options, network)
    integer, codes = _quantised(network, data, folder, progress)
    progress.step("choosing the engine")
    choice = choose(integer, device, options)
    program = _lowered(integer, choice, folder, device, progress)
    predicted = files.read_json(files.Predicted, folder / files.PREDICTION)
    images = _images(options, data, predicted.cycles)
    codes = {name: array[:images] for name, array in codes.items()}
    checked = check(folder, codes, work, settings, progress)
    _write_outputs(folder, codes, checked)
    synthesis = synthesise(folder, device, seed=options.seed, progress=progress) if options.synth else None
    progress.step("writing the report")
    results = _results(network, integer, data.first(images), folder, checked, choice=choice, synthesis=synthesis, device=device)
    found = summary(results)
    files.write_json(found, folder / "summary.json")
    write_report(folder / "report.html", found, results, program, choice, device)
    if options.data is None:
        progress.note("no --data: calibrated and verified on seeded noise, so quality figures say nothing about real inputs")
    return found, None if checked.mismatch is None else str(checked.mismatch)


def _require_tools() -> None:
    """What is missing is said now, not in minutes. Raises MissingToolError."""
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


def _quantised(network: Network, data: Data, folder: Path, progress: Progress) -> tuple[Graph, dict[str, Array]]:
    """The integer graph and the codes that the engine is fed, for all of the data; writes golden.onnx and the host's files."""
    from ridgeline.algorithm.onnx.golden import golden
    from ridgeline.algorithm.onnx.golden_check import check_golden
    from ridgeline.algorithm.passes.quantise import quantise

    progress.step("quantising")
    data = data.first(MOST_IMAGES)
    reals = floats.engine_inputs(network, data.arrays)
    macs = max(1, sum(network.graph.macs(node) for node in network.graph.nodes))
    calibration = max(1, min(data.images, CALIBRATION_MACS // macs))
    integer = quantise(network.graph, {name: array[:calibration] for name, array in reals.items()}, progress=progress.advance)
    (folder / files.GOLDEN).write_bytes(golden(integer))
    _write_host(folder, network, integer)
    progress.step("checking golden.onnx against plain integers")
    codes = floats.codes(integer, reals)
    compared = max(1, min(data.images, REFERENCE_MACS // macs))
    difference = check_golden(integer, {name: array[:compared] for name, array in codes.items()})
    if difference is not None:
        raise CheckFailedError(f"onnxruntime and plain integers differ: {difference}")
    return integer, codes


def _write_host(folder: Path, network: Network, integer: Graph) -> None:
    """What the host computes around golden.onnx, in order: front, quantize, (golden), dequantize, back."""
    from ridgeline.algorithm.onnx.golden_ends import back_onnx, front_onnx

    parts = {"front": network.front, "quantize": front_onnx(integer), "dequantize": back_onnx(integer), "back": network.back}
    (folder / "host").mkdir()
    for name, model in parts.items():
        if model is not None:
            (folder / "host" / f"{name}.onnx").write_bytes(model)


def _lowered(integer: Graph, choice: Choice, folder: Path, device: Device, progress: Progress) -> Program:
    """The program; writes program.bin, design.json, prediction.json and the Verilog."""
    from ridgeline.algorithm.onnx.golden import boundary_names
    from ridgeline.backends.rtl import emit
    from ridgeline.explore.space import device_timing
    from ridgeline.mapping.lower import lower
    from ridgeline.mapping.schedule import predict

    progress.step("lowering and predicting")
    program = lower(integer, choice.engine, choice.tilings)
    require_memory(program.memory_bytes, device, choice.copies)
    timing = device_timing(device, choice.copies)
    (folder / files.PROGRAM).write_bytes(program.image())
    files.write_json(files.describe(program, integer, boundary_names(integer), timing, device.name), folder / files.DESIGN)
    files.write_json(files.predicted(predict(program, timing)), folder / files.PREDICTION)
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
    network: Network, integer: Graph, data: Data, folder: Path, checked: Checked, *, choice: Choice, synthesis: Synthesis | None, device: Device
) -> Results:
    from ridgeline.algorithm.onnx.inputs import output_names
    from ridgeline.algorithm.onnx.runtime import run
    from ridgeline.algorithm.reference import sqnr_db

    ports = [port.name for port in integer.outputs]
    first = output_names(network.model)[0]
    wanted = floats.values(network, [*ports, first], data.arrays)
    codes = floats.codes(integer, floats.engine_inputs(network, data.arrays))
    golden = floats.reals(integer, run((folder / files.GOLDEN).read_bytes(), codes))
    hardware = floats.reals(integer, checked.outputs)
    scores = Accuracy()
    if data.labels is not None:
        finals = {name: floats.finals(network, found, data.arrays)[first] for name, found in (("golden", golden), ("hardware", hardware))}
        scores = Accuracy(**{name: accuracy(array, data.labels) for name, array in {"real": wanted[first], **finals}.items()})
    return Results(
        design=files.read_json(files.Design, folder / files.DESIGN),
        predicted=files.read_json(files.Predicted, folder / files.PREDICTION),
        checked=checked,
        sqnr_db={name: sqnr_db(wanted[name], golden[name]) for name in ports},
        accuracy=scores,
        host=[(item.node, item.reason) for item in network.host],
        clock_mhz=device.clock_mhz,
        copies=choice.copies,
        explored=explored(choice),
        resources=resources(choice),
        synthesized=None if synthesis is None else synthesis.resources,
        fmax_mhz=None if synthesis is None else synthesis.fmax_mhz,
        rtl=_verilog(folder),
        report="report.html",
    )


def _verilog(folder: Path) -> str:
    """The file, or the folder where there are several."""
    found = [path.relative_to(folder).as_posix() for path in (folder / files.RTL).rglob("*.v")]
    return found[0] if len(found) == 1 else files.RTL
