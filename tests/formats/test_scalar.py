"""Scalar formats against published tables, ml_dtypes, and a search over all levels."""

from __future__ import annotations

from statistics import NormalDist

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.formats import ENGINE_FORMATS, FAMILIES, Format, Scalar, Table, Ties, families, format_names, read_format
from ridgeline.registry import Registry

SCALARS = [name for name in format_names() if isinstance(read_format(name), Scalar)]
SMALL = [name for name in SCALARS if read_format(name).bits <= 8]
OURS = read_format("e2m1")  # what the plug-in's address leads to

# (format, values in code order): ANT, figure 4 and table 3 of its flint; the OCP's E2M1.
GOLDEN = [
    ("uflint4", [0, 1, 2, 3, 4, 5, 6, 7, 64, 32, 16, 24, 8, 10, 12, 14]),
    ("flint4", [0, 1, 2, 3, 16, 8, 4, 6, 0, -1, -2, -3, -16, -8, -4, -6]),
    ("int4", [0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1]),
    ("pot4", [0, 1, 2, 4, 8, 16, 32, 64, 0, -1, -2, -4, -8, -16, -32, -64]),
    ("upot4", [0, *(2**power for power in range(15))]),
    ("e2m1", [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6]),
]
PEERS = [
    ("e4m3", ml_dtypes.float8_e4m3fn),
    ("e5m2", ml_dtypes.float8_e5m2),
    ("e2m1", ml_dtypes.float4_e2m1fn),
    ("e2m3", ml_dtypes.float6_e2m3fn),
    ("e3m2", ml_dtypes.float6_e3m2fn),
]


@pytest.mark.parametrize(("name", "values"), GOLDEN)
def test_published_tables(name: str, values: list[float]) -> None:
    assert read_format(name).decode(np.arange(16)).tolist() == values


@pytest.mark.parametrize("bits", range(2, 17))
def test_flint_of_any_width(bits: int) -> None:
    values = read_format(f"uflint{bits}").decode(np.arange(1 << bits))
    assert values.max() == 2 ** (2 * bits - 2)
    assert len(set(values)) == 1 << bits
    assert values[: 1 << (bits - 1)].tolist() == list(range(1 << (bits - 1)))
    for low in range(1, 1 << (bits - 1)):  # the hardware's decoder of the upper half
        zeros = bits - 1 - low.bit_length()
        assert values[(1 << (bits - 1)) + low] == low << (2 * zeros + 1)


def test_identities_between_formats() -> None:
    assert (2 * read_format("e1m2").levels).tolist() == list(range(-7, 8))
    assert (4 * read_format("e3m0").levels).tolist() == read_format("pot4").levels.tolist()


def test_nf4_holds_quantiles_of_a_gaussian() -> None:
    inverse = NormalDist().inv_cdf
    above = [inverse(p) for p in np.linspace(0.9677083, 0.5, 9)[:-1]]
    below = [-inverse(p) for p in np.linspace(0.9677083, 0.5, 8)[:-1]]
    wanted = np.sort([*above, 0.0, *below]) / max(above)
    np.testing.assert_allclose(read_format("nf4").levels, wanted, atol=2e-7)


@pytest.mark.parametrize(("name", "peer"), PEERS)
def test_every_code_decodes_as_ml_dtypes(name: str, peer: type) -> None:
    number = read_format(name)
    codes = np.arange(1 << number.bits, dtype=np.uint8)
    np.testing.assert_array_equal(number.decode(codes), codes.view(peer).astype(np.float64))


@pytest.mark.parametrize(("name", "peer"), PEERS)
def test_rounding_is_that_of_ml_dtypes(name: str, peer: type) -> None:
    number, rng = read_format(name), np.random.default_rng(3)
    values = np.concatenate([number.levels, (number.levels[1:] + number.levels[:-1]) / 2, rng.uniform(-1, 1, 20_000) * number.top, [-0.0]])
    values = values.astype(np.float32)
    assert number.encode(values).tolist() == values.astype(peer).view(np.uint8).tolist()


