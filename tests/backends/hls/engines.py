"""Engines of any lanes, as the C++ may have them."""

from __future__ import annotations

import numpy as np

from ridgeline.hardware.engine.engine import Engine


def random_engine(rng: np.random.Generator, *, tm: int, tn: int, pixels: int) -> Engine:
    """Tm x Tn lanes, accumulators for `pixels` = Tr * Tc, and buffers of any size."""
    word, bus = max(tm, tn), 1 << int(rng.integers(0, 6))
    banks = -(-word // bus) * bus
    return Engine(
        lanes_out=tm,
        lanes_in=tn,
        taps=int(rng.integers(min(2, tn), min(5, tn + 1))),
        bus_bytes=bus,
        activation_bytes=int(rng.integers(3000, 40000)) // banks * banks,
        weight_bytes=int(rng.integers(4 * word * word + 32 * word + 4000, 60000)),
        output_bytes=int(rng.integers(1000, 9000)),
        accumulator_depth=pixels,
    )
