"""A chip as it is for weights of another format or pattern than its own: `hardware.runs` declares what it takes, this makes what the mapper
sees.

Widths. The mapper has one width a tensor, and a level's energies, rates and capacity are of bits. Weights take `weight_bits` an element at
every level outside a decoder, scales and metadata counted. A level inside it holds them as wide as the chip's own; it keeps weights alone,
so that it is the same level if a bit costs own / weight_bits as much, and its rates and capacity are divided by that: exact. A level at the
border that keeps other tensors too is divided, and the part for decoded weights has the bytes that are set aside: each mapping that fits
the parts fits the whole, so that no cost is too low. Inputs are of one width everywhere.

Rates. A format for which the array has more multipliers grows along an axis, and what does not divide by it is lost, as in the hardware.
Levels that a grown axis tells apart are shared out: all instances together stay what they were. Where a pattern's zeros take no step, the
clock runs faster, and no level moves more bits a second: cycles are those of the chip's `clock_mhz`, so that results for several formats
are compared by `time_s`.

Energy. A multiply-accumulate that a pattern leaves out costs nothing; the operands of it are counted as read, except for what the width
saves.
"""

from __future__ import annotations

from math import ceil, isfinite
from typing import TypeVar

from msgspec.structs import replace

from ridgeline.errors import InputError, UnsupportedError
from ridgeline.formats import read_format
from ridgeline.hardware.chip import Chip, Level, Unroll, Widths
from ridgeline.hardware.rates import Size, read_speeds
from ridgeline.hardware.runs import Decodes, Run, declared, decoded, matches, spread_growth
from ridgeline.mapping.estimate import Estimate

MOST_BITS = 1024
Kind = TypeVar("Kind", Run, Decodes)


def running(
    chip: Chip,
    *,
    weight: str,
    weight_bits: float,
    input: str | None = None,
    input_bits: float | None = None,
    pattern: str = "none",
    size: Size | None = None,
    speed: float | None = None,
) -> Chip:
    """The chip whose weights are of format `weight` in `pattern`, stored in `weight_bits` for each of all elements, zeros counted as
    elements.

    `input` is the inputs' format: without it, the one that the chip multiplies such weights with; `input_bits` are an element's, scales
    counted, else the format's. `size` are rows, columns and depth of the matrix product, which measured speeds depend on. `speed` is how
    many times fewer steps real bitmaps take (`mapping.dual_side`), for a pattern whose density is no figure. The chip itself where all is
    its own.

    Raises UnsupportedError for what the chip does not take, with what it would fall back to, UnknownNameError for names that nobody knows,
    InputError for bits, sizes or speeds that are none.
    """
    density = _checked(weight, weight_bits, input, input_bits, pattern)
    if chip.format is not None and weight == chip.format and input in (None, weight) and pattern == "none" and speed is None:
        return _of_widths(chip, weight_bits, input_bits)
    run = _declared(chip.runs, chip, weight, input, pattern)
    if run is not None:
        with_inputs = input or (chip.format if not run.inputs else weight if weight in run.inputs else run.inputs[0])
        bits = input_bits if input_bits is not None else chip.widths.input if with_inputs == chip.format else read_format(str(with_inputs)).bits
        pace = _pace(run, pattern, density, size, speed)
        return _run(_bare(replace(chip, name=_name(chip, weight, pattern))), run, weight_bits, bits, pace=pace)
    decodes = _declared(chip.decodes, chip, weight, input, pattern)
    if decodes is not None:
        stored = _of_widths(_bare(replace(chip, name=_name(chip, weight, pattern))), weight_bits, input_bits)
        return _decoded(stored, chip.widths.weight / weight_bits, decodes)
    raise _refusal(chip, weight, input, pattern)


def depends_on_values(chip: Chip, weight: str, input: str | None, pattern: str) -> bool:
    """Whether what the chip saves on such weights is told by the bitmaps of both operands alone, so that `running` needs a `speed`."""
    own = weight == chip.format and input in (None, weight) and pattern == "none"
    run = None if own else _declared(chip.runs, chip, weight, input, pattern)
    return run is not None and run.skips == "values"


