"""One output lane of the array: its weights, multipliers and adder tree, the comparator tree, and the addition to the accumulator."""

from __future__ import annotations

from ridgeline.backends.rtl import multiplier
from ridgeline.backends.rtl.hdl import Cat, ClockDomain, Const, Elaboratable, Instance, Module, Mux, Signal, Value, signed
from ridgeline.backends.rtl.memory import bytes_of, local_register
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.storage import KEPT_SHARE
from ridgeline.hardware.engine.timing import log2, tree_levels

MASK_BITS = 8  # taps that MAXIMUM can choose from
LOWEST = -128


# One-bit controls; what a name ends with tells the stage that it is for.
CONTROLS = (
    "valid_masked", "swap_window", "depthwise_window", "product_window", "block_load", "maximum_tree", "emit_value", "in_place_value",
    "overwrite_memory", "half_memory", "maximum_write",
)  # fmt: skip


# Of a lane whose weights may be sparse.
PLACE_CONTROLS = ("swap_place", "place_load", "place_reset")


class LanePorts:
    """All controls, and tap_load, come a cycle early: each lane has its own registers of them."""

    plain_inputs = (
        "clk", *CONTROLS, "tap_load", "newest", "vector", "zero_a", "zero_b", "tap_mask", "block_bytes", "tap_bytes", "accumulator_0",
        "accumulator_1",
    )  # fmt: skip
    outputs = ("total",)

    def __init__(self, engine: Engine):
        self.engine = engine
        self.inputs = (*self.plain_inputs, *PLACE_CONTROLS, "place_bits") if engine.bank else self.plain_inputs
        self.clk = Signal()
        self.controls = {name: Signal(name=name) for name in (*CONTROLS, *(PLACE_CONTROLS if engine.bank else ()))}
        self.tap_load = Signal(engine.taps)
        self.newest = Signal(8)  # enters the window where it is valid
        self.vector = Signal(8 * engine.run_bytes(sparse=engine.bank > 0))  # at the window's stage, like the next three
        self.zero_a = Signal(signed(8))
        self.zero_b = Signal(signed(8))
        self.tap_mask = Signal(MASK_BITS)
        self.block_bytes = Signal(8 * engine.lanes_in)
        self.tap_bytes = Signal(8 * engine.taps)
        self.place_bits = Signal(engine.lanes_in * engine.index_bits)
        self.accumulator_0 = Signal(32)  # of the two memories, one cycle before the value
        self.accumulator_1 = Signal(32)
        self.total = Signal(signed(32))  # one cycle after the value

    def port(self, name: str) -> Signal:
        return self.controls[name] if name in self.controls else getattr(self, name)

    def ports(self) -> list[Signal]:
        return [self.port(name) for name in (*self.inputs, *self.outputs)]

    def instance(self) -> Instance:
        """Of the module that is made from this description, driven by this object's signals."""
        driven = {f"i_{name}": self.port(name) for name in self.inputs}
        return Instance("ridgeline_lane", **driven, **{f"o_{name}": self.port(name) for name in self.outputs})


