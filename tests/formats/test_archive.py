"""Packed tensors: round trips of any shape, exact sizes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ridgeline.errors import InputError
from ridgeline.formats import Encoded, Table, format_names, header_bytes, pack, quantise, read_format, unpack
from ridgeline.formats.stored import Whole

NAMES = [name for name in format_names() if name != "upot8"]


@st.composite
def encodings(draw: st.DrawFn) -> Encoded:
    number = read_format(draw(st.sampled_from(NAMES)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=35))
    values = np.abs(np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    if isinstance(number, Whole) and number.block:
        return quantise(values, number, axis=axis)
    kind = draw(st.sampled_from(["tensor", "channel", "group"]))
    if kind == "group" and shape[axis] >= 2:
        return quantise(values, number, granularity="group", axis=axis, group=2)
    return quantise(values, number) if kind == "tensor" else quantise(values, number, granularity="channel", axis=axis)


@given(encodings())
@settings(max_examples=200)
def test_round_trip(encoded: Encoded) -> None:
    data = pack(encoded)
    assert len(data) == header_bytes(encoded) + -(-encoded.bits // 8)
    back = unpack(data)
    assert pack(back) == data
    assert back.format.bits == encoded.format.bits
    assert back.shape == encoded.shape
    assert back.decode().tolist() == encoded.decode().tolist()
    assert back.codes.tolist() == encoded.codes.tolist()


@given(encodings(), st.data())
@settings(max_examples=100)
def test_changed_bytes_are_refused(encoded: Encoded, data: st.DataObject) -> None:
    whole = pack(encoded)
    with pytest.raises(InputError):
        unpack(whole[: data.draw(st.integers(0, len(whole) - 1))])
    place = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(InputError):
        unpack(whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], r"packed tensor of shape \(2, 3\) in int4 has \d+ bytes and should have \d+; read it anew"),
        (lambda data: data[:-1] + b"x", r"packed tensor of shape \(2, 3\) in int4: the checksum differs, so bytes were changed; read it anew"),
        (lambda data: data[:4] + b"\2" + data[5:], r"packed tensor is of version 2; this Ridgeline reads version 1, so pack it anew"),
        (lambda data: data[:40], r"packed tensor's header of \d+ bytes is cut off or changed; read it anew"),
        (lambda data: b"PK" + data[2:], r"\d+ bytes do not begin with a packed tensor's header"),
    ],
)
def test_messages(change, message: str) -> None:
    data = pack(quantise(np.ones((2, 3)), read_format("int4")))
    with pytest.raises(InputError, match=f"^{message}$"):
        unpack(change(data))


def test_a_format_without_a_name() -> None:
    ternary = Table(name="ternary", bits=2, table=(0, 1, -1, 0))
    data = pack(quantise([1.0, -1.0, 0.2], ternary))
    assert unpack(data, format=ternary).decode().tolist() == [1, -1, 0]
    with pytest.raises(InputError, match=r"^unknown format 'ternary'"):
        unpack(data)
    with pytest.raises(InputError, match=r"^packed tensor is in format 'ternary', not 'int4'$"):
        unpack(data, format=read_format("int4"))
