"""The uniform engine's model: the papers' numbers, and the closed form against the walk over tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.explore.space import device_timing
from ridgeline.flows import floats
from ridgeline.flows.data import noise
from ridgeline.flows.source import read_model
from ridgeline.formats import ENGINE_FORMATS
from ridgeline.hardware.device import read_device
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.uniform import UniformEngine
from ridgeline.mapping import uniform_kernel as kernel
from ridgeline.mapping.lower import lower
from ridgeline.mapping.parts import works
from ridgeline.mapping.schedule import predict
from ridgeline.mapping.uniform import (
    ARRAYS,
    LOOPS,
    ORDERS,
    Memory,
    Model,
    Reduction,
    Sharing,
    cost,
    fully_connected,
    sharing,
    steps,
    tile_of,
)

CURVE = ((128, 0.43), (1024, 1.0), (4096, 3.8), (32768, 7.53), (131072, 10.0))
MODELS = st.builds(
    Model, fill_cycles=st.integers(0, 30), whole_tiles=st.booleans(), promotion=st.booleans(), reduction=st.sampled_from(Reduction)
)
PORTS = st.sampled_from([{}, {"ports": 2, "weight_ports": 1}, {"ports": 5, "weight_ports": 2}])
MEMORIES = st.builds(
    lambda rate, bursts, ports, port: Memory(gb_per_s=rate, bursts=bursts, port_gb_per_s=port, **ports),
    st.floats(0.1, 100),
    st.sampled_from([(), CURVE]),
    PORTS,
    st.floats(0.1, 10),
)


def conv(*, m: int, c: int, size: int, kernel: int, stride: int = 1, groups: int = 1) -> Nest:
    axes = {"n": 1, "g": groups, "m": m, "c": c, "y": size, "x": size, "r": kernel, "q": kernel}
    factors = {"s": stride, "t": stride, "d": 1, "e": 1, "M": m, "C": c}
    notation = "n (g*C+c) (y*s+r*d) (x*t+q*e), (g*M+m) c r q -> n (g*M+m) y x"
    return parse(notation, axes=axes, factors=factors, multiplies=True)


NESTS = st.builds(
    conv, m=st.integers(1, 40), c=st.integers(1, 40), size=st.integers(1, 14), kernel=st.integers(1, 5), stride=st.integers(1, 6),
    groups=st.integers(1, 3),
)  # fmt: skip


@given(NESTS, MODELS, MEMORIES, st.tuples(*[st.integers(1, 40)] * 4), st.sampled_from(sorted(ENGINE_FORMATS)))
def test_the_closed_form_is_the_walk(nest: Nest, model: Model, memory: Memory, sizes: tuple[int, int, int, int], name: str) -> None:
    tm, tn, tr, tc = sizes
    tile, clock_mhz = tile_of(nest, tm=tm, tn=tn, tr=tr, tc=tc, model=model), 150.0
    walked = [cost(nest, tile, order, tn=tn, format=ENGINE_FORMATS[name], memory=memory, model=model) for order in ORDERS]
    layer, settings = kernel.layer_record(nest)[0], kernel.settings_record(model, ENGINE_FORMATS[name], memory, clock_mhz)
    work, fill = kernel.array_cycles(layer, settings, tile.m, tn, tile.y, tile.x)
    assert (work + fill, fill) == (walked[0].cycles, walked[0].fill_cycles)
    least = min(item.memory_s for item in walked)
    for every in (True, False):
        masks = kernel.order_masks(model, every=every)
        cycles, total, order = kernel.best_order(layer, settings, kernel.curve(memory, clock_mhz), masks, tile.m, tn, tile.y, tile.x)
        assert cycles / (clock_mhz * 1e6) == pytest.approx(least, rel=1e-9)
        assert total == pytest.approx(walked[order].total_bytes, rel=1e-12)
        assert walked[order].memory_s == pytest.approx(least, rel=1e-9)


@given(NESTS, st.tuples(*[st.integers(1, 40)] * 4), st.sampled_from(ORDERS))
def test_traffic_is_what_a_cache_of_one_tile_would_load(nest: Nest, sizes: tuple[int, int, int, int], order: tuple[str, ...]) -> None:
    """Counted element by element: each array's tile is kept until another one is needed."""
    tm, tn, tr, tc = sizes
    tile = tile_of(nest, tm=tm, tn=tn, tr=tr, tc=tc, model=Model())
    got = cost(nest, tile, order, tn=tn, format=ENGINE_FORMATS["int8"], memory=Memory(gb_per_s=1), model=Model()).bytes
    rounds = {axis: range(0, nest.axes[axis], tile[axis]) for axis in LOOPS}
    loaded, held, seen = dict.fromkeys(ARRAYS, 0), dict.fromkeys(ARRAYS, ((-1,) * 4)), set[tuple[int, ...]]()
    for index in np.ndindex(*(len(rounds[axis]) for axis in order)):
        start = {axis: rounds[axis][place] for axis, place in zip(order, index, strict=True)}
        size = {axis: min(tile[axis], nest.axes[axis] - start[axis]) for axis in LOOPS}
        footprint = nest.footprint({**size, "g": 1, "r": nest.axes["r"], "q": nest.axes["q"]})
        for name, used in ARRAYS.items():
            wanted = tuple(start[axis] for axis in used)
            if wanted != held[name]:
                held[name] = wanted
                loaded[name] += footprint[name] * (2 if name == "output" and wanted in seen else 1)
                if name == "output":
                    seen.add(wanted)
    assert all(loaded[name] * nest.axes["g"] <= got[name] for name in ARRAYS)
    if all(len(places) > 1 for places in rounds.values()):  # a loop of one round is no reason to move anything again
        assert {name: count * nest.axes["g"] for name, count in loaded.items()} == got


