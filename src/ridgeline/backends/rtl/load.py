"""The load unit: read bursts for itself and for fetch, and what comes back to the buffers, tables and fetch."""

from __future__ import annotations

from typing import Any

from ridgeline.backends.rtl.burst import LENGTH_BITS, BurstCutter
from ridgeline.backends.rtl.decode import layout
from ridgeline.backends.rtl.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, StructLayout, Value
from ridgeline.backends.rtl.memory import Queue, Slice
from ridgeline.backends.rtl.requantise import TABLE_ADDRESS_BITS
from ridgeline.backends.rtl.tokens import BITS, Countdown, Level, Tokens
from ridgeline.hardware.engine.engine import OUTSTANDING_READS, TABLE_BYTES, Engine
from ridgeline.hardware.engine.timing import FETCH_BURST_BYTES, QUEUE_DEPTH, log2
from ridgeline.mapping.program import Opcode, Target

LOAD = layout(Opcode.LOAD)
WORD_BITS = 24
TAG = StructLayout({"target": 2, "signal_ready": 1, "final": 1})  # final: the instruction's last row
# A burst on its way: where its beats go, and whether they end an instruction.
BURST = StructLayout({"fetch": 1, "target": 2, "signal_ready": 1, "final": 1, "word": WORD_BITS})