class Lane(Elaboratable, LanePorts):
    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain(reset_less=True)
        m.d.comb += domain.clk.eq(self.clk)
        self.own = {name: local_register(m, name, signal) for name, signal in (*self.controls.items(), ("tap_load", self.tap_load))}
        window = self._window(m)
        total = self._tree(m, self._products(m, window, self._shadow(m)))
        largest = self._largest(m, window)
        value = Signal(signed(max(18, 16 + log2(self.engine.lanes_in))), reset_less=True)
        m.d.sync += value.eq(Mux(self.own["maximum_tree"], largest, total))
        self._accumulate(m, value)
        return m

    def _window(self, m: Module) -> list[Signal]:
        window = [Signal(signed(8), name=f"window_{j}", reset_less=True) for j in range(max(2, self.engine.taps))]
        with m.If(self.own["valid_masked"]):
            m.d.sync += [later.eq(earlier) for later, earlier in zip(window, [self.newest, *window[:-1]], strict=True)]
        return window

    def _shadow(self, m: Module) -> list[Signal]:
        """The next block's weights."""
        shadow = [Signal(signed(8), name=f"shadow_{i}", reset_less=True) for i in range(self.engine.lanes_in)]
        load, tap_load = self.own["block_load"], self.own["tap_load"]
        for i, weight in enumerate(shadow):
            of_block = self.block_bytes[8 * i : 8 * i + 8]
            if i < self.engine.taps:
                with m.If(load | tap_load[i]):
                    m.d.sync += weight.eq(Mux(tap_load[i], self.tap_bytes[8 * i : 8 * i + 8], of_block))
            else:
                with m.If(load):
                    m.d.sync += weight.eq(of_block)
        return shadow

    def _products(self, m: Module, window: list[Signal], shadow: list[Signal]) -> list[Value]:
        """Of every column. Column 0 is a bit wider and serves the products of two codes too. A weight is taken over where its first
        datum enters the multiplier: a cycle after the window's stage."""
        swap, depthwise, product = (self.own[f"{name}_window"] for name in ("swap", "depthwise", "product"))
        swap_operand = Signal(reset_less=True)
        product_operand = Signal(reset_less=True)
        before = Signal(signed(9), reset_less=True)
        m.d.sync += [swap_operand.eq(swap), product_operand.eq(product), before.eq(window[1] - self.zero_a)]
        broadcasts = self._broadcasts(m)
        products: list[Value] = []
        for i, weight in enumerate(shadow):
            data = Signal(signed(8 + (i == 0)), name=f"data_{i}", reset_less=True)
            broadcast = broadcasts[i]
            zero = Const(0, signed(8))
            if i == 0:
                m.d.sync += data.eq(Mux(product, window[0] - self.zero_b, Mux(depthwise, window[0], broadcast)))
                factor, take = Mux(product_operand, before, weight), swap_operand | product_operand
            else:
                tap = Mux(depthwise, window[i], zero) if i < self.engine.taps else zero
                m.d.sync += data.eq(Mux(product | depthwise, tap, broadcast))
                factor, take = weight, swap_operand
            products.append(multiplier.product(m, f"product_{i}", data, factor, take))
        return products

    def _broadcasts(self, m: Module) -> list[Value]:
        """The datum of each column: a byte of the vector, or of its bank the one at its weight's place. A dense block's places are the first."""
        engine, bits = self.engine, self.engine.index_bits
        data = [byte.as_signed() for byte in bytes_of(self.vector)]
        if not engine.bank:
            return data
        half = engine.bank // KEPT_SHARE
        first = Cat(Const(i % half, bits) for i in range(engine.lanes_in))
        following, places = (Signal(engine.lanes_in * bits, name=name, reset_less=True) for name in ("next_places", "places"))
        with m.If(self.own["place_load"] | self.own["place_reset"]):
            m.d.sync += following.eq(Mux(self.own["place_reset"], first, self.place_bits))
        with m.If(self.own["swap_place"]):
            m.d.sync += places.eq(following)
        chosen: list[Value] = []
        for i in range(engine.lanes_in):
            start, rank = i // half * engine.bank, i % half  # places ascend: `rank` of the bank's weights come before
            options = [data[start + min(max(place, rank), rank + half)] for place in range(engine.bank)]
            chosen.append(_picked(options, places[bits * i : bits * (i + 1)]))
        return chosen

    def _tree(self, m: Module, terms: list[Value]) -> Value:
        for stage, levels in enumerate(tree_levels(self.engine)):
            for _ in range(levels):
                terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=True)]
            terms = _registered(m, terms, f"sum_{stage}")
        return terms[0]

    def _largest(self, m: Module, window: list[Signal]) -> Value:
        """Of the masked taps, in step with the adder tree."""
        candidates: list[Value] = [Mux(self.tap_mask[j], window[j], LOWEST) for j in range(min(MASK_BITS, self.engine.taps))]
        for stage in range(3 + len(tree_levels(self.engine))):
            if len(candidates) > 1:
                odd = candidates[len(candidates) & ~1 :]
                candidates = [Mux(a > b, a, b) for a, b in zip(candidates[::2], candidates[1::2], strict=False)] + odd
            candidates = _registered(m, candidates, f"largest_{stage}", bits=8)
        return candidates[0]

    def _accumulate(self, m: Module, value: Signal) -> None:
        """The sum or the larger of what was there (nothing, the memory's word or the last result) and the value. MAXIMUM has 8 bits."""
        remembered = Signal(signed(32), reset_less=True)
        overwrite = Signal(reset_less=True)
        memory = Mux(self.own["half_memory"], self.accumulator_1, self.accumulator_0)
        m.d.sync += [remembered.eq(Mux(self.own["overwrite_memory"], 0, memory)), overwrite.eq(self.own["overwrite_memory"])]
        total = Signal(signed(32), name="sum", reset_less=True)
        largest = Signal(signed(8), reset_less=True)
        in_place, code, stored = self.own["in_place_value"], value[:8].as_signed(), remembered[:8].as_signed()
        take = overwrite | Mux(in_place, code > largest, code > stored)
        with m.If(self.own["emit_value"]):
            m.d.sync += [
                total.eq(Mux(in_place, total, remembered) + value),
                largest.eq(Mux(take, code, Mux(in_place, largest, stored))),
            ]
        m.d.comb += self.total.eq(Mux(self.own["maximum_write"], largest, total))


def _picked(options: list[Value], index: Value) -> Value:
    """options[index], of a power of two. Neighbours that are the same need no choice."""
    for bit in range(len(index)):
        pairs = zip(options[::2], options[1::2], strict=True)
        options = [low if low is high else Mux(index[bit], high, low).as_signed() for low, high in pairs]
    return options[0]


def _registered(m: Module, values: list[Value], name: str, bits: int = 0) -> list[Value]:
    registers: list[Value] = []
    for i, value in enumerate(values):
        shape = value.shape()
        register = Signal(signed(bits) if bits else shape, name=f"{name}_{i}", reset_less=True)
        m.d.sync += register.eq(value)
        registers.append(register)
    return registers
