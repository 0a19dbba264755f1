"""The registered multiplier, on which every product of the engine is made: what it is in Verilog, and as an ECP5 primitive.

An FPGA's multiplier block has registers at its inputs and its output. The Verilog describes such a block, and Xilinx' tools and Yosys for
Xilinx put the registers inside. Yosys for ECP5 leaves them in the fabric, far from the block, so there the block is named (`ECP5`).
"""

from __future__ import annotations

from typing import Any

from ridgeline.backends.rtl.hdl import ClockSignal, Instance, Module, Signal, signed

MODULE = "ridgeline_multiplier"
BLOCK_BITS = 18  # of an operand, the largest that every family's block takes
_PORTS = f"""
module {MODULE} #(
    parameter A_WIDTH = {BLOCK_BITS},
    parameter B_WIDTH = {BLOCK_BITS}
) (
    input clk,
    input signed [A_WIDTH-1:0] a,
    input signed [B_WIDTH-1:0] b,
    input b_enable,
    output {{kind}}signed [A_WIDTH+B_WIDTH-1:0] product
);
"""
VERILOG = (
    _PORTS.format(kind="reg ")
    + """\
    reg signed [A_WIDTH-1:0] a_operand;
    reg signed [B_WIDTH-1:0] b_operand;
    always @(posedge clk) begin
        a_operand <= a;
        if (b_enable) b_operand <= b;
        product <= a_operand * b_operand;
    end
endmodule
"""
)


BLOCK = f"{MODULE}_block"  # what stands for the ECP5 block until the rest is mapped: Yosys's mapper fails on cells with parameters
ECP5 = (
    "// Ridgeline's multiplier on ECP5: it takes the place of the module of the same name.\n"
    + _PORTS.format(kind="")
    + f"""\
    // Operands lie at the block's upper end, so that nothing is routed but themselves.
    wire signed [{BLOCK_BITS - 1}:0] wide_a = a;
    wire signed [{BLOCK_BITS - 1}:0] wide_b = b;
    wire signed [{2 * BLOCK_BITS - 1}:0] wide;
    assign product = wide[{2 * BLOCK_BITS - 1} -: A_WIDTH + B_WIDTH];
    {BLOCK} block (.clk(clk), .a(wide_a <<< {BLOCK_BITS} - A_WIDTH), .b(wide_b <<< {BLOCK_BITS} - B_WIDTH), .b_enable(b_enable), .product(wide));
endmodule

(* blackbox *)
module {BLOCK} (
    input clk,
    input [{BLOCK_BITS - 1}:0] a,
    input [{BLOCK_BITS - 1}:0] b,
    input b_enable,
    output [{2 * BLOCK_BITS - 1}:0] product
);
endmodule
"""
)


def _bits(port: str, value: str, count: int = BLOCK_BITS) -> str:
    return ", ".join(f".{port}{i}({value}[{i}])" for i in range(count))


# As in Lattice FPGA-TN-02205 (ECP5 sysDSP usage guide), MULT18X18D: registers at both inputs and the output, none between; no reset.
ECP5_MAP = f"""\
// The block of Ridgeline's multiplier, for Yosys's techmap: MULT18X18D with registers at both inputs and at the output.
module {BLOCK} (
    input clk,
    input [{BLOCK_BITS - 1}:0] a,
    input [{BLOCK_BITS - 1}:0] b,
    input b_enable,
    output [{2 * BLOCK_BITS - 1}:0] product
);
    MULT18X18D #(
        .REG_INPUTA_CLK("CLK0"), .REG_INPUTA_CE("CE0"), .REG_INPUTA_RST("RST0"),
        .REG_INPUTB_CLK("CLK0"), .REG_INPUTB_CE("CE1"), .REG_INPUTB_RST("RST0"),
        .REG_PIPELINE_CLK("NONE"), .REG_PIPELINE_CE("CE0"), .REG_PIPELINE_RST("RST0"),
        .REG_OUTPUT_CLK("CLK0"), .REG_OUTPUT_CE("CE0"), .REG_OUTPUT_RST("RST0"),
        .CLK0_DIV("ENABLED"), .GSR("DISABLED"), .SOURCEB_MODE("B_SHIFT"), .RESETMODE("SYNC")
    ) _TECHMAP_REPLACE_ (
        .CLK0(clk), .CE0(1'b1), .CE1(b_enable), .RST0(1'b0),
        .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0),
        {_bits("A", "a")},
        {_bits("B", "b")},
        {", ".join(f".C{i}(1'b0)" for i in range(BLOCK_BITS))},
        {_bits("P", "product", 2 * BLOCK_BITS)}
    );
endmodule
"""


def product(m: Module, name: str, a: Any, b: Any, b_enable: Any) -> Signal:
    """a * b two cycles later, where b is what it was when `b_enable` was last high. Both are signed and have at most BLOCK_BITS bits."""
    result = Signal(signed(len(a) + len(b)), name=name)
    m.submodules[f"{name}_multiplier"] = Instance(
        MODULE, p_A_WIDTH=len(a), p_B_WIDTH=len(b), i_clk=ClockSignal(), i_a=a, i_b=b, i_b_enable=b_enable, o_product=result
    )
    return result
