"""The drain unit: a finished half of the accumulators becomes int8 vectors in the output buffer."""

from __future__ import annotations

from typing import Any

from ridgeline.backends.rtl.decode import layout
from ridgeline.backends.rtl.hdl import Cat, ClockSignal, Elaboratable, Module, Signal, StructLayout, Value
from ridgeline.backends.rtl.memory import Queue, pipeline
from ridgeline.backends.rtl.requantise import (
    BIAS,
    CLIP,
    MULTIPLIER,
    SHIFT,
    TABLE,
    TABLE_ADDRESS_BITS,
    USE_TABLE,
    WRITE,
    ZERO_POINT,
    RequantisePorts,
)
from ridgeline.backends.rtl.tokens import Countdown, Tokens
from ridgeline.backends.rtl.weights import index_bits
from ridgeline.hardware.engine.engine import PARAMETER_BYTES, Engine
from ridgeline.hardware.engine.timing import QUEUE_DEPTH, log2
from ridgeline.mapping.program import Opcode

COMPUTE = layout(
    Opcode.COMPUTE, "output_wait", "output_commit", "last", "use_table", "table", "zero_point", "low", "high", "output_address", "output_row",
    "output_pixel", "output_rows", "output_columns",
)  # fmt: skip


class Drain(Elaboratable):
    def __init__(self, engine: Engine):
        self.engine = engine
        self.address_bits = log2(engine.output_bytes // engine.lanes_out)
        self.queue = Queue(COMPUTE, depth=QUEUE_DEPTH)
        self.half_tokens = Tokens()  # halves handed over
        self.output_tokens = Tokens()
        self.half_free = Signal()
        self.parameters_ready = Signal()
        self.parameters_taken = Signal()
        self.weight_data = Signal(8 * engine.weight_word_bytes)
        self.weight_index = Signal(index_bits(engine))
        self.weight_is_parameters = Signal()
        self.half = Signal()
        self.index = Signal(range(engine.accumulator_depth))
        self.drained = Signal(32 * engine.lanes_out)
        self.table_write = Signal()
        self.table_write_address = Signal(TABLE_ADDRESS_BITS)
        self.table_write_data = Signal(8)
        self.write_enable = Signal()
        self.write_address = Signal(self.address_bits)
        self.write_data = Signal(8 * engine.lanes_out)
        self.commit = Signal()
        self.started = Signal()
        self.stopped = Signal()
        self.idle = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = self.queue
        m.submodules.half_tokens = self.half_tokens
        m.submodules.output_tokens = self.output_tokens
        tag = Signal(StructLayout({"valid": 1, "first": 1, "commit": 1, "done": 1, "address": self.address_bits}))
        tags = pipeline(m, tag, WRITE, reset=True)
        self._front(m, tag, tags[USE_TABLE].first)
        m.d.comb += [
            self.write_enable.eq(tags[WRITE].valid),
            self.write_address.eq(tags[WRITE].address),
            self.commit.eq(tags[WRITE].commit),
            self.stopped.eq(tags[WRITE].done),
        ]
        self._lanes(m, tags)
        return m

    def _front(self, m: Module, tag: Signal, taken_over: Signal) -> None:
        """Walks the accumulators; the instruction stays at the queue's head until the pipeline has taken all its fields over."""
        item = self.queue.out
        address = Signal(self.address_bits, reset_less=True)
        row_address = Signal(self.address_bits, reset_less=True)
        rows, columns = Countdown(12, "rows"), Countdown(12, "columns")
        walking = Signal()
        first = Signal(reset_less=True)
        done = Signal()
        taken = Signal()
        tokens = ~item.output_wait | self.output_tokens.available
        data = ~item.last | (self.half_tokens.available & self.parameters_ready)
        m.d.comb += [
            done.eq(walking & rows.last & columns.last),
            tag.valid.eq(walking),
            tag.first.eq(walking & first),
            tag.done.eq(done),
            tag.address.eq(address),
            self.half_free.eq(done),
        ]
        with m.FSM(name="drain") as fsm:
            with m.State("WAIT"), m.If(self.queue.valid & tokens & data):
                m.d.comb += [
                    self.output_tokens.take.eq(item.output_wait),
                    self.half_tokens.take.eq(item.last),
                    self.parameters_taken.eq(item.last),
                    self.started.eq(item.last),
                ]
                m.d.sync += [
                    address.eq(item.output_address), row_address.eq(item.output_address), first.eq(1), taken.eq(0), self.index.eq(0),
                    *rows.load(item.output_rows), *columns.load(item.output_columns),
                ]  # fmt: skip
                with m.If(item.last):
                    m.next = "WALK"
                with m.Else():
                    m.d.comb += [self.queue.pop.eq(1), tag.commit.eq(item.output_commit)]
            with m.State("WALK"):
                m.d.comb += [walking.eq(1), tag.commit.eq(done & item.output_commit)]
                m.d.sync += [first.eq(0), self.index.eq(self.index + 1), *columns.step(), address.eq(address + item.output_pixel)]
                with m.If(columns.last):
                    following = row_address + item.output_row
                    m.d.sync += [*columns.load(item.output_columns), *rows.step(), address.eq(following), row_address.eq(following)]
                with m.If(done):
                    m.d.sync += self.half.eq(~self.half)
                    m.d.comb += self.queue.pop.eq(taken)
                    with m.If(taken):
                        m.next = "WAIT"
                    with m.Else():
                        m.next = "HOLD"
            with m.State("HOLD"), m.If(taken):
                m.d.comb += self.queue.pop.eq(1)
                m.next = "WAIT"
        with m.If(taken_over):
            m.d.sync += taken.eq(1)
        m.d.comb += self.idle.eq(fsm.ongoing("WAIT") & self.queue.empty)

    def _lanes(self, m: Module, tags: list[Any]) -> None:
        item = self.queue.out
        fields: dict[str, Signal] = {}
        for name, stage in (("zero_point", ZERO_POINT), ("low", CLIP), ("high", CLIP), ("table", TABLE), ("use_table", USE_TABLE)):
            fields[name] = Signal(COMPUTE.members[name], name=name, reset_less=True)
            with m.If(tags[stage].first):
                m.d.sync += fields[name].eq(item[name])
        codes: list[Value] = []
        for o in range(self.engine.lanes_out):
            lane = RequantisePorts()
            m.submodules[f"lane{o}"] = lane.instance()
            m.d.comb += [
                lane.clk.eq(ClockSignal()),
                lane.accumulator.eq(self.drained.word_select(o, 32)),
                lane.bias_take.eq(tags[BIAS].first),
                lane.multiplier_take.eq(tags[MULTIPLIER].first),
                lane.shift_take.eq(Cat(tags[SHIFT + k].first for k in range(3))),
                lane.table_write.eq(self.table_write),
                lane.table_write_address.eq(self.table_write_address),
                lane.table_write_data.eq(self.table_write_data),
                *(getattr(lane, name).eq(value) for name, value in fields.items()),
            ]
            self._record(m, lane, o)
            codes.append(lane.code)
        m.d.comb += self.write_data.eq(Cat(*codes))

    def _record(self, m: Module, lane: RequantisePorts, o: int) -> None:
        """A record's two halves of four bytes lie in one weight word or two."""
        for k in range(2):
            word, offset = divmod(PARAMETER_BYTES * o + 4 * k, self.engine.weight_word_bytes)
            m.d.comb += [
                lane.record.word_select(k, 32).eq(self.weight_data[8 * offset : 8 * offset + 32]),
                lane.record_load[k].eq(self.weight_is_parameters & (self.weight_index == word)),
            ]
