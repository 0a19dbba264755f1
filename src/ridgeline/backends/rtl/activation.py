"""The activation buffer: bus words in, any `vector` neighbouring bytes out, those outside the tile replaced by `fill`."""

from __future__ import annotations

from ridgeline.backends.rtl.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from ridgeline.backends.rtl.memory import Memory, bytes_of, pipeline, select_bytes
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.timing import ADDRESS_STAGES, READ_STAGES, activation_banks, log2, rotate_stages

OFFSET_BITS = 27  # of a byte within a row, signed
ROW_BITS = 20


class ActivationBuffer(Elaboratable):
    """`base`, `offset`, `row`, `rows`, `row_bytes` and `fill` belong to the read issued in this cycle; its vector is `vector` the cycles later
    that `latency` tells. Word w of vector bytes lies in bank w modulo the banks."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.latency = ADDRESS_STAGES + READ_STAGES + rotate_stages(engine) + 1
        self.base = Signal(log2(engine.activation_bytes))
        self.offset = Signal(signed(OFFSET_BITS))
        self.row = Signal(signed(ROW_BITS))
        self.rows = Signal(16)
        self.row_bytes = Signal(24)
        self.fill = Signal(8)
        self.vector = Signal(8 * engine.vector_bytes, reset_less=True)
        self.write_enable = Signal()
        self.write_word = Signal(24)  # in bus words
        self.write_data = Signal(8 * engine.bus_bytes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size, banks = self.engine.vector_bytes, activation_banks(self.engine)
        address = Signal(log2(self.engine.activation_bytes), reset_less=True)
        m.d.sync += address.eq(self.base + self.offset)
        data = self._banks(m, address)
        start = pipeline(m, Signal(log2(size * banks), name="start"), ADDRESS_STAGES + READ_STAGES - 1)
        m.d.comb += start[0].eq(address[: log2(size * banks)])
        moved = select_bytes(data, start[-1], size, rotate_stages(self.engine), m, "rotate", unit=8)
        inside = self._inside(m)
        fill = pipeline(m, self.fill, self.latency - 1)[-1]
        m.d.sync += self.vector.eq(Cat(Mux(inside[i], moved[8 * i : 8 * i + 8], fill) for i in range(size)))
        return m

    def _banks(self, m: Module, address: Signal) -> list[Value]:
        """The bytes of the word that `address` (stage 1) lies in, in every bank: that word's or the following round's."""
        banks, size = activation_banks(self.engine), self.engine.vector_bytes
        words = self.engine.activation_bytes // size
        round_bits = log2(words // banks)
        word = address[log2(size) :]
        here = Signal(round_bits, reset_less=True)
        following = Signal(round_bits, reset_less=True)
        bank = Signal(log2(banks), reset_less=True)
        m.d.sync += [here.eq(word[log2(banks) :]), following.eq(word[log2(banks) :] + 1), bank.eq(word[: log2(banks)])]
        out: list[Value] = []
        for k in range(banks):
            read = Signal(round_bits, name=f"bank{k}_address", reset_less=True)
            m.d.sync += read.eq(Mux(bank > k, following, here) if k + 1 < banks else here)
            out += self._columns(m, k, read)
        return out

    def _columns(self, m: Module, bank: int, read: Signal) -> list[Value]:
        """The memories of one bank, each as wide as what one beat writes of it; their bytes, registered."""
        bus, size, banks = self.engine.bus_bytes, self.engine.vector_bytes, activation_banks(self.engine)
        width = min(bus, size)
        depth = self.engine.activation_bytes // (size * banks)
        column_bits, banks_a_beat = log2(size // width), max(1, bus // size)
        out: list[Value] = []
        for column in range(size // width):
            memory = Memory(width=8 * width, depth=depth)
            m.submodules[f"bank{bank}_{column}"] = memory
            part = bank % banks_a_beat * width
            target = self.write_word[: column_bits + log2(banks // banks_a_beat)]
            mine = column | bank // banks_a_beat << column_bits
            data = Signal(8 * width, name=f"bank{bank}_{column}_data", reset_less=True)
            m.d.comb += [
                memory.write_enable.eq(self.write_enable & ((target == mine) if len(target) else 1)),
                memory.write_address.eq(self.write_word[len(target) :]),
                memory.write_data.eq(self.write_data[8 * part : 8 * (part + width)]),
                memory.read_address.eq(read),
            ]
            m.d.sync += data.eq(memory.read_data)
            out += bytes_of(data)
        return out

    def _inside(self, m: Module) -> Signal:
        """Which bytes lie in the tile, one cycle before the vector."""
        size = self.engine.vector_bytes
        bits = log2(size)
        offset = Signal(signed(OFFSET_BITS), reset_less=True)
        left = Signal(signed(OFFSET_BITS), reset_less=True)
        above = Signal(reset_less=True)
        below = Signal(reset_less=True)
        m.d.sync += [
            offset.eq(self.offset),
            left.eq(self.row_bytes - self.offset),
            above.eq(self.row < 0),
            below.eq(self.row >= self.rows),
        ]
        first = Signal(bits + 1, reset_less=True)
        stop = Signal(bits + 1, reset_less=True)
        near = offset[bits:].all()  # -size..-1
        m.d.sync += [
            first.eq(Mux(offset >= 0, 0, Mux(near, size - offset[:bits], size))),
            stop.eq(Mux((left < 0) | above | below, 0, Mux(left[bits:].any(), size, left[:bits]))),
        ]
        wait = self.latency - 4
        first, stop = pipeline(m, first, wait)[-1], pipeline(m, stop, wait)[-1]
        inside = Signal(size, reset_less=True)
        m.d.sync += inside.eq(Cat((first <= i) & (stop > i) for i in range(size)))
        return inside
