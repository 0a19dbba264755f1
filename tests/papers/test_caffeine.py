"""Caffeine's points and boards."""

import pytest

from ridgeline.errors import InputError
from ridgeline.mapping.uniform import fully_connected
from ridgeline.papers.caffeine import BOARDS, ROOFLINE_LAYER, Caffeine, beyond
from ridgeline.papers.networks import vgg16_convolutions, vgg16_dense
from ridgeline.papers.paper import reproduce


def recipe_gops(*, weight_major: bool, batch: int, revised: bool) -> float:
    """Written out by hand from the paper's section 4: rounds and bytes of each array for <32, 32, 6272>."""
    N, M = ROOFLINE_LAYER
    maps, filters = (M, batch) if weight_major else (batch, M)
    tile = min(maps, 6272)
    rounds = -(-filters // 32) * -(-N // 32) * maps / 6272 if maps > 6272 else -(-filters // 32) * -(-N // 32)
    stored = -(-filters // 32) * max(1.0, maps / 6272)
    bytes_ = {"input": 32 * tile * 4, "weight": min(filters, 32) * 32 * 4, "output": min(filters, 32) * tile * 4}
    times = {"input": rounds, "weight": rounds, "output": stored}
    if maps > 6272:  # whole kernels a tile of the map, three of them
        times["weight"] = -(-filters // 32) * -(-N // 32) * -(-maps // 6272)
    memory = Caffeine().memory(revised=revised)
    seconds = sum(times[name] * size / memory.effective_gb_per_s(size) for name, size in bytes_.items()) / 1e9
    return 2 * fully_connected(N, M, batch=batch, weight_major=weight_major).macs / seconds / 1e9


@pytest.mark.parametrize("revised", [False, True])
@pytest.mark.parametrize(("weight_major", "batch"), [(False, 1), (False, 16384), (True, 1)])
def test_the_roofline_points_follow_from_the_recipe(weight_major: bool, batch: int, revised: bool) -> None:
    ours = Caffeine().roofline_gops(weight_major=weight_major, batch=batch, revised=revised)
    assert ours == pytest.approx(recipe_gops(weight_major=weight_major, batch=batch, revised=revised), rel=1e-3)


def test_the_published_table_holds() -> None:
    found = reproduce("caffeine")
    assert not found.failed
    assert sum(row.holds is True for row in found.rows) == 14
    assert {row.quantity.split(": ")[1] for row in found.rows if row.holds is None} == {"board", "VGG16 all"}


def test_vgg16_has_its_multiplications() -> None:
    layers = (*vgg16_convolutions(batch=1), *vgg16_dense(batch=1, weight_major=False))
    assert sum(layer.macs for layer in layers) == 15_470_264_320


def test_the_boards_arrays_have_the_published_peaks() -> None:
    peaks = {name: 2 * board.macs * board.clock_mhz / 1e3 for name, board in BOARDS.items()}
    assert peaks == pytest.approx({"KU060 fixed16": 365, "KU060 float32": 96, "VX690t fixed16": 636}, rel=0.01)
    for board in BOARDS.values():
        design = Caffeine().board_design(board)
        assert design.engine.macs == board.macs
        assert design.engine.bram_18kb <= board.bram_18kb


def test_the_curve_is_the_papers_at_its_two_points() -> None:
    memory = Caffeine().memory(revised=True)
    assert (memory.effective_gb_per_s(1024), memory.effective_gb_per_s(1 << 17)) == (pytest.approx(1.0), pytest.approx(10.0))
    assert Caffeine(bandwidth_gb_per_s=20.0).memory(revised=True).effective_gb_per_s(1024) == pytest.approx(2.0)


def test_other_parameters_and_bad_ones() -> None:
    found = reproduce("caffeine", boards="KU060 fixed16", ports=0)
    assert {row.holds for row in found.rows} == {None}
    dense = next(row.ours for row in found.rows if row.quantity == "KU060 fixed16: VGG16 FC")
    assert dense >= next(row.ours for row in reproduce("caffeine").rows if row.quantity == "KU060 fixed16: VGG16 FC")
    for given, message in (
        ({"boards": "KU06"}, "unknown board 'KU06'"),
        ({"ports": 1}, "1 ports of 10 GB/s, 0 of them for weights; give none, or 2 to 64"),
        ({"batch": 0}, "batch is 0; it must be in 1..1,048,576"),
        ({"bandwidth_gb_per_s": float("inf")}, "a memory of inf GB/s; give a bandwidth above 0"),
    ):
        with pytest.raises(InputError, match=message):
            reproduce("caffeine", **given)


def test_more_is_in_the_papers_limits() -> None:
    design = beyond().chosen
    assert design.engine.dsp("DSP48E2") <= 1058
    assert design.engine.bram_18kb <= 2160
    assert sum(item.cost.macs for item in design.layers) == 32 * 15_470_264_320
    assert design.gops >= 1.2 * 2 * 15_470_264_320 / 101.15e-3 / 1e9
