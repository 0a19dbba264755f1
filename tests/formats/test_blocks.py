"""Block formats against a walk over single elements in exact arithmetic, ml_dtypes' rounding, and the OCP's tables."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor, log2

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ridgeline.errors import InputError
from ridgeline.formats import Search, format_names, quantise, read_format
from ridgeline.formats.m2xfp import FACTORS, SHIFTS
from ridgeline.formats.mx import Mx, ScaleRule
from ridgeline.formats.stored import Whole

BLOCKS = [name for name in format_names() if isinstance(read_format(name), Whole) and read_format(name).block]
MX = [name for name in BLOCKS if isinstance(read_format(name), Mx)]
# (emax, the largest level, mantissa bits): OCP Microscaling Formats v1.0, tables 1 to 6.
OCP = {
    "mxfp4": (2, 6, 1),
    "mxfp6e2m3": (2, 7.5, 3),
    "mxfp6e3m2": (4, 28, 2),
    "mxfp8e4m3": (8, 448, 3),
    "mxfp8e5m2": (15, 57344, 2),
    "mxint8": (0, 127 / 64, 6),
}
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=40)


@st.composite
def tensors(draw: st.DrawFn) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    values = rng.normal(size=draw(SHAPES)) * 2.0 ** draw(st.integers(-20, 20))
    if draw(st.booleans()):
        values = np.round(values * 4) / 4  # ties, and blocks of zeros
    return values.astype(np.float32)


def blocks(values: np.ndarray, axis: int, size: int) -> list[tuple[np.ndarray, ...]]:
    """Indices of every block's elements, in the order of the scales."""
    places = np.moveaxis(np.arange(values.size).reshape(values.shape), axis, -1).reshape(-1, values.shape[axis])
    return [np.unravel_index(row[at : at + size], values.shape) for row in places for at in range(0, row.size, size)]


def exponent(largest: np.float32, name: str, rule: ScaleRule) -> int:
    """Of a block's scale, in exact arithmetic."""
    emax, top, mantissa = OCP[name]
    if largest == 0:
        return -127
    exact = Fraction(float(largest))
    low = floor(log2(largest)) if 2.0 ** floor(log2(largest)) <= largest else floor(log2(largest)) - 1
    match rule:
        case ScaleRule.FLOOR:
            found = low - emax
        case ScaleRule.CEIL:
            found = (low if exact == Fraction(2) ** low else low + 1) - emax
        case ScaleRule.EVEN:
            steps = floor(exact / Fraction(2) ** (low - mantissa) + Fraction(1, 2))
            found = (low + 1 if steps == 2 ** (mantissa + 1) else low) - emax
        case ScaleRule.RCEIL:
            found = ceil(log2(np.float32(largest / np.float32(top))))
    return min(max(found, -127), 127)


@given(st.data(), tensors(), st.sampled_from(MX), st.sampled_from(list(ScaleRule)))
@settings(max_examples=80)
def test_mx_by_the_standard(data: st.DataObject, values: np.ndarray, name: str, rule: ScaleRule) -> None:
    number, axis = read_format(name), data.draw(st.integers(-values.ndim, values.ndim - 1))
    encoded = quantise(values, replace(number, rule=rule), axis=axis)
    decoded, parts = encoded.decode(), blocks(values, axis, 32)
    assert encoded.scales.size == len(parts)
    for part, code in zip(parts, encoded.scales, strict=True):
        power = exponent(np.abs(values[part]).max(), name, rule)
        assert int(code) == power + 127
        scaled = values[part].astype(np.float64) * 2.0**-power
        top, levels = OCP[name][1], number.element.levels
        gaps = np.abs(levels - np.clip(scaled, levels[0], top)[:, None])
        got = decoded[part].astype(np.float64) * 2.0**-power
        assert (np.abs(got - np.clip(scaled, levels[0], top)) == gaps.min(axis=1)).all()
    assert encoded.bits == number.bits * values.size + 8 * len(parts)


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("mxfp4", ml_dtypes.float4_e2m1fn),
        ("mxfp6e2m3", ml_dtypes.float6_e2m3fn),
        ("mxfp6e3m2", ml_dtypes.float6_e3m2fn),
        ("mxfp8e4m3", ml_dtypes.float8_e4m3fn),
        ("mxfp8e5m2", ml_dtypes.float8_e5m2),
    ],
)
@pytest.mark.parametrize("rule", list(ScaleRule))
def test_mx_codes_are_ml_dtypes(name: str, peer: type, rule: ScaleRule) -> None:
    values = np.random.default_rng(8).normal(size=(64, 96)).astype(np.float32)
    encoded = quantise(values, replace(read_format(name), rule=rule))
    scales = encoded.scales.view(ml_dtypes.float8_e8m0fnu).astype(np.float32).repeat(32).reshape(values.shape)
    top = OCP[name][1]
    assert (encoded.codes == np.clip(values / scales, -top, top).astype(peer).view(np.uint8)).all()


