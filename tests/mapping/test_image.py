import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.mapping.image import packed_bytes, unpacked
from ridgeline.mapping.program import Placement


@given(st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)), st.integers(0, 4), st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_tensor_there_and_back(shape: tuple[int, int, int], gap: int, slack: int, seed: int) -> None:
    channels, _, width = shape
    place = Placement(name="t", address=4096, shape=shape, pixel_bytes=channels + gap, row_bytes=width * (channels + gap) + slack)
    values = np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)
    data = packed_bytes(place, values)
    assert len(data) == place.bytes
    assert (unpacked(place, data) == values).all()
    y, x, c = (size - 1 for size in (shape[1], shape[2], shape[0]))
    assert np.frombuffer(data, np.int8)[y * place.row_bytes + x * place.pixel_bytes + c] == values[c, y, x]


def test_wrong_shape() -> None:
    place = Placement(name="t", address=0, shape=(3, 2, 2), pixel_bytes=3, row_bytes=8)
    with pytest.raises(InputError, match=r"^tensor 't' has shape \(3, 2, 2\), but values of shape \(1, 2, 2\) were given$"):
        packed_bytes(place, np.zeros((1, 2, 2), np.int8))
