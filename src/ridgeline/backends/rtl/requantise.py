"""One lane of the output stage: bias, multiplier, rounding shift, zero point, clip and table."""

from __future__ import annotations

from ridgeline.backends.rtl.hdl import Cat, ClockDomain, Const, Elaboratable, Instance, Module, Mux, Signal, Value, signed
from ridgeline.backends.rtl.memory import Memory, local_register
from ridgeline.backends.rtl.multiplier import product as product_of
from ridgeline.hardware.engine.engine import TABLE_BYTES, TABLES

RECORD_BITS = 55
TABLE_ADDRESS_BITS = (TABLES * TABLE_BYTES - 1).bit_length()
# Cycles after the accumulator's address in which a field's own register loads, so that a new group's values follow its first vector.
BIAS, MULTIPLIER, SHIFT, ZERO_POINT, CLIP, TABLE, USE_TABLE = 2, 4, 6, 9, 10, 11, 12
WRITE = 14  # the code is ready to be written


class RequantisePorts:
    inputs = (
        "clk", "accumulator", "record", "record_load", "bias_take", "multiplier_take", "shift_take", "zero_point", "low", "high", "table",
        "use_table", "table_write", "table_write_address", "table_write_data",
    )  # fmt: skip
    outputs = ("code",)

    def __init__(self):
        self.clk = Signal()
        self.accumulator = Signal(signed(32))
        self.record = Signal(64)
        self.record_load = Signal(2)  # lower and upper four bytes, a cycle early
        self.bias_take = Signal()
        self.multiplier_take = Signal()
        self.shift_take = Signal(3)  # two bits of the shift each, the highest first
        self.zero_point = Signal(signed(8))
        self.low = Signal(signed(8))
        self.high = Signal(signed(8))
        self.table = Signal(3)
        self.use_table = Signal()
        self.table_write = Signal()
        self.table_write_address = Signal(TABLE_ADDRESS_BITS)
        self.table_write_data = Signal(8)
        self.code = Signal(8, reset_less=True)

    def ports(self) -> list[Signal]:
        return [getattr(self, name) for name in (*self.inputs, *self.outputs)]

    def instance(self) -> Instance:
        driven = {f"i_{name}": getattr(self, name) for name in self.inputs}
        return Instance("ridgeline_requantise", **driven, **{f"o_{name}": getattr(self, name) for name in self.outputs})


class Requantise(Elaboratable, RequantisePorts):
    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain(reset_less=True)
        m.d.comb += domain.clk.eq(self.clk)
        bias, multiplier, shift = self._parameters(m)
        accumulator = Signal(signed(32), reset_less=True)
        total = Signal(signed(33), reset_less=True)
        m.d.sync += [accumulator.eq(self.accumulator), total.eq(accumulator + bias)]
        low = Cat(total[:16], Const(0, 1)).as_signed()
        low_product = product_of(m, "low_product", low, multiplier, self.multiplier_take)
        high_product = product_of(m, "high_product", total[16:].as_signed(), multiplier, self.multiplier_take)
        product = Signal(signed(50), reset_less=True)
        m.d.sync += product.eq(Cat(low_product[:16], high_product + low_product[16:]))
        rounded = self._shifted(m, product, shift)
        moved = Signal(signed(11), reset_less=True)
        m.d.sync += moved.eq(((rounded + 1) >> 1) + self.zero_point)
        clipped = Signal(signed(8), reset_less=True)
        m.d.sync += clipped.eq(Mux(moved < self.low, self.low, Mux(moved > self.high, self.high, moved[:8])))
        self._look_up(m, clipped)
        return m

    def _parameters(self, m: Module) -> tuple[Signal, Value, Signal]:
        """Bias and shift are the group's own; the next group's wait in `next_record`, from where the multipliers take theirs themselves."""
        following = Signal(RECORD_BITS, name="next_record", reset_less=True)
        load = local_register(m, "record_load", self.record_load)
        with m.If(load[0]):
            m.d.sync += following[:32].eq(self.record[:32])
        with m.If(load[1]):
            m.d.sync += following[32:].eq(self.record[32:RECORD_BITS])
        bias = Signal(signed(32), reset_less=True)
        shift = Signal(6, reset_less=True)  # less the one that rounding does
        with m.If(self.bias_take):
            m.d.sync += bias.eq(following[:32])
        less = Signal(6)
        m.d.comb += less.eq(following[49:] - 1)
        for k in range(3):
            bits = slice(4 - 2 * k, 6 - 2 * k)
            with m.If(self.shift_take[k]):
                m.d.sync += shift[bits].eq(less[bits])
        return bias, Cat(following[32:49], Const(0, 1)).as_signed(), shift

    def _shifted(self, m: Module, value: Signal, shift: Signal) -> Signal:
        """value >> shift in 10 bits, saturated. What is too high for every further shift is only remembered as `over`."""
        over = Const(0)
        for k in range(3):
            bits = shift[4 - 2 * k : 6 - 2 * k]
            step = 16 >> 2 * k
            wide = Mux(bits[1], value >> 2 * step, value)
            wide = Mux(bits[0], wide >> step, wide)
            keep = min(len(value), 10 + step - 1)
            shifted = Signal(signed(len(value)), name=f"shifted_{k}")
            m.d.comb += shifted.eq(wide)
            kept = Signal(signed(keep), name=f"kept_{k}", reset_less=True)
            lost = Signal(name=f"over_{k}", reset_less=True)
            too_high = Cat(_mixed(value[min(keep - 1 + distance * step, len(value) - 1) :]) for distance in range(4))
            m.d.sync += [kept.eq(Cat(shifted[: keep - 1], shifted[-1])), lost.eq(over | too_high.bit_select(bits, 1))]
            value, over = kept, lost
        saturated = Signal(signed(10))
        m.d.comb += saturated.eq(Mux(over, Cat((~value[-1]).replicate(9), value[-1]), value))
        return saturated

    def _look_up(self, m: Module, clipped: Signal) -> None:
        m.submodules.tables = tables = Memory(width=8, depth=1 << TABLE_ADDRESS_BITS)
        plain = Signal(8, reset_less=True)
        m.d.comb += [
            tables.write_enable.eq(self.table_write),
            tables.write_address.eq(self.table_write_address),
            tables.write_data.eq(self.table_write_data),
            tables.read_address.eq(Cat(clipped[:7], ~clipped[7], self.table)),
        ]
        m.d.sync += [plain.eq(clipped), self.code.eq(Mux(self.use_table, tables.read_data, plain))]


def _mixed(bits: Value) -> Value:
    """Whether there are zeros and ones among the bits."""
    return bits.any() & ~bits.all()
