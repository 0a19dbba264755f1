"""The engines that could be built: every choice of lanes, taps and bus within the device's multipliers and bandwidth, and of the buffers' sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from math import floor

from ridgeline.errors import InputError
from ridgeline.hardware.device import Device, Dram
from ridgeline.hardware.engine.engine import Engine
from ridgeline.hardware.engine.storage import INT8, KEPT_SHARE, NONE, bank
from ridgeline.mapping.schedule import DramTiming, Tier

LANES = (4, 8, 16, 32, 64)
NARROW = 8  # lanes: arrays with fewer of either kind are considered only where no other fits
TAPS = (1, 2, 3)
BUSES = (4, 8, 16, 32, 64, 128)
BUFFERS = ("activation_bytes", "weight_bytes", "output_bytes", "accumulator_depth")
SMALLEST = (1 << 10, 1 << 10, 1 << 10, 1 << 5)
LARGEST = (1 << 23, 1 << 23, 1 << 22, 1 << 12)
PARTS = 1 << 30
CAPS = ("dsp", "bram", "lut", "ff")
Storages = tuple[tuple[str, str], ...]  # weight formats and sparsity patterns of engines
PLAIN: Storages = ((INT8, NONE),)
PINS = ("lanes_out", "lanes_in", "taps", "bus_bytes", *BUFFERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an engine may take."""

    dsp: int
    bram_18kb: int
    lut: int
    ff: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """`pins` fixes fields of the engine; `dram` and `limits` are one engine's share where there are several `copies`. `storages` are what engines may
    have of weights that are not dense int8."""

    device: Device
    dram: DramTiming
    limits: Limits
    copies: int = 1
    taps: tuple[int, ...] = TAPS
    pins: Mapping[str, int] = field(default_factory=dict[str, int])
    storages: Storages = PLAIN

    @classmethod
    def of(
        cls, device: Device, *, caps: Mapping[str, int] | None = None, pins: Mapping[str, int] | None = None, copies: int = 1,
        storages: Storages = PLAIN,
    ) -> Space:  # fmt: skip
        """All of the device within the caps. Raises InputError for a cap of an unknown name."""
        bounds = limits(device, caps or {}, copies)
        return cls(device=device, dram=device_timing(device, copies), limits=bounds, copies=copies, pins=pins or {}, storages=storages)

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """Of each buffer, doubling: from the smallest to what the device's block RAMs hold, or the pinned one."""
        most = self.limits.bram_18kb * 18 * 1024 // 8
        found: list[tuple[int, ...]] = []
        for name, low, high in zip(BUFFERS, SMALLEST, LARGEST, strict=True):
            bound = high if name == "accumulator_depth" else max(low, min(high, most))
            every = tuple(low << k for k in range((bound // low).bit_length()))
            found.append((self.pins[name],) if name in self.pins else every)
        return tuple(found)

    def corners(self) -> Iterator[Engine]:
        """Every choice of lanes, taps, bus and storage, each with the smallest buffers."""
        smallest = dict(zip(BUFFERS, (sizes[0] for sizes in self.sizes()), strict=True))
        buses = self._choices("bus_bytes", useful_buses(self.dram.bytes_per_cycle))
        for lanes_out in self._choices("lanes_out", LANES):
            for lanes_in in self._choices("lanes_in", LANES):
                for taps in self._choices("taps", self.taps):
                    if taps > lanes_in and "taps" not in self.pins:
                        continue
                    for bus, (weight_format, sparsity) in product(buses, self.storages):
                        if bank(sparsity) <= KEPT_SHARE * lanes_in:
                            lanes = {"lanes_out": lanes_out, "lanes_in": lanes_in, "taps": taps, "bus_bytes": bus}
                            yield Engine(**lanes, **smallest, weight_format=weight_format, sparsity=sparsity)

    def _choices(self, name: str, every: tuple[int, ...]) -> tuple[int, ...]:
        return (self.pins[name],) if name in self.pins else every


def is_narrow(engine: Engine) -> bool:
    """Such an array is for parts that hold no wider one: its shape would fit one network only, and the next program runs on the same engine."""
    return min(engine.lanes_out, engine.lanes_in) < NARROW


def useful_buses(bytes_per_cycle: Fraction) -> tuple[int, ...]:
    """Up to the first that takes all the bandwidth: a wider one moves no more."""
    enough = next((bus for bus in BUSES if bus >= bytes_per_cycle), BUSES[-1])
    return tuple(bus for bus in BUSES if bus <= enough)


def device_timing(device: Device, copies: int = 1) -> DramTiming:
    """The device's memory at its clock, or one engine's equal share of it: a write is acknowledged as late as a read arrives. `bytes_per_cycle` is
    the bandwidth of long stretches, and the device's curve makes the tiers before."""
    share = Fraction(str(device.clock_mhz)) * 10**6 * copies
    latency = device.dram.read_latency_cycles
    return DramTiming(
        bytes_per_cycle=device.dram.attained_bytes_per_s / share,
        read_latency_cycles=latency,
        write_latency_cycles=latency,
        tiers=tuple(_tiers(device.dram, share)),
    )


def _tiers(dram: Dram, share: Fraction) -> Iterator[Tier]:
    """Of the curve of T(L) = L / rate(L) seconds, `share` cycles each: between two of its knots the bytes take what T grows by, and no less than at
    the peak, so that from there on T may be above the curve. Rates are rounded down to whole PARTS of a byte a cycle, which a file can hold."""
    start, time = 0, Fraction(0)
    for knot in dram.bursts:
        end = max(Fraction(knot.bytes, knot.bytes_per_s), time + Fraction(knot.bytes - start, dram.bytes_per_s))
        rate = (knot.bytes - start) / ((end - time) * share)
        yield Tier(bytes=knot.bytes, bytes_per_cycle=Fraction(floor(rate * PARTS), PARTS))
        start, time = knot.bytes, end


def limits(device: Device, caps: Mapping[str, int], copies: int = 1) -> Limits:
    """Each engine's share of the device's resources, or of less. Raises InputError for a cap of an unknown name."""
    unknown = sorted(set(caps) - set(CAPS))
    if unknown:
        raise InputError(f"cap '{unknown[0]}' is none of {', '.join(CAPS)}")
    have = device.resources
    return Limits(
        dsp=min(have.dsp, caps.get("dsp", have.dsp)) // copies,
        bram_18kb=min(have.bram_18kb, caps.get("bram", have.bram_18kb)) // copies,
        lut=min(have.lut, caps.get("lut", have.lut)) // copies,
        ff=min(have.ff, caps.get("ff", have.ff)) // copies,
    )


def with_buffers(engine: Engine, sizes: tuple[int, ...]) -> Engine:
    return replace(engine, **dict(zip(BUFFERS, sizes, strict=True)))
