"""The ECP5 multiplier against the plain one, by Yosys's proof that both do the same in every cycle."""

from __future__ import annotations

from pathlib import Path

import pytest

from ridgeline.backends.rtl import multiplier
from ridgeline.errors import ToolError
from ridgeline.tools import process, yowasp

# The block as Lattice FPGA-TN-02205 describes it with these registers.
BLOCK = f"""
module {multiplier.BLOCK}(input clk, input signed [17:0] a, input signed [17:0] b, input b_enable, output reg signed [35:0] product);
  reg signed [17:0] a_operand, b_operand;
  always @(posedge clk) begin
    a_operand <= a;
    if (b_enable) b_operand <= b;
    product <= a_operand * b_operand;
  end
endmodule
"""


def prove(ecp5: str, widths: tuple[int, int], folder: Path) -> None:
    """Raises ToolError where a sequence of inputs tells the two modules apart."""
    ours = ecp5.replace(f"module {multiplier.MODULE} ", "module other ").split("(* blackbox *)")[0]
    process.write_files({"plain.v": multiplier.VERILOG, "other.v": ours + BLOCK}, folder)
    chosen = f"chparam -set A_WIDTH {widths[0]} -set B_WIDTH {widths[1]}"
    script = [
        "read_verilog -sv plain.v other.v",
        f"{chosen} {multiplier.MODULE}",
        f"{chosen} other",
        "hierarchy",
        "proc",
        "flatten",
        "techmap",  # to single bits, of which most turn out to be zero for good
        "opt -full",
        f"miter -equiv -flatten -make_outputs {multiplier.MODULE} other both",
        "hierarchy -top both",
        "sat -verify -tempinduct -set-init-zero -prove trigger 0 both",
    ]
    yowasp.run("yosys", ["-Q", "-T", "-p", "; ".join(script)], folder=folder, log=folder / "yosys.log")


@pytest.mark.parametrize("widths", [(3, 3), (4, 3), (3, 5)])
def test_the_ecp5_block_does_what_the_plain_module_does(widths: tuple[int, int], tmp_path: Path) -> None:
    prove(multiplier.ECP5, widths, tmp_path)


def test_the_proof_finds_a_wrong_block(tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        prove(multiplier.ECP5.replace("<<< 18 - B_WIDTH", "<<< 17 - B_WIDTH"), (3, 3), tmp_path)
