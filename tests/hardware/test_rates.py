"""Measured speeds: the table itself, and what lies between its sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.hardware.rates import read_speeds, speeds_names

# The public table, m = n = k = 256, 1024, 2048, 4096, 8192, 16384.
TABLE = {
    "a100-bfloat16": (0.83, 1.19, 1.18, 1.71, 1.52, 1.22),
    "a100-int8": (1.05, 1.18, 1.42, 2.06, 2.19, 2.18),
    "h100-pcie-bfloat16": (0.67, 0.75, 0.97, 1.53, 1.59, 1.45),
    "h100-pcie-fp8": (0.91, 0.73, 1.07, 1.53, 1.54, 1.73),
    "h100-pcie-int8": (0.93, 1.30, 1.58, 1.28, 1.71, 1.79),
}
SIZES = (256, 1024, 2048, 4096, 8192, 16384)


@pytest.mark.parametrize("name", TABLE)
def test_measured_sizes(name: str) -> None:
    speeds = read_speeds(name)
    for size, speed in zip(SIZES, TABLE[name], strict=True):
        assert speeds.at((size, size, size)) == pytest.approx(speed)
        assert speeds.at((size // 4, size * 2, size * 2)) == pytest.approx(speed), "as many multiply-accumulates"


def test_absolute_times_agree() -> None:
    """Published beside the table: BF16 at 4096, dense and sparse microseconds."""
    assert read_speeds("a100-bfloat16").at((4096, 4096, 4096)) == pytest.approx(586.3 / 342.4, rel=5e-3)
    assert read_speeds("h100-pcie-bfloat16").at((4096, 4096, 4096)) == pytest.approx(289.5 / 188.7, rel=5e-3)


@given(st.sampled_from(sorted(TABLE)), st.tuples(*[st.integers(1, 10**5)] * 3))
def test_between_sizes(name: str, size: tuple[int, int, int]) -> None:
    """Between the speeds of its neighbours, or that of the nearest end."""
    volume = size[0] * size[1] * size[2]
    below = max((i for i, side in enumerate(SIZES) if side**3 <= volume), default=0)
    above = min((i for i, side in enumerate(SIZES) if side**3 >= volume), default=len(SIZES) - 1)
    low, high = sorted((TABLE[name][below], TABLE[name][above]))
    assert low * (1 - 1e-9) <= read_speeds(name).at(size) <= high * (1 + 1e-9)


def test_refusals() -> None:
    assert set(speeds_names()) == set(TABLE)
    with pytest.raises(UnknownNameError, match="unknown table of speeds 'a100-int4'; did you mean 'a100-int8'"):
        read_speeds("a100-int4")
    with pytest.raises(InputError, match="a matrix product of size 4 x 0 x 4; each of its three sizes must be 1 or more"):
        read_speeds("a100-int8").at((4, 0, 4))
