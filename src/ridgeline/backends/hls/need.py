"""What the C++ takes of an FPGA's multipliers and block RAMs: every product of its loops, and every bank of its arrays."""

from __future__ import annotations

from math import ceil
from types import MappingProxyType

from ridgeline.formats import ENGINE_FORMATS, Format
from ridgeline.hardware.engine.engine import TABLE_BYTES, TABLES, Engine
from ridgeline.hardware.engine.resources import block_rams_18kb
from ridgeline.hardware.engine.uniform import mac_dsp

# DSPs of a multiply-accumulate: as on a DSP48E1, because the C++ packs no two products into one block.
DSP_SHARE = MappingProxyType({name: ceil(mac_dsp(number, "DSP48E1")) for name, number in ENGINE_FORMATS.items()})
STAGE_DSP = MappingProxyType({"int8": 2, "fixed16": 3, "float32": 5})  # of one lane's output stage
SUM_BITS = MappingProxyType({"int8": 32, "fixed16": 64, "float32": 32})
REGISTER_BITS = 1024  # up to so many, a bank is made of LUTs


def need(engine: Engine, number: Format) -> dict[str, int]:
    """{"dsp", "bram"}."""
    products = engine.macs + (engine.taps + 1) * engine.lanes_out  # matrix, windows, products of two tensors
    return {"dsp": products * DSP_SHARE[number.name] + engine.lanes_out * STAGE_DSP[number.name], "bram": block_rams(engine, number)}


def block_rams(engine: Engine, number: Format) -> int:
    """18 Kb block RAMs of all banks."""
    lanes, word = engine.lanes_out, engine.weight_word_bytes
    banks = [
        (word, number.bits, engine.activation_bytes // word),
        (word, number.bits, engine.weight_words),
        (lanes, SUM_BITS[number.name], engine.accumulator_depth),
        (lanes, number.bits, engine.output_bytes // lanes),
    ]
    if number.name == "int8":
        banks.append((lanes, number.bits, TABLES * TABLE_BYTES))
    return sum(count * block_rams_18kb(bits, depth) for count, bits, depth in banks if bits * depth > REGISTER_BITS)
