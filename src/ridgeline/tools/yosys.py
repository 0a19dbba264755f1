"""Synthesis with Yosys: Verilog becomes a netlist of a family's cells, and the cells are counted as resources.

How LUTs are counted, per family. ECP5: each LUT4; a CCU2C (two bits of carry) is two LUT4; a TRELLIS_DPR16X4 (LUTRAM) is four
LUT4 of memory and two of the slice that becomes its write port; PFUMX and L6MUX21 are multiplexers beside the LUTs and cost
none. 7 series and UltraScale: each LUT1 to LUT6 is one (a vendor's tool may pack two small ones into one site, so its count
is lower); a LUTRAM or shift register counts the LUTs that store its bits; carry chains, MUXF7 to MUXF9 and inverters cost none.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ridgeline.errors import ToolError
from ridgeline.hardware.device import DSP_KINDS, Family
from ridgeline.tools import process, yowasp

VERILOG = (".v", ".sv")

# cell: how many of the resource one is
LOGIC_LUTS = {**{f"LUT{inputs}": 1 for inputs in range(1, 7)}, "CCU2C": 2}
MEMORY_LUTS = {
    "TRELLIS_DPR16X4": 6,
    "RAM16X1S": 1,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
    "RAM256X1S": 4,
    "RAM512X1S": 8,
    "RAM16X1D": 2,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM256X1D": 8,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM64X8SW": 8,
    "SRL16": 1,
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
}
BRAM_18KB = {"DP16KD": 1, "PDPW16KD": 1, **{f"RAMB{size}E{n}": size // 18 for size in (18, 36) for n in (1, 2)}}
FLIP_FLOPS = ("TRELLIS_FF", "FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1", "LDCE", "LDPE")
CARRY = ("CCU2C", "CARRY4", "CARRY8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """A netlist and what it needs; `lut` includes `lut_memory`, `carry` counts the family's carry cells."""

    family: Family
    dsp: int
    bram_18kb: int
    uram: int
    lut: int
    lut_memory: int
    ff: int
    carry: int
    cells: Mapping[str, int]
    warnings: tuple[str, ...]
    netlist: Path
    log: Path


def synthesise(
    files: Mapping[str, str | bytes],
    top: str,
    family: Family,
    out: Path,
    *,
    modules: Mapping[str, str | bytes] = MappingProxyType({}),
    cells: Mapping[str, str | bytes] = MappingProxyType({}),
    uram: bool = False,
) -> Synthesis:
    """Synthesises a design's files `{relative path: content}` into the folder `out`: netlist.json, cells.json, yosys.log.

    `modules`, also files by path, take the place of modules of the same name; `cells` say what remaining black boxes are made of. `uram`
    lets large memories become UltraRAM (xcup only). Raises ToolError, MissingToolError.
    """
    made = script(files, top, family, modules=modules, cells=cells, uram=uram)
    process.write_files({**files, **modules, **cells, "synth.ys": made}, out)
    log = out / "yosys.log"
    said = yowasp.run("yosys", ["-Q", "-T", "-s", "synth.ys"], folder=out, log=log)
    counted = json.loads((out / "cells.json").read_text())["design"].get("num_cells_by_type", {})
    return count(counted, family, warnings=_warnings(said), netlist=out / "netlist.json", log=log)


def script(
    files: Iterable[str], top: str, family: Family, *, modules: Iterable[str] = (), cells: Iterable[str] = (), uram: bool = False
) -> str:
    """Yosys's commands; they name files relative to the folder that Yosys runs in."""
    if family == "ecp5":
        command = f"synth_ecp5 -top {top}"
    else:
        command = f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf{' -uram' if uram else ''} -top {top}"
    sources = [path for path in files if path.endswith(VERILOG)]
    lines = [*(f"read_verilog -sv {path}" for path in sources), *(f"read_verilog -sv -overwrite {path}" for path in modules)]
    lines += [command, *(f"techmap -map {path}" for path in cells), "clean", "check -noinit"]
    return "\n".join([*lines, "tee -q -o cells.json stat -json", "write_json netlist.json", ""])


def count(
    cells: Mapping[str, int], family: Family, *, warnings: tuple[str, ...] = (), netlist: Path = Path(), log: Path = Path()
) -> Synthesis:
    """The resources of a netlist's cells. A cell of no known kind is an error, so that nothing is left out silently."""
    dsp = DSP_KINDS[family]
    free = {"PFUMX", "L6MUX21", "MUXF7", "MUXF8", "MUXF9", "INV", "BUFG", "GND", "VCC", "$scopeinfo", *CARRY}
    known = {dsp, "URAM288", *LOGIC_LUTS, *MEMORY_LUTS, *BRAM_18KB, *FLIP_FLOPS, *free}
    if unknown := sorted(set(cells) - known):
        raise ToolError(f"the netlist holds {cells[unknown[0]]} cells '{unknown[0]}' that no resource of {family} counts", log=log)

    def total(weights: Mapping[str, int]) -> int:
        return sum(number * weights.get(cell, 0) for cell, number in cells.items())

    memory = total(MEMORY_LUTS)
    return Synthesis(
        family=family,
        dsp=cells.get(dsp, 0),
        bram_18kb=total(BRAM_18KB),
        uram=cells.get("URAM288", 0),
        lut=total(LOGIC_LUTS) + memory,
        lut_memory=memory,
        ff=total(dict.fromkeys(FLIP_FLOPS, 1)),
        carry=total(dict.fromkeys(CARRY, 1)),
        cells=MappingProxyType(dict(sorted(cells.items()))),
        warnings=warnings,
        netlist=netlist,
        log=log,
    )


def _warnings(said: str) -> tuple[str, ...]:
    """Each warning once, in the order that Yosys gave them."""
    return tuple(dict.fromkeys(re.findall(r"^(?:\S+:\d+: )?Warning: (.*)$", said, re.MULTILINE)))
