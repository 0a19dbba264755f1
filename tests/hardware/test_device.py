"""Devices: every file reads, has a source for each figure and agrees with what is known of its family."""

import re
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.explore.space import device_timing
from ridgeline.hardware.device import DEVICES, Burst, Device, device_names, read_device

PROMISED = {
    "arty-a7-100t", "bench-128B", "ecpix5-85f", "ku060", "kv260", "u250", "ulx3s-85f", "vc707", "vc709", "zcu102", "zcu104",
}  # fmt: skip


def test_the_promised_devices_are_there() -> None:
    assert set(device_names()) == PROMISED


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_device(name: str) -> None:
    device = read_device(name)
    assert device.name == name
    assert device.bytes_per_cycle == device.dram.bytes_per_s / (device.clock_mhz * 1e6)
    assert device.resources.ff in (device.resources.lut, 2 * device.resources.lut), "one flip-flop a LUT, two on 6-input parts"
    assert device.part.lower().startswith({"ecp5": "lfe5u", "xc7": "xc7", "xcu": "xcku", "xcup": "xc"}[device.family])
    for sources in (device.resources.sources, device.dram.sources):
        for field in sources.__struct_fields__:
            assert len(getattr(sources, field) or "no such figure") > 10, field


def test_the_bench_has_128_bytes_a_cycle() -> None:
    bench, board = read_device("bench-128B"), read_device("ku060")
    assert (bench.bytes_per_cycle, bench.clock_mhz, bench.dram.read_latency_cycles) == (128.0, 100, 64)
    assert bench.resources == board.resources


def test_long_bursts_attain_what_was_measured() -> None:
    board, unmeasured = read_device("ku060"), read_device("vc709")
    assert board.dram.attained_bytes_per_s == 10_000_000_000 < board.dram.bytes_per_s
    assert unmeasured.dram.attained_bytes_per_s == unmeasured.dram.bytes_per_s
    assert device_timing(board).bytes_per_cycle == 50


