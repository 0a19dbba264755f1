"""The weight buffer and the unit that reads blocks and parameters from it."""

from __future__ import annotations

from itertools import product
from typing import Any

from ridgeline.backends.rtl.decode import layout
from ridgeline.backends.rtl.hdl import Cat, Elaboratable, Module, Mux, Signal, StructLayout, Value
from ridgeline.backends.rtl.levels import decoded
from ridgeline.backends.rtl.memory import Memory, Queue, pipeline
from ridgeline.backends.rtl.tokens import Countdown, Tokens
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.storage import PACKED_BITS
from ridgeline.hardware.engine.timing import QUEUE_DEPTH, log2, weight_latency, weight_lead
from ridgeline.mapping.program import Mode, Opcode

_FIELDS = ("mode", "weight_wait", "weight_release", "last", "hold", "ky_count", "kx_count", "chunk_count", "weight_address")


def storage_bits(engine: Engine) -> tuple[str, ...]:
    """The bits that say how a matrix block is stored, of those that the engine has."""
    return (*(["packed"] if engine.packs else []), *(["sparse"] if engine.bank else []))


def matrix_words(engine: Engine) -> dict[tuple[bool, bool], int]:
    """Weight words of a matrix block by (packed, sparse), of all that the engine has."""
    pairs = product([False, True][: 1 + engine.packs], [False, True][: 1 + (engine.bank > 0)])
    return {(packed, sparse): engine.matrix_words(packed=packed, sparse=sparse) for packed, sparse in pairs}


def index_bits(engine: Engine) -> int:
    """Of the number of a word in its block."""
    return max(1, (max(*matrix_words(engine).values(), engine.tap_block_words, engine.parameter_words) - 1).bit_length())


class WeightUnit(Elaboratable):
    """Reads at its own pace, one block ahead of the MAC unit; the words arrive `weight_latency` cycles later with what they are."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.queue = Queue(layout(Opcode.COMPUTE, *_FIELDS, *storage_bits(engine)), depth=QUEUE_DEPTH)
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
        # Of an engine whose weights are not all dense int8. Rows of lanes_in bytes come with `data`, those of lanes o, o + rows, ... each; the
        # places of a sparse block's weights, and what they are, two cycles earlier.
        self.rows = Signal(8 * engine.lanes_in * row_count(engine), reset_less=True)
        self.is_packed = Signal()
        self.places = Signal(8 * engine.weight_word_bytes, reset_less=True)
        self.places_index = Signal(index_bits(engine))
        self.is_places = Signal()
        self.is_dense = Signal()
        self.write_enable = Signal()
        self.write_word = Signal(24)  # in bus words
        self.write_data = Signal(8 * engine.bus_bytes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = self.queue
        m.submodules.ready_tokens = self.ready_tokens
        command = self._command(m)
        stages = pipeline(m, command, weight_latency(self.engine) - 1, reset=True)
        lead = weight_lead(self.engine)
        self._decode(m, self._buffer(m, stages[-3 - lead].address), stages)
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
        command = Signal(_command_layout(engine))
        front = _Front(m, engine, item)
        address = Signal(log2(engine.weight_words), reset_less=True)
        index = Signal(index_bits(engine))
        ready = Signal()
        m.d.comb += [
            command.address.eq(address),
            command.index.eq(index),
            command.final.eq(front.words.last),
            command.release.eq(front.finished & item.weight_release),
            front.issue.eq(_any([command[name] for name in ("block", "taps", "parameters", "places") if name in command.shape().members])),
            *(command[name].eq(item[name]) for name in storage_bits(engine)),
            self.queue.pop.eq(front.finished),
            self.block_ready.eq(ready | front.complete),
        ]
        m.d.sync += ready.eq((ready | front.complete) & ~self.block_taken)
        with m.If(front.issue):
            m.d.sync += [address.eq(address + 1), index.eq(index + 1), front.begun.eq(~front.words.last), *front.words.step()]
            with m.If(front.words.last):
                m.d.sync += [index.eq(0), *front.words.load(Mux(front.blocks.last, engine.parameter_words, front.block_words))]
            if engine.bank:
                self._sections(m, front, command, index)
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
                m.d.comb += [*front.kinds(command), command.taps.eq(front.taps)]
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

    def _sections(self, m: Module, front: _Front, command: Any, index: Signal) -> None:
        """A sparse block's values are followed by their places, whose words are counted from 0 again."""
        item, engine = self.queue.out, self.engine
        values = engine.value_words(packed=False) - 1
        if engine.packs:
            values = Mux(item.packed, engine.value_words(packed=True) - 1, values)
        with m.If(front.words.last):
            m.d.sync += front.in_places.eq(0)
        with m.Elif(command.block & item.sparse & (index == values)):
            m.d.sync += [front.in_places.eq(1), index.eq(0)]

    def _decode(self, m: Module, word: Signal, stages: list[Signal]) -> None:
        """From a word as it was read, `weight_lead` cycles early, to what the array takes."""
        engine = self.engine
        if not weight_lead(engine):
            return
        early = pipeline(m, word, weight_lead(engine))
        m.d.comb += self.data.eq(early[-1])
        if engine.bank:
            dense = stages[-4].block & ~stages[-4].sparse
            m.d.comb += [
                self.places.eq(word), self.places_index.eq(stages[-4].index), self.is_places.eq(stages[-4].places), self.is_dense.eq(dense),
            ]  # fmt: skip
        if not engine.packs:
            m.d.comb += self.rows.eq(self.data)
            return
        before = early[-2]
        m.d.comb += self.is_packed.eq(stages[-2].packed)
        m.d.sync += self.rows.eq(Mux(stages[-2].packed, Cat(*decoded(m, before)), Cat(before, before)))

    def _buffer(self, m: Module, read: Signal) -> Signal:
        """The word, two cycles after the address."""
        engine = self.engine
        word = Signal(8 * engine.weight_word_bytes, name="word", reset_less=True) if weight_lead(engine) else self.data
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
            m.d.sync += word.word_select(column, 8 * engine.bus_bytes).eq(memory.read_data)
        return word


