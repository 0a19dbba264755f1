"""Cuts runs of bus words into AXI bursts."""

from __future__ import annotations

from ridgeline.backends.rtl.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from ridgeline.hardware.engine.engine import BURST_BYTES, Engine
from ridgeline.hardware.engine.timing import log2

BEATS_BITS = 18
LENGTH_BITS = 9  # beats of a burst: 1..256


def burst_beats(engine: Engine) -> int:
    """Bursts are cut where an address is a multiple of so many beats: no 4096-byte boundary is crossed, no burst is over 256 beats."""
    return min(256, BURST_BYTES // engine.bus_bytes)


class BurstCutter(Elaboratable):
    """One burst a cycle, a run every other cycle. Addresses are bus words;
    `word` is an on-chip address that grows by `word_step` a beat; `tag` goes along."""

    def __init__(self, engine: Engine, *, word_bits: int, word_step: int, tag: object):
        self.engine = engine
        self.word_step = word_step
        self.beat_bits = 32 - log2(engine.bus_bytes)
        self.run_valid = Signal()
        self.run_ready = Signal()
        self.run_beat = Signal(self.beat_bits)
        self.run_beats = Signal(BEATS_BITS)
        self.run_word = Signal(word_bits)
        self.run_tag = Signal(tag)
        self.idle = Signal()
        self.valid = Signal()
        self.ready = Signal()
        self.beat = Signal(self.beat_bits, reset_less=True)
        self.beats = Signal(LENGTH_BITS, reset_less=True)
        self.word = Signal(word_bits, reset_less=True)
        self.first = Signal(reset_less=True)
        self.last = Signal(reset_less=True)
        self.tag = Signal(tag, reset_less=True)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        full = burst_beats(self.engine)
        low = log2(full)
        waiting = Signal()
        beat = Signal(self.beat_bits, name="next_beat", reset_less=True)
        beats = Signal(BEATS_BITS, name="next_beats", reset_less=True)
        word = Signal(self.run_word.shape(), name="next_word", reset_less=True)
        tag = Signal(self.tag.shape(), name="next_tag", reset_less=True)
        room = Signal(LENGTH_BITS, reset_less=True)
        left = Signal(BEATS_BITS, reset_less=True)
        move = Signal()
        accept = Signal()
        m.d.comb += [
            move.eq(waiting & (~self.valid | (self.ready & self.last))),
            self.run_ready.eq(~waiting),
            accept.eq(self.run_valid & self.run_ready),
            self.idle.eq(~waiting & ~self.valid),
        ]
        m.d.sync += waiting.eq(accept | (waiting & ~move))
        with m.If(accept):
            m.d.sync += [
                beat.eq(self.run_beat),
                beats.eq(self.run_beats),
                word.eq(self.run_word),
                Value.cast(tag).eq(Value.cast(self.run_tag)),
                room.eq(full - self.run_beat[:low]),
            ]
        with m.If(self.ready & (self.last | ~self.valid)):
            m.d.sync += self.valid.eq(0)
        with m.If(move):
            self._start(m, beat, beats, word, room, tag, left)
        with m.Elif(self.valid & self.ready & ~self.last):
            over = Signal()
            m.d.comb += over.eq(left > full)
            m.d.sync += [
                self.beat.eq(Cat(Const(0, low), self.beat[low:] + 1)),
                self.word.eq(self.word + (self.beats << log2(self.word_step))),
                self.beats.eq(Mux(over, full, left[:LENGTH_BITS])),
                self.first.eq(0),
                self.last.eq(~over),
                left.eq(left - full),
            ]
        return m

    def _start(self, m: Module, beat: Signal, beats: Signal, word: Signal, room: Signal, tag: Signal, left: Signal) -> None:
        over = Signal()
        m.d.comb += over.eq(beats > room)
        m.d.sync += [
            self.valid.eq(1),
            self.beat.eq(beat),
            self.word.eq(word),
            Value.cast(self.tag).eq(Value.cast(tag)),
            self.beats.eq(Mux(over, room, beats[:LENGTH_BITS])),
            self.first.eq(1),
            self.last.eq(~over),
            left.eq(beats - room),
        ]
