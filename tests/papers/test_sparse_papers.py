"""Balanced sparsity, the dual-side tensor core and SeerNet: what is computed against closed forms and walks, what is not says so."""

from math import ceil, comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.zoo.table import ENTRIES
from ridgeline.errors import InputError
from ridgeline.papers.balanced_sparsity import BalancedSparsity, matrices
from ridgeline.papers.dual_side import POINTS, DualSide
from ridgeline.papers.paper import reproduce
from ridgeline.papers.seernet import SeerNet, convolved

PAPERS = ("balanced-sparsity", "dual-side", "seernet")


@pytest.mark.parametrize("name", PAPERS)
def test_what_is_judged_holds_and_what_is_not_rerun_says_so(name: str) -> None:
    found = reproduce(name)
    assert not found.failed
    for row in found.rows:
        assert row.published is not None or row.ours is not None
        assert row.ours is not None or row.note.startswith("not rerun here")
        assert row.ours is None or not row.note.startswith("not rerun here")


def test_balanced_rows_keep_whole_weights() -> None:
    ours = BalancedSparsity().ours()
    assert ours["bi-LSTM, TIMIT: balanced, sparsity"] == 100 * (1 - 4 / 32)
    assert ours["LSTM, PTB: balanced, sparsity"] == pytest.approx(100 * (1 - 9 / 47))
    # 32 ranges of 32, 4 of each with 5 bits for its place
    assert ours["bi-LSTM, TIMIT: balanced, storage of 16-bit weights"] == pytest.approx(100 * 32 * 4 * (16 + 5) / (1024 * 16))


def test_the_matrices_are_the_networks() -> None:
    biases = 64 * 2 + 128 * 2 + 256 * 3 + 512 * 6 + 2 * 4096 + 1000
    assert sum(rows * columns for rows, columns in matrices("VGG16")) == ENTRIES["vgg16"].parameters - biases
    assert matrices("LSTM, PTB") == ((6000, 1500), (6000, 1500))


def expected(lines: int, density: float, lanes: int) -> float:
    """Mean of ceil(nonzeros / lanes) where each of `lines` is one with a chance of `density`."""
    return sum(comb(lines, n) * density**n * (1 - density) ** (lines - n) * ceil(n / lanes) for n in range(lines + 1))


@pytest.mark.parametrize("point", POINTS)
def test_random_bitmaps_take_the_steps_of_chance(point: tuple[int, int]) -> None:
    a, b = (1 - sparsity / 100 for sparsity in point)
    chance = 8 / (expected(32, a, 8) * expected(32, b, 16))
    assert DualSide(size=1024).speed(point) == pytest.approx(chance, rel=0.02)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
def test_the_layer_is_a_convolution(m: int, c: int, y: int, x: int) -> None:
    rng = np.random.default_rng(m + 5 * c + 25 * y + 175 * x)
    weights, inputs = rng.standard_normal((m, c * 9)), rng.standard_normal((c, y + 2, x + 2))
    walked = np.zeros((m, y, x))
    for (o, i, r, q), weight in np.ndenumerate(weights.reshape(m, c, 3, 3)):
        walked[o] += weight * inputs[i, r : r + y, q : q + x]
    np.testing.assert_allclose(convolved(weights, inputs), walked, atol=1e-12)


def test_more_bits_predict_better() -> None:
    ours = SeerNet(channels=32, seed=3).ours()
    for kind in ("ReLU", "max-pool"):
        right = [ours[f"random layer, {kind}, {bits} bits"] for bits in (2, 3, 4, 5, 6, 8)]
        assert right == sorted(right)
        assert right[0] >= 50
        assert right[-1] > 99


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("balanced-sparsity", {"ranges": 0}, r"ranges is 0; it must be in 1\.\.4,096"),
        ("dual-side", {"size": 0}, r"size is 0 and seed 0; size must be in 1\.\.8,192"),
        ("dual-side", {"seed": -1}, "seed 0 or more"),
        ("seernet", {"side": 7}, "channels is 64, side 7 and seed 0"),
    ],
)
def test_bad_parameters(name: str, given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reproduce(name, **given)
