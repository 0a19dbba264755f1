"""The interpreter on instructions written by hand, against sums written out."""

import numpy as np
import pytest

from ridgeline.errors import CheckFailedError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.interpreter import Machine, machine, step
from ridgeline.mapping.program import Compute, Load, Mode, Store, Target

ENGINE = Engine(
    lanes_out=4, lanes_in=8, taps=3, bus_bytes=8, activation_bytes=1024, weight_bytes=1024, output_bytes=1024, accumulator_depth=32
)


def _records(bias: list[int], multiplier: int, shift: int) -> bytes:
    return b"".join(((value & 0xFFFFFFFF) | multiplier << 32 | shift << 49).to_bytes(8, "little") for value in bias)


def _machine(data: np.ndarray, weights: bytes) -> Machine:
    memory = np.zeros(4096, np.uint8)
    memory[: data.size] = data.ravel().view(np.uint8)
    memory[1024 : 1024 + len(weights)] = np.frombuffer(weights, np.uint8)
    state = machine(ENGINE, memory)
    step(state, Load(target=Target.ACTIVATION, dram_address=0, buffer_address=4, beats=-(-data.size // 8)))
    step(state, Load(target=Target.WEIGHT, dram_address=1024, buffer_address=0, beats=-(-len(weights) // 8)))
    return state


def test_matrix_with_padding() -> None:
    rng = np.random.default_rng(1)
    data = rng.integers(-128, 128, (5, 8), dtype=np.int8)
    blocks = rng.integers(-128, 128, (3, 4, 8), dtype=np.int8)
    state = _machine(data, blocks.tobytes() + _records([100, -7, 0, 5], 1, 9))
    step(
        state,
        Compute(
            mode=Mode.MATRIX, address=32, row_bytes=40, rows=1, byte=-8, kx_count=3, kx_byte=8, x_count=5, x_byte=8, fill=-3,
            output_columns=5, output_address=2, output_pixel=2, zero_point=4, low=-100,
        ),
    )  # fmt: skip
    step(state, Store(dram_address=2048, dram_pixel=12, buffer_address=2, buffer_pixel=2, pixels=5, vectors=1))
    padded = np.pad(data, ((1, 1), (0, 0)), constant_values=-3).astype(int)
    total = sum(padded[k : k + 5] @ blocks[k].astype(int).T for k in range(3)) + np.array([100, -7, 0, 5])
    expected = np.clip((total + 256 >> 9) + 4, -100, 127)
    for x in range(5):
        assert state.memory[2048 + 12 * x : 2052 + 12 * x].view(np.int8).tolist() == expected[x].tolist()


def test_windows_and_masks() -> None:
    rng = np.random.default_rng(2)
    data = rng.integers(-128, 128, (2, 4, 8), dtype=np.int8)  # two rows of four pixels
    taps = rng.integers(-128, 128, (3, 4), dtype=np.int8)
    weights = taps.tobytes() + bytes(4) + _records([0] * 4, 1, 1)
    same = {"address": 32, "row_bytes": 32, "rows": 2, "byte": 4, "y_count": 2, "y_row": 1, "y_address": 32, "x_count": 4, "x_byte": 8}
    for mode in (Mode.DEPTHWISE, Mode.MAXIMUM):
        state = _machine(data, weights)
        step(state, Compute(mode=mode, **same, emit_from=2, tap_mask=5, output_rows=2, output_columns=2, output_row=2, last=0))
        got = state.accumulators[0, :4].reshape(2, 2, 4)
        window = np.stack([data[:, 2 - j : 4 - j, 4:] for j in range(3)]).astype(int)  # j, row, x, lane
        expected = np.einsum("jrxo,jo->rxo", window, taps.astype(int)) if mode is Mode.DEPTHWISE else window[[0, 2]].max(axis=0)
        assert (got == expected).all()


def test_product_and_hold() -> None:
    data = np.arange(-32, 32, dtype=np.int8).reshape(2, 4, 8)
    state = _machine(data, _records([0] * 4, 1, 1))
    compute = Compute(
        mode=Mode.PRODUCT, hold=1, address=32, row_bytes=64, rows=1, y_count=4, y_address=8, x_count=2, x_byte=32, emit_from=1,
        emit_stride=2, zero_a=3, zero_b=-2, output_columns=4, last=0,
    )  # fmt: skip
    step(state, compute)
    expected = (data[0, :, :4].astype(int) - 3) * (data[1, :, :4].astype(int) + 2)
    assert (state.accumulators[0, :4] == expected).all()


def test_checked_mode_finds_bytes_never_loaded() -> None:
    state = _machine(np.ones((1, 8), np.int8), np.ones((1, 4, 8), np.int8).tobytes() + _records([0] * 4, 1, 1))
    with pytest.raises(CheckFailedError, match="never loaded"):
        step(state, Compute(mode=Mode.MATRIX, address=32, row_bytes=16, rows=1, x_count=2, x_byte=8, output_columns=2))
    with pytest.raises(CheckFailedError, match="reaches byte 1032 of the activation buffer, which holds 1024"):
        step(state, Load(target=Target.ACTIVATION, dram_address=0, buffer_address=128, beats=1))
    with pytest.raises(CheckFailedError, match="drains 4 accumulators, but 1 were written"):
        step(state, Compute(mode=Mode.MATRIX, address=32, row_bytes=8, rows=1, output_columns=4))
