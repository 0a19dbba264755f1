"""The uniform engine: Tm x Tn multiply-accumulators over banked tiles in double buffers, as in FPGA'15 (10.1145/2684746.2689060) and Caffeine
(10.1145/2966986.2967011). What it takes of a device, in any number format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from types import MappingProxyType

from ridgeline.errors import UnsupportedError
from ridgeline.formats import Format
from ridgeline.hardware.engine.resources import BLOCK_RAM_SHAPES, block_rams_18kb

LUT_RAM_BITS = 1024  # a bank of at most so many bits is made of LUTs, as Vivado does by default
HALVES = 2  # of each buffer: one is filled or emptied while the array works on the other

# DSP blocks of one multiply-accumulate. float32: FPGA'15 builds 64 x 7 of them from 2,240 DSP48E1. int8: two products that share a factor are one
# 27 x 18 multiply of a DSP48E2 (Xilinx WP486).
MAC_DSP: Mapping[tuple[str, str], Fraction] = MappingProxyType({
    ("float32", "DSP48E1"): Fraction(5),
    ("float32", "DSP48E2"): Fraction(5),
    ("fixed16", "DSP48E1"): Fraction(1),
    ("fixed16", "DSP48E2"): Fraction(1),
    ("fixed16", "MULT18X18D"): Fraction(1),
    ("int8", "DSP48E1"): Fraction(1),
    ("int8", "DSP48E2"): Fraction(1, 2),
    ("int8", "MULT18X18D"): Fraction(1),
})  # fmt: skip

# Bits of a partial sum: a float's own, the 32 bits of golden.onnx's accumulators, and a DSP block's 48.
ACCUMULATOR_BITS: Mapping[str, int] = MappingProxyType({"int8": 32, "fixed16": 48, "float32": 32})


def mac_dsp(format: Format, dsp_kind: str) -> Fraction:
    """DSP blocks of one multiply-accumulate. Raises UnsupportedError for a format that no recipe builds from these blocks."""
    if (format.name, dsp_kind) not in MAC_DSP:
        known = ", ".join(name for name, kind in MAC_DSP if kind == dsp_kind)
        raise UnsupportedError(f"format '{format.name}' has no multiply-accumulate made of {dsp_kind} blocks; such a device holds {known}")
    return MAC_DSP[format.name, dsp_kind]


def most_macs(format: Format, dsp_kind: str, dsp: int) -> int:
    """How many multiply-accumulates so many DSP blocks make."""
    return floor(dsp / mac_dsp(format, dsp_kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformEngine:
    """Depths are elements of one bank of one half: a bank a lane for the maps, a bank a multiplier for the weights."""

    format: Format
    tm: int  # output channels at a time
    tn: int  # products summed for each of them
    input_depth: int
    weight_depth: int
    output_depth: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates a cycle."""
        return self.tm * self.tn

    def dsp(self, dsp_kind: str) -> int:
        return ceil(self.macs * mac_dsp(self.format, dsp_kind))

    @property
    def bram_18kb(self) -> int:
        return sum(
            HALVES * banks * bank_bram_18kb(bits, depth)
            for banks, bits, depth in (
                (self.tn, self.format.bits, self.input_depth),
                (self.macs, self.format.bits, self.weight_depth),
                (self.tm, ACCUMULATOR_BITS[self.format.name], self.output_depth),
            )
        )


def bank_bram_18kb(bits: int, depth: int) -> int:
    """18 Kb block RAMs of one bank of `depth` words of `bits`."""
    return 0 if bits * depth <= LUT_RAM_BITS else block_rams_18kb(bits, depth)


def bank_depth(bits: int, bram_18kb: int) -> int:
    """The deepest bank that so many block RAMs hold: the inverse of `bank_bram_18kb`."""
    return max(LUT_RAM_BITS // bits, *(words * (bram_18kb // -(-bits // width)) for width, words in BLOCK_RAM_SHAPES))
