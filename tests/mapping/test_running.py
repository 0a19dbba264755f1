"""Chips for stored weights: costs against a sum with a width of its own for every level, what refuses what, and what falls with what."""

from __future__ import annotations

from dataclasses import replace as with_
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError, InputError, UnknownNameError, UnsupportedError
from ridgeline.hardware.chip import TENSORS, Chip, Level, chip_names, read_chip
from ridgeline.hardware.runs import Decodes, Run
from ridgeline.mapping.count import count
from ridgeline.mapping.estimate import estimate, tile_elements, used_instances
from ridgeline.mapping.loops import Conventions, LoopMapping
from ridgeline.mapping.running import fallback, running, time_s
from ridgeline.mapping.search.solve import LEAST_CYCLES, LEAST_EDP, LEAST_ENERGY, Found, best_mapping
from ridgeline.testing.brute import best_of_all, random_small_case
from ridgeline.testing.loops import Case, random_case

CASES = st.integers(0, 2**32 - 1).map(lambda seed: random_case(np.random.default_rng(seed)))
BITS = st.sampled_from((2.0, 4.0, 4.25, 4.5, 6.0, 8.5, 16.0))


def product(rows: int, columns: int, depth: int) -> Nest:
    return parse("n c, m c -> n m", axes={"n": rows, "m": columns, "c": depth}, multiplies=True)


@pytest.mark.parametrize("name", chip_names())
def test_its_own_format_is_the_chip_itself(name: str) -> None:
    chip = read_chip(name)
    assert chip.format is not None
    assert running(chip, weight=chip.format, weight_bits=chip.widths.weight) == chip
    assert running(chip, weight=chip.format, weight_bits=chip.widths.weight, input=chip.format, pattern="none") == chip


def summed(case: Case, chip: Chip, widths: dict[str, float]) -> dict[str, tuple[float, float]]:
    """level -> (pJ, cycles) from the counts, with `widths` of weights by level and all else as the chip has it."""
    found: dict[str, tuple[float, float]] = {}
    nest, _, mapping, rules = case
    accesses = count(mapping, nest, chip, rules).accesses
    for level in chip.levels:
        read = written = 0.0
        for tensor in TENSORS:
            if (level.name, tensor) in accesses:
                access = accesses[level.name, tensor]
                width = widths[level.name] if tensor == "weight" else getattr(chip.widths, tensor)
                read += access.reads * width + access.partial_reads * chip.widths.partial
                written += access.writes * width + access.partial_writes * chip.widths.partial
        used = used_instances(mapping, level)
        times = [read / used / level.read_bits_per_cycle if level.read_bits_per_cycle else 0]
        times.append(written / used / level.write_bits_per_cycle if level.write_bits_per_cycle else 0)
        if level.one_port and level.read_bits_per_cycle:
            times = [(read + written) / used / level.read_bits_per_cycle]
        found[level.name] = read * level.read_pj_per_bit + written * level.write_pj_per_bit, max(times)
    return found


def unbounded(chip: Chip) -> Chip:
    return replace(chip, levels=tuple(replace(level, capacity_bytes=None) for level in chip.levels), format="int16")


def alone(chip: Chip) -> list[Level]:
    """The levels that keep weights alone, with nothing else that keeps weights inside them."""
    keeping = [level for level in chip.levels[1:] if "weight" in level.keeps]
    return [level for number, level in enumerate(keeping) if all(len(other.keeps) == 1 for other in keeping[number:])]


