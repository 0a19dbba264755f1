"""The whole engine: its units, buffers and port."""

from __future__ import annotations

from ridgeline.backends.rtl.activation import ActivationBuffer
from ridgeline.backends.rtl.array import MacArray
from ridgeline.backends.rtl.dispatch import Dispatch
from ridgeline.backends.rtl.drain import Drain
from ridgeline.backends.rtl.fetch import Fetch
from ridgeline.backends.rtl.hdl import Cat, ClockDomain, Const, Elaboratable, Module, Signal
from ridgeline.backends.rtl.issue import Issue
from ridgeline.backends.rtl.load import Load
from ridgeline.backends.rtl.store import Store
from ridgeline.backends.rtl.weights import WeightUnit
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.timing import log2, weight_lead
from ridgeline.mapping.program import Opcode

BURST_INCREMENTS = 1  # AXI's INCR


class RidgelineEngine(Elaboratable):
    """Ports are the attributes that `ports` lists; an AXI signal's name says who drives it as usual."""

    def __init__(self, engine: Engine):
        self.engine = engine
        bus = engine.bus_bytes
        widths = {
            "clk": 1, "rst": 1, "start": 1, "base_address": 40, "entry": 32, "busy": 1, "done": 1, "error": 1,
            "m_axi_arvalid": 1, "m_axi_arready": 1, "m_axi_araddr": 40, "m_axi_arlen": 8, "m_axi_arsize": 3, "m_axi_arburst": 2,
            "m_axi_rvalid": 1, "m_axi_rready": 1, "m_axi_rdata": 8 * bus, "m_axi_rresp": 2, "m_axi_rlast": 1,
            "m_axi_awvalid": 1, "m_axi_awready": 1, "m_axi_awaddr": 40, "m_axi_awlen": 8, "m_axi_awsize": 3, "m_axi_awburst": 2,
            "m_axi_wvalid": 1, "m_axi_wready": 1, "m_axi_wdata": 8 * bus, "m_axi_wstrb": bus, "m_axi_wlast": 1,
            "m_axi_bvalid": 1, "m_axi_bready": 1, "m_axi_bresp": 2,
            **{f"ev_{unit}_{what}": 1 for unit in ("load", "mac", "drain", "store") for what in ("start", "done")},
        }  # fmt: skip
        self.ports = {name: Signal(width, name=name) for name, width in widths.items()}
        self.done = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain()
        m.d.comb += [domain.clk.eq(self.ports["clk"]), domain.rst.eq(self._restart(m))]
        engine = self.engine
        m.submodules.fetch = self.fetch = Fetch(engine)
        m.submodules.loader = self.load = Load(engine)
        m.submodules.weights = self.weights = WeightUnit(engine)
        m.submodules.mac = self.issue = Issue(engine)
        m.submodules.activations = self.activations = ActivationBuffer(engine)
        m.submodules.array = self.array = MacArray(engine)
        m.submodules.drain = self.drain = Drain(engine)
        m.submodules.storer = self.store = Store(engine)
        compute = [self.weights.queue, self.issue.queue, self.drain.queue]
        m.submodules.dispatch = self.dispatch = Dispatch(
            {Opcode.LOAD: [self.load.queue], Opcode.COMPUTE: compute, Opcode.STORE: [self.store.queue]}
        )
        self._control(m)
        self._read_port(m)
        self._write_port(m)
        self._buffers(m)
        self._compute(m)
        self._tokens(m)
        return m

    def _restart(self, m: Module) -> Signal:
        """A start is a reset of all units first, so that no token of the last program is left; `begin` follows."""
        restart = Signal(reset_less=True)
        waiting = Signal(reset_less=True)
        self.begin = Signal(reset_less=True)
        self.entry = Signal(32, reset_less=True)
        m.d.sync += [restart.eq(self.ports["rst"] | self.ports["start"]), waiting.eq(self.ports["start"]), self.begin.eq(waiting)]
        with m.If(self.ports["start"]):
            m.d.sync += self.entry.eq(self.ports["entry"])
        m.d.comb += self.ports["done"].eq(self.done & ~self.ports["start"] & ~waiting)
        return restart

    def _control(self, m: Module) -> None:
        ports, fetch, dispatch, load = self.ports, self.fetch, self.dispatch, self.load
        units = (load, self.weights, self.issue, self.drain, self.store)
        failed_before = Signal()
        failed = (ports["m_axi_rvalid"] & (ports["m_axi_rresp"] != 0)) | (ports["m_axi_bvalid"] & (ports["m_axi_bresp"] != 0))
        with m.If(failed):
            m.d.sync += failed_before.eq(1)
        m.d.comb += [
            fetch.start.eq(self.begin), fetch.entry.eq(self.entry), fetch.stop.eq(dispatch.stop), fetch.take.eq(dispatch.take),
            fetch.beat_valid.eq(load.to_fetch), fetch.beat.eq(load.data), fetch.accepted.eq(load.fetch_ready),
            load.fetch_valid.eq(fetch.request), load.fetch_address.eq(fetch.address),
            dispatch.start.eq(self.begin), dispatch.valid.eq(fetch.valid), dispatch.instruction.eq(fetch.instruction),
            dispatch.fetch_idle.eq(fetch.idle), dispatch.units_idle.eq(Cat(unit.idle for unit in units).all()),
            ports["busy"].eq(dispatch.busy), self.done.eq(dispatch.done), ports["error"].eq(failed_before | dispatch.unknown),
        ]  # fmt: skip

    def _read_port(self, m: Module) -> None:
        ports, load = self.ports, self.load
        size = Const(log2(self.engine.bus_bytes), 3)
        m.d.comb += [
            load.base_address.eq(ports["base_address"]),
            ports["m_axi_arvalid"].eq(load.arvalid), load.arready.eq(ports["m_axi_arready"]), ports["m_axi_araddr"].eq(load.araddr),
            ports["m_axi_arlen"].eq(load.arlen), ports["m_axi_arsize"].eq(size), ports["m_axi_arburst"].eq(BURST_INCREMENTS),
            load.rvalid.eq(ports["m_axi_rvalid"]), ports["m_axi_rready"].eq(load.rready), load.rdata.eq(ports["m_axi_rdata"]),
            load.rlast.eq(ports["m_axi_rlast"]),
        ]  # fmt: skip

    def _write_port(self, m: Module) -> None:
        ports, store = self.ports, self.store
        size = Const(log2(self.engine.bus_bytes), 3)
        m.d.comb += [
            store.base_address.eq(ports["base_address"]),
            ports["m_axi_awvalid"].eq(store.awvalid), store.awready.eq(ports["m_axi_awready"]), ports["m_axi_awaddr"].eq(store.awaddr),
            ports["m_axi_awlen"].eq(store.awlen), ports["m_axi_awsize"].eq(size), ports["m_axi_awburst"].eq(BURST_INCREMENTS),
            ports["m_axi_wvalid"].eq(store.wvalid), store.wready.eq(ports["m_axi_wready"]), ports["m_axi_wdata"].eq(store.wdata),
            ports["m_axi_wstrb"].eq(store.wstrb), ports["m_axi_wlast"].eq(store.wlast),
            store.bvalid.eq(ports["m_axi_bvalid"]), ports["m_axi_bready"].eq(store.bready),
        ]  # fmt: skip

    def _buffers(self, m: Module) -> None:
        load, drain = self.load, self.drain
        for buffer, enable in ((self.activations, load.to_activation), (self.weights, load.to_weight)):
            m.d.comb += [buffer.write_enable.eq(enable), buffer.write_word.eq(load.word), buffer.write_data.eq(load.data)]
        m.d.comb += [
            drain.table_write.eq(load.table_write), drain.table_write_address.eq(load.table_address), drain.table_write_data.eq(load.table_data),
            self.store.write_enable.eq(drain.write_enable), self.store.write_address.eq(drain.write_address),
            self.store.write_data.eq(drain.write_data),
        ]  # fmt: skip

    def _compute(self, m: Module) -> None:
        weights, issue, activations, array, drain = self.weights, self.issue, self.activations, self.array, self.drain
        m.d.comb += [
            *(getattr(activations, name).eq(getattr(issue, name)) for name in ("base", "offset", "row", "rows", "row_bytes", "fill")),
            issue.block_ready.eq(weights.block_ready), weights.block_taken.eq(issue.block_taken),
            array.tag.as_value().eq(issue.tag.as_value()), array.operands.as_value().eq(issue.operands.as_value()),
            array.vector.eq(activations.vector),
            array.weight_data.eq(weights.data), array.weight_index.eq(weights.index), array.weight_is_block.eq(weights.is_block),
            array.weight_is_taps.eq(weights.is_taps),
            array.drain_half.eq(drain.half), array.drain_index.eq(drain.index), drain.drained.eq(array.drained),
            drain.weight_data.eq(weights.data), drain.weight_index.eq(weights.index), drain.weight_is_parameters.eq(weights.is_parameters),
            drain.parameters_ready.eq(weights.parameters_ready), weights.parameters_taken.eq(drain.parameters_taken),
        ]  # fmt: skip

        if weight_lead(self.engine):
            names = ("rows", "is_packed", "places", "places_index", "is_places", "is_dense")
            m.d.comb += [getattr(array, name).eq(getattr(weights, name)) for name in names]

    def _tokens(self, m: Module) -> None:
        ports, load, weights, issue, array, drain, store = (
            self.ports, self.load, self.weights, self.issue, self.array, self.drain, self.store,
        )  # fmt: skip
        m.d.comb += [
            issue.activation_tokens.give.eq(load.activation_ready), load.activation_free.give.eq(array.release),
            weights.ready_tokens.give.eq(load.weight_ready), load.weight_free.give.eq(weights.release),
            drain.half_tokens.give.eq(array.handover), issue.half_tokens.give.eq(drain.half_free),
            store.ready_tokens.give.eq(drain.commit), drain.output_tokens.give.eq(store.output_free), load.stored_give.eq(store.stored),
            ports["ev_load_start"].eq(load.started), ports["ev_load_done"].eq(load.stopped),
            ports["ev_mac_start"].eq(issue.started), ports["ev_mac_done"].eq(issue.stopped),
            ports["ev_drain_start"].eq(drain.started), ports["ev_drain_done"].eq(drain.stopped),
            ports["ev_store_start"].eq(store.started), ports["ev_store_done"].eq(store.stored),
        ]  # fmt: skip
