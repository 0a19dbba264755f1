"""FPGA'15's table, and its optimum against a brute force written from the paper's own formulas."""

import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.explore.uniform import search
from ridgeline.papers.fpga15 import LAYERS, UNLIMITED, Fpga15, beyond
from ridgeline.papers.paper import reproduce

SIZES = {"conv1": (3, 48, 55, 11, 4), "conv2": (48, 128, 27, 5, 1), "conv3": (256, 192, 13, 3, 1), "conv4": (192, 192, 13, 3, 1)}


def brute_s(name: str, limit: int, gb_per_s: float) -> float:
    """Least time of a layer over every <Tm, Tn, Tr, Tc> and placement of the innermost loop: the paper's section 3, as arrays."""
    N, M, R, K, S = SIZES[name]
    best = np.inf
    tr, tc = np.meshgrid(np.arange(1, R + 1), np.arange(1, R + 1), indexing="ij")
    rows, columns = -(-R // tr), -(-R // tc)
    for tm in range(1, M + 1):
        for tn in range(1, min(N, limit // tm) + 1):
            m, n = -(-M // tm), -(-N // tn)
            tiles = m * n * rows * columns
            cycles = tiles * (tr * tc * K * K + np.where(tiles == 1, 0, 20))
            b_in, b_w, b_out = tn * (S * tr + K - S) * (S * tc + K - S), tm * tn * K * K, tm * tr * tc
            spilled = 2 * tiles * b_out  # read and written again for each of the n rounds, where they are not innermost
            traffic = [
                tiles * b_in + tiles * b_w + m * rows * columns * b_out,  # n innermost
                n * rows * columns * b_in + tiles * b_w + spilled,  # m innermost
                tiles * b_in + m * n * b_w + spilled,  # rows and columns innermost
            ]
            least = 4 * np.minimum.reduce(traffic) / (gb_per_s * 1e9)
            best = min(best, float(np.maximum(cycles / 1e8, least).min()))
    return best


@pytest.mark.parametrize("case", range(20))
def test_the_optimum_of_each_layer_is_that_of_brute_force(case: int) -> None:
    rng = np.random.default_rng(case)
    limit, gb_per_s, name = int(rng.integers(1, 600)), float(10 ** rng.uniform(-1.5, 1)), list(SIZES)[case % len(SIZES)]
    study = Fpga15(multipliers=limit, bandwidth_gb_per_s=gb_per_s, dsp=10_000, layers=name).study()
    assert search(study).chosen.time_s == pytest.approx(brute_s(name, limit, gb_per_s), rel=1e-9)


def test_the_pair_for_all_layers_is_that_of_brute_force() -> None:
    """With bandwidth in plenty: every pair of at most 480, all maps whole."""
    shapes = [(nest.axes["m"], nest.axes["c"], nest.axes["y"] ** 2 * nest.axes["r"] ** 2) for nest in LAYERS.values()]
    found: dict[tuple[int, int], int] = {}
    for tm in range(1, 481):
        for tn in range(1, 480 // tm + 1):
            tiles = [(-(-m // tm) * -(-n // tn), work) for m, n, work in shapes]
            found[tm, tn] = sum(count * (work + (20 if count > 1 else 0)) for count, work in tiles)
    least = min(found.values())
    pair = min((pair for pair, cycles in found.items() if cycles == least), key=lambda pair: pair[0] * pair[1])
    engine = search(Fpga15(bandwidth_gb_per_s=1000.0).study()).chosen.engine
    assert (engine.tm, engine.tn) == pair


def test_the_published_table_holds() -> None:
    found = reproduce("fpga15")
    assert len(found.rows) == 18
    assert not found.failed
    exact = [row for row in found.rows if row.tolerance == 0]
    assert len(exact) == 15
    assert all(row.ours == row.published for row in exact)


def test_another_study_is_not_judged() -> None:
    found = reproduce("fpga15", multipliers=512, layers="conv1,conv3")
    assert {row.published for row in found.rows} == {None}
    assert {row.holds for row in found.rows} == {None}
    assert "conv2: cycles of its own optimum" not in {row.quantity for row in found.rows}
    assert found.parameters["multipliers"] == 512


def test_within_the_boards_block_rams_the_first_layer_takes_some_tiles() -> None:
    free, held = (reproduce("fpga15", bram_18kb=limit).rows for limit in (UNLIMITED, 2060))
    cycles = [next(row.ours for row in rows if row.quantity == "sum on the uniform engine") for rows in (free, held)]
    assert cycles[0] < cycles[1] < 1.001 * cycles[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"multipliers": 0}, "multipliers is 0; it must be above 0"),
        ({"clock_mhz": float("nan")}, "clock_mhz is nan; it must be above 0"),
        ({"bandwidth_gb_per_s": -1.0}, "a memory of -1 GB/s; give a bandwidth above 0"),
        ({"fill_cycles": -1}, "fill_cycles is -1; it must be 0 or more"),
        ({"format": "fp32"}, "unknown format 'fp32'"),
        ({"layers": "conv6"}, "unknown layer 'conv6'; did you mean"),
        ({"layers": ","}, "names no layer"),
    ],
)
def test_bad_parameters(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reproduce("fpga15", **given)


def test_more_is_in_the_papers_limits() -> None:
    design = beyond().chosen
    modelled = next(row.ours for row in reproduce("fpga15").rows if row.quantity == "throughput")
    assert design.engine.dsp("DSP48E1") <= 2240
    assert design.engine.bram_18kb <= 2060
    assert sum(item.cost.macs for item in design.layers) == 665_784_864
    assert design.gops >= 1.3 * modelled
