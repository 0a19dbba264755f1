"""Predicted resources: block RAMs as Yosys cuts them, and whole engines beside their synthesis."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from ridgeline.backends.rtl import emit
from ridgeline.backends.rtl.board import ENGINE as TOP
from ridgeline.hardware.device import Family
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.resources import ResourceCount, block_rams_18kb, memories, multipliers, resources
from ridgeline.tools.yosys import synthesise

FAMILIES: tuple[Family, ...] = ("ecp5", "xc7", "xcu", "xcup")
SMALL = Engine(
    lanes_out=4, lanes_in=4, taps=2, bus_bytes=4, activation_bytes=4096, weight_bytes=4096, output_bytes=2048, accumulator_depth=32
)


@pytest.mark.parametrize(
    ("width_bits", "depth", "blocks"),
    [
        # Yosys 0.70, one write and one read port, ram_style = "block": 18 Kb blocks on ECP5 and UltraScale+ alike.
        (8, 8, 1), (8, 2048, 1), (8, 4096, 2), (16, 1024, 1), (16, 4096, 4), (32, 512, 1), (32, 1024, 2), (32, 8192, 16), (64, 512, 2),
        (64, 2048, 8), (128, 512, 4), (128, 1024, 8), (128, 2048, 15), (128, 4096, 30), (256, 256, 8), (256, 1024, 15), (256, 4096, 58),
        (512, 64, 15), (512, 1024, 29), (1024, 32, 29), (1024, 1024, 57), (2048, 32, 57), (8, 32768, 16),
    ],
)  # fmt: skip
def test_memories_are_cut_as_yosys_cuts_them(width_bits: int, depth: int, blocks: int) -> None:
    assert block_rams_18kb(width_bits, depth) == blocks


def test_every_byte_of_a_buffer_has_its_place() -> None:
    for lanes_out, lanes_in, bus in product((4, 16, 64), (4, 16, 64), (4, 16, 128)):
        engine = replace(SMALL, lanes_out=lanes_out, lanes_in=lanes_in, bus_bytes=bus, activation_bytes=1 << 15, output_bytes=1 << 14)
        held = {item.name: item.count * item.width_bits * item.depth // 8 for item in memories(engine)}
        assert held["activation"] == engine.activation_bytes
        assert held["weight"] == engine.weight_bytes
        assert held["output"] == engine.output_bytes
        assert held["accumulators"] == 2 * 4 * lanes_out * engine.accumulator_depth
        assert held["tables"] == 8 * 256 * lanes_out


def test_a_larger_engine_takes_no_less() -> None:
    doubled = ("lanes_out", "lanes_in", "bus_bytes", "activation_bytes", "weight_bytes", "output_bytes", "accumulator_depth")
    for family, name in product(FAMILIES, doubled):
        for engine in (SMALL, replace(SMALL, lanes_out=16, lanes_in=16, bus_bytes=32, activation_bytes=1 << 16)):
            small, large = resources(engine, family), resources(replace(engine, **{name: 2 * getattr(engine, name)}), family)
            assert small.dsp <= large.dsp
            assert small.bram_18kb <= large.bram_18kb
            assert small.lut <= large.lut
            assert small.ff <= large.ff


def test_buffers_add_up() -> None:
    """The search adds what each buffer takes, so no two of them may share anything."""
    grown = {"activation_bytes": 1 << 16, "weight_bytes": 1 << 15, "output_bytes": 1 << 13, "accumulator_depth": 512}
    for family in FAMILIES:
        base = resources(SMALL, family)
        alone = [resources(replace(SMALL, **{name: size}), family) for name, size in grown.items()]
        together = resources(replace(SMALL, **grown), family)
        for field in ("dsp", "bram_18kb", "lut", "ff"):
            more = sum(getattr(item, field) - getattr(base, field) for item in alone)
            assert getattr(together, field) == getattr(base, field) + more


def test_counts_add() -> None:
    assert sum([ResourceCount(dsp=1, lut=2), ResourceCount(bram_18kb=3, ff=4)], ResourceCount()) == ResourceCount(
        dsp=1, lut=2, bram_18kb=3, ff=4
    )


@pytest.mark.parametrize("family", ["ecp5"])  # python -m bench resources has the others
def test_an_engine_that_nothing_was_fitted_to(family: Family, tmp_path: Path) -> None:
    found, expected = resources(SMALL, family), synthesise(emit(SMALL), TOP, family, tmp_path)
    assert multipliers(SMALL) == expected.dsp
    assert found.bram_18kb == expected.bram_18kb
    assert found.lut == pytest.approx(expected.lut, rel=0.2)
    assert found.ff == pytest.approx(expected.ff, rel=0.2)
