"""The Vivado project: its Tcl is complete, and names the part, the sources and the clock. (No Vivado runs here.)"""

import re

import pytest

from ridgeline.backends import vivado
from ridgeline.hardware.device import device_names, read_device

XILINX = [name for name in device_names() if read_device(name).family != "ecp5"]


@pytest.mark.parametrize("name", XILINX)
def test_project(name: str) -> None:
    device = read_device(name)
    files = vivado.emit(["../rtl/ridgeline_engine.v", "ridgeline_board.v"], device)
    script = files["vivado.tcl"]
    assert script.count(f"-part {device.part}") == 3
    assert script.count("../rtl/ridgeline_engine.v") == 2, "once by itself, once in the project"
    assert script.count("norecurse ridgeline_board.v") == 1
    assert re.search(r"set_property top ridgeline_board", script)
    period = re.search(r"-period ([\d.]+) \[get_ports clk\]", files["ridgeline.xdc"])
    assert period is not None
    assert float(period[1]) == pytest.approx(1000 / device.clock_mhz, abs=5e-4)
    assert files == vivado.emit(["../rtl/ridgeline_engine.v", "ridgeline_board.v"], device)