def test_rounding_of_e2m1() -> None:
    halves = {0.25: 0, 0.75: 1, 1.25: 1, 1.75: 2, 2.5: 2, 3.5: 4, 5: 4, 7: 6}
    values = np.float32([*halves, 4.0])  # the largest is 7, so the block's scale is 1
    encoded = quantise(values, read_format("mxfp4"))
    assert encoded.scales.tolist() == [127]
    assert encoded.decode().tolist() == [*halves.values(), 4]
    assert quantise(-values, read_format("mxfp4")).decode().tolist() == [-level for level in encoded.decode()]


@pytest.mark.parametrize("name", OCP)
def test_largest_levels_are_the_standards(name: str) -> None:
    assert read_format(name).element.top == OCP[name][1]


@given(tensors(), st.booleans())
@settings(max_examples=60)
def test_nvfp4_by_its_formula(values: np.ndarray, four_six: bool) -> None:
    encoded = quantise(values, read_format("nvfp4-46" if four_six else "nvfp4"))
    decoded, single = encoded.decode(), np.float32
    tensor = encoded.stored.tensor_scale[0]
    largest = np.abs(values).max()
    assert tensor == (largest / single(6 * (256 if four_six else 448)) if largest else 1)
    for part, code in zip(blocks(values, -1, 16), encoded.scales, strict=True):
        most, tried = np.abs(values[part]).max(), []
        for divisor in (6, 4) if four_six else (6,):
            scale = np.clip(single(most / single(divisor)) / tensor, single(2**-6), single(448)).astype(ml_dtypes.float8_e4m3fn)
            codes = np.clip(values[part] * (1 / tensor / single(scale)), -6, 6).astype(ml_dtypes.float4_e2m1fn)
            got = codes.astype(np.float32) * (single(scale) * tensor)
            tried.append((float(np.sum((values[part].astype(np.float64) - got) ** 2)), int(scale.view(np.uint8)), got.tolist()))
        _, wanted, got = min(tried, key=lambda each: each[0])
        assert int(code) == wanted
        assert decoded[part].tolist() == got
    assert encoded.bits == 4 * values.size + 8 * encoded.scales.size + 32


