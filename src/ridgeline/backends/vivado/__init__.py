"""A Vivado project for the engine: a script that makes and runs it, and its clock."""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.backends.rtl.board import ENGINE, TOP
from ridgeline.hardware.device import Device


def emit(sources: Sequence[str], device: Device) -> dict[str, str]:
    """{"vivado.tcl": ..., "ridgeline.xdc": ...}, to lie in one folder; `sources` are Verilog files, relative to it."""
    return {"vivado.tcl": _script(sources, device), "ridgeline.xdc": _clock(device)}


def _clock(device: Device) -> str:
    return "\n".join(
        [
            f"# Made by Ridgeline for {device.name}: the planned clock, {device.clock_mhz:g} MHz.",
            f"create_clock -name clk -period {1000 / device.clock_mhz:.3f} [get_ports clk]",
            "",
        ]
    )


def _script(sources: Sequence[str], device: Device) -> str:
    lines = [
        f"# Made by Ridgeline for {device.name} ({device.part}) at {device.clock_mhz:g} MHz: a project with the engine in a top of five pins.",
        "# Run it in this folder: vivado -mode batch -source vivado.tcl. Not run by Ridgeline, which has no Vivado.",
        f"# The bitstream proves timing and resources: {TOP} has no DRAM controller, and Vivado chooses its pins.",
        "",
        "# The engine by itself, out of context: its resources, to set beside Ridgeline's",
        f"create_project -in_memory -part {device.part}",
        *(f"read_verilog -sv {path}" for path in sources if not path.endswith(f"{TOP}.v")),
        "read_xdc -mode out_of_context ridgeline.xdc",
        f"synth_design -top {ENGINE} -part {device.part} -mode out_of_context",
        "report_utilization -file engine_utilization.rpt",
        "close_project",
        "",
        "# The project",
        f"create_project -force ridgeline vivado -part {device.part}",
        *(f"add_files -norecurse {path}" for path in sources),
        "add_files -fileset constrs_1 -norecurse ridgeline.xdc",
        f"set_property top {TOP} [current_fileset]",
        "update_compile_order -fileset sources_1",
        "launch_runs synth_1 -jobs 4",
        "wait_on_run synth_1",
        "launch_runs impl_1 -jobs 4",
        "wait_on_run impl_1",
        "open_run impl_1",
        "report_utilization -hierarchical -file utilization.rpt",
        "report_timing_summary -file timing.rpt",
        "# No board's pins are named, so the two checks that ask for them only warn.",
        "set_property SEVERITY {Warning} [get_drc_checks NSTD-1]",
        "set_property SEVERITY {Warning} [get_drc_checks UCIO-1]",
        f"write_bitstream -force {TOP}.bit",
        "",
    ]
    return "\n".join(lines)
