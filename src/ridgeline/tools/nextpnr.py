"""Place and route for ECP5 with nextpnr, and the bitstream with Project Trellis' ecppack (both in one wheel).

Ports that no .lpf file places get free pads of the die, bonded to the package's pins or not. So a top with more ports than
the package has pins (an engine with its whole AXI bus outside) is still routed and timed, up to the pads of the die, but
its bitstream cannot run on the board: `Routed.fits_package` says so. Wrap such a top so that the bus stays inside.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ridgeline.hardware.device import PlaceAndRoute
from ridgeline.tools import process, yowasp

FEWEST_FLIP_FLOPS = 1000
MOST_ITERATIONS = 2000  # of the electrostatic placer: four times what engines take
PLACEMENTS = 2  # the placer's luck with the rows of multipliers differs by a factor of two from seed to seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the critical path: `kind` is nextpnr's (clk-to-q, routing, logic, setup), `to` is cell.port."""

    kind: str
    to: str
    delay_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilisation:
    """How many of one kind of site a design uses."""

    used: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A placed and routed design. `fmax_mhz` is the slowest clock's, None for a design without a clock.

    `ports` counts the top's ports in bits, `fits_package` says whether the package has a pin for each.
    """

    seed: int
    ports: int
    fits_package: bool
    fmax_mhz: float | None
    fmax_by_clock: Mapping[str, float]
    utilisation: Mapping[str, Utilisation]
    critical_path: tuple[Step, ...]
    bitstream: Path | None
    log: Path


def place_and_route(
    netlist: bytes | str,
    part: PlaceAndRoute,
    out: Path,
    *,
    seed: int = 1,
    clock_mhz: float = 100.0,
    lpf: str = "",
    bitstream: bool = True,
) -> Routed:
    """Routes a netlist of Yosys (the content of its JSON): nextpnr.json, top.config, top.bit and nextpnr.log lie in the log's folder below `out`.

    A seed stands for PLACEMENTS placements, made at once, of which the one with the shortest wires is routed. `clock_mhz` is what the placer
    aims at; missing it is no error. `lpf` is the text of a constraints file. Raises ToolError (a design that does not fit is one),
    MissingToolError.
    """
    seeds = [PLACEMENTS * seed + number for number in range(PLACEMENTS)]
    folders = [out / f"seed{number}" for number in seeds]
    for folder in folders:
        process.write_files({"netlist.json": netlist, "top.lpf": lpf}, folder)
    arguments = [part.option, "--package", part.package, "--speed", part.speed, "--freq", f"{clock_mhz:g}"]
    arguments += ["--placer", _placer(netlist), "--json", "netlist.json", "--lpf", "top.lpf", "--lpf-allow-unconstrained", "--timing-allow-fail"]
    arguments += ["--textcfg", "top.config", "--report", "nextpnr.json"]
    logs = [folder / "nextpnr.log" for folder in folders]
    best = yowasp.race("nextpnr-ecp5", arguments, [["--seed", str(number)] for number in seeds], logs=logs, score=_wire_length)
    out, log = folders[best], logs[best]
    if bitstream:
        yowasp.run("ecppack", ["--compress", "top.config", "top.bit"], folder=out, log=out / "ecppack.log")
    report = json.loads((out / "nextpnr.json").read_text())
    clocks = {_port_name(name): float(clock["achieved"]) for name, clock in sorted(report["fmax"].items())}
    used = {name: Utilisation(used=site["used"], available=site["available"]) for name, site in report["utilization"].items()}
    return Routed(
        seed=seed,
        ports=used["TRELLIS_IO"].used,
        fits_package=used["TRELLIS_IO"].used <= part.user_io,
        fmax_mhz=min(clocks.values(), default=None),
        fmax_by_clock=MappingProxyType(clocks),
        utilisation=MappingProxyType(dict(sorted(used.items()))),
        critical_path=_critical_path(report["critical_paths"], clocks),
        bitstream=out / "top.bit" if bitstream else None,
        log=log,
    )


def _placer(netlist: bytes | str) -> str:
    """The electrostatic placer keeps an array's logic beside its multipliers: 0.4 of the default placer's wire length on an 8 x 8 engine.
    On a handful of cells it may go on for ever."""
    flip_flops = netlist.count(b"TRELLIS_FF") if isinstance(netlist, bytes) else netlist.count("TRELLIS_FF")
    return "static" if flip_flops >= FEWEST_FLIP_FLOPS else "heap"


def _wire_length(said: str) -> float | None:
    """What a placer has said of the whole length of its wires (half perimeters, in tiles), once all cells have their places; infinite if it
    goes on without an end."""
    if f"iter={MOST_ITERATIONS} " in said:
        return inf
    if "Running simulated annealing placer for refinement" not in said:
        return None
    return float(re.findall(r"(?:HPWL after legalise:|legal =) ([\d.]+)", said)[-1])


def _port_name(net: str) -> str:
    """`$glbnet$clk$TRELLIS_IO_IN`, as nextpnr calls the net of a clock pin, is `clk`."""
    return net.removeprefix("$glbnet$").removesuffix("$TRELLIS_IO_IN")


def _critical_path(paths: list[dict[str, Any]], clocks: Mapping[str, float]) -> tuple[Step, ...]:
    """The longest path within the slowest clock's domain."""
    if not clocks:
        return ()
    slowest = min(clocks, key=clocks.__getitem__)
    inside = [path["path"] for path in paths if {_port_name(path[end].split()[-1]) for end in ("from", "to")} == {slowest}]
    return tuple(
        Step(kind=step["type"], to=f"{step['to']['cell']}.{step['to']['port']}", delay_ns=float(step["delay"]))
        for path in inside[:1]
        for step in path
    )
