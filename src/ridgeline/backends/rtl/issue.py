"""The front of the MAC unit: one read a cycle, with what is to become of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ridgeline.backends.rtl.activation import OFFSET_BITS, ROW_BITS
from ridgeline.backends.rtl.decode import layout
from ridgeline.backends.rtl.hdl import Const, Elaboratable, Module, Mux, Signal, StructLayout, Value, signed
from ridgeline.backends.rtl.memory import Queue
from ridgeline.backends.rtl.tokens import Countdown, Tokens
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.timing import QUEUE_DEPTH, RUN_MINIMUM, log2
from ridgeline.mapping.program import Mode, Opcode

_HERE = ("weight_wait", "weight_release", "output_wait", "output_commit", "use_table", "table", "zero_point", "low", "high", "weight_address",
         "output_address", "output_row", "output_pixel", "output_rows", "output_columns", "packed")  # fmt: skip
_SPARSE = ("sparse",)  # of an engine with such blocks


def compute_layout(engine: Engine) -> StructLayout:
    left_out = _HERE if engine.bank else (*_HERE, *_SPARSE)
    return layout(Opcode.COMPUTE, *(name for name in layout(Opcode.COMPUTE).members if name not in left_out))


# What the pipeline has to know of each read.
_TAG: dict[str, Any] = {
    "valid": 1,
    "swap": 1,  # the weight block changes
    "reset": 1,  # of the accumulator's index
    "emit": 1,
    "overwrite": 1,
    "in_place": 1,
    "mode": 2,
    "half": 1,
    "handover": 1,  # the half is complete
    "release": 1,  # of the activation tile
}


def tag_layout(engine: Engine) -> StructLayout:
    return StructLayout({**_TAG, "sparse": 1} if engine.bank else _TAG)


OPERANDS = StructLayout({"zero_a": signed(8), "zero_b": signed(8), "tap_mask": 8})


@dataclass(frozen=True, kw_only=True)
class Next:
    """A run that may be at its first read in the next cycle, if it is `here`; `start_before`, `read_before`: one issues in this cycle."""

    here: Value
    group_first: Value
    needs_block: Value
    adds: Value
    activation_wait: Value
    needs_half: Value
    start_before: Value
    read_before: Value


class Issue(Elaboratable):
    """First what happens in a cycle is decided from a few bits (`_sequence`); a cycle later the wide registers follow (`_addresses`)."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.queue = Queue(compute_layout(engine), depth=QUEUE_DEPTH)
        self.activation_tokens = Tokens()
        self.half_tokens = Tokens(initial=2)
        self.block_ready = Signal()
        self.block_taken = Signal()
        self.tag = Signal(tag_layout(engine))
        self.operands = Signal(OPERANDS)
        self.base = Signal(log2(engine.activation_bytes), reset_less=True)
        self.offset = Signal(signed(OFFSET_BITS), reset_less=True)
        self.row = Signal(signed(ROW_BITS), reset_less=True)
        self.rows = Signal(16)
        self.row_bytes = Signal(24)
        self.fill = Signal(8)
        self.started = Signal()  # a COMPUTE's first read
        self.stopped = Signal()  # its last read
        self.idle = Signal()
        # Of the run at work.
        self.group_first = Signal(reset_less=True)
        self.group_last = Signal(reset_less=True)
        self.needs_block = Signal(reset_less=True)
        self.adds = Signal(reset_less=True)
        self.flags = Signal(_FLAGS, reset_less=True)
        self.half = Signal()
        self.needs_half = Signal(init=1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = self.queue
        m.submodules.activation_tokens = self.activation_tokens
        m.submodules.half_tokens = self.half_tokens
        runs = Runs(self.engine)
        m.submodules.runs = runs
        m.d.comb += [
            Value.cast(runs.item).eq(Value.cast(self.queue.out)),
            runs.item_valid.eq(self.queue.valid),
            self.queue.pop.eq(runs.item_pop),
        ]
        command = self._sequence(m, runs)
        self._addresses(m, runs, command)
        return m

    def _sequence(self, m: Module, runs: Runs) -> Signal:
        """One read a cycle, row by row, when the run may begin. Returns what the address registers do in the next cycle."""
        item = self.queue.out
        active = Signal()
        first_read = Signal(reset_less=True)
        issue = Signal()
        take = Signal()
        run_done = Signal()
        settled = Signal(init=1)  # not in the cycle in which the runs move on
        x = Countdown(12, "x")
        y = Countdown(12, "y")
        columns = Signal(12, reset_less=True)
        m.d.comb += [
            run_done.eq(issue & x.last & y.last),
            take.eq(runs.valid & settled & (~active | run_done)),
            self.started.eq(issue & first_read & self.group_first),
            self.stopped.eq(run_done & self.group_last),
            self.idle.eq(~active & ~runs.valid & self.queue.empty),
        ]
        waits = Next(
            here=active & first_read & ~issue, group_first=self.group_first, needs_block=self.needs_block, adds=self.adds,
            activation_wait=self.flags.activation_wait, needs_half=self.needs_half, start_before=Const(0), read_before=Const(0),
        )  # fmt: skip
        comes = Next(
            here=take, group_first=runs.first,
            needs_block=((item.mode == Mode.MATRIX) | (item.mode == Mode.DEPTHWISE)) & (runs.first | ~item.hold),
            adds=~item.hold & ~item.in_place & ~(item.first & runs.first), activation_wait=item.activation_wait,
            needs_half=Mux(active, self.flags.last, self.needs_half), start_before=active & first_read, read_before=active,
        )  # fmt: skip
        with m.If(issue):
            m.d.sync += [first_read.eq(0), *x.step()]
            with m.If(x.last):
                m.d.sync += [*x.load(columns), *y.step()]
        with m.If(run_done):
            m.d.sync += active.eq(0)
        with m.If(take):
            m.d.sync += [
                active.eq(1), first_read.eq(1), self.group_first.eq(runs.first), self.group_last.eq(runs.last),
                *x.load(item.x_count), *y.load(item.y_count), columns.eq(item.x_count),
                self.needs_block.eq(comes.needs_block), self.adds.eq(comes.adds),
                *(self.flags[name].eq(item[name]) for name in _FLAGS.members),
            ]  # fmt: skip
        with m.If(self.stopped & self.flags.last):
            m.d.sync += [self.needs_half.eq(1), self.half.eq(~self.half)]
        m.d.sync += issue.eq(self._grant(m, waits, comes, issue, first_read) | (issue & ~run_done))
        command = Signal(_COMMAND)
        m.d.sync += [
            runs.take.eq(take), settled.eq(~take),
            command.issue.eq(issue), command.first_read.eq(first_read), command.group_first.eq(self.group_first),
            command.row_done.eq(x.last), command.swap.eq(issue & first_read & self.needs_block), command.half.eq(self.half),
            command.handover.eq(self.stopped & self.flags.last), command.release.eq(self.stopped & self.flags.activation_release),
        ]  # fmt: skip
        return command

    def _grant(self, m: Module, waits: Next, comes: Next, issue: Signal, first_read: Signal) -> Value:
        """Whether the run that will be at its first read in the next cycle may issue it there; its tokens and block are taken here."""
        starts = Signal(RUN_MINIMUM - 2)  # in the last cycles, the newest in bit 0
        reads = Signal(RUN_MINIMUM - 2)
        m.d.sync += [starts.eq(starts << 1 | (issue & first_read)), reads.eq(reads << 1 | issue)]
        granted: list[Value] = []
        for run in (waits, comes):
            tokens = (~run.activation_wait | self.activation_tokens.available) & (~run.needs_half | self.half_tokens.available)
            close_start, close_read = run.start_before | starts.any(), run.read_before | reads.any()
            spaced = ~(run.adds & (close_start | (run.group_first & close_read)))
            granted.append(run.here & (~run.needs_block | self.block_ready) & spaced & (~run.group_first | tokens))
        waiting, coming = granted
        half = (waiting & waits.group_first & waits.needs_half) | (coming & comes.group_first & comes.needs_half)
        m.d.comb += [
            self.block_taken.eq((waiting & waits.needs_block) | (coming & comes.needs_block)),
            self.activation_tokens.take.eq(
                (waiting & waits.group_first & waits.activation_wait) | (coming & comes.group_first & comes.activation_wait)
            ),
            self.half_tokens.take.eq(half),
        ]
        with m.If(half):
            m.d.sync += self.needs_half.eq(0)
        return waiting | coming

    def _addresses(self, m: Module, runs: Runs, command: Any) -> None:
        """The read that was issued in the cycle before: where, and what becomes of it."""
        item = self.queue.out
        config = Signal(compute_layout(self.engine), reset_less=True)
        origin = Signal(signed(OFFSET_BITS), reset_less=True)
        skip = Signal(4, reset_less=True)
        with m.If(command.issue):
            m.d.sync += [self.offset.eq(self.offset + config.x_byte), skip.eq(Mux(skip == 0, config.emit_stride - 1, skip - 1))]
            with m.If(command.row_done):
                m.d.sync += [self.offset.eq(origin), skip.eq(config.emit_from)]
                m.d.sync += [self.row.eq(self.row + config.y_row), self.base.eq(self.base + config.y_address)]
        with m.If(runs.take):
            m.d.sync += [
                self.offset.eq(runs.offset), origin.eq(runs.offset), self.row.eq(runs.row), self.base.eq(runs.base), skip.eq(item.emit_from),
                Value.cast(config).eq(Value.cast(item)),
            ]  # fmt: skip
        overwrite = config.hold | (config.first & command.group_first)
        m.d.comb += [
            self.rows.eq(config.rows), self.row_bytes.eq(config.row_bytes), self.fill.eq(config.fill),
            self.operands.zero_a.eq(config.zero_a), self.operands.zero_b.eq(config.zero_b), self.operands.tap_mask.eq(config.tap_mask),
            self.tag.valid.eq(command.issue),
            self.tag.swap.eq(command.swap),
            self.tag.reset.eq(command.first_read & (command.group_first | ~config.hold)),
            self.tag.emit.eq(command.issue & ((config.mode == Mode.MATRIX) | (skip == 0))),
            self.tag.overwrite.eq(overwrite),
            self.tag.in_place.eq(config.in_place & ~overwrite),
            self.tag.mode.eq(config.mode),
            self.tag.half.eq(command.half),
            self.tag.handover.eq(command.handover),
            self.tag.release.eq(command.release),
        ]  # fmt: skip
        if self.engine.bank:
            m.d.comb += self.tag.sparse.eq(config.sparse)


_FLAGS = StructLayout({"last": 1, "activation_wait": 1, "activation_release": 1})
_COMMAND = StructLayout({"issue": 1, "first_read": 1, "group_first": 1, "row_done": 1, "swap": 1, "half": 1, "handover": 1, "release": 1})


class Runs(Elaboratable):
    """The runs of a COMPUTE: where each starts. What it shows is valid in the cycle of `take` too, and moves on after it."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.item = Signal(compute_layout(engine))
        self.item_valid = Signal()
        self.item_pop = Signal()
        self.valid = Signal()
        self.take = Signal()
        self.first = Signal(reset_less=True)
        self.last = Signal()
        self.offset = Signal(signed(OFFSET_BITS), reset_less=True)
        self.row = Signal(signed(ROW_BITS), reset_less=True)
        self.base = Signal(log2(engine.activation_bytes), reset_less=True)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        item = self.item
        ky, kx, chunk = Countdown(12, "ky"), Countdown(12, "kx"), Countdown(14, "chunk")
        column = Signal(signed(OFFSET_BITS), reset_less=True)  # the offset of chunk 0
        engine = self.engine
        step = Mux(item.sparse, engine.sparse_lanes_in, engine.lanes_in) if engine.bank else engine.lanes_in
        m.d.comb += [self.last.eq(ky.last & kx.last & chunk.last), self.item_pop.eq(self.take & self.last)]
        with m.If(~self.valid):
            m.d.sync += [
                self.valid.eq(self.item_valid), self.first.eq(1), self.row.eq(item.row), self.base.eq(item.address),
                self.offset.eq(item.byte), column.eq(item.byte),
                *ky.load(item.ky_count), *kx.load(item.kx_count), *chunk.load(item.chunk_count),
            ]  # fmt: skip
        with m.Elif(self.take):
            m.d.sync += [self.first.eq(0), self.valid.eq(~self.last), *chunk.step(), self.offset.eq(self.offset + step)]
            with m.If(chunk.last):
                following = column + item.kx_byte
                m.d.sync += [*chunk.load(item.chunk_count), *kx.step(), column.eq(following), self.offset.eq(following)]
                with m.If(kx.last):
                    m.d.sync += [*kx.load(item.kx_count), *ky.step(), column.eq(item.byte), self.offset.eq(item.byte)]
                    m.d.sync += [self.row.eq(self.row + item.ky_row), self.base.eq(self.base + item.ky_address)]
        return m
