"""Gives instructions, in program order, to the queues of the units that carry them out: looks at one, then pushes it, then takes the next."""

from __future__ import annotations

from ridgeline.backends.rtl.decode import OPCODE_BITS, fields
from ridgeline.backends.rtl.hdl import Elaboratable, Module, Signal, Value
from ridgeline.backends.rtl.memory import Queue
from ridgeline.mapping.program import INSTRUCTION_BYTES, Opcode


class Dispatch(Elaboratable):
    """`queues` are those of each opcode. END, and an opcode that is none, wait until the units are idle and stop the fetch."""

    def __init__(self, queues: dict[Opcode, list[Queue]]):
        self.queues = queues
        self.valid = Signal()
        self.instruction = Signal(8 * INSTRUCTION_BYTES)
        self.take = Signal()
        self.stop = Signal()
        self.start = Signal()
        self.units_idle = Signal()
        self.fetch_idle = Signal()
        self.busy = Signal()
        self.done = Signal()
        self.unknown = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        opcode = self.instruction[:OPCODE_BITS]
        stopping = Signal()
        known = Signal()  # the opcode was looked at in the cycle before
        others = Signal()
        m.d.sync += [known.eq(self.valid & ~self.take), self.take.eq(0), others.eq(_all([opcode != code.value for code in self.queues]))]
        for code, queues in self.queues.items():
            is_code = Signal(name=f"is_{code.name.lower()}")
            push = Signal(name=f"push_{code.name.lower()}")
            m.d.sync += [is_code.eq(opcode == code.value), push.eq(0)]
            with m.If(known & is_code & ~self.take & ~stopping & _all([queue.ready for queue in queues])):
                m.d.sync += [self.take.eq(1), push.eq(1)]
            m.d.comb += [queue.push.eq(push) for queue in queues]
        with m.If(known & others & ~stopping):
            m.d.comb += self.stop.eq(self.units_idle)
            m.d.sync += [stopping.eq(self.units_idle), self.unknown.eq(opcode != Opcode.END.value)]
        for code, queues in self.queues.items():
            for queue in queues:
                m.d.comb += Value.cast(queue.data).eq(fields(self.instruction, code, queue.data.shape()))
        with m.If(stopping & self.fetch_idle):
            m.d.sync += [stopping.eq(0), self.busy.eq(0), self.done.eq(1)]
        with m.If(self.start):
            m.d.sync += [self.busy.eq(1), self.done.eq(0), self.unknown.eq(0)]
        return m


def _all(values: list[Value]) -> Value:
    result = values[0]
    for value in values[1:]:
        result = result & value
    return result
