"""The synthesis step on a small stand-in for the engine: a bitstream for ECP5, a Vivado project for others."""

import json
import re
from pathlib import Path

import pytest

from ridgeline.errors import InputError
from ridgeline.flows.synthesis import Synthesis, synthesise
from ridgeline.hardware.device import read_device

ENGINE = """
module ridgeline_engine(clk, rst, start, m_axi_rdata, m_axi_wdata, done);
  input clk, rst;
  input start;
  input [15:0] m_axi_rdata;
  output [15:0] m_axi_wdata;
  output done;
  reg [15:0] words [0:1023];
  reg [15:0] read, product;
  reg [9:0] at;
  reg done;
  assign m_axi_wdata = product;
  always @(posedge clk) begin
    at <= rst ? 0 : at + start;
    if (start) words[at] <= m_axi_rdata;
    read <= words[m_axi_rdata[9:0]];
    product <= read[7:0] * m_axi_rdata[7:0];
    done <= &at;
  end
endmodule
"""


def design(folder: Path) -> Path:
    (folder / "rtl").mkdir(parents=True)
    (folder / "rtl" / "ridgeline_engine.v").write_text(ENGINE)
    return folder


@pytest.fixture(scope="module")
def ecp5(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Synthesis]:
    folder = design(tmp_path_factory.mktemp("ecp5"))
    return folder, synthesise(folder, read_device("ulx3s-85f"))


def test_ecp5(ecp5: tuple[Path, Synthesis]) -> None:
    folder, found = ecp5
    assert (found.resources["dsp"], found.resources["bram"]) == (1, 1)
    cells = json.loads((folder / "synth" / "cells.json").read_text())["design"]["num_cells_by_type"]
    assert found.resources["ff"] == cells["TRELLIS_FF"] > 0
    routed = json.loads((folder / "synth" / "nextpnr.json").read_text())["utilization"]
    beside = 1 + 16 + 16 + 1  # the ports' bits
    assert routed["TRELLIS_FF"]["used"] >= found.resources["ff"] + beside, "resources are the engine's own"
    assert found.fmax_mhz is not None
    assert found.fmax_mhz > 50
    assert found.bitstream == Path("synth/ridgeline_board.bit")
    assert (folder / found.bitstream).stat().st_size > 10_000
    assert set(found.files) == {f"synth/{path.name}" for path in (folder / "synth").iterdir()}
    made = {"ridgeline_board.v", "ridgeline_board.lpf", "cells.json", "nextpnr.log", "ridgeline_multiplier_ecp5.v", "ridgeline_multiplier_ecp5_map.v"}
    assert {f"synth/{name}" for name in made} <= set(found.files)


def test_what_is_kept_does_not_depend_on_how_long_it_took(ecp5: tuple[Path, Synthesis]) -> None:
    log = (ecp5[0] / "synth" / "nextpnr.log").read_text()
    assert "Max frequency" in log
    assert not re.search(r"\d\.\d+ ?s\b", log)
    assert not re.search(r"\d\.\d+\|$", log, re.MULTILINE)


def test_xilinx(tmp_path: Path) -> None:
    found = synthesise(design(tmp_path), read_device("vc707"))
    assert (found.resources["dsp"], found.resources["bram"]) == (1, 1)
    assert (found.fmax_mhz, found.bitstream) == (None, None)
    assert set(found.files) == {f"synth/{name}" for name in ("cells.json", "yosys.log", "ridgeline_board.v", "vivado.tcl", "ridgeline.xdc")}
    assert "../rtl/ridgeline_engine.v" in (tmp_path / "synth" / "vivado.tcl").read_text()


def test_a_folder_without_verilog(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no Verilog; give a folder that `ridgeline build` made"):
        synthesise(tmp_path, read_device("ulx3s-85f"))