def test_short_bursts_take_what_was_measured() -> None:
    """At 200 MHz; from 1 to 4 KB the curve would be faster than the peak of 64 bytes a cycle."""
    timing = device_timing(read_device("ku060"))
    assert [tier.bytes for tier in timing.tiers] == [128, 1024, 4096, 32_768, 131_072]
    measured = {128: 128 / 0.43 / 5, 1024: 1024 / 5, 4096: 1024 / 5 + 3072 / 64, 32_768: 32_768 / 7.53 / 5, 131_072: 131_072 / 50, 200_000: 4000}
    for length, cycles in measured.items():
        assert float(timing.cycles(length)) == pytest.approx(cycles)
    for one, third in zip(timing.tiers, device_timing(read_device("ku060"), 3).tiers, strict=True):
        assert float(third.bytes_per_cycle) == pytest.approx(float(one.bytes_per_cycle) / 3)
    assert device_timing(read_device("vc709")).tiers == ()


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(10**6, 10**10)), min_size=1, max_size=16), st.integers(1, 16))
def test_no_stretch_is_faster_than_long_ones(points: list[tuple[int, int]], copies: int) -> None:
    board = read_device("ku060")
    lengths, rates = sorted({length for length, _ in points}), sorted(rate for _, rate in points)
    bursts = tuple(Burst(bytes=length, bytes_per_s=rate) for length, rate in zip(lengths, rates, strict=False))
    dram = msgspec.structs.replace(board.dram, bursts=bursts)
    timing = device_timing(msgspec.structs.replace(board, dram=dram), copies)
    peak = Fraction(dram.bytes_per_s, 200 * 10**6 * copies)
    start, total = 0, Fraction(0)
    for burst, tier in zip(bursts, timing.tiers, strict=True):
        total += (tier.bytes - start) / tier.bytes_per_cycle
        assert timing.cycles(tier.bytes) == total >= Fraction(burst.bytes) / burst.bytes_per_s * 200 * 10**6 * copies
        assert tier.bytes_per_cycle <= peak
        start = tier.bytes
    credit = timing.credit(16)
    for beats in {1, *(-(-length // 16) + more for length in lengths for more in (0, 1, 1000))}:
        charged, begin = 0, 0
        for end, cost in (*credit.tiers, (1 << 62, credit.rest)):
            charged += (min(end, 16 * beats) - begin) // 16 * cost if 16 * beats > begin else 0
            begin = end
        assert charged >= 16 * beats / timing.bytes_per_cycle * credit.gain
        if any(16 * beats == end for end, _ in credit.tiers):
            assert charged / credit.gain == pytest.approx(float(timing.cycles(16 * beats)), rel=1e-3)


def test_bytes_per_cycle_may_be_a_fraction() -> None:
    assert read_device("ulx3s-85f").bytes_per_cycle == pytest.approx(2.66)


def test_dsp_kinds() -> None:
    assert {(device.family, device.dsp_kind) for device in map(read_device, device_names())} == {
        ("ecp5", "MULT18X18D"),
        ("xc7", "DSP48E1"),
        ("xcu", "DSP48E2"),
        ("xcup", "DSP48E2"),
    }


def test_only_ecp5_has_place_and_route() -> None:
    routed = {name for name in device_names() if read_device(name).nextpnr}
    assert routed == {"ulx3s-85f", "ecpix5-85f"}


def test_a_device_from_a_file(tmp_path: Path) -> None:
    path = _edited(tmp_path, 'name = "vc707"', 'name = "mine"')
    assert read_device(path).name == "mine"
    assert read_device(str(path)) == read_device(path)


def test_unknown_device() -> None:
    with pytest.raises(UnknownNameError, match=re.escape("unknown device 'ulx3s-85'; did you mean 'ulx3s-85f'?")):
        read_device("ulx3s-85")


@pytest.mark.parametrize("path", ["nowhere.toml", "some/where"])
def test_a_file_that_is_not_there(path: str) -> None:
    with pytest.raises(InputError, match=f"device file '{path}' does not exist"):
        read_device(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lut = 303_600", "lut = 303_600\nluts = 1", "unknown field `luts` - at `$.resources`"),
        ("lut = 303_600", "", "missing required field `lut` - at `$.resources`"),
        ("lut = 303_600", "lut = 0", "Expected `int` >= 1 - at `$.resources.lut`"),
        ("bram_18kb = 2_060", f"bram_18kb = {2**63 - 1}", "Expected `int` <= 10000000 - at `$.resources.bram_18kb`"),
        ("read_latency_cycles = 30", f"read_latency_cycles = {2**63 - 1}", "Expected `int` <= 1000000 - at `$.dram.read_latency_cycles`"),
        ("[dram.sources]", "bursts = [{ bytes = 64, bytes_per_s = 9 }, { bytes = 64, bytes_per_s = 9 }]\n[dram.sources]", "both figures must rise"),
        ("[dram.sources]", "bursts = [{ bytes = 64, bytes_per_s = 9 }]\n[dram.sources]", "bursts need a source, and no more than bytes_per_s"),
        (
            "[dram.sources]",
            f"bursts = [{', '.join(f'{{ bytes = {i}, bytes_per_s = 9 }}' for i in range(1, 18))}]\n[dram.sources]",
            "Expected `array` of length <= 16 - at `$.dram.bursts`",
        ),
        ("clock_mhz = 100", "clock_mhz = -1.0", "Expected `float` >= 1.0 - at `$.clock_mhz`"),
        ("clock_mhz = 100", "clock_mhz = inf", "Expected `float` <= 2000.0 - at `$.clock_mhz`"),
        ('family = "xc7"', 'family = "xc9"', "Invalid enum value 'xc9' - at `$.family`"),
        ('family = "xc7"', 'family = "ecp5"', "a table [nextpnr] is needed for the family 'ecp5' and for no other"),
        ("[resources.sources]", "[resources.sources", "is no TOML"),
    ],
)
def test_bad_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = _edited(tmp_path, old, new)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_device(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "noise.toml"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match=re.escape(f"device file '{path}'")):
        read_device(path)


def test_a_device_is_frozen() -> None:
    device: Device = read_device("vc707")
    with pytest.raises(AttributeError):
        device.clock_mhz = 1.0  # type: ignore[misc]


def _edited(folder: Path, old: str, new: str) -> Path:
    text = (DEVICES / "vc707.toml").read_text()
    assert text.count(old) == 1
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new))
    return path