@pytest.mark.parametrize(("name", "peer"), [("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)])
def test_half_precision_is_that_of_numpy_and_ml_dtypes(name: str, peer: type) -> None:
    bits = np.random.default_rng(4).integers(0, 1 << 32, 100_000, dtype=np.uint32)
    values = np.concatenate([bits.view(np.float32), np.float32([0.0, -0.0, np.inf, -np.inf, 65504, 65519, 65520, 65536, 3.4e38, -3.4e38, 1e-8])])
    values = values[~np.isnan(values)]
    with np.errstate(over="ignore", under="ignore"):
        wanted = values.astype(peer).view(np.uint16)
    assert (read_format(name).encode(values) == wanted).all()
    assert read_format(name).encode(np.nan) == np.array(np.nan, peer).view(np.uint16)


@pytest.mark.parametrize("name", SCALARS)
def test_codes_of_values_are_stable(name: str) -> None:
    number = read_format(name)
    values = number.decode(np.arange(1 << number.bits))
    finite = values[np.isfinite(values)]
    assert (number.decode(number.encode(finite)) == finite).all()
    assert number.levels.tolist() == sorted(set(finite.tolist()))


@given(st.sampled_from(SMALL), st.floats(-1.2, 1.2), st.booleans(), st.sampled_from([0.03, 1.0, 7.0]))
def test_the_nearest_level_by_trying_all(name: str, place: float, half: bool, scale: float) -> None:
    number = read_format(name)
    value = place * number.top
    if half:  # a value between two levels
        index = int(abs(place) / 1.2 * (len(number.levels) - 2))
        value, scale = (number.levels[index] + number.levels[index + 1]) / 2, 1.0
    quotient = np.float64(value) / scale
    gaps = np.abs(number.levels - quotient)
    best = number.levels[gaps == gaps.min()]
    code = int(number.encode(np.float64(value), scale))
    found = number.decode(code)
    assert found in best
    if len(best) == 2 and number.ties is Ties.LARGER:
        assert found == max(best)
    if len(best) == 2 and number.ties is Ties.EVEN:
        assert code % 2 == 0


def test_ties_of_ants_formats_go_to_the_larger_value() -> None:
    values = [0.5, -0.5, 12, -12]
    assert read_format("flint4").decode(read_format("flint4").encode(values)).tolist() == [1, 0, 16, -8]


def test_special_values() -> None:
    quarter, half, flint = read_format("e4m3"), read_format("e5m2"), read_format("flint4")
    assert [int(quarter.encode(value)) for value in (np.nan, np.inf, -np.inf, 1e9, -0.0, -1e-9)] == [0x7F, 0x7E, 0xFE, 0x7E, 0x80, 0x80]
    assert [int(half.encode(value)) for value in (np.nan, np.inf, -np.inf, 1e9, -0.0)] == [0x7E, 0x7C, 0xFC, 0x7B, 0x80]
    assert [int(flint.encode(value)) for value in (np.inf, -np.inf, -0.0, -0.1)] == [0b0100, 0b1100, 0, 0]
    assert flint.decode(0b1000) == 0
    with pytest.raises(InputError, match=r"^flint4 has no code for NaN, which stands at index \(1, 0\); replace it first$"):
        flint.encode([[1, 2], [np.nan, 0]])


def test_float32_is_its_own_bits() -> None:
    values = np.float32([0, -0.0, 1.5, -3e38, np.inf])
    number = read_format("float32")
    assert number.encode(values).tolist() == values.view(np.uint32).tolist()
    assert number.decode(number.encode(values)).tolist() == values.tolist()


def test_codes_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"^codes of int4 are integers from 0 to 15; got int64 from -1 to 3$"):
        read_format("int4").decode([3, -1])


def test_integers_read_as_twos_complement() -> None:
    codes = np.arange(256, dtype=np.uint8)
    assert (read_format("int8").decode(codes) == codes.view(np.int8)).all()
    assert (read_format("uint8").decode(codes) == codes).all()
    assert read_format("int16").levels[[0, -1]].tolist() == [-32768, 32767]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flnt4", r"unknown format 'flnt4'; did you mean 'flint4'\?"),
        ("mxfp5", r"unknown format 'mxfp5'; did you mean 'mxfp4'\?"),
        ("int17", r"format 'int17' has 17 bits; take 2 to 16"),
        ("flint1", r"format 'flint1' has 1 bits; take 2 to 16"),
        ("pot14", r"format 'pot14' holds 2\^8190; take 11 bits or fewer"),
        ("e11m2", r"format 'e11m2' has 11 exponent bits and 14 in all; take 1 to 10 and up to 16"),
        ("e5m11", r"format 'e5m11' has 5 exponent bits and 17 in all; take 1 to 10 and up to 16"),
    ],
)
def test_names_that_lead_nowhere(name: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        read_format(name)


@pytest.mark.parametrize("name", format_names())
def test_every_name_is_its_formats(name: str) -> None:
    assert read_format(name).name == name
    assert read_format(name) == read_format(name)


def test_no_two_families_claim_a_name() -> None:
    from re import fullmatch

    for name in format_names():
        assert sum(fullmatch(family.pattern, name) is not None for family in FAMILIES) == 1


def test_the_engines_formats_are_three() -> None:
    assert {name: (number.name, number.bits, number.bytes) for name, number in ENGINE_FORMATS.items()} == {
        "int8": ("int8", 8, 1),
        "fixed16": ("fixed16", 16, 2),
        "float32": ("float32", 32, 4),
    }


def test_a_plug_in_adds_a_format(monkeypatch: pytest.MonkeyPatch) -> None:
    added = {"ours": f"{__name__}:OURS", "wrong": f"{__name__}:GOLDEN"}
    monkeypatch.setattr(families, "PLUG_INS", Registry(kind="format", built_in=added))
    monkeypatch.setattr("ridgeline.registry.import_module", lambda _: __import__("sys").modules[__name__])
    assert read_format("ours") is OURS
    assert "ours" in format_names()
    with pytest.raises(InputError, match=r"^plug-in format 'wrong' leads to a list; it must be a ridgeline\.formats\.Format$"):
        read_format("wrong")
    with pytest.raises(UnknownNameError, match="did you mean 'ours'"):
        read_format("our")


def test_a_table_of_values_is_a_format() -> None:
    ternary = Table(name="ternary", bits=2, table=(0, 1, -1, float("nan")))
    assert ternary.decode(ternary.encode([0.4, 0.6, -7])).tolist() == [0, 1, -1]
    assert isinstance(ternary, Format)
    with pytest.raises(InputError, match=r"^format 'short' of 2 bits has 4 codes; its table holds 3$"):
        Table(name="short", bits=2, table=(0, 1, -1))
