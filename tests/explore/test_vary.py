"""`--vary`: what is read, against the same values made another way, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.explore.vary import MOST_DESIGNS, designs, read_vary
from ridgeline.hardware.chip import read_chip

CHIP = read_chip("eyeriss-168")


def test_an_example() -> None:
    vary = read_vary("array.rows=8..32:4  glb.capacity_bytes=64K..512K:x2 dram.read_bits_per_cycle=14.4,28.8", CHIP)
    assert vary == {
        "array.rows": (8, 12, 16, 20, 24, 28, 32),
        "glb.capacity_bytes": (65_536, 131_072, 262_144, 524_288),
        "dram.read_bits_per_cycle": (14.4, 28.8),
    }
    every = list(designs(vary))
    assert len(every) == 7 * 4 * 2
    assert every[1] == {"array.rows": 8, "glb.capacity_bytes": 65_536, "dram.read_bits_per_cycle": 28.8}


@given(st.integers(1, 10**6), st.integers(0, 10**5), st.integers(1, 10**4))
def test_ranges(low: int, more: int, step: int) -> None:
    wanted = tuple(range(low, low + more + 1, step))
    text = f"array.rows={low}..{low + more}:{step}"
    if len(wanted) > MOST_DESIGNS:
        with pytest.raises(InputError, match=r"has more than 10,000 values|makes .* designs"):
            read_vary(text, CHIP)
    else:
        assert read_vary(text, CHIP) == {"array.rows": wanted}


@given(st.integers(1, 1000), st.integers(0, 10**6), st.integers(2, 9))
def test_geometric_ranges(low: int, more: int, factor: int) -> None:
    found = read_vary(f"array.rows={low}..{low + more}:x{factor}", CHIP)["array.rows"]
    assert found[0] == low
    assert all(after == factor * before for before, after in pairwise(found))
    assert found[-1] <= low + more < factor * found[-1]


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=20, unique=True), st.sampled_from("KMG"))
def test_lists_and_suffixes(values: list[int], suffix: str) -> None:
    size = {"K": 1024, "M": 1024**2, "G": 1024**3}[suffix]
    text = ",".join(f"{value}{suffix}" for value in values)
    assert read_vary(f"glb.capacity_bytes={text}", CHIP) == {"glb.capacity_bytes": tuple(value * size for value in values)}


def test_decimal_steps_are_exact() -> None:
    assert read_vary("dram.read_bits_per_cycle=0.1..0.7:0.2", CHIP) == {"dram.read_bits_per_cycle": (0.1, 0.3, 0.5, 0.7)}
    assert read_vary("array.rows=4..9:x1.5", CHIP) == {"array.rows": (4, 6, 9)}


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        vary = read_vary(text, CHIP)
    except InputError as error:
        said = str(error)
    else:
        said = ""
        assert 1 <= len(list(designs(vary))) <= MOST_DESIGNS
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--vary names no parameter; give PATH=VALUES"),
        ("array.rows", "--vary 'array.rows' is not of the form PATH=VALUES"),
        ("array.rows=", "is not of the form PATH=VALUES"),
        ("array.rows=8 array.rows=9", "--vary names 'array.rows' twice"),
        ("array.row=8", "unknown array axis 'row'; did you mean 'rows'?"),
        ("array.rows=32..8:4", "--vary array.rows=32..8:4 is empty: 32 is above 8"),
        ("array.rows=8..32", "--vary array.rows=8..32 has no step"),
        ("array.rows=8..32:0", "never ends: its step is 0"),
        ("array.rows=8..32:x1", "never ends: it multiplies 8 by 1"),
        ("array.rows=0..32:x2", "never ends: it multiplies 0 by 2"),
        ("array.rows=8..32:-4", "'-4' is no number such as 8, 28.8, 64K or 1M"),
        ("array.rows=8,,16", "'' is no number"),
        ("array.rows=8,1e3", "'1e3' is no number"),
        ("array.rows=8,16,8", "--vary array.rows=8,16,8 names 8 twice"),
        ("array.rows=8,8.5", "--vary array.rows=8,8.5 gives 8.5; 'array.rows' is a whole number"),
        ("array.rows=1..200:1 array.columns=1..200:1", "--vary makes 40,000 designs; at most 10,000"),
        ("clock_mhz=1..999999999999999:1", "has more than 10,000 values; give a wider step"),
        ("clock_mhz=1..2:x1.000000001", "has more than 10,000 values; give a larger factor"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_vary(text, CHIP)
    assert message in str(error.value)
