// A stand-in for the engine that checks the harness: it copies `entry`'s low byte + 1 beats from 4096 to 8192, in one burst each way.
// Bit 8 of `entry` makes it raise an error at the end, bit 9 a wlast after 6 beats.
module ridgeline_engine #(parameter BUS = 16) (
    input clk, input rst, input start, input [39:0] base_address, input [31:0] entry, output reg done, output busy, output error,
    output reg [39:0] m_axi_araddr, output [7:0] m_axi_arlen, output [2:0] m_axi_arsize, output [1:0] m_axi_arburst,
    output reg m_axi_arvalid, input m_axi_arready,
    input [8*BUS-1:0] m_axi_rdata, input [1:0] m_axi_rresp, input m_axi_rlast, input m_axi_rvalid, output m_axi_rready,
    output reg [39:0] m_axi_awaddr, output [7:0] m_axi_awlen, output [2:0] m_axi_awsize, output [1:0] m_axi_awburst,
    output reg m_axi_awvalid, input m_axi_awready,
    output [8*BUS-1:0] m_axi_wdata, output [BUS-1:0] m_axi_wstrb, output m_axi_wlast, output m_axi_wvalid, input m_axi_wready,
    input [1:0] m_axi_bresp, input m_axi_bvalid, output m_axi_bready,
    output ev_load_start, output ev_load_done, output ev_mac_start, output ev_mac_done,
    output ev_drain_start, output ev_drain_done, output ev_store_start, output ev_store_done);
  reg [8*BUS-1:0] held [0:255];
  reg [8:0] got, sent;
  reg running;
  wire [7:0] last = entry[7:0];
  assign busy = running, error = entry[8] && done;
  assign m_axi_arlen = last, m_axi_awlen = last;
  assign m_axi_arsize = $clog2(BUS), m_axi_awsize = $clog2(BUS);
  assign m_axi_arburst = 1, m_axi_awburst = 1;
  assign m_axi_rready = running, m_axi_bready = 1;
  assign m_axi_wdata = held[sent[7:0]];
  assign m_axi_wstrb = {BUS{1'b1}};
  assign m_axi_wvalid = running && sent < got;
  assign m_axi_wlast = sent == (entry[9] ? 9'd5 : {1'b0, last});
  assign ev_load_start = start, ev_load_done = m_axi_rvalid && m_axi_rready && m_axi_rlast;
  assign ev_mac_start = 0, ev_mac_done = 0, ev_drain_start = 0, ev_drain_done = 0;
  assign ev_store_start = m_axi_awvalid && m_axi_awready, ev_store_done = m_axi_bvalid;
  always @(posedge clk) begin
    if (m_axi_arvalid && m_axi_arready) m_axi_arvalid <= 0;
    if (m_axi_awvalid && m_axi_awready) m_axi_awvalid <= 0;
    if (m_axi_rvalid && m_axi_rready) begin held[got[7:0]] <= m_axi_rdata; got <= got + 1; end
    if (m_axi_wvalid && m_axi_wready) sent <= sent + 1;
    if (m_axi_bvalid) begin done <= 1; running <= 0; end
    if (start) begin
      running <= 1; got <= 0; sent <= 0; done <= 0;
      m_axi_arvalid <= 1; m_axi_araddr <= base_address + 4096 + {20'd0, entry[31:12]};
      m_axi_awvalid <= 1; m_axi_awaddr <= base_address + 8192;
    end
    if (rst) begin m_axi_arvalid <= 0; m_axi_awvalid <= 0; running <= 0; done <= 0; end
  end
endmodule