def time_s(found: Estimate, chip: Chip) -> float:
    """Of a mapping, on the chip that it was estimated for."""
    return found.cycles / (chip.clock_mhz * 1e6)


def fallback(chip: Chip, weight: str, pattern: str = "none") -> tuple[str, str]:
    """(format, pattern) that weights which the chip does not take would be run as: without the pattern where it takes their format, else in
    its own."""
    if pattern != "none" and (weight == chip.format or any(_takes(item, weight, "none") for item in (*chip.runs, *chip.decodes))):
        return weight, "none"
    return chip.format or "float32", "none"


def _checked(weight: str, weight_bits: float, input: str | None, input_bits: float | None, pattern: str) -> float | None:
    """The pattern's density, None where values decide. Raises InputError."""
    read_format(weight)
    if input is not None:
        read_format(input)
    for name, bits in (("weight", weight_bits), ("input", input_bits)):
        if bits is not None and not 0 < bits <= MOST_BITS:
            raise InputError(f"{name}s of {bits:g} bits an element; give above 0 and at most {MOST_BITS:,}")
    if pattern == "none":
        return 1.0
    from ridgeline.formats.sparsity import read_pattern

    return read_pattern(pattern).density


def _takes(item: Run | Decodes, weight: str, pattern: str) -> bool:
    return any(matches(known, weight) for known in item.weights) and any(matches(known, pattern) for known in item.patterns)


def _declared(items: tuple[Kind, ...], chip: Chip, weight: str, input: str | None, pattern: str) -> Kind | None:
    """The first that takes them."""
    for item in items:
        inputs = (item.inputs if isinstance(item, Run) else ()) or (chip.format,)
        if _takes(item, weight, pattern) and (input is None or input in inputs):
            return item
    return None


def _name(chip: Chip, weight: str, pattern: str) -> str:
    return f"{chip.name}, {weight} weights{'' if pattern == 'none' else f' in {pattern}'}"


def _refusal(chip: Chip, weight: str, input: str | None, pattern: str) -> UnsupportedError:
    asked = f"{weight} weights{'' if input is None else f' with {input} inputs'}{'' if pattern == 'none' else f' in pattern {pattern}'}"
    runs = "; ".join((*declared(chip), *decoded(chip)))
    if chip.format is None:
        return UnsupportedError(f"chip '{chip.name}' does not say what it runs, so not whether {asked}; give its TOML a 'format' and [[runs]]")
    if input is not None and any(_takes(item, weight, pattern) for item in (*chip.runs, *chip.decodes)):
        return UnsupportedError(f"{asked} are not run by chip '{chip.name}', but with other inputs; it runs {runs}")
    instead, _ = fallback(chip, weight, pattern)
    falls = "their zeros would be stored and multiplied" if instead == weight else f"they would be decoded to {instead} before they reach it"
    return UnsupportedError(f"{asked} are not run by chip '{chip.name}': {falls}; it runs {runs}")


def _of_widths(chip: Chip, weight_bits: float, input_bits: float | None) -> Chip:
    widths = Widths(
        input=chip.widths.input if input_bits is None else input_bits,
        weight=weight_bits,
        output=chip.widths.output,
        partial=chip.widths.partial,
    )
    return chip if widths == chip.widths else replace(chip, widths=widths)


def _bare(chip: Chip) -> Chip:
    """One format and pattern is all that it is for."""
    return replace(chip, format=None, runs=(), decodes=())


def _pace(run: Run, pattern: str, density: float | None, size: Size | None, speed: float | None) -> tuple[float, float]:
    """(how many times faster than dense, part of the multiply-accumulates that happen). Raises InputError where what it depends on is not
    given."""
    if speed is not None:
        if run.skips is None or not (isfinite(speed) and speed > 0):
            raise InputError(f"a speed of {speed:g} for weights in pattern {pattern}; give one above 0, and only where the chip skips zeros")
        return speed, min(1.0, 1 / speed)
    if run.skips == "values" or (run.skips == "pattern" and not density):
        raise InputError(f"what zeros in pattern {pattern} save depends on the values; give the 'speed' that their bitmaps have")
    if run.skips == "pattern" and density:
        return 1 / density, density
    if run.speeds is None:
        return 1.0, 1.0
    if size is None:
        raise InputError(f"pattern {pattern} has measured speeds that depend on the product's size; give 'size', its rows, columns and depth")
    return min(1 / (density or 1.0), read_speeds(run.speeds).at(size)), density or 1.0


