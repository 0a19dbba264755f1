"""Small engines of every shape that matters, for the tests that simulate them."""

from __future__ import annotations

from ridgeline.hardware.engine.engine import Engine

SMALL = Engine(lanes_out=4, lanes_in=8, bus_bytes=4, activation_bytes=8192, weight_bytes=8192, output_bytes=4096, accumulator_depth=64)
ENGINES = {
    "bus narrower than a vector": SMALL,
    "bus as wide as two": Engine(
        lanes_out=4, lanes_in=4, taps=2, bus_bytes=8, activation_bytes=8192, weight_bytes=8192, output_bytes=4096, accumulator_depth=64
    ),
    "bus wider than a block": Engine(
        lanes_out=8, lanes_in=4, taps=4, bus_bytes=32, activation_bytes=8192, weight_bytes=8192, output_bytes=4096, accumulator_depth=32
    ),
}
