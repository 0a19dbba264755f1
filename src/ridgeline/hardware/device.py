"""FPGA devices with the memory of their board, read from TOML: one file a device, a source beside each figure."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ridgeline.hardware.toml import names_in, read_named

Family = Literal["ecp5", "xc7", "xcu", "xcup"]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**7)]  # of a resource
Positive = Annotated[int, msgspec.Meta(gt=0, le=10**7)]
Bytes = Annotated[int, msgspec.Meta(gt=0, le=10**15)]
Latency = Annotated[int, msgspec.Meta(gt=0, le=10**6)]  # cycles
Clock = Annotated[float, msgspec.Meta(ge=1, le=2000)]  # MHz
Text = Annotated[str, msgspec.Meta(min_length=1)]

MOST_BURSTS = 16  # lengths of a curve
DSP_KINDS: dict[Family, str] = {"ecp5": "MULT18X18D", "xc7": "DSP48E1", "xcu": "DSP48E2", "xcup": "DSP48E2"}
DEVICES = Path(__file__).parent / "devices"


class ResourceSources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each figure of `Resources` comes from."""

    lut: Text
    ff: Text
    dsp: Text
    bram_18kb: Text
    uram: Text


class Resources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the part has. A LUT is the family's own (4 inputs on ECP5, 6 on the others), a BRAM holds 18 Kb, a URAM 288 Kb."""

    lut: Positive
    ff: Positive
    dsp: Positive
    bram_18kb: Positive
    uram: Count
    sources: ResourceSources


class DramSources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each figure of `Dram` comes from."""

    bytes_per_s: Text
    capacity_bytes: Text
    read_latency_cycles: Text
    bursts: Text | None = None


class Burst(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What contiguous accesses of so many bytes attain."""

    bytes: Positive
    bytes_per_s: Bytes


class Dram(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The board's memory as the engine sees it: peak bandwidth, reads and writes together, and the cycles of the
    device's clock from an accepted read address to the first data. `bursts`, where measured, is the bandwidth of
    contiguous accesses, from short to long: at most MOST_BURSTS."""

    bytes_per_s: Bytes
    capacity_bytes: Bytes
    read_latency_cycles: Latency
    bursts: Annotated[tuple[Burst, ...], msgspec.Meta(max_length=MOST_BURSTS)] = ()
    sources: DramSources

    def __post_init__(self) -> None:
        """Raises ValueError, which the reader makes an InputError."""
        for shorter, longer in pairwise(self.bursts):
            if shorter.bytes >= longer.bytes or shorter.bytes_per_s > longer.bytes_per_s:
                raise ValueError(f"bursts of {shorter.bytes:,} and {longer.bytes:,} bytes: both figures must rise")
        if self.bursts and (self.bursts[-1].bytes_per_s > self.bytes_per_s or self.sources.bursts is None):
            raise ValueError("bursts need a source, and no more than bytes_per_s")

    @property
    def attained_bytes_per_s(self) -> int:
        """What long bursts attain: the peak, where nothing was measured."""
        return self.bursts[-1].bytes_per_s if self.bursts else self.bytes_per_s


class PlaceAndRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What nextpnr calls the part: its device option, package and speed grade; `user_io` is the package's pins for the user."""

    option: Text
    package: Text
    speed: Text
    user_io: Positive
    source: Text


class Board(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pins of the board for a bitstream: an oscillator, a reset button, a light, and a serial line each way."""

    clock: Text
    oscillator_mhz: Clock
    reset: Text
    reset_active_low: bool = False
    led: Text
    led_active_low: bool = False
    serial_in: Text  # into the FPGA
    serial_out: Text
    io_type: Text
    source: Text


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One FPGA on one board; `clock_mhz` is the clock that an engine is planned at, and `clock_source` says why.

    `part` is the full name that the vendor's tool knows the part by.
    """

    name: Text
    part: Text
    family: Family
    description: Text
    clock_mhz: Clock
    clock_source: Text
    resources: Resources
    dram: Dram
    nextpnr: PlaceAndRoute | None = None
    board: Board | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, which the reader makes an InputError."""
        if (self.family == "ecp5") != (self.nextpnr is not None):
            raise ValueError("a table [nextpnr] is needed for the family 'ecp5' and for no other")

    @property
    def bytes_per_cycle(self) -> float:
        """DRAM bytes a cycle of `clock_mhz`; may be a fraction, and less than one."""
        return self.dram.bytes_per_s / (self.clock_mhz * 1e6)

    @property
    def dsp_kind(self) -> str:
        """The vendor's name of the family's multiplier block."""
        return DSP_KINDS[self.family]


def device_names() -> tuple[str, ...]:
    """The devices that Ridgeline comes with."""
    return names_in(DEVICES)


def read_device(name_or_path: str | Path) -> Device:
    """The device of that name, or the one that a TOML file describes. Raises InputError."""
    return read_named(name_or_path, DEVICES, Device, "device")