@given(tensors())
@settings(max_examples=40)
def test_m2xfp_weights_take_the_best_of_all_scales(values: np.ndarray) -> None:
    encoded = quantise(values, read_format("m2xfp"))
    error, best = 0.0, 0.0
    number, decoded = read_format("e2m1"), encoded.decode()
    for part in blocks(values, -1, 32):
        x, tried = values[part], []
        for shift in SHIFTS:
            power = min(max(exponent(np.abs(x).max(), "mxfp4", ScaleRule.FLOOR) + shift, -127), 127)
            scales = [np.float32(2.0**power) * factor for factor in FACTORS]
            tried.append(sum(min(_error(number, x[at : at + 8], scale) for scale in scales) for at in range(0, x.size, 8)))
        best += min(tried)
        error += float(np.sum((x.astype(np.float64) - decoded[part]) ** 2))
    assert error == pytest.approx(best, rel=1e-6, abs=1e-30)
    groups = sum(-(-values.shape[-1] // 8) for _ in range(values.size // values.shape[-1]))
    assert encoded.bits == 4 * values.size + 8 * encoded.scales.size + 8 * -(-2 * groups // 8)


def _error(number, values: np.ndarray, scale: np.float32) -> float:
    return float(np.sum((values - number.decode(number.encode(values, scale)) * float(scale)) ** 2))


@given(tensors())
@settings(max_examples=40)
def test_m2xfp_activations_refine_the_largest_code(values: np.ndarray) -> None:
    encoded, coarse = quantise(values, read_format("m2xfp-act")), quantise(values, read_format("mxfp4"))
    assert encoded.scales.tolist() == coarse.scales.tolist()
    assert encoded.codes.tolist() == coarse.codes.tolist()
    decoded, before = encoded.decode(), coarse.decode()
    for part, code in zip(blocks(values, -1, 32), encoded.scales, strict=True):
        for at in range(0, part[0].size, 8):
            here = tuple(axis[at : at + 8] for axis in part)
            scale = 2.0 ** (int(code) - 127)
            place = int(np.argmax(np.abs(before[here])))
            keep = np.arange(here[0].size) != place
            assert decoded[here][keep].tolist() == before[here][keep].tolist()
            base, x = abs(float(before[here][place])) / scale, abs(float(values[here][place])) / scale
            fine = [level for level in read_format("e2m3").levels if level >= 0]
            middle = fine.index(base)
            near = fine[max(middle - 1, 0) : middle + 3]
            assert abs(float(decoded[here][place])) / scale in near
            assert abs(abs(float(decoded[here][place])) / scale - x) == min(abs(level - x) for level in near)


@pytest.mark.parametrize("name", BLOCKS)
@given(values=tensors())
@settings(max_examples=15)
def test_kernels_equal_the_definition(name: str, values: np.ndarray) -> None:
    fast, plain = quantise(values, read_format(name)), quantise(values, read_format(name), plain=True)
    for part in ("packed", "scales", "metadata", "tensor_scale"):
        assert getattr(fast.stored, part).tolist() == getattr(plain.stored, part).tolist()


@pytest.mark.parametrize(("name", "wanted"), [("mxfp4", 18.78), ("nvfp4", 20.44)])
def test_sqnr_of_a_gaussian(name: str, wanted: float) -> None:
    values = np.random.default_rng(0).normal(size=1_000_000).astype(np.float32)
    assert quantise(values, read_format(name)).sqnr_db(values) == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize(("name", "bits"), [("mxfp4", 4.25), ("mxfp6e2m3", 6.25), ("mxint8", 8.25), ("m2xfp", 4.5), ("m2xfp-act", 4.5)])
def test_bits_an_element(name: str, bits: float) -> None:
    assert quantise(np.ones((8, 64)), read_format(name)).bits_per_element == bits


@pytest.mark.parametrize("name", BLOCKS)
def test_zeros_stay_zeros(name: str) -> None:
    assert not quantise(np.zeros((3, 40), np.float32), read_format(name)).decode().any()


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("largest", [1e-45, 3.4e38])
def test_the_ends_of_float32(name: str, largest: float) -> None:
    values = np.float32([largest, -largest / 2, 0] * 7)
    assert np.isfinite(quantise(values, read_format(name)).decode()).all()


def test_what_blocks_refuse() -> None:
    with pytest.raises(InputError, match=r"^mxfp4 has a scale for every 32 elements along an axis; leave granularity and group out$"):
        quantise([1.0], read_format("mxfp4"), granularity="channel")
    for name in BLOCKS:
        with pytest.raises(InputError, match=r"has a rule for its scales and takes no scale search; leave search out$"):
            quantise([1.0], read_format(name), search=Search())