def _any(values: list[Value]) -> Value:
    result = values[0]
    for value in values[1:]:
        result = result | value
    return result


def _single(engine: Engine) -> bool:
    """Whether a block may be one word, so that its last word is its first too."""
    return min(*matrix_words(engine).values(), engine.tap_block_words) == 1


def row_count(engine: Engine) -> int:
    """Of `WeightUnit.rows`: what a word holds at most."""
    return (8 // PACKED_BITS if engine.packs else 1) * engine.weight_word_bytes // engine.lanes_in


class _Front:
    """Where the front is in its instruction."""

    def __init__(self, m: Module, engine: Engine, item: Any):
        self.taps = Signal()
        self.weighted = (item.mode == Mode.MATRIX) | (item.mode == Mode.DEPTHWISE)
        self.blocks = _Blocks(m, item)
        self.words = Countdown(index_bits(engine) + 1, "words")
        self.block_words = Mux(self.taps, engine.tap_block_words, _chosen(item, engine))
        self.in_places = Signal()  # of a sparse block
        self.bank = engine.bank
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

    def kinds(self, command: Any) -> list[Any]:
        """What a word of a matrix block is."""
        if not self.bank:
            return [command.block.eq(~self.taps)]
        return [command.block.eq(~self.taps & ~self.in_places), command.places.eq(self.in_places)]


def _command_layout(engine: Engine) -> StructLayout:
    one_bit = ("block", "taps", "parameters", "final", "release", *storage_bits(engine), *(["places"] if engine.bank else []))
    return StructLayout({"address": log2(engine.weight_words), "index": index_bits(engine), **dict.fromkeys(one_bit, 1)})


def _chosen(item: Any, engine: Engine) -> Any:
    """The words of a matrix block, by the instruction's storage bits."""
    words = matrix_words(engine)

    def of(packed: bool) -> Any:
        return Mux(item.sparse, words[packed, True], words[packed, False]) if engine.bank else words[packed, False]

    return Mux(item.packed, of(True), of(False)) if engine.packs else of(False)


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
