"""The C++ of a build: the engine cut to the program, its files, and what is predicted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.flows import choose as engines
from ridgeline.flows.csim import INSTRUCTIONS
from ridgeline.flows.design import PROGRAM, Predicted, PredictedLayer
from ridgeline.flows.options import Options
from ridgeline.formats import ENGINE_FORMATS, Format

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.explore.choose import Choice
    from ridgeline.hardware.device import Device
    from ridgeline.hardware.engine.engine import Engine
    from ridgeline.mapping.program import Program

KERNEL = "hls/engine.cpp"
PORT_BYTES = 128  # of an m_axi port, at most
MARGIN = 1.1  # the C++ needs more than the search counts, but not in proportion
TRIES = 6  # at an array that the C++ has the multipliers for


def require(options: Options) -> None:
    """Raises InputError for options that do not go together."""
    if options.format != "int8" and options.backend != "hls":
        raise InputError(f"--format {options.format} needs --backend hls; the Verilog computes in int8")
    if options.backend == "rtl":
        return
    if options.objective != "latency":
        raise InputError(f"--objective {options.objective} needs --backend rtl; the C++ is of one engine")
    if options.backend == "hls":
        for name, given in (("--synth", options.synth), ("--wave", options.wave), ("--stalls", options.stalls > 0)):
            if given:
                raise InputError(f"{name} needs Verilog; give --backend rtl or both")


def choose(graph: Graph, device: Device, options: Options) -> Choice:
    """The engine and the tilings for the C++ alone: lanes as asked for, buffers cut to the network's tiles.

    Raises DoesNotFitError naming the resource for a format that the device has no room for, UnsupportedError for one that its blocks do not make.
    """
    from ridgeline.backends.hls import DSP_SHARE, need
    from ridgeline.hardware.engine.uniform import mac_dsp

    number = ENGINE_FORMATS[options.format]
    mac_dsp(number, device.dsp_kind)  # raises for a format that the device's blocks do not make
    options = replace(options, pins=_elements(options.pins, number))
    have = device.resources
    limit = {"dsp": options.caps.get("dsp", have.dsp), "bram": options.caps.get("bram", have.bram_18kb)}
    caps = {"dsp": max(1, limit["dsp"] // DSP_SHARE[number.name]), "bram": max(1, limit["bram"] // number.bytes)}
    counted = _counted(device, number)
    over = ""
    for _ in range(TRIES):
        try:
            choice = engines.choose(graph, counted, options, {**options.caps, **caps})
        except DoesNotFitError as error:
            unit = f"counted in multiply-accumulates of {DSP_SHARE[number.name]} DSPs and elements of {number.bytes} bytes"
            raise DoesNotFitError(over or (str(error) if number.name == "int8" else f"{number.name}, {unit}: {error}")) from error
        choice = replace(choice, engine=cut(graph, choice, options.pins))
        found = need(choice.engine, number)
        exceeded = [name for name in limit if found[name] > limit[name]]
        if not exceeded:
            return choice
        over = _exceeds(choice.engine, exceeded[0], found, limit, f"'{device.name}' in {number.name}")
        for name in exceeded:
            counted_need = choice.resources.dsp if name == "dsp" else choice.resources.bram_18kb
            caps[name] = max(1, min(counted_need - 1, round(MARGIN * counted_need * limit[name] / found[name])))
    raise DoesNotFitError(over)


def _elements(pins: Mapping[str, int], number: Format) -> dict[str, int]:
    """The pins in elements instead of bytes. Raises InputError."""
    for name, value in pins.items():
        option = f"--{name.replace('_', '-')} {value}"
        if name.endswith("_bytes") and value % number.bytes:
            raise InputError(f"{option}: {number.name} takes multiples of {number.bytes}")
    if pins.get("bus_bytes", 0) > PORT_BYTES:
        raise InputError(f"--bus-bytes {pins['bus_bytes']}: a port has at most {PORT_BYTES} bytes")
    return {name: value // number.bytes if name.endswith("_bytes") else value for name, value in pins.items()}


def _exceeds(engine: Engine, name: str, found: Mapping[str, int], limit: Mapping[str, int], where: str) -> str:
    return (
        f"an engine of {engine.lanes_out}x{engine.lanes_in} lanes needs {found[name]:,} {name} but there are {limit[name]:,} on {where}; "
        "choose a larger device, a smaller format or looser pins and caps"
    )


def _counted(device: Device, number: Format) -> Device:
    """The device in elements instead of bytes, as far as a port reaches. LUTs and flip-flops, which are not predicted for C++, are no limit."""
    rate = min(device.dram.attained_bytes_per_s, PORT_BYTES * round(device.clock_mhz * 1e6))
    dram = msgspec.structs.replace(device.dram, bytes_per_s=max(1, rate // number.bytes), bursts=())
    return msgspec.structs.replace(device, dram=dram, resources=msgspec.structs.replace(device.resources, lut=10**7, ff=10**7))


def cut(graph: Graph, choice: Choice, pins: Mapping[str, int]) -> Engine:
    """The engine with the buffers that are not pinned as large as the network's tiles."""
    from ridgeline.mapping.lower import lower
    from ridgeline.mapping.snug import snug

    found = snug(graph, choice.engine, choice.tilings)
    engine = replace(found, **{name: getattr(choice.engine, name) for name in pins})
    try:
        lower(graph, engine, choice.tilings, pack=False)
    except DoesNotFitError:  # a layer without a tiling of its own needs the room after all
        return choice.engine
    return engine


def write(folder: Path, program: Program, device: Device, number: Format) -> None:
    """The C++ and its scripts."""
    from ridgeline.backends.hls import Board, emit

    board = Board(name=device.name, part=device.part, clock_mhz=device.clock_mhz, has_vitis=device.family != "ecp5")
    for path, text in emit(program, board, number).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def write_program(folder: Path, program: Program, number: Format) -> None:
    """program.bin; the instructions beside it where elements are no bytes."""
    if number.name == "int8":
        (folder / PROGRAM).write_bytes(program.image())
        return
    (folder / PROGRAM).write_bytes(program.elements(number.bytes))
    (folder / INSTRUCTIONS).write_bytes(program.encoded())


def resources(choice: Choice, number: Format) -> dict[str, int]:
    """What the C++ is predicted to need, by the names of summary.json; LUTs and flip-flops are not predicted."""
    from ridgeline.backends.hls import need

    return need(choice.engine, number)


def predicted(program: Program, number: Format) -> Predicted:
    """Iterations of the kernel's pipelined loops, one a cycle: without the memory's latency and the pipelines' depth."""
    from ridgeline.backends.hls import counts
    from ridgeline.mapping.program import INSTRUCTION_BYTES, Compute

    layers: list[PredictedLayer] = []
    for span in program.spans:
        items = program.instructions[span.start : span.stop]
        found, computing = counts(items, program.engine), counts([item for item in items if isinstance(item, Compute)], program.engine)
        layers.append(
            PredictedLayer(
                name=span.node,
                cycles=found.iterations,
                bound="compute" if 2 * computing.iterations >= found.iterations else "memory",
                read_bytes=found.memory_reads * number.bytes + len(items) * INSTRUCTION_BYTES,
                write_bytes=found.memory_writes * number.bytes,
            )
        )
    return Predicted(
        cycles=sum(layer.cycles for layer in layers),
        read_bytes=sum(layer.read_bytes for layer in layers),
        write_bytes=sum(layer.write_bytes for layer in layers),
        layers=tuple(layers),
    )
