"""OliVe's decoders and pairs, and what is shown and not rerun."""

import pytest

from ridgeline.errors import InputError
from ridgeline.papers.olive import PAIRS
from ridgeline.papers.paper import Published, Row, reproduce


def test_what_is_judged_holds_and_the_rest_is_not_rerun() -> None:
    found = reproduce("olive")
    assert not found.failed
    judged = [row for row in found.rows if row.holds]
    assert len(judged) == 2 + 6 + 2 * len(PAIRS)
    for row in found.rows:
        assert (row.ours is None) == (row.tolerance is None)
        assert row.ours is not None or row.note.startswith("not rerun here")


def test_the_area_is_the_products() -> None:
    share = next(row.ours for row in reproduce("olive").rows if row.quantity == "4-bit decoders")
    assert share == pytest.approx(13.53 * 139_264 / 754e6 * 100)
    half = next(row.ours for row in reproduce("olive", decoders=139_264 // 2).rows if row.quantity == "4-bit decoders")
    assert half == pytest.approx(share / 2)


def test_the_larger_of_two_outliers_stays_if_asked() -> None:
    ours = {row.quantity: row.ours for row in reproduce("olive", keep="larger").rows}
    assert (ours["(15, 40): left"], ours["(15, 40): right"]) == (0, 48)  # 40 lies between 32 and 48, and the larger wins
    assert (ours["(20, 1): left"], ours["(2, -50): right"]) == (24, -48)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keep": "right"}, "keep is 'right'; it must be larger or left"),
        ({"die_mm2": 0.0}, "die_mm2 is 0; it must be above 0"),
        ({"decoders": -1}, "decoders is -1; it must be above 0"),
    ],
)
def test_bad_parameters(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reproduce("olive", **given)


def test_a_row_without_ours_or_at_zero_has_no_error() -> None:
    assert Row(quantity="a", unit="", published=2.0, ours=None, tolerance=None).error is None
    zero = Row(quantity="a", unit="", published=0.0, ours=0.0, tolerance=0.0)
    assert (zero.error, zero.holds) == (None, True)
    assert Row(quantity="a", unit="", published=0.0, ours=1.0, tolerance=0.0).holds is False
    assert Published(quantity="a", unit="", value=None, tolerance=None).value is None
