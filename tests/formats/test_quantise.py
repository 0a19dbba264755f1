"""Whole tensors in scalar formats: layouts, searched scales, and kernels against the definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ridgeline.errors import InputError
from ridgeline.formats import Scalar, Search, Table, TypeSet, candidates, format_names, quantise, read_format, select
from ridgeline.formats.bits import packed, unpacked

SCALARS = [name for name in format_names() if isinstance(read_format(name), Scalar) and name != "upot8"]
FEW = ["int4", "flint4", "e2m1", "pot4", "nf4", "uflint5", "e4m3", "int8", "fixed8", "e3m0"]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9)
NUMBERS = st.floats(-100, 100, width=32, allow_subnormal=False)


@st.composite
def tensors(draw: st.DrawFn) -> np.ndarray:
    return draw(hnp.arrays(np.float32, draw(SHAPES), elements=NUMBERS))


@st.composite
def layouts(draw: st.DrawFn, shape: tuple[int, ...]) -> dict[str, object]:
    kind = draw(st.sampled_from(["tensor", "channel", "group"]))
    if kind == "tensor":
        return {}
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return {"granularity": kind, "axis": axis} | ({"group": draw(st.integers(1, shape[axis]))} if kind == "group" else {})


def vectors(values: np.ndarray, how: dict) -> list[tuple[np.ndarray, ...]]:
    """The indices of each vector's elements, by the words of quantise's docstring."""
    shape, axis = values.shape, how.get("axis", 0 if how.get("granularity") == "channel" else -1)
    groups: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for index in np.ndindex(shape):
        if not how:
            key = ()
        elif how["granularity"] == "channel":
            key = (index[axis],)
        else:
            rest = list(index)
            key = (rest[axis] // how["group"], *(rest[:axis] + rest[axis:][1:]))
        groups.setdefault(key, []).append(index)
    return [tuple(np.array(part).T) for part in groups.values()]


@given(st.data(), tensors(), st.sampled_from(SCALARS), st.sampled_from([None, Search(), Search(least=0.3, most=1.2, step=0.1)]))
@settings(max_examples=150)
def test_kernels_equal_the_definition(data: st.DataObject, values: np.ndarray, name: str, search: Search | None) -> None:
    number, how = read_format(name), data.draw(layouts(values.shape))
    values = np.abs(values) if number.levels[0] >= 0 else values
    search = None if number.scaling.value == "none" else search
    fast, plain = quantise(values, number, search=search, **how), quantise(values, number, search=search, plain=True, **how)
    if search is None or (fast.scales == plain.scales).all():
        assert fast.scales.tolist() == plain.scales.tolist()
        assert fast.stored.packed.tolist() == plain.stored.packed.tolist()
    else:  # two scales whose errors are equal but for the order of adding up
        assert fast.squared_error(values) == pytest.approx(plain.squared_error(values), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SCALARS)
def test_kernels_equal_the_definition_on_many_values(name: str) -> None:
    number, rng = read_format(name), np.random.default_rng(11)
    values = rng.normal(size=(37, 1117)).astype(np.float32) * 2.0 ** rng.integers(-30, 30, (37, 1))
    values = np.abs(values) if number.levels[0] >= 0 else values
    fast, plain = quantise(values, number, granularity="channel"), quantise(values, number, granularity="channel", plain=True)
    assert (fast.scales == plain.scales).all()
    assert (fast.stored.packed == plain.stored.packed).all()


@given(st.data(), tensors(), st.sampled_from(FEW))
@settings(max_examples=60)
def test_scales_and_levels_by_the_words_of_the_definition(data: st.DataObject, values: np.ndarray, name: str) -> None:
    number, how = read_format(name), data.draw(layouts(values.shape))
    values = np.abs(values) if number.levels[0] >= 0 else values
    encoded = quantise(values, number, **how)
    decoded = encoded.decode()
    assert decoded.shape == values.shape
    parts = vectors(values, how)
    assert len(encoded.scales) == len(parts)
    for part in parts:
        most = np.abs(values[part]).max()
        scale = np.float32(np.float64(most) / number.top) if most else np.float32(1)
        if name == "fixed8" and most:
            scale = np.float32(next(2.0**power for power in range(-160, 140) if 2.0**power * 127 >= float(most)))
        assert scale in encoded.scales
        wanted = number.decode(number.encode(values[part], scale)).astype(np.float32) * scale
        assert decoded[part].tolist() == wanted.tolist()


@given(st.data(), tensors(), st.sampled_from(SCALARS))
@settings(max_examples=60)
def test_bits_are_counted_exactly(data: st.DataObject, values: np.ndarray, name: str) -> None:
    number, how = read_format(name), data.draw(layouts(values.shape))
    values = np.abs(values) if number.levels[0] >= 0 else values
    encoded = quantise(values, number, **how)
    scales = 0 if name in ("float16", "bfloat16") else len(vectors(values, how))
    assert encoded.bits == number.bits * values.size + 32 * scales
    assert encoded.bits_per_element == pytest.approx(encoded.bits / values.size)
    assert encoded.stored.packed.nbytes == -(-number.bits * values.size // 8)
    assert encoded.codes.size == values.size


@given(st.integers(1, 16), st.lists(st.integers(0, (1 << 16) - 1), min_size=1, max_size=70))
def test_packing_is_one_long_number(bits: int, raw: list[int]) -> None:
    codes = np.array(raw, np.uint16) & ((1 << bits) - 1)
    codes = codes.astype(np.uint8) if bits <= 8 else codes
    whole = sum(int(code) << (bits * place) for place, code in enumerate(codes))
    data = packed(codes, bits)
    assert data.tobytes() == whole.to_bytes(-(-bits * len(raw) // 8), "little")
    assert unpacked(data, bits, len(raw)).tolist() == codes.tolist()


@pytest.mark.parametrize("name", ["int4", "flint4", "e2m1", "pot4", "nf4", "int8", "uflint4"])
@pytest.mark.parametrize("how", [{}, {"granularity": "channel"}, {"granularity": "group", "group": 24}])
def test_search_is_the_brute_force_over_candidates(name: str, how: dict) -> None:
    number, search = read_format(name), Search(least=0.2, most=1.5, step=0.01)
    values = np.random.default_rng(5).standard_t(4, (6, 100)).astype(np.float32)
    values = np.abs(values) if number.levels[0] >= 0 else values
    encoded = quantise(values, number, search=search, **how)
    for part, scale in zip(vectors(values, how), encoded.scales, strict=True):
        x = values[part].astype(np.float64)
        tried = [np.float32(ratio * np.abs(x).max() / number.top) for ratio in 0.2 + 0.01 * np.arange(131)]
        errors = [np.sum((x - number.decode(number.encode(values[part], each)) * np.float64(each)) ** 2) for each in tried]
        assert errors[tried.index(scale)] <= min(errors) * (1 + 1e-9)
        earlier = errors[: tried.index(scale)]
        assert not any(error < min(errors) * (1 + 1e-12) for error in earlier)  # the first of equals
    assert encoded.squared_error(values) <= quantise(values, number, **how).squared_error(values)


def test_a_long_vector_is_searched_like_short_ones() -> None:
    values = np.random.default_rng(6).normal(size=200_001).astype(np.float32)  # more than what has a sum for every value
    number, search = read_format("flint4"), Search(least=0.3, most=1.0, step=0.05)
    fast, plain = quantise(values, number, search=search), quantise(values, number, search=search, plain=True)
    assert fast.scales == plain.scales


def test_the_first_of_equal_scales_wins() -> None:
    ternary = Table(name="ternary", bits=2, table=(0, 1, -1, 0))
    values = np.float32([1.0, -1.0, 0.0])  # r = 0.5 and r = 1.5 have the same error
    assert quantise(values, ternary, search=Search(least=0.5, most=1.5, step=1.0)).scales.tolist() == [0.5]
    assert quantise(values, ternary, search=Search(least=0.5, most=1.5, step=1.0), plain=True).scales.tolist() == [0.5]


# Gaussian N(0, 1), one scale, r from .2 to 1.5: dB, within .1; int4 with levels +-7, which e1m2 has.
@pytest.mark.parametrize(("name", "wanted"), [("e1m2", 18.90), ("flint4", 18.24), ("pot4", 14.23), ("e2m1", 18.97), ("nf4", 20.05)])
def test_sqnr_of_a_gaussian(name: str, wanted: float) -> None:
    values = np.random.default_rng(0).normal(size=1_000_000).astype(np.float32)
    encoded = quantise(values, read_format(name), search=Search(least=0.2, most=1.5))
    assert encoded.sqnr_db(values) == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("search", [None, Search()])
def test_a_channel_of_zeros_has_scale_one(name: str, search: Search | None) -> None:
    values = np.float32([[0, -0.0, 0], [1, 2, 3]])
    encoded = quantise(values, read_format(name), granularity="channel", search=search)
    assert encoded.scales[0] == 1
    assert not encoded.decode()[0].any()


@pytest.mark.parametrize("largest", [1e-45, 1e-38, 3.4e38])
@pytest.mark.parametrize("name", FEW)
def test_the_ends_of_float32(name: str, largest: float) -> None:
    values = np.float32([largest, largest / 2, 0])
    for search in (None, Search(least=1.0, most=1.4, step=0.2)):
        decoded = quantise(values, read_format(name), search=search).decode()
        assert np.isfinite(decoded).all()
        assert abs(Fraction(float(decoded[0])) - Fraction(float(values[0]))) <= Fraction(float(values[0])) * 2 / 5


def test_types_of_ant() -> None:
    names = {kind: [each.name for each in candidates(kind, 4)] for kind in TypeSet}
    assert names == {TypeSet.IP: ["int4", "pot4"], TypeSet.IPF: ["int4", "flint4", "pot4"]}
    assert [each.name for each in candidates(TypeSet.IPF, 4, signed=False)] == ["uint4", "uflint4", "upot4"]
    assert [each.name for each in candidates(TypeSet.IPF, 7)] == ["int7"]
    rng = np.random.default_rng(2)
    shapes = {"int4": rng.uniform(-1, 1, (4, 500)), "flint4": rng.laplace(size=(4, 500)), "pot4": rng.standard_t(1, (4, 500))}
    for wanted, values in shapes.items():
        tried = candidates(TypeSet.IPF, 4)
        found = select(values, tried, granularity="channel", search=Search())
        errors = {each.name: quantise(values, each, granularity="channel", search=Search()).squared_error(values) for each in tried}
        assert found.format.name == min(errors, key=lambda name: errors[name]) == wanted


@pytest.mark.parametrize(
    ("values", "name", "how", "message"),
    [
        ([1, np.nan], "int4", {}, r"value at index \(1,\) is nan in float32; only finite values have a scale, so replace it first"),
        ([[1, 2], [np.inf, 0]], "mxfp4", {}, r"value at index \(1, 0\) is inf in float32; .*"),
        ([1e39], "int4", {}, r"value at index \(0,\) is inf in float32; .*"),
        ([-1.0], "uint4", {}, r"uint4 has no negative levels and the least value is -1; take a signed format"),
        ([[]], "int4", {}, r"a tensor of shape \(1, 0\) has no elements to quantise"),
        (["a"], "int4", {}, r"values to quantise are real numbers, not <U1"),
        ([1.0, 2], "int4", {"granularity": "row"}, r"granularity 'row' is none of tensor, channel, group"),
        ([1.0, 2], "int4", {"granularity": "group", "group": 3}, r"granularity 'group' needs a group of 1 to 2 elements, axis -1 of .*; got 3"),
        ([1.0, 2], "int4", {"granularity": "group"}, r"granularity 'group' needs a group of 1 to 2 elements, .*; got None"),
        ([1.0, 2], "int4", {"granularity": "channel", "axis": 1}, r"axis 1 is not among the 1 of shape \(2,\)"),
        ([1.0, 2], "int4", {"granularity": "channel", "group": 1}, r"granularity 'channel' takes no group; .*"),
        ([1.0, 2], "int4", {"axis": 0}, r"granularity 'tensor' takes no axis and no group; take 'channel' or 'group'"),
        ([1.0, 2], "upot8", {}, r"largest level 2.89e\+76 of upot8 leaves no float32 scale; take a format of fewer bits"),
        ([1.0, 2], "float16", {"search": Search()}, r"float16 has no scales to search; leave search out"),
        ([1.0, 2], "float32", {"search": Search()}, r"float32 has no scales to search; leave search out"),
    ],
)
def test_what_is_refused(values: list, name: str, how: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        quantise(values, read_format(name), **how)


def test_a_search_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"^scale search from 2 to 1 in steps of 0.01; take 0 < least <= most and step > 0$"):
        Search(least=2, most=1)
    assert len(Search().ratios) == 75
    assert Search().ratios[[0, -1]] == pytest.approx([0.75, 1.49])


def test_unscaled_formats_hold_values_as_they_are() -> None:
    values = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    assert quantise(values, read_format("float16")).decode().tolist() == values.astype(np.float16).astype(np.float32).tolist()
    whole = quantise(values, read_format("float32"))
    assert whole.decode().tolist() == values.tolist()
    assert (whole.bits_per_element, whole.codes.tolist()) == (32, [values.view(np.uint32).reshape(-1).tolist()])
