"""The store unit and the output buffer: runs of vectors to any multiple of lanes_out in DRAM."""

from __future__ import annotations

from typing import Any

from ridgeline.backends.rtl.burst import LENGTH_BITS, BurstCutter
from ridgeline.backends.rtl.decode import layout
from ridgeline.backends.rtl.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, StructLayout, Value
from ridgeline.backends.rtl.memory import Memory, Queue, Slice, pipeline, select_bytes
from ridgeline.backends.rtl.tokens import Countdown, Level, Tokens
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.timing import OUTSTANDING_WRITES, QUEUE_DEPTH, WRITE_QUEUE, log2, output_banks, store_rotate_stages
from ridgeline.mapping.program import Opcode

STORE = layout(Opcode.STORE)


class Store(Elaboratable):
    def __init__(self, engine: Engine):
        self.engine = engine
        self.vectors = engine.output_bytes // engine.lanes_out
        self.slots = output_banks(engine)  # vectors in a bus word
        self.slices = max(1, engine.lanes_out // engine.bus_bytes)  # bus words in a vector
        self.queue = Queue(STORE, depth=QUEUE_DEPTH)
        self.ready_tokens = Tokens()
        self.base_address = Signal(40)
        self.awvalid = Signal()
        self.awready = Signal()
        self.awaddr = Signal(40)
        self.awlen = Signal(8)
        self.wvalid = Signal()
        self.wready = Signal()
        self.wdata = Signal(8 * engine.bus_bytes)
        self.wstrb = Signal(engine.bus_bytes)
        self.wlast = Signal()
        self.bvalid = Signal()
        self.bready = Signal()
        self.write_enable = Signal()
        self.write_address = Signal(range(self.vectors))
        self.write_data = Signal(8 * engine.lanes_out)
        self.output_free = Signal()
        self.stored = Signal()
        self.started = Signal()
        self.idle = Signal()
        slot = max(1, log2(self.slots))
        # Of a run: the first and last slot it uses of its first and last bus word.
        self.tag = StructLayout({"from_slot": slot, "to_slot": slot, "final": 1, "signal_free": 1})
        # `word` counts vectors where a bus word holds several, else bus words.
        self.word_bits = log2(self.vectors * self.slices)
        self.burst = StructLayout({"word": self.word_bits, "beats": LENGTH_BITS, "first": 1, "last": 1, "run": self.tag})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = self.queue
        m.submodules.ready_tokens = self.ready_tokens
        m.submodules.cutter = cutter = BurstCutter(self.engine, word_bits=self.word_bits, word_step=self.slots, tag=self.tag)
        m.submodules.bursts = bursts = Queue(self.burst, depth=OUTSTANDING_WRITES)
        m.submodules.acknowledged = acknowledged = Queue(1, depth=OUTSTANDING_WRITES)
        resting = self._runs(m, cutter)
        sending = self._addresses(m, cutter, bursts, acknowledged)
        self._beats(m, bursts)
        m.d.comb += self.idle.eq(resting & cutter.idle & ~sending)
        return m

    def _runs(self, m: Module, cutter: BurstCutter) -> Value:
        """A run a cycle: first its addresses, then its bus words."""
        item = self.queue.out
        address = Signal(32, reset_less=True)
        row_address = Signal(32, reset_less=True)
        word = Signal(20, reset_less=True)
        row_word = Signal(20, reset_less=True)
        rows, pixels = Countdown(16, "rows"), Countdown(16, "pixels")
        filled = Signal()
        free = Signal()
        vectors = Signal(16, reset_less=True)
        final = Signal(reset_less=True)
        signal_free = Signal(reset_less=True)
        run_address = Signal(32, reset_less=True)
        run_word = Signal(20, reset_less=True)
        m.d.comb += free.eq(~filled | cutter.run_ready)
        with m.If(free):
            m.d.sync += filled.eq(0)
        step = Signal()
        done = Signal()
        running = Signal()
        m.d.comb += [
            self.started.eq(~running & ~self.queue.pop & self.queue.valid & (~item.wait_ready | self.ready_tokens.available)),
            self.ready_tokens.take.eq(self.started & item.wait_ready),
            step.eq(running & free),
            done.eq(step & pixels.last & rows.last),
        ]
        m.d.sync += [running.eq(self.started | (running & ~done)), self.queue.pop.eq(done)]
        with m.If(step):
            m.d.sync += [
                filled.eq(1), run_address.eq(address), run_word.eq(word), vectors.eq(item.vectors),
                final.eq(rows.last & pixels.last), signal_free.eq(item.signal_free),
                address.eq(address + item.dram_pixel), word.eq(word + item.buffer_pixel), *pixels.step(),
            ]  # fmt: skip
            with m.If(pixels.last):
                following_address, following_word = row_address + item.dram_row, row_word + item.buffer_row
                m.d.sync += [
                    address.eq(following_address), row_address.eq(following_address),
                    word.eq(following_word), row_word.eq(following_word), *rows.step(), *pixels.load(item.pixels),
                ]  # fmt: skip
        with m.If(~running):
            m.d.sync += [
                address.eq(item.dram_address), row_address.eq(item.dram_address), word.eq(item.buffer_address),
                row_word.eq(item.buffer_address), *rows.load(item.rows), *pixels.load(item.pixels),
            ]  # fmt: skip
        m.d.comb += [cutter.run_valid.eq(filled), cutter.run_tag.final.eq(final), cutter.run_tag.signal_free.eq(signal_free)]
        self._words(m, cutter, run_address, run_word, vectors)
        return ~running & ~self.queue.pop & self.queue.empty & ~filled

    def _words(self, m: Module, cutter: BurstCutter, run_address: Signal, run_word: Signal, vectors: Signal) -> None:
        """A run in bus words: where it begins and ends in them."""
        bus, vector, slots = log2(self.engine.bus_bytes), log2(self.engine.lanes_out), log2(self.slots)
        begin = run_address[vector:bus] if slots else Const(0, 1)
        end = Signal(18)
        m.d.comb += [
            end.eq(vectors + begin + (self.slots - 1)),
            cutter.run_beat.eq(run_address[bus:]),
            cutter.run_beats.eq(end >> slots if self.slices == 1 else vectors << log2(self.slices)),
            cutter.run_word.eq(run_word - begin if self.slices == 1 else run_word << log2(self.slices)),
            cutter.run_tag.from_slot.eq(begin),
            cutter.run_tag.to_slot.eq(end[:slots] if slots else 0),
        ]

    def _addresses(self, m: Module, cutter: BurstCutter, bursts: Queue, acknowledged: Queue) -> Value:
        """Addresses go ahead of their data; the data follow once an address is accepted."""
        bus = log2(self.engine.bus_bytes)
        held = Signal(self.burst, reset_less=True)
        address = Signal(32, reset_less=True)
        chosen = Signal()
        outstanding = Level(OUTSTANDING_WRITES, name="outstanding")
        m.submodules.out = out = Slice(StructLayout({"address": 40, "length": 8, "burst": self.burst}))
        sent = out.out.burst
        move = Signal()
        accepted = Signal()
        m.d.comb += [
            accepted.eq(self.awvalid & self.awready),
            move.eq(chosen & out.ready & ~outstanding.full),
            cutter.ready.eq(~chosen | move),
            bursts.push.eq(accepted),
            bursts.data.as_value().eq(sent.as_value()),
            acknowledged.push.eq(accepted),
            acknowledged.data.eq(sent.last & sent.run.final),
            self.bready.eq(acknowledged.valid),
            acknowledged.pop.eq(self.bvalid),
            self.stored.eq(self.bvalid & self.bready & acknowledged.out),
        ]
        m.d.sync += outstanding.change(move, self.bvalid & self.bready)
        with m.If(cutter.ready):
            m.d.sync += [
                chosen.eq(cutter.valid), address.eq(Cat(Const(0, bus), cutter.beat)), held.word.eq(cutter.word), held.beats.eq(cutter.beats),
                held.first.eq(cutter.first), held.last.eq(cutter.last), held.run.as_value().eq(cutter.tag.as_value()),
            ]  # fmt: skip
        m.d.comb += [
            out.push.eq(move), out.data.address.eq(self.base_address + address), out.data.length.eq(held.beats - 1),
            out.data.burst.as_value().eq(held.as_value()), out.pop.eq(self.awready),
            self.awvalid.eq(out.valid), self.awaddr.eq(out.out.address), self.awlen.eq(out.out.length),
        ]  # fmt: skip
        return chosen | outstanding.some

    def _beats(self, m: Module, bursts: Queue) -> None:
        """Reads the output buffer as fast as the queue of beats has room for."""
        current = Signal(self.burst, reset_less=True)
        active = Signal()
        begun = Signal(reset_less=True)
        beats = Countdown(LENGTH_BITS, "beats")
        credit = Level(WRITE_QUEUE, name="credit", initial=WRITE_QUEUE)
        issue = Signal()
        m.submodules.beats = queue = Queue(
            StructLayout({"data": 8 * self.engine.bus_bytes, "strobe": self.slots, "last": 1}), depth=WRITE_QUEUE
        )
        m.d.comb += [issue.eq(active & credit.some), bursts.pop.eq(~active | (issue & beats.last))]
        m.d.sync += credit.change(queue.valid & queue.pop, issue)
        tag = Signal(StructLayout({"valid": 1, "last": 1, "free": 1, "strobe": self.slots}))
        run_begins, run_ends = current.first & ~begun, current.last & beats.last
        m.d.comb += [
            tag.valid.eq(issue),
            tag.last.eq(beats.last),
            tag.free.eq(issue & run_ends & current.run.final & current.run.signal_free),
            tag.strobe.eq(Cat(self._used(s, current.run, run_begins, run_ends) for s in range(self.slots))),
        ]
        with m.If(issue):
            m.d.sync += [current.word.eq(current.word + self.slots), begun.eq(1), *beats.step()]
        with m.If(bursts.pop):
            m.d.sync += [active.eq(bursts.valid), current.as_value().eq(bursts.out.as_value()), begun.eq(0), *beats.load(bursts.out.beats)]
        data, latency = self._buffer(m, current.word)
        tags = pipeline(m, tag, latency, reset=True)
        m.d.comb += [
            self.output_free.eq(tags[3].free),
            queue.push.eq(tags[-1].valid),
            queue.data.data.eq(data),
            queue.data.strobe.eq(tags[-1].strobe),
            queue.data.last.eq(tags[-1].last),
            queue.pop.eq(self.wready),
            self.wvalid.eq(queue.valid),
            self.wdata.eq(queue.out.data),
            self.wlast.eq(queue.out.last),
            self.wstrb.eq(Cat(queue.out.strobe[s].replicate(self.engine.bus_bytes // self.slots) for s in range(self.slots))),
        ]

    def _used(self, slot: int, run: Any, begins: Value, ends: Value) -> Value:
        """Whether a bus word of the run, perhaps its first or last, writes this slot."""
        after = ~begins | (run.from_slot <= slot) if slot + 1 < self.slots else Const(1)
        before = ~ends | (run.to_slot >= slot) if slot else Const(1)
        return after & before

    def _buffer(self, m: Module, word: Value) -> tuple[Value, int]:
        """The bus word made of the vectors from `word` on, and after how many cycles."""
        lanes, slots, depth = self.engine.lanes_out, self.slots, self.vectors // self.slots
        bits, part = log2(slots), log2(self.slices)
        vector = word[part:]
        here = Signal(range(depth), reset_less=True)
        following = Signal(range(depth), reset_less=True)
        bank = Signal(max(1, bits), reset_less=True)
        m.d.sync += [here.eq(vector[bits:]), following.eq(vector[bits:] + 1), bank.eq(vector[:bits] if bits else 0)]
        banks: list[Value] = []
        for k in range(slots):
            memory = Memory(width=8 * lanes, depth=depth)
            m.submodules[f"bank{k}"] = memory
            read = Signal(8 * lanes, name=f"bank{k}_data", reset_less=True)
            mine = (self.write_address[:bits] == k) if bits else 1
            m.d.comb += [
                memory.write_enable.eq(self.write_enable & mine),
                memory.write_address.eq(self.write_address[bits:]),
                memory.write_data.eq(self.write_data),
                memory.read_address.eq(Mux(bank > k, following, here) if k + 1 < slots else here),
            ]
            m.d.sync += read.eq(memory.read_data)
            banks.append(read)
        stages = store_rotate_stages(self.engine)
        start = pipeline(m, bank, 2)[-1]
        data = select_bytes(banks, start, slots, stages, m, "rotate", unit=8 * lanes)
        if self.slices > 1:
            low = Signal(part, name="slice")
            m.d.comb += low.eq(word[:part])
            data = data.word_select(pipeline(m, low, 3 + stages)[-1], 8 * self.engine.bus_bytes)
        return data, 3 + stages
