"""The uniform engine's cost of a layer, from its nest: FPGA'15's model (10.1145/2684746.2689060, section 3) with Caffeine's (10.1145/2966986.2967011,
section 4) and this project's own engine as options of it.

A layer is Conv's nest of axes m, c, y, x, r, q. On chip lies a tile of Tm x Tn x Tr x Tc of its m, c, y, x; the loops over tiles run in some order,
and an array is moved once a round of every loop that is outside of, or is, the innermost one that it depends on (local memory promotion). Then

    cycles  = rounds of all tile loops x (steps of a tile x Tr x Tc + fill)
    traffic = sum over the arrays of rounds x the tile's bytes
    time    = max(cycles / clock, sum over the arrays of bytes / bandwidth(burst of that array, a tile))

`cost` is this in plain Python, from the nest alone; `uniform_kernel` is the same in closed form, for searches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import permutations
from math import log2, prod

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.formats import Format

LOOPS = ("m", "c", "y", "x")  # over tiles
ORDERS: tuple[tuple[str, ...], ...] = tuple(permutations(LOOPS))  # outermost first
MOST_PORTS = 64  # of a memory
MOST_GB_PER_S = 10**9
FILL_CYCLES = 20  # of the array's pipeline, once a tile: inferred from FPGA'15's published cycle counts
ARRAYS: Mapping[str, str] = {"input": "cyx", "weight": "mc", "output": "myx"}  # the tile loops that each depends on


class Reduction(IntEnum):
    """What is spread over the Tn lanes."""

    CHANNELS = 0  # input channels, as in FPGA'15: a kernel of K x K takes K x K steps
    ROW = 1  # a kernel row of them, as in this project's Verilog: K steps, and a first layer of 3 channels fills the lanes
    WINDOW = 2  # the whole window, gathered while it is loaded: 1 step


class Sharing(IntEnum):
    """How the copies of an unrolled loop share an array (FPGA'15, section 3.3): it decides the wiring of the lanes."""

    IRRELEVANT = 0  # all use the same element: a broadcast, or an adder tree into it
    INDEPENDENT = 1  # each uses elements of its own: a direct wire to its bank
    DEPENDENT = 2  # elements of several lie in one bank: a crossbar


def sharing(nest: Nest, array: str, axis: str) -> Sharing:
    """Of one array ("input", "weight" or "output") over one axis of a nest."""
    operand = next(operand for operand in nest.operands if operand.name == array)
    used = [index for index in operand.indices if axis in index]
    if not used:
        return Sharing.IRRELEVANT
    loops = {name for index in used for name in index if nest.axes[name] > 1 and name != "g"}
    return Sharing.INDEPENDENT if loops <= {axis} else Sharing.DEPENDENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is counted. `whole_tiles`: a tile at the border costs as much as any, in cycles and in bytes (FPGA'15); else what it holds."""

    fill_cycles: int = FILL_CYCLES
    whole_tiles: bool = False
    promotion: bool = True
    reduction: Reduction = Reduction.CHANNELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """DRAM's bandwidth. `bursts`, if any, are (bytes, GB/s) from short to long; between them it is interpolated on logarithmic axes, below them it
    is in proportion to the burst, above them it is the last one's. `ports`, if any, are AXI ports of so many GB/s each, of which `weight_ports` carry
    the weights and the others the maps."""

    gb_per_s: float
    bursts: tuple[tuple[int, float], ...] = ()
    ports: int = 0
    weight_ports: int = 0
    port_gb_per_s: float = 0.0

    def __post_init__(self) -> None:
        if not MOST_GB_PER_S**-1 <= self.gb_per_s <= MOST_GB_PER_S:
            raise InputError(f"a memory of {self.gb_per_s:g} GB/s; give a bandwidth above 0, at most {MOST_GB_PER_S:,} GB/s")
        shared = 0 < self.weight_ports < self.ports <= MOST_PORTS and self.port_gb_per_s > 0
        if self.ports and not shared:
            given = f"{self.ports} ports of {self.port_gb_per_s:g} GB/s, {self.weight_ports} of them for weights"
            raise InputError(f"{given}; give none, or 2 to {MOST_PORTS}, of which some carry the weights and the others the maps")

    def effective_gb_per_s(self, burst_bytes: float) -> float:
        """What bursts of this length attain."""
        if not self.bursts:
            return self.gb_per_s
        (low, rate), last = self.bursts[0], self.bursts[-1]
        if burst_bytes <= low:
            return rate * burst_bytes / low
        for (first, slow), (second, fast) in zip(self.bursts, self.bursts[1:], strict=False):
            if burst_bytes <= second:
                share = log2(burst_bytes / first) / log2(second / first)
                return slow * (fast / slow) ** share
        return last[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """What lies on chip of each array, by axis: Tm, Tn, Tr, Tc of the papers are m, c, y, x."""

    m: int
    c: int
    y: int
    x: int

    def __getitem__(self, axis: str) -> int:
        return int(getattr(self, axis))


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformCost:
    """Of one layer of one image (or of a batch, for a fully connected layer mapped as one). Adds."""

    macs: int = 0
    cycles: int = 0  # of the array, fills included
    fill_cycles: int = 0
    bytes: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(ARRAYS, 0.0))
    memory_s: float = 0.0

    def __add__(self, other: UniformCost) -> UniformCost:
        return UniformCost(
            macs=self.macs + other.macs,
            cycles=self.cycles + other.cycles,
            fill_cycles=self.fill_cycles + other.fill_cycles,
            bytes={name: self.bytes[name] + other.bytes[name] for name in ARRAYS},
            memory_s=self.memory_s + other.memory_s,
        )

    def __mul__(self, times: int) -> UniformCost:
        return UniformCost(
            macs=self.macs * times,
            cycles=self.cycles * times,
            fill_cycles=self.fill_cycles * times,
            bytes={name: count * times for name, count in self.bytes.items()},
            memory_s=self.memory_s * times,
        )

    @property
    def total_bytes(self) -> float:
        return sum(self.bytes.values())

    @property
    def intensity(self) -> float:
        """Operations a byte of DRAM traffic: the computation-to-communication ratio."""
        return 2 * self.macs / self.total_bytes

    def time_s(self, clock_mhz: float) -> float:
        """Loads and stores run beside the array."""
        return max(self.cycles / (clock_mhz * 1e6), self.memory_s)

    def gops(self, clock_mhz: float) -> float:
        return 2 * self.macs / self.time_s(clock_mhz) / 1e9

    def bandwidth_gb_per_s(self, clock_mhz: float) -> float:
        """What the array needs to be kept busy, fills apart (as FPGA'15 has it)."""
        return self.total_bytes / (self.cycles - self.fill_cycles) * clock_mhz * 1e6 / 1e9


def require_uniform(nest: Nest, where: str) -> None:
    """Raises UnsupportedError for a nest that is not a convolution's."""
    moved = {"y", "x"} <= set(nest.output.axes) and all(len(index) == 1 or "m" in index for index in nest.output.indices)
    if not nest.multiplies or not {*LOOPS, "r", "q"} <= set(nest.axes) or not moved:
        raise UnsupportedError(f"{where}: the uniform engine runs convolutions and fully connected layers; its nest is '{nest.notation}'")


def fully_connected(inputs: int, outputs: int, *, batch: int = 1, kernel: int = 1, weight_major: bool = False) -> Nest:
    """A fully connected layer of a batch as a convolution of a 1 x kernel window with a stride of kernel (Caffeine, section 4.2): input-major, the
    batch lies along the map and the weights are the kernels; weight-major, the outputs' weights lie along the map and the batch are the kernels.

    Raises InputError when `kernel` does not divide `inputs`.
    """
    if inputs % kernel:
        raise InputError(f"a fully connected layer of {inputs:,} inputs cannot be cut into windows of {kernel}")
    filters, positions = (batch, outputs) if weight_major else (outputs, batch)
    axes = {"n": 1, "m": filters, "c": inputs // kernel, "y": 1, "x": positions, "r": 1, "q": kernel}
    factors = {"s": 1, "t": kernel, "d": 1, "e": 1}
    return parse("n c (y*s+r*d) (x*t+q*e), m c r q -> n m y x", axes=axes, factors=factors, multiplies=True)


def tile_of(nest: Nest, *, tm: int, tn: int, tr: int, tc: int, model: Model) -> Tile:
    """Clipped to the layer. Where kernel positions share the lanes with the channels, all channels are on chip."""
    axes = nest.axes
    channels = min(tn, axes["c"]) if model.reduction is Reduction.CHANNELS else axes["c"]
    return Tile(m=min(tm, axes["m"]), c=channels, y=min(tr, axes["y"]), x=min(tc, axes["x"]))


def steps(nest: Nest, channels: int, tn: int, model: Model) -> int:
    """Of the array for each output pixel of a tile: the reduction of so many channels, Tn at a time."""
    rows, columns = nest.axes["r"], nest.axes["q"]
    match model.reduction:
        case Reduction.CHANNELS:
            return rows * columns * -(-channels // tn)
        case Reduction.ROW:
            return rows * -(-channels * columns // tn)
        case Reduction.WINDOW:
            return -(-channels * columns * rows // tn)


def cost(nest: Nest, tile: Tile, order: Sequence[str], *, tn: int, format: Format, memory: Memory, model: Model) -> UniformCost:
    """Walks over the tiles, one by one; slow, and plain to see. Raises UnsupportedError for another nest than a convolution's."""
    require_uniform(nest, "a layer")
    groups = nest.axes.get("g", 1)
    rounds = {axis: -(-nest.axes[axis] // tile[axis]) for axis in LOOPS}
    tiles = prod(rounds.values())
    fill = model.fill_cycles * tiles if tiles > 1 else 0
    if model.whole_tiles:
        work = tiles * tile.y * tile.x * steps(nest, tile.c, tn, model)
    else:
        chunks = sum(steps(nest, size, tn, model) for size in _pieces(nest.axes["c"], tile.c))
        work = rounds["m"] * nest.axes["y"] * nest.axes["x"] * chunks
    bytes_ = {name: groups * _moved(nest, tile, order, name, model) * format.bytes for name in ARRAYS}
    bursts = {name: _all_tiles(nest, tile, name, model) / prod(rounds[axis] for axis in used) for name, used in ARRAYS.items()}
    rates = {name: memory.effective_gb_per_s(bursts[name] * format.bytes) * 1e9 for name in ARRAYS}
    return UniformCost(
        macs=nest.macs,
        cycles=groups * (work + fill),
        fill_cycles=groups * fill,
        bytes=bytes_,
        memory_s=max(sum(bytes_[name] / rates[name] for name in ARRAYS), _port_s(bytes_, memory)),
    )


def _pieces(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


def _moved(nest: Nest, tile: Tile, order: Sequence[str], name: str, model: Model) -> float:
    """Elements of one array that are moved for one group."""
    used = ARRAYS[name]
    rounds = {axis: -(-nest.axes[axis] // tile[axis]) for axis in LOOPS}
    innermost = max(place for place, axis in enumerate(order) if axis in used) if model.promotion else len(order) - 1
    again = prod(rounds[axis] for axis in order[: innermost + 1] if axis not in used)
    held = _all_tiles(nest, tile, name, model)
    if name != "output":
        return again * held
    partial = "c" in order[: innermost + 1]
    if model.whole_tiles:
        return held * again * (2 if partial else 1)
    return held * (2 * rounds["c"] - 1 if partial else 1)


def _all_tiles(nest: Nest, tile: Tile, name: str, model: Model) -> int:
    """Elements of all tiles of one array, each once; halos are in every tile that has them."""
    sizes = {axis: [tile[axis]] * -(-nest.axes[axis] // tile[axis]) for axis in LOOPS}
    if not model.whole_tiles:
        sizes = {axis: _pieces(nest.axes[axis], tile[axis]) for axis in LOOPS}
    m, c = sum(sizes["m"]), sum(sizes["c"])
    rows, columns = nest.axes["r"], nest.axes["q"]
    match name:
        case "weight":
            return m * c * rows * columns
        case "output":
            return m * sum(sizes["y"]) * sum(sizes["x"])
        case _:
            stride_y, stride_x, dilation_y, dilation_x = (nest.factors[key] for key in "stde")
            high = sum(stride_y * (size - 1) + dilation_y * (rows - 1) + 1 for size in sizes["y"])
            wide = sum(stride_x * (size - 1) + dilation_x * (columns - 1) + 1 for size in sizes["x"])
            return c * high * wide


def _port_s(bytes_: Mapping[str, float], memory: Memory) -> float:
    """0 where ports are no limit."""
    if memory.ports == 0:
        return 0.0
    maps = (bytes_["input"] + bytes_["output"]) / (memory.ports - memory.weight_ports)
    return max(bytes_["weight"] / memory.weight_ports, maps) / (memory.port_gb_per_s * 1e9)
