"""Cycle-accurate runs of emitted Verilog: Verilator's model of the engine in a C++ harness with an AXI4 memory.

`harness/` holds the harness; only widths.h is written for each engine. Compiled simulators are kept in the user's cache folder under a
hash of all that they are made from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from importlib.metadata import version
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ridgeline.errors import InputError, ToolError
from ridgeline.tools import verilator
from ridgeline.tools.cache import cache_folder
from ridgeline.tools.process import first_error, how_it_ended

if TYPE_CHECKING:
    from ridgeline.mapping.schedule import DramTiming

TOP = "ridgeline_engine"
MOST_STALLS = 0.9
Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Progress: TypeAlias = Callable[[int, int], None]  # image, cycle


class Event(IntEnum):
    """What the engine's ev_* outputs tell, in the order of the bits that the harness writes."""

    LOAD_START = 0
    LOAD_DONE = 1
    MAC_START = 2
    MAC_DONE = 3
    DRAIN_START = 4
    DRAIN_DONE = 5
    STORE_START = 6
    STORE_DONE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """A compiled simulator; `trace` tells whether it can write waveforms."""

    executable: Path
    bus_bytes: int
    trace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """Random stalls: each channel of the port rests in `share` of all cycles."""

    share: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.share <= MOST_STALLS:
            raise InputError(f"stalls: a share of {self.share} of all cycles; it must be in 0..{MOST_STALLS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Bytes of the memory, by a name of the caller's."""

    name: str
    address: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """What to run: `image` (program and constants) lies at address 0, then `inputs` are written, (images, region's bytes) each."""

    image: bytes
    entry: int
    memory_bytes: int
    inputs: Mapping[Region, Bytes]
    dumps: Sequence[Region]
    dram: DramTiming
    limit_cycles: int
    stalls: Stalls = field(default_factory=Stalls)
    base_address: int = 0
    wave: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One image: cycles from start to the last write's acknowledgement; events[kind] are the cycles in which it pulsed."""

    done: bool
    cycles: int
    read_bytes: int
    write_bytes: int
    events: Mapping[Event, Numbers]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """dumps[region's name] is (images, bytes); `violations` tells each broken rule of AXI."""

    runs: tuple[Run, ...]
    dumps: Mapping[str, Bytes]
    violations: tuple[str, ...]


def build(files: Mapping[str, str | bytes], bus_bytes: int, out: Path, *, trace: bool = False, threads: int = 1) -> Simulator:
    """Compiles the design `files` (top module ridgeline_engine) in `out`, or takes the same simulator from the cache.

    Raises ToolError when Verilator or the compiler refuses the files.
    """
    harness = _harness(bus_bytes)
    kept = _kept(_key(files, harness, trace=trace, threads=threads))
    if kept is not None and kept.is_file():
        return Simulator(executable=kept, bus_bytes=bus_bytes, trace=trace)
    out.mkdir(parents=True, exist_ok=True)
    main = harness.pop("main.cpp")
    executable = verilator.build({**files, **harness}, TOP, main, out, trace=trace, threads=threads)
    return Simulator(executable=_keep(executable, kept), bus_bytes=bus_bytes, trace=trace)


def simulate(simulator: Simulator, job: Job, folder: Path, *, progress: Progress | None = None) -> Simulation:
    """Runs every image of the job. Files of the run lie in `folder`. Raises ToolError when the simulator itself breaks down."""
    folder.mkdir(parents=True, exist_ok=True)
    images = len(next(iter(job.inputs.values()))) if job.inputs else 1
    _write_job(job, images, simulator.bus_bytes, folder)
    lines = _run(simulator, folder, progress or (lambda image, cycle: None))
    runs = tuple(_runs(lines, _events(folder / "events.bin", images), simulator.bus_bytes))
    return Simulation(
        runs=runs,
        dumps=_dumps(job.dumps, images, folder / "dumps.bin"),
        violations=tuple(line.removeprefix("violation ") for line in lines if line.startswith("violation ")),
    )


def _harness(bus_bytes: int) -> dict[str, str]:
    folder = resources("ridgeline.tools") / "harness"
    texts = {name: (folder / name).read_text() for name in ("main.cpp", "memory.h")}
    widths = f"#pragma once\n// Generated for one engine.\nconstexpr unsigned BUS_BYTES = {bus_bytes};  // of the AXI port\n"
    return {**texts, "widths.h": widths}


def _key(files: Mapping[str, str | bytes], harness: Mapping[str, str], *, trace: bool, threads: int) -> str:
    """A name for all that a simulator is made from."""
    compiler = Path(verilator.cxx())
    digest = hashlib.sha256(f"{version('verilator')} {compiler} {compiler.stat().st_mtime_ns} {trace} {threads}".encode())
    for name, content in sorted({**files, **harness}.items()):
        data = content.encode() if isinstance(content, str) else content
        digest.update(f"\n{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:32]


def _kept(key: str) -> Path | None:
    """Where the cache keeps the simulator `key`; None when there is no cache."""
    try:
        return cache_folder("simulators") / key
    except OSError:
        return None


def _keep(executable: Path, kept: Path | None) -> Path:
    """Copies the simulator into the cache. A full or read-only disk must not stop the run, so a failure only means no copy."""
    if kept is None:
        return executable
    partial = kept.with_name(f"{kept.name}.{os.getpid()}.part")
    try:
        shutil.copy2(executable, partial)
        partial.replace(kept)
    except OSError:
        partial.unlink(missing_ok=True)
        return executable
    return kept


def _write_job(job: Job, images: int, bus_bytes: int, folder: Path) -> None:
    credit = job.dram.credit(bus_bytes)
    (folder / "program.bin").write_bytes(job.image)
    with (folder / "inputs.bin").open("wb") as sink:
        for image in range(images):
            for values in job.inputs.values():
                sink.write(np.ascontiguousarray(values[image]).tobytes())
    lines = [
        "program program.bin",
        "inputs inputs.bin",
        "events events.bin",
        "dumps dumps.bin",
        f"memory_bytes {job.memory_bytes}",
        f"entry {job.entry}",
        f"base {job.base_address}",
        f"images {images}",
        f"limit {job.limit_cycles}",
        f"credit {credit.gain} {credit.cost} {credit.rest}",
        *(f"tier {end} {cost}" for end, cost in credit.tiers),
        f"latency {job.dram.read_latency_cycles} {job.dram.write_latency_cycles}",
        f"stalls {round(job.stalls.share * 256)} {job.stalls.seed}",
        *(f"input {region.address} {region.bytes}" for region in job.inputs),
        *(f"dump {region.address} {region.bytes}" for region in job.dumps),
        *([f"wave {job.wave.absolute()}"] if job.wave else []),
    ]
    (folder / "job.txt").write_text("\n".join(lines) + "\n")


def _run(simulator: Simulator, folder: Path, progress: Progress) -> list[str]:
    """What the simulator said, but for its progress."""
    said: list[str] = []
    log = folder / "simulator.log"
    with log.open("w") as errors:
        command = [str(simulator.executable.absolute()), "job.txt"]
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("at "):
                    _, image, cycle = line.split()
                    progress(int(image), int(cycle))
                else:
                    said.append(line.rstrip("\n"))
            status = process.wait()
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    if status != 0:
        raise ToolError(f"the simulator {how_it_ended(status)}: {first_error(log.read_text())}", log=log)
    return said


def _events(path: Path, images: int) -> Iterator[Mapping[Event, Numbers]]:
    """Each image's record: a count, then that many words with a cycle in the upper 56 bits and a bit for each event."""
    words = np.fromfile(path, np.uint64)
    position = 0
    for _ in range(images):
        count = int(words[position])
        part = words[position + 1 : position + 1 + count].astype(np.int64)
        yield {event: part[(part >> event & 1) == 1] >> 8 for event in Event}
        position += 1 + count


def _runs(lines: Sequence[str], events: Iterator[Mapping[Event, Numbers]], bus_bytes: int) -> Iterator[Run]:
    for line in lines:
        words = line.split()
        if words[:1] != ["image"]:
            continue
        said = dict(zip(words[2::2], map(int, words[3::2]), strict=True))
        yield Run(
            done=bool(said["done"]),
            cycles=said["cycles"],
            read_bytes=said["read_beats"] * bus_bytes,
            write_bytes=said["write_beats"] * bus_bytes,
            events=next(events),
        )


def _dumps(regions: Sequence[Region], images: int, path: Path) -> dict[str, Bytes]:
    widths = [region.bytes for region in regions]
    table = np.fromfile(path, np.uint8).reshape(images, sum(widths))
    starts = np.cumsum([0, *widths])
    return {region.name: table[:, start : start + region.bytes] for region, start in zip(regions, starts[:-1], strict=True)}
