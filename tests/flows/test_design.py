"""What design.json keeps."""

from __future__ import annotations

import msgspec
import pytest

from ridgeline.errors import InputError
from ridgeline.explore.space import device_timing
from ridgeline.flows.design import Dram, Tier
from ridgeline.hardware.device import read_device


@pytest.mark.parametrize("name", ["ku060", "ulx3s-85f"])
@pytest.mark.parametrize("copies", [1, 7])
def test_the_memory_comes_back_as_it_was(name: str, copies: int) -> None:
    timing = device_timing(read_device(name), copies)
    assert msgspec.json.decode(msgspec.json.encode(Dram.of(timing)), type=Dram).timing() == timing


def test_a_design_of_before_has_no_tiers() -> None:
    old = b'{"bytes_numerator": 5, "bytes_denominator": 2, "read_latency_cycles": 30, "write_latency_cycles": 31}'
    assert msgspec.json.decode(old, type=Dram).timing().tiers == ()


def test_tiers_that_are_none_are_refused() -> None:
    tier = Tier(bytes=64, bytes_numerator=9, bytes_denominator=1)
    dram = Dram(bytes_numerator=8, bytes_denominator=1, read_latency_cycles=1, write_latency_cycles=1, tiers=(tier,))
    with pytest.raises(InputError, match="64 bytes on end take 64/9 cycles, less than at 8 bytes a cycle"):
        dram.timing()
