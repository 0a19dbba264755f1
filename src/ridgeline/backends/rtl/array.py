"""The MAC array: all lanes, their accumulators in two halves, and the controls in step with the data."""

from __future__ import annotations

from ridgeline.backends.rtl.hdl import Cat, ClockSignal, Const, Elaboratable, Module, Mux, Signal, Value
from ridgeline.backends.rtl.issue import OPERANDS, tag_layout
from ridgeline.backends.rtl.lane import LanePorts
from ridgeline.backends.rtl.memory import Memory, pipeline
from ridgeline.backends.rtl.weights import index_bits, row_count
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.storage import KEPT_SHARE
from ridgeline.hardware.engine.timing import ADDRESS_STAGES, SEQUENCE_STAGES, value_stage, window_stage
from ridgeline.mapping.program import Mode


class MacArray(Elaboratable):
    def __init__(self, engine: Engine):
        self.engine = engine
        self.tag = Signal(tag_layout(engine))  # of the read whose address is calculated in this cycle
        self.operands = Signal(OPERANDS)
        self.vector = Signal(8 * engine.vector_bytes)  # one cycle before the window's stage
        self.weight_data = Signal(8 * engine.weight_word_bytes)
        self.weight_index = Signal(index_bits(engine))
        self.weight_is_block = Signal()
        self.weight_is_taps = Signal()
        # What weights.WeightUnit gives where blocks are not all dense int8.
        self.rows = Signal(8 * engine.lanes_in * row_count(engine))
        self.is_packed = Signal()
        self.places = Signal(8 * engine.weight_word_bytes)
        self.places_index = Signal(index_bits(engine))
        self.is_places = Signal()
        self.is_dense = Signal()
        self.release = Signal()
        self.handover = Signal()
        self.drain_half = Signal()
        self.drain_index = Signal(range(engine.accumulator_depth))
        self.drained = Signal(32 * engine.lanes_out)  # two cycles after drain_index and drain_half

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tags = pipeline(m, self.tag, value_stage(self.engine) - SEQUENCE_STAGES + 1, reset=True)
        m.d.comb += [self.release.eq(tags[ADDRESS_STAGES].release), self.handover.eq(tags[-1].handover)]
        halves = self._accumulators(m, tags)
        self._lanes(m, tags, halves)
        return m

    def _accumulators(self, m: Module, tags: list[Signal]) -> list[Memory]:
        depth = self.engine.accumulator_depth
        stage = value_stage(self.engine) - SEQUENCE_STAGES
        following = Signal(range(depth))
        index = Signal(range(depth))
        before = tags[stage - 3]
        m.d.comb += index.eq(Mux(before.reset, 0, following))
        with m.If(before.valid):
            m.d.sync += following.eq(index + before.emit)
        indices = pipeline(m, index, 4)
        halves: list[Memory] = []
        for half in range(2):
            memory = Memory(width=32 * self.engine.lanes_out, depth=depth)
            m.submodules[f"half{half}"] = memory
            address = Signal(range(depth), name=f"half{half}_address", reset_less=True)
            m.d.sync += address.eq(Mux(before.valid & (before.half == half), index, self.drain_index))
            m.d.comb += [
                memory.read_address.eq(address),
                memory.write_address.eq(indices[4]),
                memory.write_enable.eq(tags[stage + 1].emit & (tags[stage + 1].half == half)),
            ]
            halves.append(memory)
        drain_half = pipeline(m, self.drain_half, 2)[-1]
        m.d.comb += self.drained.eq(Mux(drain_half, halves[1].read_data, halves[0].read_data))
        return halves

    def _lanes(self, m: Module, tags: list[Signal], halves: list[Memory]) -> None:
        engine = self.engine
        window, value = window_stage(engine) - SEQUENCE_STAGES, value_stage(engine) - SEQUENCE_STAGES
        vector = Signal(8 * engine.run_bytes(sparse=engine.bank > 0), reset_less=True)
        with m.If(tags[window - 1].valid):
            m.d.sync += vector.eq(Mux(tags[window - 1].sparse, self.vector, self._spread()) if engine.bank else self.vector)
        operands = pipeline(m, self.operands, window)[-1]
        controls = {
            "valid_masked": tags[window - 2].valid,
            "swap_window": tags[window - 1].swap,
            "depthwise_window": tags[window - 1].mode == Mode.DEPTHWISE,
            "product_window": tags[window - 1].mode == Mode.PRODUCT,
            "maximum_tree": tags[value - 2].mode == Mode.MAXIMUM,
            "emit_value": tags[value - 1].emit,
            "in_place_value": tags[value - 1].in_place,
            "overwrite_memory": tags[value - 2].overwrite,
            "half_memory": tags[value - 2].half,
            "maximum_write": tags[value].mode == Mode.MAXIMUM,
        }
        if engine.bank:
            controls |= {"swap_place": tags[window - 2].swap, "place_reset": self.is_dense}
        totals: list[Value] = []
        for o in range(engine.lanes_out):
            lane = LanePorts(engine)
            m.submodules[f"lane{o}"] = lane.instance()
            m.d.comb += [lane.controls[name].eq(control) for name, control in controls.items()]
            m.d.comb += [
                lane.clk.eq(ClockSignal()),
                lane.newest.eq(self.vector.word_select(o, 8)),
                lane.vector.eq(vector),
                lane.zero_a.eq(operands.zero_a), lane.zero_b.eq(operands.zero_b), lane.tap_mask.eq(operands.tap_mask),
                lane.accumulator_0.eq(halves[0].read_data.word_select(o, 32)),
                lane.accumulator_1.eq(halves[1].read_data.word_select(o, 32)),
            ]  # fmt: skip
            self._weights(m, lane, o)
            totals.append(lane.total)
        m.d.comb += [memory.write_data.eq(Cat(*totals)) for memory in halves]

    def _weights(self, m: Module, lane: LanePorts, o: int) -> None:
        """Which word of a block a lane's bytes come in, and where in it."""
        engine, size = self.engine, self.engine.weight_word_bytes
        word, offset = divmod(o * engine.lanes_in, size)
        if engine.packs or engine.bank:
            self._stored(m, lane, o)
        else:
            m.d.comb += [
                lane.block_bytes.eq(self.weight_data[8 * offset : 8 * (offset + engine.lanes_in)]),
                lane.controls["block_load"].eq(self.weight_is_block & (self.weight_index == word)),
            ]
        for j in range(engine.taps):
            word, offset = divmod(j * engine.lanes_out + o, size)
            m.d.comb += [
                lane.tap_bytes[8 * j : 8 * j + 8].eq(self.weight_data[8 * offset : 8 * offset + 8]),
                lane.tap_load[j].eq(self.weight_is_taps & (self.weight_index == word)),
            ]

    def _stored(self, m: Module, lane: LanePorts, o: int) -> None:
        """The same of a lane's row, which a word of 4-bit weights has twice as many of, and of the places of its weights."""
        engine, count = self.engine, row_count(self.engine)
        word = o * engine.lanes_in // engine.weight_word_bytes
        mine = Mux(self.is_packed, o // count, word) if engine.packs else word
        m.d.comb += [
            lane.block_bytes.eq(self.rows.word_select(o % count, 8 * engine.lanes_in)),
            lane.controls["block_load"].eq(self.weight_is_block & (self.weight_index == mine)),
        ]
        if engine.bank:
            bits = engine.lanes_in * engine.index_bits
            word, offset = divmod(o * bits, 8 * engine.weight_word_bytes)
            m.d.comb += [
                lane.place_bits.eq(self.places[offset : offset + bits]),
                lane.controls["place_load"].eq(self.is_places & (self.places_index == word)),
            ]

    def _spread(self) -> Value:
        """The data of a dense block, each where a sparse one's bank has its place: the first half of the bank."""
        engine = self.engine
        half = engine.bank // KEPT_SHARE
        data = [self.vector.word_select(i, 8 * half) for i in range(engine.lanes_in // half)]
        return Cat(Cat(part, Const(0, 8 * half)) for part in data)
