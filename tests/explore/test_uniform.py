"""The search for a uniform engine against every engine, tile and order, walked one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mapping.test_uniform import CURVE, conv

from ridgeline.errors import DoesNotFitError, UnsupportedError
from ridgeline.explore.uniform import Budget, Layer, Study, cuts, search
from ridgeline.formats import ENGINE_FORMATS
from ridgeline.hardware.engine.uniform import UniformEngine, bank_bram_18kb, bank_depth
from ridgeline.mapping.uniform import ORDERS, Memory, Model, Reduction, cost, steps, tile_of

LAYERS = st.builds(
    conv, m=st.integers(1, 6), c=st.integers(1, 5), size=st.integers(1, 4), kernel=st.integers(1, 3), stride=st.integers(1, 2),
    groups=st.integers(1, 2),
)  # fmt: skip


@st.composite
def studies(draw: st.DrawFn) -> Study:
    """Small ones, whose buffers are tight: two maps of 4 x 4 in float32 lie in LUTs, so that block RAMs start with the weights of many lanes."""
    nests = draw(st.lists(LAYERS, min_size=1, max_size=3))
    memory = Memory(gb_per_s=draw(st.floats(0.05, 20)), bursts=draw(st.sampled_from([(), CURVE])))
    budget = Budget(
        dsp_kind="DSP48E1", dsp=draw(st.integers(5, 120)), bram_18kb=draw(st.integers(0, 40)), clock_mhz=100, memory=memory,
        macs=draw(st.none() | st.integers(1, 12)),
    )  # fmt: skip
    model = Model(whole_tiles=draw(st.booleans()), fill_cycles=draw(st.integers(0, 20)), reduction=draw(st.sampled_from(Reduction)))
    layers = tuple(Layer(name=f"l{number}", nest=nest, times=draw(st.integers(1, 2))) for number, nest in enumerate(nests))
    return Study(layers=layers, format=ENGINE_FORMATS[draw(st.sampled_from(["float32", "fixed16"]))], budget=budget, model=model)


def times(study: Study, layer: Layer, tm: int, tn: int) -> dict[tuple[int, int, int], float]:
    """(depths of the banks) -> least time over all tiles and orders of exactly these depths."""
    nest, model, found = layer.nest, study.model, dict[tuple[int, int, int], float]()
    for tr, tc in product(range(1, nest.axes["y"] + 1), range(1, nest.axes["x"] + 1)):
        tile = tile_of(nest, tm=tm, tn=tn, tr=tr, tc=tc, model=model)
        rows, columns = (nest.factors["s"] * (size - 1) + nest.axes["r"] for size in (tr, tc))
        work = steps(nest, tile.c, tn, model)
        inputs = {
            Reduction.CHANNELS: rows * columns,
            Reduction.ROW: rows * -(-nest.axes["c"] * columns // tn),
            Reduction.WINDOW: work * tr * tc,
        }[model.reduction]
        for order in ORDERS:
            once = cost(nest, tile, order, tn=tn, format=study.format, memory=study.budget.memory, model=model)
            key = inputs, work, tr * tc
            found[key] = min(found.get(key, np.inf), layer.times * once.time_s(study.budget.clock_mhz))
    return found


def brute(study: Study) -> float:
    """The least time of any engine: every Tm and Tn, and every choice of a tile for each layer whose buffers fit together."""
    most, best = study.budget.most_macs(study.format), np.inf
    lanes = 1 + max(layer.nest.axes["c"] * layer.nest.axes["r"] * layer.nest.axes["q"] for layer in study.layers)
    for tm, tn in product(range(1, 7), range(1, lanes)):
        if tm * tn > most:
            continue
        choices = [times(study, layer, tm, tn) for layer in study.layers]
        for keys in product(*choices):
            depth = [max(key[axis] for key in keys) for axis in range(3)]
            engine = UniformEngine(format=study.format, tm=tm, tn=tn, input_depth=depth[0], weight_depth=depth[1], output_depth=depth[2])
            if engine.bram_18kb <= study.budget.bram_18kb:
                best = min(best, sum(found[key] for found, key in zip(choices, keys, strict=True)))
    return best


@settings(max_examples=20)
@given(studies())
def test_the_optimum_is_that_of_brute_force(study: Study) -> None:
    least = brute(study)
    if least == np.inf:
        with pytest.raises(DoesNotFitError, match="block RAMs of 18 Kb"):
            search(study)
        return
    choice = search(study)
    assert choice.chosen.time_s == pytest.approx(least, rel=1e-9)
    assert choice.chosen.engine.bram_18kb <= study.budget.bram_18kb
    assert choice.chosen.engine.macs <= study.budget.most_macs(study.format)
    assert choice.points > 0


@settings(max_examples=40)
@given(studies())
def test_sizes_left_out_are_no_better(study: Study) -> None:
    from dataclasses import replace

    try:
        choice = search(study)
    except DoesNotFitError:
        with pytest.raises(DoesNotFitError):
            search(replace(study, every=True))
        return
    every = search(replace(study, every=True))
    assert every.points >= choice.points
    assert choice.chosen.time_s == pytest.approx(every.chosen.time_s, rel=1e-9)
    assert [item.time_s for item in choice.alone] == pytest.approx([item.time_s for item in every.alone], rel=1e-9)


def test_cuts() -> None:
    assert cuts(13) == [1, 2, 3, 4, 5, 7, 13]
    for extent in range(1, 300):
        assert cuts(extent) == sorted({-(-extent // rounds) for rounds in range(1, extent + 1)})
        assert {-(-extent // size) for size in cuts(extent)} == {-(-extent // size) for size in range(1, extent + 1)}


@given(st.sampled_from([8, 16, 32, 48]), st.integers(0, 200))
def test_the_deepest_bank(bits: int, bram: int) -> None:
    depth = bank_depth(bits, bram)
    assert bank_bram_18kb(bits, depth) <= bram
    assert bank_bram_18kb(bits, depth + 1) > bram


def test_what_a_device_cannot_hold() -> None:
    layers = (Layer(name="conv1", nest=conv(m=4, c=3, size=8, kernel=3)),)
    memory = Memory(gb_per_s=1)
    few = Budget(dsp_kind="DSP48E1", dsp=4, bram_18kb=100, clock_mhz=100, memory=memory)
    with pytest.raises(DoesNotFitError, match="1 multiply-accumulate in float32 need 5 DSP48E1, but there are 4"):
        search(Study(layers=layers, format=ENGINE_FORMATS["float32"], budget=few))
    lattice = Budget(dsp_kind="MULT18X18D", dsp=156, bram_18kb=100, clock_mhz=100, memory=memory)
    with pytest.raises(UnsupportedError, match="'float32' has no multiply-accumulate made of MULT18X18D blocks; such a device holds fixed16, int8"):
        search(Study(layers=layers, format=ENGINE_FORMATS["float32"], budget=lattice))
    large = (Layer(name="conv1", nest=conv(m=4, c=3, size=8, kernel=64)),)
    none = Budget(dsp_kind="DSP48E1", dsp=40, bram_18kb=0, clock_mhz=100, memory=memory)
    needed = "needs buffers of 32,768 bytes of inputs, 32,768 of weights and 8 of outputs, 32 block RAMs of 18 Kb, but there are 0 "
    with pytest.raises(DoesNotFitError, match=f"layer 'conv1': its smallest tile in float32 {needed}"):
        search(Study(layers=large, format=ENGINE_FORMATS["float32"], budget=none))
