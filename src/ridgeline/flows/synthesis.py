"""Synthesis of a design: the engine's resources, and for ECP5 its clock and a bitstream; for other families a project for the vendor's tool."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ridgeline.errors import InputError
from ridgeline.flows.progress import Progress, Silent

if TYPE_CHECKING:
    from ridgeline.hardware.device import Device, Family
    from ridgeline.tools.nextpnr import Routed
    from ridgeline.tools.yosys import Synthesis as Netlist

SYNTH = "synth"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Synthesis:
    """`resources` are the engine's own: dsp, bram (of 18 Kb), lut, ff. What was not measured is None; `files` are relative to the folder."""

    resources: Mapping[str, int]
    fmax_mhz: float | None
    bitstream: Path | None
    files: tuple[str, ...]


def synthesise(folder: Path, device: Device, *, seed: int = 1, progress: Progress | None = None) -> Synthesis:
    """Runs Yosys, and nextpnr where it knows the device, on `folder`/rtl, and writes to `folder`/synth. Raises RidgelineError."""
    from ridgeline.backends.rtl import primitives
    from ridgeline.backends.rtl.board import ENGINE, TOP, constraints, read_ports, wrapper
    from ridgeline.backends.vivado import emit

    progress = progress or Silent()
    rtl = read_rtl(folder)
    own = primitives(device.family)
    made: dict[str, str | bytes] = {f"{TOP}.v": wrapper(read_ports(rtl.values()), device), **own.modules, **own.cells}
    fmax_mhz, bitstream = None, None
    with tempfile.TemporaryDirectory(prefix="ridgeline-") as name, ThreadPoolExecutor(1) as beside:
        work = Path(name)
        counting = beside.submit(netlist, rtl, ENGINE, device.family, work / "engine")
        if device.nextpnr is None:
            progress.step("synthesising with Yosys")
            made |= emit([*(f"../{path}" for path in rtl), f"{TOP}.v"], device)
        else:
            made[f"{TOP}.lpf"] = constraints(device)
            progress.step("synthesising with Yosys, alone and with pins")
            board = netlist_with_pins(rtl, device, work / "board")
            progress.step("placing and routing with nextpnr")
            routed = route(board, device, work / "nextpnr", seed=seed)
            made |= {"nextpnr.json": (routed.log.parent / "nextpnr.json").read_bytes(), "nextpnr.log": _timeless(routed.log.read_text())}
            fmax_mhz = routed.fmax_mhz
            if routed.bitstream is not None and routed.fits_package:
                bitstream = Path(SYNTH, f"{TOP}.bit")
                made[bitstream.name] = routed.bitstream.read_bytes()
        engine = counting.result()
        made |= _reports(engine)
    _write(made, folder / SYNTH)
    files = tuple(sorted(f"{SYNTH}/{path}" for path in made))
    return Synthesis(resources=counted(engine), fmax_mhz=fmax_mhz, bitstream=bitstream, files=files)


def counted(engine: Netlist) -> dict[str, int]:
    """By the names of summary.json."""
    return {"dsp": engine.dsp, "bram": engine.bram_18kb, "lut": engine.lut, "ff": engine.ff}


def read_rtl(folder: Path) -> dict[str, str]:
    """The Verilog of a design's folder, by paths relative to it."""
    rtl = {path.relative_to(folder).as_posix(): path.read_text() for path in sorted((folder / "rtl").rglob("*.v"))}
    if not rtl:
        raise InputError(f"'{folder / 'rtl'}' holds no Verilog; give a folder that `ridgeline build` made")
    return rtl


def netlist(rtl: Mapping[str, str], top: str, family: Family, work: Path) -> Netlist:
    """The engine's files, and others, synthesised with the family's own multipliers."""
    from ridgeline.backends.rtl import primitives
    from ridgeline.tools import yosys

    own = primitives(family)
    return yosys.synthesise(rtl, top, family, work, modules=own.modules, cells=own.cells)


def netlist_with_pins(rtl: Mapping[str, str], device: Device, work: Path) -> bytes:
    """What nextpnr places and routes: the engine in its top of few pins."""
    from ridgeline.backends.rtl.board import TOP, read_ports, wrapper

    files = {**rtl, f"{TOP}.v": wrapper(read_ports(rtl.values()), device)}
    return netlist(files, TOP, device.family, work).netlist.read_bytes()


def route(netlist: bytes, device: Device, work: Path, *, seed: int, bitstream: bool = True) -> Routed:
    """Aims at the device's planned clock."""
    from ridgeline.backends.rtl.board import constraints
    from ridgeline.tools import nextpnr

    assert device.nextpnr is not None
    pins = constraints(device)
    return nextpnr.place_and_route(netlist, device.nextpnr, work, seed=seed, clock_mhz=device.clock_mhz, lpf=pins, bitstream=bitstream)


def _reports(engine: Netlist) -> dict[str, bytes]:
    return {"cells.json": (engine.log.parent / "cells.json").read_bytes(), "yosys.log": engine.log.read_bytes()}


def _timeless(log: str) -> str:
    """Without what tells how long a step took: the same design gives the same file."""
    kept = (line for line in log.splitlines(keepends=True) if not re.search(r"\d\.\d+ ?s$", line.rstrip()))
    return "".join(re.sub(r"\|[ \d.]+\|$", "|", line) for line in kept)  # the router's table ends with its seconds


def _write(files: Mapping[str, str | bytes], folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
