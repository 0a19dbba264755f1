"""The best tiles and loop order of each layer on an accelerator of mixed widths (hardware.quantised), as the study of ANT (MICRO 2022) counts.

Tiles of the batch, of the output map's side and of the input and output channels are powers of two; all 120 orders of the five loops over
them are looked at. From the innermost loop out, a loop that touches an operand adds to the tile that is held on the chip, until that is
over half the operand's memory; every loop beyond repeats the transfer. The array waits for what DRAM moves in excess of its own cycles, for
the first tile, and for the outputs of the last one where no loop of theirs is held. Of equally fast mappings the one of least energy is
taken, in which the outputs' transfers count once more, as read back; what is reported has them written alone. How the readings were
settled: docs/ant.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.hardware.quantised import Design, Machine

LOOPS = ("batch", "width", "height", "in_channels", "out_channels")
_MOST = 1 << 24
_MOST_MACS = 1 << 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A convolution with square kernel, or a matrix product where all but the batch and the channels are 1."""

    batch: int
    width: int = 1
    height: int = 1
    in_channels: int
    out_channels: int
    kernel: int = 1

    @property
    def macs(self) -> int:
        return self.batch * self.width * self.height * self.in_channels * self.out_channels * self.kernel**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Cycles and energies in nJ of a layer or of a network; they add."""

    cycles: int = 0
    compute_cycles: int = 0
    dram_read_bits: int = 0
    dram_write_bits: int = 0
    static_nj: float = 0.0
    dram_nj: float = 0.0
    buffer_nj: float = 0.0
    core_nj: float = 0.0

    @property
    def energy_nj(self) -> float:
        return self.static_nj + self.dram_nj + self.buffer_nj + self.core_nj

    def __add__(self, other: Spent) -> Spent:
        return Spent(**{name: getattr(self, name) + getattr(other, name) for name in Spent.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """Tile sizes by loop; loops outermost first."""

    tile: dict[str, int]
    order: tuple[str, ...]
    spent: Spent


def best_mappings(works: Sequence[tuple[Work, int]], design: Design, machine: Machine) -> tuple[Mapped, ...]:
    """Of each layer with its operands' bits: least cycles, then least energy. Raises InputError for sizes or bits out of range, DoesNotFitError when
    no tile of a layer fits."""
    from ridgeline.explore import quantised_kernel as kernel

    power = _power(design, machine)

    def found(item: tuple[Work, int]) -> Mapped:
        work, bits = item
        row = kernel.best(_sizes(work, bits), _array(design, machine, bits), power)
        if row[kernel.CYCLES] == kernel.NONE:
            raise DoesNotFitError(
                f"no tile of a layer of {work.kernel} x {work.kernel} kernels at {bits} bits fits half of {machine.activations.kib} KiB for "
                f"activations and half of {machine.weights.kib} KiB for weights; give more"
            )
        return _mapped(row, work)

    distinct = tuple(dict.fromkeys(works))
    with ThreadPoolExecutor() as threads:
        best = dict(zip(distinct, threads.map(found, distinct), strict=True))
    return tuple(best[item] for item in works)


def _sizes(work: Work, bits: int) -> dict[str, int]:
    sizes = {name: getattr(work, name) for name in (*LOOPS, "kernel")}
    for name, value in sizes.items():
        if not 1 <= value <= _MOST:
            raise InputError(f"{name} of a layer is {value:,}; it must be in 1..{_MOST:,}")
    if work.macs > _MOST_MACS:
        raise InputError(f"a layer of {work.macs:,} multiply-accumulates; {_MOST_MACS:,} at most are counted: cut its batch")
    return {**sizes, "bits": bits}


def _array(design: Design, machine: Machine, bits: int) -> dict[str, int]:
    fold = design.fold(bits)
    return {
        "rows": design.rows * fold,
        "columns": design.columns * fold,
        "weight_stationary": int(design.stationary == "weights"),
        "output_bits": machine.output_bits,
        "dram_bits": machine.dram_bits_per_cycle,
        **{name: getattr(machine, name).half_bits for name in ("activations", "weights", "outputs")},
    }


def _power(design: Design, machine: Machine) -> dict[str, float]:
    """nJ a cycle, and nJ a bit."""
    hertz, array = machine.clock_mhz * 1e6, design.rows * design.columns
    return {
        "static": machine.static_w * 1e9 / hertz,
        "dram_read": machine.dram_read_nj / machine.dram_word_bits,
        "dram_write": machine.dram_write_nj / machine.dram_word_bits,
        "activation_read": machine.activations.read_nj_per_bit,
        "activation_write": machine.activations.write_nj_per_bit,
        "weight_read": machine.weights.read_nj_per_bit,
        "weight_write": machine.weights.write_nj_per_bit,
        "output_read": machine.outputs.read_nj_per_bit,
        "output_write": machine.outputs.write_nj_per_bit,
        "leak": array * design.leak_nw / hertz,
        "dynamic": array * design.dynamic_nw / hertz,
    }


def _mapped(row: Any, work: Work) -> Mapped:
    from ridgeline.explore import quantised_kernel as kernel

    side = int(row[kernel.TILE_SIDE])
    tile = {
        "batch": int(row[kernel.TILE_BATCH]),
        "width": min(side, work.width),
        "height": min(side, work.height),
        "in_channels": int(row[kernel.TILE_IN]),
        "out_channels": int(row[kernel.TILE_OUT]),
    }
    spent = Spent(
        cycles=int(row[kernel.CYCLES]),
        compute_cycles=int(row[kernel.COMPUTE]),
        dram_read_bits=int(row[kernel.READS]),
        dram_write_bits=int(row[kernel.WRITES]),
        static_nj=float(row[kernel.STATIC]),
        dram_nj=float(row[kernel.DRAM]),
        buffer_nj=float(row[kernel.BUFFER]),
        core_nj=float(row[kernel.CORE]),
    )
    return Mapped(tile=tile, order=tuple(LOOPS[loop] for loop in kernel.order(int(row[kernel.ORDER]))), spent=spent)