def test_a_fully_connected_layer_either_way() -> None:
    for weight_major in (False, True):
        nest = fully_connected(24, 10, batch=3, kernel=4, weight_major=weight_major)
        assert nest.macs == 24 * 10 * 3
        assert nest.footprint() == {
            "input": 24 * (10 if weight_major else 3), "weight": 24 * (3 if weight_major else 10), "output": 30,
        }  # fmt: skip
    with pytest.raises(InputError, match="24 inputs cannot be cut into windows of 5"):
        fully_connected(24, 10, kernel=5)


def test_data_sharing_is_the_papers_table() -> None:
    """FPGA'15, table 2: loops over output maps, input maps, rows and columns of the map, and of the kernel."""
    wanted = {"input": "m- c= yx~ rq~", "weight": "mc= yx- rq=", "output": "m= c- yx= rq-"}
    marks = {"-": Sharing.IRRELEVANT, "=": Sharing.INDEPENDENT, "~": Sharing.DEPENDENT}
    nest = conv(m=8, c=4, size=6, kernel=3)
    for array, text in wanted.items():
        for *axes, mark in text.split():
            assert {sharing(nest, array, axis) for axis in axes} == {marks[mark]}, (array, axes)


def test_steps_of_the_three_reductions() -> None:
    nest = conv(m=4, c=3, size=8, kernel=11)
    assert [steps(nest, 3, 7, Model(reduction=kind)) for kind in Reduction] == [121, 55, 52]


def test_bandwidth_between_and_beyond_the_measured_bursts() -> None:
    memory = Memory(gb_per_s=10, bursts=CURVE)
    assert [memory.effective_gb_per_s(burst) for burst, _ in CURVE] == pytest.approx([rate for _, rate in CURVE])
    assert memory.effective_gb_per_s(64) == pytest.approx(0.215)
    assert memory.effective_gb_per_s(1 << 30) == 10.0
    assert memory.effective_gb_per_s(2048) == pytest.approx((1.0 * 3.8) ** 0.5)
    with pytest.raises(InputError, match="a memory of 0 GB/s; give a bandwidth above 0"):
        Memory(gb_per_s=0)
    with pytest.raises(InputError, match="2 ports of 5 GB/s, 2 of them for weights; give none, or 2 to 64"):
        Memory(gb_per_s=10, ports=2, weight_ports=2, port_gb_per_s=5)


def test_what_the_engine_does_not_run() -> None:
    pool = parse("n m (y*s+r) (x*s+q) -> n m y x", axes={"n": 1, "m": 2, "y": 4, "x": 4, "r": 2, "q": 2}, factors={"s": 2})
    with pytest.raises(UnsupportedError, match="layer 'pool': the uniform engine runs convolutions and fully connected layers"):
        kernel.layer_record(pool, where="layer 'pool'")


@given(NESTS, MODELS, st.tuples(*[st.integers(1, 40)] * 4), st.sampled_from(sorted(ENGINE_FORMATS)))
def test_the_kernel_counts_block_rams_as_the_engine_does(
    nest: Nest, model: Model, sizes: tuple[int, int, int, int], name: str
) -> None:
    tm, tn, tr, tc = sizes
    layer, settings = kernel.layer_record(nest)[0], kernel.settings_record(model, ENGINE_FORMATS[name], Memory(gb_per_s=1), 100.0)
    depth = kernel.depths(layer, tn, tr, tc, int(model.reduction))
    engine = UniformEngine(format=ENGINE_FORMATS[name], tm=tm, tn=tn, input_depth=depth[0], weight_depth=depth[1], output_depth=depth[2])
    assert kernel.brams(settings, tm, tn, depth) == engine.bram_18kb


def test_this_projects_own_engine_is_an_instance_of_the_nest() -> None:
    """Over kernel rows, the array's cycles of each layer are those of the emitted engine's loops, and the program's prediction lies just above."""
    engine = Engine(
        lanes_out=16, lanes_in=16, bus_bytes=128, activation_bytes=1 << 17, weight_bytes=1 << 17, output_bytes=1 << 15, accumulator_depth=512
    )  # fmt: skip
    network = read_model("resnet8")
    graph = quantise(network.graph, floats.engine_inputs(network, noise(floats.network_inputs(network), images=1, seed=1).arrays))
    model, total = Model(fill_cycles=0, reduction=Reduction.ROW), 0
    made = works(graph, engine)
    for node in graph.nodes:
        nest = node.operator.nest(node, *graph.input_shapes(node))
        if not nest.multiplies:
            total += sum(work.blocks * work.runs * work.pixels for work in made[node.name])
            continue
        tile = tile_of(nest, tm=16, tn=16, tr=nest.axes["y"], tc=nest.axes["x"], model=model)
        cycles = cost(nest, tile, ORDERS[0], tn=16, format=ENGINE_FORMATS["int8"], memory=Memory(gb_per_s=12.8), model=model).cycles
        assert cycles == sum(work.blocks * work.runs * work.pixels for work in made[node.name]), node.name
        total += cycles
    predicted = predict(lower(graph, engine, pack=False), device_timing(read_device("bench-128B"))).cycles
    assert total < predicted < 1.25 * total
