"""One output lane of the array: its weights, multipliers and adder tree, the comparator tree, and the addition to the accumulator."""

from __future__ import annotations

from ridgeline.backends.rtl.hdl import ClockDomain, Const, Elaboratable, Instance, Module, Mux, Signal, Value, signed
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.timing import LEVELS_A_STAGE, log2, tree_stages

MASK_BITS = 8  # taps that MAXIMUM can choose from
LOWEST = -128


class LanePorts:
    """Control signals come in the cycle in which they are needed; what follows the name's underscore tells the stage."""

    inputs = (
        "clk", "valid_masked", "newest", "swap_window", "depthwise_window", "product_window", "zero_a", "zero_b", "tap_mask", "vector",
        "block_bytes", "block_load", "tap_bytes", "tap_load", "maximum_tree", "maximum_value", "emit_value", "in_place_value", "overwrite_memory",
        "half_memory", "accumulator_0", "accumulator_1",
    )  # fmt: skip
    outputs = ("total",)

    def __init__(self, engine: Engine):
        self.engine = engine
        self.clk = Signal()
        self.valid_masked = Signal()  # `newest` enters the window
        self.newest = Signal(8)
        self.vector = Signal(8 * engine.lanes_in)  # at the window's stage
        self.swap_window = Signal()
        self.depthwise_window = Signal()
        self.product_window = Signal()
        self.zero_a = Signal(signed(8))
        self.zero_b = Signal(signed(8))
        self.tap_mask = Signal(MASK_BITS)
        self.block_bytes = Signal(8 * engine.lanes_in)
        self.block_load = Signal()
        self.tap_bytes = Signal(8 * engine.taps)
        self.tap_load = Signal(engine.taps)
        self.maximum_tree = Signal()  # one cycle before the value
        self.maximum_value = Signal()
        self.emit_value = Signal()
        self.in_place_value = Signal()
        self.overwrite_memory = Signal()  # one cycle before the value, when the memory gives the accumulator
        self.half_memory = Signal()
        self.accumulator_0 = Signal(32)
        self.accumulator_1 = Signal(32)
        self.total = Signal(signed(32), reset_less=True)

    def ports(self) -> list[Signal]:
        return [getattr(self, name) for name in (*self.inputs, *self.outputs)]

    def instance(self) -> Instance:
        """Of the module that is made from this description, driven by this object's signals."""
        driven = {f"i_{name}": getattr(self, name) for name in self.inputs}
        return Instance("ridgeline_lane", **driven, **{f"o_{name}": getattr(self, name) for name in self.outputs})


class Lane(Elaboratable, LanePorts):
    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain(reset_less=True)
        m.d.comb += domain.clk.eq(self.clk)
        window = self._window(m)
        products = [a * b for a, b in self._operands(m, window, self._shadow(m))]
        total = self._tree(m, _registered(m, products, "product"))
        largest = self._largest(m, window)
        value = Signal(signed(max(18, 16 + log2(self.engine.lanes_in))), reset_less=True)
        m.d.sync += value.eq(Mux(self.maximum_tree, largest, total))
        self._accumulate(m, value)
        return m

    def _window(self, m: Module) -> list[Signal]:
        window = [Signal(signed(8), name=f"window_{j}", reset_less=True) for j in range(max(2, self.engine.taps))]
        with m.If(self.valid_masked):
            m.d.sync += [later.eq(earlier) for later, earlier in zip(window, [self.newest, *window[:-1]], strict=True)]
        return window

    def _shadow(self, m: Module) -> list[Signal]:
        """The next block's weights."""
        shadow = [Signal(signed(8), name=f"shadow_{i}", reset_less=True) for i in range(self.engine.lanes_in)]
        for i, weight in enumerate(shadow):
            of_block = self.block_bytes[8 * i : 8 * i + 8]
            if i < self.engine.taps:
                with m.If(self.block_load | self.tap_load[i]):
                    m.d.sync += weight.eq(Mux(self.tap_load[i], self.tap_bytes[8 * i : 8 * i + 8], of_block))
            else:
                with m.If(self.block_load):
                    m.d.sync += weight.eq(of_block)
        return shadow

    def _operands(self, m: Module, window: list[Signal], shadow: list[Signal]) -> list[tuple[Signal, Signal]]:
        """(data, weight) of every multiplier; column 0 is a bit wider and serves the products of two codes too."""
        pairs: list[tuple[Signal, Signal]] = []
        for i, weight in enumerate(shadow):
            data = Signal(signed(8 + (i == 0)), name=f"data_{i}", reset_less=True)
            active = Signal(signed(8 + (i == 0)), name=f"weight_{i}", reset_less=True)
            broadcast = self.vector[8 * i : 8 * i + 8].as_signed()
            zero = Const(0, signed(8))
            if i == 0:
                newest, before = window[0] - self.zero_b, window[1] - self.zero_a
                m.d.sync += data.eq(Mux(self.product_window, newest, Mux(self.depthwise_window, window[0], broadcast)))
                with m.If(self.swap_window | self.product_window):
                    m.d.sync += active.eq(Mux(self.product_window, before, weight))
            else:
                tap = Mux(self.depthwise_window, window[i], zero) if i < self.engine.taps else zero
                m.d.sync += data.eq(Mux(self.product_window | self.depthwise_window, tap, broadcast))
                with m.If(self.swap_window):
                    m.d.sync += active.eq(weight)
            pairs.append((data, active))
        return pairs

    def _tree(self, m: Module, terms: list[Value]) -> Value:
        for stage in range(tree_stages(self.engine)):
            for _ in range(LEVELS_A_STAGE):
                terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=True)] if len(terms) > 1 else terms
            terms = _registered(m, terms, f"sum_{stage}")
        return terms[0]

    def _largest(self, m: Module, window: list[Signal]) -> Value:
        """Of the masked taps, in step with the adder tree."""
        candidates: list[Value] = [Mux(self.tap_mask[j], window[j], LOWEST) for j in range(min(MASK_BITS, self.engine.taps))]
        for stage in range(2 + tree_stages(self.engine)):
            if len(candidates) > 1:
                odd = candidates[len(candidates) & ~1 :]
                candidates = [Mux(a > b, a, b) for a, b in zip(candidates[::2], candidates[1::2], strict=False)] + odd
            candidates = _registered(m, candidates, f"largest_{stage}", bits=8)
        return candidates[0]

    def _accumulate(self, m: Module, value: Signal) -> None:
        """total = what was there (nothing, the memory's word or the last total), plus or maximum the value."""
        remembered = Signal(signed(32), reset_less=True)
        memory = Mux(self.half_memory, self.accumulator_1, self.accumulator_0)
        m.d.sync += remembered.eq(Mux(self.overwrite_memory, 0, memory))
        overwrite = Signal(reset_less=True)
        m.d.sync += overwrite.eq(self.overwrite_memory)
        before = Signal(signed(32))
        m.d.comb += before.eq(Mux(self.in_place_value, self.total, remembered))
        keep = self.maximum_value & ~overwrite & (before[:8].as_signed() > value[:8].as_signed())
        added = Mux(self.maximum_value & ~overwrite, Mux(keep, before, value), before + value)
        with m.If(self.emit_value):
            m.d.sync += self.total.eq(added)


def _registered(m: Module, values: list[Value], name: str, bits: int = 0) -> list[Value]:
    registers: list[Value] = []
    for i, value in enumerate(values):
        shape = value.shape()
        register = Signal(signed(bits) if bits else shape, name=f"{name}_{i}", reset_less=True)
        m.d.sync += register.eq(value)
        registers.append(register)
    return registers
