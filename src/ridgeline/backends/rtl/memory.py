"""Memories and queues. The memories are plain Verilog modules, so that their words have no initial value and tools see their style."""

from __future__ import annotations

from ridgeline.backends.rtl.hdl import Cat, ClockSignal, Elaboratable, Instance, Module, Mux, Signal, Value
from ridgeline.backends.rtl.tokens import Level
from ridgeline.hardware.engine.timing import log2

_MODULE = """
module ridgeline_{style}_memory #(
    parameter WIDTH = 8,
    parameter ADDRESS = 4
) (
    input clk,
    input write_enable,
    input [ADDRESS-1:0] write_address,
    input [WIDTH-1:0] write_data,
    input read_enable,
    input [ADDRESS-1:0] read_address,
    output reg [WIDTH-1:0] read_data
);
    // Whoever reads a word never does so while it is written, so no tool needs to add logic for that case.
    (* ram_style = "{attribute}", no_rw_check = 1 *) reg [WIDTH-1:0] words [0:(1 << ADDRESS) - 1];
    always @(posedge clk) begin
        if (write_enable) words[write_address] <= write_data;
        if (read_enable) read_data <= words[read_address];
    end
endmodule
"""
_LOCAL = """
module ridgeline_local_register #(
    parameter WIDTH = 1
) (
    input clk,
    input [WIDTH-1:0] next,
    output reg [WIDTH-1:0] value
);
    // A copy for each place that uses it, for the sake of the clock: tools must not make one of them all.
    (* keep = 1 *) always @(posedge clk) value <= next;
endmodule
"""
VERILOG = _LOCAL + _MODULE.format(style="block", attribute="block") + _MODULE.format(style="small", attribute="distributed")


class Memory(Elaboratable):
    """One write and one read port; the read data come in the cycle after the address and stay while read_enable is low."""

    def __init__(self, *, width: int, depth: int, style: str = "block"):
        self.style = style
        self.width = width
        self.depth = depth
        self.write_enable = Signal()
        self.write_address = Signal(range(depth))
        self.write_data = Signal(width)
        self.read_enable = Signal(init=1)
        self.read_address = Signal(range(depth))
        self.read_data = Signal(width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.ram = Instance(
            f"ridgeline_{self.style}_memory",
            p_WIDTH=self.width,
            p_ADDRESS=log2(self.depth),
            i_clk=ClockSignal(),
            i_write_enable=self.write_enable,
            i_write_address=self.write_address,
            i_write_data=self.write_data,
            i_read_enable=self.read_enable,
            i_read_address=self.read_address,
            o_read_data=self.read_data,
        )
        return m


def local_register(m: Module, name: str, value: Signal) -> Signal:
    """value, a cycle later, in a register that is not shared with other users of `value`."""
    register = Signal(len(value), name=f"{name}_local")
    m.submodules[f"{name}_register"] = Instance(
        "ridgeline_local_register", p_WIDTH=len(value), i_clk=ClockSignal(), i_next=value, o_value=register
    )
    return register


class Queue(Elaboratable):
    """First in, first out: `depth` entries and one more at its registered output. `data` and `out` have the given shape."""

    def __init__(self, shape: object, *, depth: int):
        self.depth = depth
        self.push = Signal()
        self.ready = Signal()
        self.data = Signal(shape)
        self.valid = Signal()
        self.empty = Signal()
        self.pop = Signal()
        self.out = Signal(shape)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        data, out = Value.cast(self.data), Value.cast(self.out)
        style = "small" if self.depth <= 32 else "block"
        m.submodules.memory = memory = Memory(width=len(data), depth=self.depth, style=style)
        level = Level(self.depth, name="level")
        head = Signal(range(self.depth))
        tail = Signal(range(self.depth))
        store = Signal()
        fetch = Signal()
        m.d.comb += [
            self.ready.eq(~level.full),
            self.empty.eq(~self.valid & ~level.some),
            store.eq(self.push & self.ready),
            fetch.eq(level.some & (~self.valid | self.pop)),
            memory.write_enable.eq(store),
            memory.write_address.eq(head),
            memory.write_data.eq(data),
            memory.read_enable.eq(fetch),
            memory.read_address.eq(tail),
            out.eq(memory.read_data),
        ]
        m.d.sync += [*level.change(store, fetch), self.valid.eq(fetch | (self.valid & ~self.pop))]
        with m.If(store):
            m.d.sync += head.eq(head + 1)
        with m.If(fetch):
            m.d.sync += tail.eq(tail + 1)
        return m


class Slice(Elaboratable):
    """A register with a second one behind it, so that `ready` comes from a flip-flop and what follows may stop at any time."""

    def __init__(self, shape: object):
        self.push = Signal()
        self.ready = Signal(init=1)
        self.data = Signal(shape)
        self.valid = Signal()
        self.pop = Signal()
        self.out = Signal(shape, reset_less=True)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        data, out = Value.cast(self.data), Value.cast(self.out)
        spare = Signal(len(data), reset_less=True)
        moves = Signal()
        m.d.comb += moves.eq(~self.valid | self.pop)
        with m.If(self.ready):
            m.d.sync += spare.eq(data)
        m.d.sync += self.ready.eq(moves | (self.ready & ~self.push))
        with m.If(moves):
            m.d.sync += [self.valid.eq(self.push | ~self.ready), out.eq(Mux(self.ready, data, spare))]
        return m


def pipeline(m: Module, value: Signal, cycles: int, *, reset: bool = False) -> list[Signal]:
    """value, and value 1, 2, ... `cycles` cycles later."""
    stages = [value]
    for k in range(1, cycles + 1):
        stage = Signal(value.shape(), name=f"{Value.cast(value).name}_{k}", reset_less=not reset)
        m.d.sync += Value.cast(stage).eq(Value.cast(stages[-1]))
        stages.append(stage)
    return stages


def bytes_of(value: Value) -> list[Value]:
    return [value[8 * i : 8 * i + 8] for i in range(len(value) // 8)]


def select_bytes(data: list[Value], start: Value, count: int, stages: int, m: Module, name: str, unit: int = 1) -> Value:
    """`count` of the `data` units from index `start` on (the units wrap round), `stages` registers later.

    The highest bits of `start` go first, so that each level of multiplexers keeps only what later ones can still reach.
    """
    bits = log2(len(data))
    per_stage = -(-bits // stages) if bits else 0
    position, done = start, 0
    for stage in range(stages):
        todo = min(per_stage, bits - done)
        for level in range(done, done + todo):
            step = 1 << (bits - 1 - level)
            chosen = position[bits - 1 - level]
            keep = min(len(data), count + step - 1)
            data = [Mux(chosen, data[(i + step) % len(data)], data[i]) for i in range(keep)]
        done += todo
        register = Signal(unit * len(data), name=f"{name}_{stage + 1}", reset_less=True)
        m.d.sync += register.eq(Cat(*data))
        data = [register[unit * i : unit * (i + 1)] for i in range(len(data))]
        if stage + 1 < stages:
            moved = Signal(len(start), name=f"{name}_start_{stage + 1}", reset_less=True)
            m.d.sync += moved.eq(position)
            position = moved
    return Cat(*data[:count])
