"""The notation: axes, MACs, footprints, reuse."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import InputError

CONV = "n c (y*s+r) (x*s+q), m c r q -> n m y x"
AXES = {"n": 1, "c": 3, "m": 8, "y": 5, "x": 6, "r": 3, "q": 2}


def conv() -> Nest:
    return parse(CONV, axes=AXES, factors={"s": 2}, multiplies=True)


def test_a_convolution() -> None:
    nest = conv()
    assert nest.macs == 3 * 8 * 5 * 6 * 3 * 2
    assert nest.footprint() == {"input": 3 * 11 * 12, "weight": 8 * 3 * 3 * 2, "output": 8 * 5 * 6}
    assert nest.footprint({"c": 1, "m": 4, "y": 2, "x": 1}) == {"input": 1 * 5 * 2, "weight": 4 * 1 * 3 * 2, "output": 4 * 2 * 1}
    assert nest.reduced == ("c", "r", "q")
    assert nest.reuse_axes("weight") == ("n", "y", "x")
    assert nest.reuse_axes("input") == ("m",)
    assert nest.reuse()["weight"] == 30.0
    assert nest.footprint_bytes({"c": 1, "y": 1, "x": 1}, bytes_per_element={"output": 4}) == {"input": 6, "weight": 48, "output": 32}


def test_a_pool_counts_no_macs() -> None:
    nest = parse("n c (y*2+r) (x*2+q) -> n c y x", axes={"n": 1, "c": 4, "y": 3, "x": 3, "r": 2, "q": 2})
    assert (nest.macs, nest.iterations) == (0, 144)


@given(st.data())
def test_footprint_is_what_a_tile_touches(data: st.DataObject) -> None:
    """Counted one by one, for steps that leave no hole."""
    sizes = {axis: data.draw(st.integers(1, 3), label=axis) for axis in "cmyxrq"}
    stride = data.draw(st.integers(1, 2), label="stride")
    sizes["r"], sizes["q"] = max(stride, sizes["r"]), max(stride, sizes["q"])
    nest = parse("c (y*s+r) (x*s+q), m c r q -> m y x", axes=sizes, factors={"s": stride})
    tile = {axis: data.draw(st.integers(1, size), label=f"tile {axis}") for axis, size in sizes.items() if axis not in "rq"}
    ranges = {axis: range(tile.get(axis, size)) for axis, size in sizes.items()}
    points = [dict(zip(ranges, point, strict=True)) for point in product(*ranges.values())]
    touched = {(p["c"], p["y"] * stride + p["r"], p["x"] * stride + p["q"]) for p in points}
    assert nest.footprint(tile)["input"] == len(touched)
    assert nest.reuse(tile)["input"] == len(points) / len(touched)


@pytest.mark.parametrize(
    ("notation", "axes", "message"),
    [
        ("n c", {"n": 1, "c": 2}, "nest 'n c' has no '->' with the result after it"),
        ("a -> b", {"a": 1}, "nest 'a -> b': 'b' is no axis, and no axis times a number; axes are a"),
        ("(a*s) -> a", {"a": 1}, "nest '(a*s) -> a': 's' is neither an axis nor a factor"),
        ("(a*b) -> a b", {"a": 1, "b": 1}, "nest '(a*b) -> a b': 'a*b' is no axis, and no axis times a number; axes are a, b"),
        ("a -> a", {"a": 1, "b": 2}, "nest 'a -> a' uses no axis b"),
    ],
)
def test_bad_notation(notation: str, axes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(notation, axes=axes)
    assert str(caught.value) == message


def test_bad_questions() -> None:
    with pytest.raises(InputError, match=r"^tile y=9 of nest .*: axes are \{'n': 1, .*\}$"):
        conv().footprint({"y": 9})
    with pytest.raises(InputError, match=r"has no operand 'bias'; it has input, weight, output$"):
        conv().reuse_axes("bias")