class Load(Elaboratable):
    def __init__(self, engine: Engine):
        self.engine = engine
        bus = 8 * engine.bus_bytes
        self.queue = Queue(LOAD, depth=QUEUE_DEPTH)
        self.activation_free = Tokens()
        self.weight_free = Tokens()
        self.stored_give = Signal()
        self.base_address = Signal(40)
        self.fetch_valid = Signal()
        self.fetch_ready = Signal()
        self.fetch_address = Signal(32)
        self.arvalid = Signal()
        self.arready = Signal()
        self.araddr = Signal(40)
        self.arlen = Signal(8)
        self.rvalid = Signal()
        self.rready = Signal()
        self.rdata = Signal(bus)
        self.rlast = Signal()
        self.data = Signal(bus, reset_less=True)  # a beat, with one of the four that follow
        self.word = Signal(WORD_BITS, reset_less=True)
        self.to_activation = Signal()
        self.to_weight = Signal()
        self.to_fetch = Signal()
        self.table_write = Signal()
        self.table_address = Signal(TABLE_ADDRESS_BITS, reset_less=True)
        self.table_data = Signal(8)
        self.activation_ready = Signal()
        self.weight_ready = Signal()
        self.started = Signal()
        self.stopped = Signal()
        self.idle = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = self.queue
        m.submodules.activation_free = self.activation_free
        m.submodules.weight_free = self.weight_free
        m.submodules.cutter = cutter = BurstCutter(self.engine, word_bits=WORD_BITS, word_step=1, tag=TAG)
        m.submodules.bursts = bursts = Queue(BURST, depth=OUTSTANDING_READS)
        resting = self._rows(m, cutter)
        sending = self._addresses(m, cutter, bursts)
        receiving = self._beats(m, bursts)
        m.d.comb += self.idle.eq(resting & cutter.idle & ~sending & bursts.empty & ~receiving)
        return m

    def _rows(self, m: Module, cutter: BurstCutter) -> Value:
        """Waits for an instruction's tokens and gives its rows to the cutter."""
        item, shift = self.queue.out, log2(self.engine.bus_bytes)
        stored = Signal(BITS)
        enough = Signal()
        taken = Signal(BITS)
        beat = Signal(cutter.beat_bits, reset_less=True)
        word = Signal(WORD_BITS, reset_less=True)
        rows = Countdown(16, "rows")
        m.d.sync += [stored.eq(stored + self.stored_give - taken), enough.eq(stored >= item.wait_stored)]
        weight = item.target == Target.WEIGHT
        free = ~item.wait_free | Mux(weight, self.weight_free.available, self.activation_free.available)
        table = item.target == Target.TABLE
        with m.FSM(name="rows") as fsm:
            with m.State("IDLE"), m.If(self.queue.valid):
                m.next = "WAIT"
            with m.State("WAIT"), m.If(enough & free):
                m.d.comb += [
                    self.weight_free.take.eq(item.wait_free & weight),
                    self.activation_free.take.eq(item.wait_free & ~weight),
                    taken.eq(item.wait_stored),
                    self.started.eq(1),
                ]
                m.d.sync += [
                    beat.eq(item.dram_address[shift:]),
                    word.eq(Mux(table, item.buffer_address << log2(TABLE_BYTES // self.engine.bus_bytes), item.buffer_address)),
                    *rows.load(item.rows),
                ]
                m.next = "ROWS"
            with m.State("ROWS"):
                m.d.comb += cutter.run_valid.eq(1)
                with m.If(cutter.run_ready):
                    m.d.sync += [beat.eq(beat + item.dram_pitch[shift:]), word.eq(word + item.buffer_pitch), *rows.step()]
                    with m.If(rows.last):
                        m.next = "POP"
            with m.State("POP"):
                m.d.comb += self.queue.pop.eq(1)
                m.next = "IDLE"
        m.d.comb += [
            cutter.run_beat.eq(beat),
            cutter.run_beats.eq(item.beats),
            cutter.run_word.eq(word),
            cutter.run_tag.target.eq(item.target),
            cutter.run_tag.signal_ready.eq(item.signal_ready),
            cutter.run_tag.final.eq(rows.last),
        ]
        return fsm.ongoing("IDLE") & self.queue.empty

    def _addresses(self, m: Module, cutter: BurstCutter, bursts: Queue) -> Value:
        """Fetch first. A burst is noted when its address is chosen, then the base is added."""
        shift = log2(self.engine.bus_bytes)
        chosen = Signal()
        address = Signal(32, reset_less=True)
        length = Signal(LENGTH_BITS, reset_less=True)
        m.submodules.out = out = Slice(StructLayout({"address": 40, "length": 8}))
        free = ~chosen | out.ready
        choose = Signal()
        allowed = Signal()
        outstanding = Level(OUTSTANDING_READS, name="outstanding")
        m.d.sync += outstanding.change(choose, self.rvalid & self.rready & self.rlast)
        m.d.comb += [
            allowed.eq(free & ~outstanding.full),
            choose.eq(allowed & (self.fetch_valid | cutter.valid)),
            self.fetch_ready.eq(allowed),
            cutter.ready.eq(allowed & ~self.fetch_valid),
            bursts.push.eq(choose),
            bursts.data.fetch.eq(self.fetch_valid),
            bursts.data.target.eq(cutter.tag.target),
            bursts.data.signal_ready.eq(cutter.tag.signal_ready),
            bursts.data.final.eq(cutter.tag.final & cutter.last),
            bursts.data.word.eq(cutter.word),
        ]
        with m.If(free):
            m.d.sync += [
                chosen.eq(choose),
                address.eq(Mux(self.fetch_valid, self.fetch_address, Cat(Const(0, shift), cutter.beat))),
                length.eq(Mux(self.fetch_valid, FETCH_BURST_BYTES // self.engine.bus_bytes, cutter.beats)),
            ]
        m.d.comb += [
            out.push.eq(chosen), out.data.address.eq(self.base_address + address), out.data.length.eq(length - 1), out.pop.eq(self.arready),
            self.arvalid.eq(out.valid), self.araddr.eq(out.out.address), self.arlen.eq(out.out.length),
        ]  # fmt: skip
        return chosen | self.arvalid

    def _beats(self, m: Module, bursts: Queue) -> Value:
        """Each beat goes to a register and from there to where its burst says; a table is written byte by byte."""
        current = Signal(BURST, reset_less=True)
        active = Signal()
        next_active = Signal()
        kind = Signal(_KIND)
        holding = Signal()
        next_holding = Signal()
        accept = Signal()
        table = Signal()
        serial = Countdown(log2(self.engine.bus_bytes) + 1, "serial")
        m.d.comb += [
            accept.eq(self.rvalid & self.rready),
            bursts.pop.eq(~active | (accept & self.rlast)),
            next_active.eq(Mux(bursts.pop, bursts.valid, active)),
            table.eq(~current.fetch & (current.target == Target.TABLE)),
            next_holding.eq(Mux(holding, ~serial.last, accept & table)),
        ]
        m.d.sync += [
            active.eq(next_active), holding.eq(next_holding), self.rready.eq(next_active & ~next_holding),
            self.data.eq(self.rdata), self.word.eq(current.word),
            kind.fetch.eq(accept & current.fetch),
            kind.activation.eq(accept & ~current.fetch & (current.target == Target.ACTIVATION)),
            kind.weight.eq(accept & ~current.fetch & (current.target == Target.WEIGHT)),
            kind.table.eq(accept & table),
            kind.stop.eq(accept & ~current.fetch & current.final & self.rlast),
            kind.signal_ready.eq(accept & current.signal_ready),
        ]  # fmt: skip
        with m.If(accept):
            m.d.sync += current.word.eq(current.word + 1)
        with m.If(bursts.pop):
            m.d.sync += current.as_value().eq(bursts.out.as_value())
        with m.If(holding):
            m.d.sync += serial.step()
        with m.Else():
            m.d.sync += serial.load(Const(self.engine.bus_bytes, log2(self.engine.bus_bytes) + 1))
        self._tables(m, kind, holding)
        m.d.comb += [
            self.to_activation.eq(kind.activation), self.to_weight.eq(kind.weight), self.to_fetch.eq(kind.fetch),
            self.activation_ready.eq(kind.stop & kind.signal_ready & kind.activation),
            self.weight_ready.eq(kind.stop & kind.signal_ready & kind.weight),
            self.stopped.eq(kind.stop),
        ]  # fmt: skip
        return active | holding | self.table_write | kind.as_value().any()

    def _tables(self, m: Module, kind: Any, holding: Signal) -> None:
        """The bytes of a beat, one a cycle, while the next beat is held back."""
        left = Signal(8 * self.engine.bus_bytes, name="table_bytes", reset_less=True)
        m.d.sync += [self.table_write.eq(holding), left.eq(Mux(self.table_write, left >> 8, self.data))]
        with m.If(kind.table):
            m.d.sync += self.table_address.eq(self.word << log2(self.engine.bus_bytes))
        with m.Elif(self.table_write):
            m.d.sync += self.table_address.eq(self.table_address + 1)
        m.d.comb += self.table_data.eq(left[:8])


_KIND = StructLayout({"activation": 1, "weight": 1, "table": 1, "fetch": 1, "stop": 1, "signal_ready": 1})
