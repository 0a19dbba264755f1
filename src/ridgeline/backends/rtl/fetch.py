"""Reads the instruction stream ahead and gives one instruction after another."""

from __future__ import annotations

from ridgeline.backends.rtl.hdl import Cat, Elaboratable, Module, Signal
from ridgeline.backends.rtl.memory import Queue
from ridgeline.backends.rtl.tokens import Level
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.timing import FETCH_BURST_BYTES, FETCH_BURSTS, log2
from ridgeline.mapping.program import INSTRUCTION_BYTES


class Fetch(Elaboratable):
    """From `start` to `stop` (then what was read ahead is thrown away until `idle`). Bursts are aligned, so none crosses 4096 bytes."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.start = Signal()
        self.stop = Signal()
        self.entry = Signal(32)
        self.request = Signal()
        self.accepted = Signal()
        self.address = Signal(32)
        self.beat_valid = Signal()
        self.beat = Signal(8 * engine.bus_bytes)
        self.valid = Signal()
        self.take = Signal()
        self.instruction = Signal(8 * INSTRUCTION_BYTES, reset_less=True)
        self.idle = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.engine.bus_bytes
        beats = FETCH_BURST_BYTES // bus
        m.submodules.queue = queue = Queue(8 * bus, depth=beats * FETCH_BURSTS)
        block = Signal(32 - log2(FETCH_BURST_BYTES), reset_less=True)
        running = Signal()
        asking = Signal()
        discarding = Signal()
        room = Level(FETCH_BURSTS, name="room", initial=FETCH_BURSTS)
        popped = Signal(range(max(2, beats)))
        burst_done = Signal()
        m.d.comb += [
            self.request.eq(asking),
            self.address.eq(block << log2(FETCH_BURST_BYTES)),
            queue.push.eq(self.beat_valid),
            queue.data.eq(self.beat),
            burst_done.eq(queue.valid & queue.pop & (popped == beats - 1)),
            self.idle.eq(~running & ~discarding),
        ]
        m.d.sync += asking.eq(running & room.some & ~(asking & self.accepted) & ~self.stop)
        m.d.sync += room.change(burst_done, self.request & self.accepted)
        with m.If(queue.valid & queue.pop):
            m.d.sync += popped.eq(popped + 1)
        with m.If(self.request & self.accepted):
            m.d.sync += block.eq(block + 1)
        with m.If(self.start):
            m.d.sync += [running.eq(1), block.eq(self.entry >> log2(FETCH_BURST_BYTES))]
        with m.If(self.stop):
            m.d.sync += [running.eq(0), discarding.eq(1)]
        with m.If(discarding & room.full):
            m.d.sync += discarding.eq(0)
        self._assemble(m, queue, discarding)
        return m

    def _assemble(self, m: Module, queue: Queue, discarding: Signal) -> None:
        """A beat is part of an instruction, or two of them."""
        bus = self.engine.bus_bytes
        free = Signal()
        m.d.comb += free.eq(~self.valid | self.take)
        with m.If(self.take | discarding):
            m.d.sync += self.valid.eq(0)
        if bus <= INSTRUCTION_BYTES:
            parts = INSTRUCTION_BYTES // bus
            part = Signal(range(max(2, parts)))
            last = part == parts - 1
            m.d.comb += queue.pop.eq(free | discarding)
            with m.If(queue.valid & free & ~discarding):
                m.d.sync += [
                    self.instruction.eq(Cat(self.instruction, queue.out)[8 * bus :]),
                    part.eq(part + 1 if parts > 1 else 0),
                    self.valid.eq(last),
                ]
            with m.If(discarding):
                m.d.sync += part.eq(0)
            return
        upper = Signal()
        m.d.comb += queue.pop.eq((free & upper) | discarding)
        with m.If(queue.valid & free & ~discarding):
            m.d.sync += [self.instruction.eq(queue.out.word_select(upper, 8 * INSTRUCTION_BYTES)), upper.eq(~upper), self.valid.eq(1)]
        with m.If(discarding):
            m.d.sync += upper.eq(0)
