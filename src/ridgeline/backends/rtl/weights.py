"""The weight buffer and the unit that reads blocks and parameters from it."""

from __future__ import annotations

from typing import Any

from ridgeline.backends.rtl.decode import layout
from ridgeline.backends.rtl.hdl import Elaboratable, Module, Mux, Signal, StructLayout, Value
from ridgeline.backends.rtl.memory import Memory, Queue, pipeline
from ridgeline.backends.rtl.tokens import Countdown, Tokens
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.timing import QUEUE_DEPTH, log2, weight_latency
from ridgeline.mapping.program import Mode, Opcode

COMPUTE = layout(
    Opcode.COMPUTE, "mode", "weight_wait", "weight_release", "last", "hold", "ky_count", "kx_count", "chunk_count", "weight_address"
)


def index_bits(engine: Engine) -> int:
    """Of the number of a word in its block."""
    return max(1, (max(engine.block_words, engine.tap_block_words, engine.parameter_words) - 1).bit_length())


class WeightUnit(Elaboratable):
    """Reads at its own pace, one block ahead of the MAC unit; the words arrive `weight_latency` cycles later with what they are."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.queue = Queue(COMPUTE, depth=QUEUE_DEPTH)
        self.ready_tokens = Tokens()
        self.block_ready = Signal()  # the next run's block is complete at the latest in this cycle
        self.block_taken = Signal()  # a run that needs a block issues its first read in the next cycle
        self.parameters_ready = Signal()
        self.parameters_taken = Signal()  # by the drain unit, at its start
        self.release = Signal()
        self.idle = Signal()
        self.data = Signal(8 * engine.weight_word_bytes, reset_less=True)
        self.index = Signal(index_bits(engine))  # what the word is comes a cycle before it
        self.is_block = Signal()
        self.is_taps = Signal()
        self.is_parameters = Signal()
        self.write_enable = Signal()
        self.write_word = Signal(24)  # in bus words
        self.write_data = Signal(8 * engine.bus_bytes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = self.queue
        m.submodules.ready_tokens = self.ready_tokens
        command = self._command(m)
        stages = pipeline(m, command, weight_latency(self.engine) - 1, reset=True)
        self._buffer(m, stages[-3].address)
        arrived = stages[-1]
        m.d.comb += [
            self.index.eq(stages[-2].index),
            self.is_block.eq(stages[-2].block),
            self.is_taps.eq(stages[-2].taps),
            self.is_parameters.eq(stages[-2].parameters),
            self.release.eq(stages[-2].release),
        ]
        with m.If(self.parameters_taken):
            m.d.sync += self.parameters_ready.eq(0)
        with m.If(arrived.parameters & arrived.final):
            m.d.sync += self.parameters_ready.eq(1)
        return m

    def _command(self, m: Module) -> Signal:
        """The front: what is read in this cycle."""
        engine, item = self.engine, self.queue.out
        command = Signal(
            StructLayout(
                {"address": log2(engine.weight_words), "index": index_bits(engine), "block": 1, "taps": 1, "parameters": 1, "final": 1, "release": 1}
            )
        )
        front = _Front(m, engine, item)
        address = Signal(log2(engine.weight_words), reset_less=True)
        index = Signal(index_bits(engine))
        ready = Signal()
        m.d.comb += [
            command.address.eq(address),
            command.index.eq(index),
            command.final.eq(front.words.last),
            command.release.eq(front.finished & item.weight_release),
            front.issue.eq(command.block | command.taps | command.parameters),
            self.queue.pop.eq(front.finished),
            self.block_ready.eq(ready | front.complete),
        ]
        m.d.sync += ready.eq((ready | front.complete) & ~self.block_taken)
        with m.If(front.issue):
            m.d.sync += [address.eq(address + 1), index.eq(index + 1), front.begun.eq(~front.words.last), *front.words.step()]
            with m.If(front.words.last):
                m.d.sync += [index.eq(0), *front.words.load(Mux(front.blocks.last, engine.parameter_words, front.block_words))]
        resting = self._walk(m, front, command, address)
        with m.If(self.block_taken):
            m.d.sync += front.shadow_free.eq(1)
        with m.If(self.parameters_taken):  # what is read now arrives after the drain unit's own registers have loaded
            m.d.sync += front.parameters_free.eq(1)
        m.d.comb += self.idle.eq(resting & self.queue.empty)
        return command

    def _walk(self, m: Module, front: _Front, command: Any, address: Signal) -> Value:
        """The blocks of an instruction, then its parameters. Returns whether it waits for one."""
        engine, item, tokens, words, blocks = self.engine, self.queue.out, self.ready_tokens, front.words, front.blocks
        with m.FSM(name="weight") as fsm:
            with m.State("IDLE"):
                m.d.sync += [
                    address.eq(item.weight_address),
                    *blocks.load(),
                    *words.load(Mux(front.weighted, front.block_words, engine.parameter_words)),
                ]
                with m.If(self.queue.valid & (~item.weight_wait | tokens.available)):
                    m.d.comb += tokens.take.eq(item.weight_wait)
                    m.d.sync += front.in_blocks.eq(front.weighted)
                    with m.If(front.weighted):
                        m.next = "BLOCKS"
                    with m.Elif(item.last):
                        m.next = "PARAMETERS"
                    with m.Else():
                        m.next = "NOTHING"
            with m.State("NOTHING"):
                m.d.comb += front.finished.eq(1)
                m.next = "IDLE"
            with m.State("BLOCKS"), m.If(front.begun | front.shadow_free):
                m.d.comb += [command.block.eq(~front.taps), command.taps.eq(front.taps)]
                m.d.sync += front.shadow_free.eq(0)
                with m.If(words.last):
                    m.d.sync += front.in_blocks.eq(~blocks.last)
                    with m.If(blocks.last & item.last):
                        m.next = "PARAMETERS"
                    with m.Elif(blocks.last):
                        m.d.comb += front.finished.eq(1)
                        m.next = "IDLE"
            with m.State("PARAMETERS"), m.If(front.begun | front.parameters_free):
                m.d.comb += command.parameters.eq(1)
                m.d.sync += front.parameters_free.eq(0)
                with m.If(words.last):
                    m.d.comb += front.finished.eq(1)
                    m.next = "IDLE"
        return fsm.ongoing("IDLE")

    def _buffer(self, m: Module, read: Signal) -> None:
        engine = self.engine
        columns = engine.weight_word_bytes // engine.bus_bytes
        bits = log2(columns)
        for column in range(columns):
            memory = Memory(width=8 * engine.bus_bytes, depth=engine.weight_words)
            m.submodules[f"column{column}"] = memory
            mine = (self.write_word[:bits] == column) if bits else 1
            m.d.comb += [
                memory.write_enable.eq(self.write_enable & mine),
                memory.write_address.eq(self.write_word[bits:]),
                memory.write_data.eq(self.write_data),
                memory.read_address.eq(read),
            ]
            m.d.sync += self.data.word_select(column, 8 * engine.bus_bytes).eq(memory.read_data)


def _single(engine: Engine) -> bool:
    """Whether a block may be one word, so that its last word is its first too."""
    return min(engine.block_words, engine.tap_block_words) == 1


class _Front:
    """Where the front is in its instruction."""

    def __init__(self, m: Module, engine: Engine, item: Any):
        self.taps = Signal()
        self.weighted = (item.mode == Mode.MATRIX) | (item.mode == Mode.DEPTHWISE)
        self.blocks = _Blocks(m, item)
        self.words = Countdown(index_bits(engine) + 1, "words")
        self.block_words = Mux(self.taps, engine.tap_block_words, engine.block_words)
        self.in_blocks = Signal()  # the state BLOCKS, as a bit of its own
        self.begun = Signal()  # the block or the parameters: it goes on without a wait
        self.shadow_free = Signal(init=1)
        self.parameters_free = Signal(init=1)
        self.issue = Signal()
        self.finished = Signal()
        self.complete = Signal()  # a block
        m.d.comb += [
            self.taps.eq(item.mode == Mode.DEPTHWISE),
            self.complete.eq(self.in_blocks & self.words.last & (self.begun | self.shadow_free if _single(engine) else 1)),
        ]
        with m.If(self.complete):
            self.blocks.step()


class _Blocks:
    """Counts the blocks of a COMPUTE: ky_count * kx_count * chunk_count, or one."""

    def __init__(self, m: Module, item: Any):
        self.m, self.item = m, item
        self.ky, self.kx, self.chunk = Countdown(12, "ky"), Countdown(12, "kx"), Countdown(14, "chunk")
        self.last = (self.ky.last & self.kx.last & self.chunk.last) | item.hold

    def load(self) -> list[Any]:
        return [*self.ky.load(self.item.ky_count), *self.kx.load(self.item.kx_count), *self.chunk.load(self.item.chunk_count)]

    def step(self) -> None:
        m, item = self.m, self.item
        m.d.sync += self.chunk.step()
        with m.If(self.chunk.last):
            m.d.sync += [*self.chunk.load(item.chunk_count), *self.kx.step()]
            with m.If(self.kx.last):
                m.d.sync += [*self.kx.load(item.kx_count), *self.ky.step()]