def _run(chip: Chip, run: Run, weight_bits: float, input_bits: float, *, pace: tuple[float, float]) -> Chip:
    faster, share = pace
    mac = replace(
        chip.mac,
        pj=(chip.mac.pj if run.mac_pj is None else run.mac_pj) * share,
        area_mm2=chip.mac.area_mm2 / run.rate,
        source=run.source,
    )
    return _paced(_grown(_of_widths(replace(chip, mac=mac), weight_bits, input_bits), run), faster)


def _grown(chip: Chip, run: Run) -> Chip:
    """With the array that a format has."""
    grows = run.grows
    array = {axis: round(size * grows.get(axis, 1)) for axis, size in chip.array.items()}
    unroll = {axis: _grown_rule(rule, grows.get(axis, 1)) for axis, rule in chip.unroll.items()}
    return replace(chip, array=array, unroll=unroll, levels=tuple(_shared_out(level, spread_growth(level, grows)) for level in chip.levels))


def _grown_rule(rule: Unroll, times: float) -> Unroll:
    return rule if times == 1 else replace(rule, factors={axis: round(size * times) for axis, size in rule.factors.items()})


def _shared_out(level: Level, times: float) -> Level:
    """One of `times` as many instances."""
    if times == 1:
        return level
    capacity = None if level.capacity_bytes is None else round(level.capacity_bytes / times)
    return replace(_slower(level, times), capacity_bytes=capacity, area_mm2=level.area_mm2 / times)


def _paced(chip: Chip, faster: float) -> Chip:
    """With a clock that runs faster, and levels that do not."""
    if faster == 1:
        return chip
    systolic = chip.systolic
    if systolic is not None:
        systolic = replace(systolic, fill_cycles=ceil(systolic.fill_cycles * faster), last_cycles=ceil(systolic.last_cycles * faster))
    return replace(chip, clock_mhz=chip.clock_mhz * faster, systolic=systolic, levels=tuple(_slower(level, faster) for level in chip.levels))


def _slower(level: Level, times: float) -> Level:
    """Rates divided; ports, which are whole bits a cycle, give way to the rates that they are made from."""
    read, write = (None if rate is None else rate / times for rate in (level.read_bits_per_cycle, level.write_bits_per_cycle))
    return replace(level, read_bits_per_cycle=read, write_bits_per_cycle=write, ports=())


def _decoded(chip: Chip, ratio: float, decodes: Decodes) -> Chip:
    """`chip` has the stored widths already; inside the decoder weights are `ratio` times as wide."""
    place = chip.levels.index(chip.level(decodes.at))
    levels: list[Level] = list(chip.levels[:place])
    for level in chip.levels[place:]:
        parts = _parts(level, decodes) if level.name == decodes.at else (level,)
        levels += [_wider(part, ratio) if part.keeps == ("weight",) else part for part in parts]
    return replace(chip, levels=tuple(levels))


def _parts(level: Level, decodes: Decodes) -> tuple[Level, ...]:
    """A level of several tensors as two: what it sets aside for decoded weights, which they may not pass by, and the rest."""
    if decodes.bytes is None:
        return (level,)
    others = tuple(tensor for tensor in level.keeps if tensor != "weight")
    left = None if level.capacity_bytes is None else level.capacity_bytes - decodes.bytes
    rest = replace(level, keeps=others, must_keep=tuple(name for name in level.must_keep if name != "weight"), capacity_bytes=left)
    own = replace(level, name=f"{level.name}.weights", keeps=("weight",), must_keep=("weight",), capacity_bytes=decodes.bytes, area_mm2=0.0)
    return rest, own


def _wider(level: Level, ratio: float) -> Level:
    return replace(
        _slower(level, ratio), decoded=ratio, read_pj_per_bit=level.read_pj_per_bit * ratio, write_pj_per_bit=level.write_pj_per_bit * ratio
    )