def case_with_weights_alone(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    return next(case for case in iter(lambda: random_case(rng), None) if alone(case[1]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), BITS)
def test_a_decoder_in_front_of_levels_of_weights(seed: int, bits: float) -> None:
    """Levels outside it hold stored weights, those inside the chip's own."""
    case = case_with_weights_alone(seed)
    nest, drawn, mapping, rules = case
    chip = unbounded(drawn)
    declared = replace(chip, decodes=(Decodes(weights=("int[2-9]",), at=alone(chip)[0].name, source="a test"),))
    made = running(declared, weight="int4", weight_bits=bits)
    inside = {level.name for level in alone(chip)}
    widths = {level.name: float(chip.widths.weight) if level.name in inside else bits for level in chip.levels}
    found = estimate(mapping, nest, made, rules)
    for name, (energy, cycles) in summed(case, chip, widths).items():
        assert found.energy_by_level[name] == pytest.approx(energy, rel=1e-9)
        assert abs(found.cycles_by_level[name] - cycles) < 1 + 1e-9 * cycles


@settings(max_examples=60, deadline=None)
@given(CASES, BITS, st.sampled_from(("2:4", "1:4", "bank8:75%")))
def test_a_pattern_that_is_stepped_over(case: Case, bits: float, pattern: str) -> None:
    """In seconds: the array takes the kept part of its time, and every level what its bits take at its own rate."""
    nest, drawn, mapping, rules = case
    chip = unbounded(drawn)
    density = {"2:4": 0.5, "1:4": 0.25, "bank8:75%": 0.25}[pattern]
    declared = replace(chip, runs=(Run(weights=("int16",), patterns=("?:?", "bank*:*"), skips="pattern", source="a test"),))
    made = running(declared, weight="int16", weight_bits=bits, pattern=pattern)
    plain, found = (estimate(mapping, nest, one, rules) for one in (chip, made))
    second = 1e6 * made.clock_mhz
    assert found.cycles_by_level["array"] / second == pytest.approx(density * plain.steps / (1e6 * chip.clock_mhz))
    assert found.energy_by_level["mac"] == pytest.approx(density * plain.energy_by_level["mac"])
    for name, (energy, cycles) in summed(case, chip, {level.name: bits for level in chip.levels}).items():
        assert found.energy_by_level[name] == pytest.approx(energy, rel=1e-9)
        assert abs(found.cycles_by_level[name] / second - cycles / (1e6 * chip.clock_mhz)) < 1.001 / second + 1e-9 * cycles / second


def test_an_array_that_grows() -> None:
    """Multipliers, what stands beside each of them, and the energy of one, by hand: OliVe's four of 4 bits are one of 8."""
    chip = read_chip("olive")
    made = running(chip, weight="int8", weight_bits=8)
    assert made.array == {"rows": 32, "columns": 32}
    assert made.macs * 4 == chip.macs
    assert (made.widths.input, made.widths.weight, made.widths.output) == (8, 8, 16)
    assert made.mac.pj == 0.56
    own, grown = chip.level("accumulator"), made.level("accumulator")
    assert own.capacity_bytes is not None
    assert made.instances(grown) * (grown.capacity_bytes or 0) == chip.instances(own) * own.capacity_bytes
    assert made.level("weights") == chip.level("weights")
    assert (made.format, made.runs, made.decodes) == (None, (), ())


def test_unrollings_grow_with_the_array() -> None:
    chip = replace(read_chip("tpu-like"), runs=(Run(weights=("int4",), grows={"rows": 2.0}, source="a test"),))
    assert running(chip, weight="int4", weight_bits=4).unroll["rows"].factors == {"c": 64}


def best(nest: Nest, chip: Chip) -> Found:
    return best_mapping(nest, chip, LEAST_CYCLES)


def test_time_of_what_waits_for_memory_falls_with_the_bits() -> None:
    """A matrix by a few vectors, DRAM of 64 bits a cycle: its time for all tensors, scales in it, to the nearest cycle."""
    chip, nest = read_chip("olive"), product(16, 512, 512)
    chip = replace(chip, levels=(replace(chip.levels[0], read_bits_per_cycle=64), *chip.levels[1:]))
    taken = {}
    for bits in (4, 4.25, 5.5):
        made = running(chip, weight="int4", weight_bits=bits)
        found = best(nest, made).estimate
        assert found.bound == "dram"
        taken[bits] = time_s(found, made)
        least = (512 * 512 * bits + 16 * 512 * 4 + 16 * 512 * 16) / 64
        assert ceil(least) <= found.cycles <= ceil(least) + 1
        assert found.traffic_bytes["dram"]["weight"] == pytest.approx(512 * 512 * bits / 8)
    assert taken[4] < taken[4.25] < taken[5.5]


def test_time_of_what_waits_for_the_array_falls_with_the_rate() -> None:
    chip, nest = read_chip("olive"), product(256, 256, 512)
    narrow, wide = (running(chip, weight=name, weight_bits=bits) for name, bits in (("int4", 4), ("int8", 8)))
    fast, slow = best(nest, narrow).estimate, best(nest, wide).estimate
    assert fast.bound == slow.bound == "compute"
    assert time_s(slow, wide) == pytest.approx(4 * time_s(fast, narrow))
    assert fast.energy_by_level["mac"] * 4 == pytest.approx(slow.energy_by_level["mac"])


def least_bytes(nest: Nest, chip: Chip) -> dict[str, float]:
    return {name: elements * getattr(chip.widths, name) / 8 for name, elements in nest.footprint().items()}


@pytest.mark.parametrize("weight", ["olive4", "int8"])
def test_no_traffic_below_what_must_move(weight: str) -> None:
    made = running(read_chip("olive"), weight=weight, weight_bits=4.5 if weight == "olive4" else 8.125)
    for nest in (product(3, 40, 100), product(64, 32, 32)):
        traffic = best_mapping(nest, made, LEAST_ENERGY).estimate.traffic_bytes["dram"]
        for tensor, least in least_bytes(nest, made).items():
            assert traffic[tensor] >= least * (1 - 1e-12)


def small(capacity: int) -> Chip:
    """A level that weights share with all others: its part for decoded weights is set aside."""
    dram = Level(name="dram", serves=("rows",), read_pj_per_bit=10, write_pj_per_bit=10, read_bits_per_cycle=64, one_port=True, source="a test")
    registers = Level(name="registers", serves=("rows",), capacity_bytes=capacity, read_pj_per_bit=1, write_pj_per_bit=1, source="a test")
    decodes = Decodes(weights=("int4",), at="registers", bytes=capacity // 2, source="a test")
    base = replace(read_chip("systolic-32"), systolic=None, unroll={}, array={"rows": 2}, levels=(dram, registers), decodes=(decodes,))
    return replace(base, name="small")


def merged(mapping: LoopMapping) -> LoopMapping:
    """As one on the whole level."""
    names = {"dram": "dram", "registers": "registers", "registers.weights": "registers"}
    return with_(mapping, positions={tensor: {names[level]: at for level, at in held.items()} for tensor, held in mapping.positions.items()})


@pytest.mark.parametrize("capacity", [24, 60, 200])
def test_a_divided_level_promises_nothing_that_the_whole_has_not(capacity: int) -> None:
    """Of the best mapping on the parts: it fits the whole with weights as wide as they are inside, and costs as much as a sum by hand."""
    chip, nest = small(capacity), product(6, 5, 8)
    made = running(chip, weight="int4", weight_bits=4.5)
    assert [level.name for level in made.levels] == ["dram", "registers", "registers.weights"]
    found = best_mapping(nest, made, LEAST_EDP)
    wide = replace(chip, decodes=())
    plain = estimate(merged(found.mapping), nest, wide)  # raises DoesNotFitError if it does not
    weights = plain.traffic_bytes["dram"]["weight"] * 8
    assert found.estimate.energy_by_level["dram"] == pytest.approx(plain.energy_by_level["dram"] - weights * 10 * (1 - 4.5 / 8))
    inside = found.estimate.energy_by_level["registers"] + found.estimate.energy_by_level["registers.weights"]
    assert inside == pytest.approx(plain.energy_by_level["registers"])


def test_a_part_holds_as_many_decoded_weights_as_its_bytes() -> None:
    chip, nest = small(24), product(1, 1, 13)
    made = running(chip, weight="int4", weight_bits=4.5)
    level = made.level("registers.weights")
    assert level.usable_bytes == pytest.approx(12 * 4.5 / 8)
    found = best_mapping(nest, made, LEAST_EDP)
    assert tile_elements(found.mapping, nest, "weight", level, Conventions()) <= 12
    whole = with_(found.mapping, positions={**found.mapping.positions, "weight": {"dram": 0, "registers.weights": 0}})
    with pytest.raises(DoesNotFitError, match=r"at level 'registers.weights' of chip 'small, int4 weights', which holds 6.75; shrink"):
        estimate(whole, nest, made)


def test_a_gpus_rate_for_2_to_4_is_the_measured_one() -> None:
    chip = read_chip("a100")
    for side, speed in ((256, 0.83), (4096, 1.71), (16384, 1.22)):
        made = running(chip, weight="bfloat16", weight_bits=9, pattern="2:4", size=(side, side, side))
        assert made.clock_mhz == pytest.approx(chip.clock_mhz * speed)
        assert made.levels[0].read_bits_per_cycle == pytest.approx(11_569 / speed)
        assert made.mac.pj == pytest.approx(chip.mac.pj / 2)
        assert made.widths.weight == 9
    made = running(chip, weight="int8", weight_bits=5, pattern="2:4", size=(8192, 8192, 8192))
    assert made.clock_mhz == pytest.approx(2 * chip.clock_mhz), "measured 2.19, over a dense kernel below its peak: half of the work is left"


def test_weights_alone_are_decoded() -> None:
    """int8 weights run as int8 products, or with inputs of the chip's own format at its own rate."""
    chip = read_chip("h100")
    both, alone = running(chip, weight="int8", weight_bits=8), running(chip, weight="int8", weight_bits=8, input="bfloat16")
    assert (both.array["depth"], both.widths.input, both.level("registers")) == (32, 8, chip.level("registers"))
    assert (alone.array, alone.mac, alone.widths.input) == (chip.array, chip.mac, 16)
    inside = alone.level("registers.weights")
    assert inside.read_pj_per_bit * alone.widths.weight == pytest.approx(chip.level("registers").read_pj_per_bit * 16)


def test_real_bitmaps_give_their_speed() -> None:
    chip = read_chip("dstc")
    made = running(chip, weight="float16", weight_bits=5, input_bits=9, pattern="bitmap", speed=3.2)
    assert made.clock_mhz == pytest.approx(3.2 * chip.clock_mhz)
    assert made.mac.pj == pytest.approx(chip.mac.pj / 3.2)
    assert (made.widths.input, made.widths.weight) == (9, 5)
    dense = running(chip, weight="float16", weight_bits=17, pattern="none", speed=1.5)
    assert dense.clock_mhz == pytest.approx(1.5 * chip.clock_mhz), "zeros of the inputs alone"


@pytest.mark.parametrize("seed", range(12))
def test_the_search_is_exact_at_part_bits(seed: int) -> None:
    """Against every mapping, where weights have a fraction of a bit and a pattern is stepped over."""
    nest, chip, rules = random_small_case(np.random.default_rng(7_000 + seed))
    declared = replace(chip, format="int8", runs=(Run(weights=("int4",), patterns=("?:?",), skips="pattern", source="a test"),))
    made = running(declared, weight="int4", weight_bits=(4.5, 2.3, 5.125)[seed % 3], pattern=("3:4", "1:2")[seed % 2])
    least, looked_at = best_of_all(nest, made, rules, imperfect=False, uneven=False)
    assert looked_at
    for goal, name in ((LEAST_ENERGY, "energy"), (LEAST_CYCLES, "latency"), (LEAST_EDP, "edp")):
        found = best_mapping(nest, made, goal, space="timeloop", conventions=rules)
        assert found.gap == 0
        worth = {"energy": found.estimate.energy_pj, "latency": found.estimate.cycles, "edp": found.estimate.energy_pj * found.estimate.cycles}
        assert worth[name] == pytest.approx(least[name], rel=1e-9)


A100 = (
    "bfloat16; float16; int8; int4; float16 or bfloat16 in 2:4; int8 in 2:4; int[2-8] or uint[2-8] or flint[3-8] or pot[3-8] or nf4 or e?m? "
    "or mx* or nvfp4* or m2xfp decoded at 'registers'"
)


@pytest.mark.parametrize(
    ("chip", "asked", "error", "message"),
    [
        ("a100", {"weight": "olive4"}, UnsupportedError,
         f"olive4 weights are not run by chip 'a100': they would be decoded to bfloat16 before they reach it; it runs {A100}"),
        ("a100", {"weight": "flint4", "pattern": "2:4"}, UnsupportedError,
         f"flint4 weights in pattern 2:4 are not run by chip 'a100': their zeros would be stored and multiplied; it runs {A100}"),
        ("a100", {"weight": "bfloat16", "pattern": "bank16:50%"}, UnsupportedError,
         f"bfloat16 weights in pattern bank16:50% are not run by chip 'a100': their zeros would be stored and multiplied; it runs {A100}"),
        ("a100", {"weight": "int4", "input": "e4m3"}, UnsupportedError,
         f"int4 weights with e4m3 inputs are not run by chip 'a100', but with other inputs; it runs {A100}"),
        ("tpu-v1", {"weight": "flint4"}, UnsupportedError,
         "flint4 weights are not run by chip 'tpu-v1': they would be decoded to int8 before they reach it; it runs int8"),
        ("olive", {"weight": "int8", "pattern": "2:4"}, UnsupportedError,
         "int8 weights in pattern 2:4 are not run by chip 'olive': their zeros would be stored and multiplied; it runs olive4; int4 or flint4 or "
         "olive-flint4 or olive4; int8 or olive8 or olive8-e2m5"),
        ("a100", {"weight": "flnt4"}, UnknownNameError, "unknown format 'flnt4'; did you mean 'flint4'?"),
        ("a100", {"weight": "int8", "pattern": "2x4"}, UnknownNameError, "unknown sparsity pattern '2x4'; did you mean one like '2:4'?"),
        ("a100", {"weight": "int8", "pattern": "2:4"}, InputError,
         "pattern 2:4 has measured speeds that depend on the product's size; give 'size', its rows, columns and depth"),
        ("dstc", {"weight": "float16", "pattern": "2:4"}, InputError,
         "what zeros in pattern 2:4 save depends on the values; give the 'speed' that their bitmaps have"),
        ("dstc", {"weight": "float16", "pattern": "2:4", "speed": 0.0}, InputError,
         "a speed of 0 for weights in pattern 2:4; give one above 0, and only where the chip skips zeros"),
        ("a100", {"weight": "int8", "weight_bits": 0}, InputError, "weights of 0 bits an element; give above 0 and at most 1,024"),
    ],
)  # fmt: skip
def test_refusals(chip: str, asked: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        running(read_chip(chip), **{"weight_bits": 8.0, **asked})  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_chip_that_does_not_say() -> None:
    chip = replace(read_chip("tpu-v1"), format=None)
    with pytest.raises(UnsupportedError, match="chip 'tpu-v1' does not say what it runs, so not whether int8 weights; give its TOML a 'format' and"):
        running(chip, weight="int8", weight_bits=8)


def test_what_it_would_fall_back_to() -> None:
    a100 = read_chip("a100")
    assert fallback(a100, "int4", "bank16:50%") == ("int4", "none")
    assert fallback(a100, "olive4") == fallback(a100, "olive4", "2:4") == ("bfloat16", "none")
    assert fallback(read_chip("tpu-v1"), "nf4") == ("int8", "none")
    for name in ("a100", "olive", "tpu-v1"):
        weight, pattern = fallback(read_chip(name), "olive8", "2:4")
        assert running(read_chip(name), weight=weight, weight_bits=8, pattern=pattern)


ANT_ARRAYS = {"ant-os": (32, 32), "ant-ws": (32, 32), "bitfusion": (32, 32), "olaccel": (16, 18)}  # of 8-bit operands


@pytest.mark.parametrize("name", ANT_ARRAYS)
@pytest.mark.parametrize(("number", "fold"), [("int4", 2), ("int8", 1)])
def test_the_ant_studys_arrays(name: str, number: str, fold: int) -> None:
    """Of a layer that waits for the array, the study's cycles: outputs stationary ceil(b / (N f)) ceil(m / (M f)) n, weights stationary
    b ceil(m / (M f)) ceil(n / (N f))."""
    rows, columns = (side * fold for side in ANT_ARRAYS[name])
    made = running(read_chip(name), weight=number, weight_bits=8 // fold)
    for b, m, n in ((96, 80, 96), (64, 50, 130)):
        found = best(product(b, m, n), made).estimate
        spread = b if name != "ant-ws" else n
        assert found.cycles == ceil(spread / rows) * ceil(m / columns) * (n if name != "ant-ws" else b)
        assert found.bound == "compute"
