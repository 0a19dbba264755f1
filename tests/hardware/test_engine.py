"""Engines: what the C++ may be, and what the Verilog asks for besides."""

import pytest

from ridgeline.errors import InputError
from ridgeline.hardware.engine.engine import Engine

SIZES = {"activation_bytes": 4096, "weight_bytes": 4096, "output_bytes": 1024, "accumulator_depth": 32}


def test_any_lanes() -> None:
    """<Tm, Tn> = <64, 7>: weight words and pixels take whole vectors and whole beats."""
    engine = Engine(lanes_out=64, lanes_in=7, bus_bytes=16, **SIZES)
    assert engine.macs == 448
    assert engine.weight_word_bytes == 64
    assert engine.block_words == 7
    assert engine.pixel_step_bytes == 64
    turned = Engine(lanes_out=7, lanes_in=64, bus_bytes=32, **SIZES)
    assert turned.pixel_step_bytes == 70
    assert turned.weight_word_bytes == 64
    assert Engine(lanes_out=20, lanes_in=3, bus_bytes=16, **SIZES).weight_word_bytes == 32


@pytest.mark.parametrize("lanes", [(4, 4), (16, 8), (8, 64), (64, 64)])
@pytest.mark.parametrize("bus", [4, 32, 128])
def test_powers_of_two_are_as_ever(lanes: tuple[int, int], bus: int) -> None:
    engine = Engine(lanes_out=lanes[0], lanes_in=lanes[1], bus_bytes=bus, **SIZES)
    engine.require_powers_of_two()
    assert engine.pixel_step_bytes == max(lanes)
    assert engine.weight_word_bytes == max(bus, *lanes)


def test_the_verilog_has_at_most_64_lanes() -> None:
    engine = Engine(lanes_out=128, lanes_in=4, bus_bytes=16, **SIZES)
    with pytest.raises(InputError, match=r"lanes_out is 128; it must be a power of two in 4\.\.64"):
        engine.require_powers_of_two()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes_out": 0}, "lanes_out is 0; it must be in 1..1024, and for Verilog a power of two in 4..64"),
        ({"lanes_in": 1025}, "lanes_in is 1025; it must be in 1..1024, and for Verilog a power of two in 4..64"),
        ({"bus_bytes": 12}, "bus_bytes is 12; it must be a power of two in 1..128, and for Verilog in 4..128"),
        ({"accumulator_depth": 5000}, "accumulator_depth is 5000; it must be in 1..4096, and for Verilog a power of two in 32..4096"),
        ({"taps": 9}, r"taps is 9; it must be in 1..lanes_in \(8\)"),
    ],
)
def test_out_of_range(changes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Engine(**{"lanes_out": 8, "lanes_in": 8, "bus_bytes": 8, **SIZES, **changes})


@pytest.mark.parametrize(("name", "value"), [("lanes_out", 12), ("lanes_in", 2), ("bus_bytes", 2), ("weight_bytes", 5000), ("output_bytes", 512)])
def test_the_verilog_asks_for_powers_of_two(name: str, value: int) -> None:
    engine = Engine(**{"lanes_out": 8, "lanes_in": 8, "bus_bytes": 8, "taps": 2, **SIZES, name: value})
    with pytest.raises(InputError, match=f"engine: {name} is {value}; it must be a power of two in"):
        engine.require_powers_of_two()
