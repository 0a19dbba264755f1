"""Numbers as people read them."""

import pytest

from ridgeline.report.digits import four_digits


@pytest.mark.parametrize(
    ("value", "text"),
    [(93_023.26, "93,023"), (7735.2, "7,735"), (999.96, "1000"), (0.12345, "0.1235"), (-1234567.8, "-1,234,568"), (0.0, "0"), (115.93, "115.9")],
)
def test_four_digits(value: float, text: str) -> None:
    assert four_digits(value) == text
