"""`ridgeline show`: what Ridgeline knows."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ridgeline.errors import unknown_name

if TYPE_CHECKING:
    from ridgeline.hardware.chip import Chip, Level
    from ridgeline.hardware.decoders import Decoder

KINDS = ("models", "devices", "chips", "operators")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A table, or the values of one thing where `head` is empty."""

    values: Mapping[str, Any]
    head: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = field(default=())


def show(what: str) -> Shown:
    """`what` is a kind, or the name of a model, a device, a chip or an operator. Raises UnknownNameError, or InputError for the TOML file of a
    device or chip."""
    if what in KINDS:
        return {"models": models, "devices": devices, "chips": chips, "operators": operators}[what]()
    return one(what)


def models() -> Shown:
    from ridgeline.algorithm import zoo

    entries = zoo.describe()
    head = ("name", "task", "input", "parameters", "MACs", "engine")
    rows = [(item.name, item.task, item.input, item.parameters, item.macs, "yes" if item.engine else "no") for item in entries]
    return Shown(values={"models": [_entry(item) for item in entries]}, head=head, rows=rows)


def devices() -> Shown:
    from ridgeline.hardware.device import device_names, read_device

    found = [read_device(name) for name in device_names()]
    head = ("name", "part", "clock MHz", "DSP", "BRAM 18 Kb", "LUT", "FF", "DRAM bytes a cycle", "latency cycles")
    rows = [
        (
            item.name, item.part, item.clock_mhz, item.resources.dsp, item.resources.bram_18kb, item.resources.lut, item.resources.ff,
            item.bytes_per_cycle, item.dram.read_latency_cycles,
        )
        for item in found
    ]  # fmt: skip
    return Shown(values={"devices": [_device(item) for item in found]}, head=head, rows=rows)


def chips() -> Shown:
    from ridgeline.hardware.chip import chip_names, read_chip
    from ridgeline.hardware.runs import declared

    found = [read_chip(name) for name in chip_names()]
    head = ("name", "node nm", "MACs", "clock MHz", "peak TOPS", "levels", "runs", "decoders")
    rows = [
        (
            item.name, item.node_nm, item.macs, item.clock_mhz, item.peak_tops, ", ".join(level.name for level in item.levels),
            "; ".join((*declared(item), *(f"more decoded at '{stored.at}'" for stored in item.decodes))),
            "; ".join(_decoder(item, decoder) for decoder in item.decoders),
        )
        for item in found
    ]  # fmt: skip
    return Shown(values={"chips": [_chip(item) for item in found]}, head=head, rows=rows)


def _decoder(chip: Chip, decoder: Decoder) -> str:
    """How many, where, and their area."""
    from ridgeline.hardware.area import decoder_mm2

    area = decoder_mm2(chip, decoder)
    return f"{decoder.count(chip.array):,} {decoder.place}, {'not in the area' if area is None else f'{area:.3g} mm2'}"


def operators() -> Shown:
    rows = [(name, where) for name, where in _operators().items()]
    return Shown(values={"operators": [{"name": name, "runs_on": where} for name, where in rows]}, head=("ONNX operator", "runs on"), rows=rows)


def one(name: str) -> Shown:
    from ridgeline.algorithm import zoo
    from ridgeline.hardware.chip import chip_names, read_chip
    from ridgeline.hardware.device import device_names, read_device

    if name in zoo.names():
        return Shown(values=_entry(zoo.entry(name)))
    if name in chip_names() or _describes_chip(name):
        return _one_chip(read_chip(name))
    if name in device_names() or name.endswith(".toml"):
        return Shown(values=_device(read_device(name)))
    known = _operators()
    if name in known:
        return Shown(values={"name": name, "runs_on": known[name]})
    raise unknown_name("name", name, [*KINDS, *zoo.names(), *device_names(), *chip_names(), *known])


def _entry(item: Any) -> dict[str, Any]:
    hidden = ("builder", "reduced")
    return {part.name: getattr(item, part.name) for part in fields(item) if part.name not in hidden}


def _device(item: Any) -> dict[str, Any]:
    return msgspec.to_builtins(item) | {"bytes_per_cycle": item.bytes_per_cycle, "dsp_kind": item.dsp_kind}


def _describes_chip(name: str) -> bool:
    """Whether a TOML file is a chip's and not a device's."""
    if not name.endswith(".toml"):
        return False
    try:
        return "levels" in tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _chip(chip: Chip) -> dict[str, Any]:
    from ridgeline.hardware.area import decoder_mm2

    values = msgspec.to_builtins(chip)
    levels = [made | {"instances": chip.instances(level)} for made, level in zip(values["levels"], chip.levels, strict=True)]
    decoders = [
        made | {"count": item.count(chip.array), "area_mm2": decoder_mm2(chip, item)}
        for made, item in zip(values["decoders"], chip.decoders, strict=True)
    ]
    return values | {"levels": levels, "decoders": decoders, "macs": chip.macs, "peak_tops": chip.peak_tops}


def _one_chip(chip: Chip) -> Shown:
    """A row for each level, from DRAM to the multipliers."""
    head = (f"{chip.name}, {chip.clock_mhz:g} MHz", "instances", "bytes each", "keeps", "serves", "pJ a bit", "bits a cycle")
    rows: list[Sequence[object]] = [
        (
            level.name, chip.instances(level), level.capacity_bytes, ", ".join(level.keeps), ", ".join(level.serves) or "one multiplier",
            _energy(level), _bandwidth(level),
        )
        for level in chip.levels
    ]  # fmt: skip
    array = ", ".join(f"{size} {name}" for name, size in chip.array.items())
    rows.append((f"multipliers: {array}", chip.macs, None, "-", "-", f"{chip.mac.pj:g} a MAC", f"{chip.peak_tops:.4g} TOPS"))
    for item in chip.decoders:
        rows.append((f"{item.name}: {_decoder(chip, item)}", item.count(chip.array), None, "-", "-", "-", "-"))
    return Shown(values=_chip(chip), head=head, rows=rows)


def _energy(level: Level) -> str:
    read, write = level.read_pj_per_bit, level.write_pj_per_bit
    return f"{read:.4g}" if read == write else f"{read:.4g} read, {write:.4g} written"


def _bandwidth(level: Level) -> str:
    """Of an instance."""
    read, write = (None if rate is None else f"{rate:,g}" for rate in (level.read_bits_per_cycle, level.write_bits_per_cycle))
    if level.one_port or read == write:
        return "unlimited" if read is None else f"{read} {'together' if level.one_port else 'each way'}"
    return f"{read or 'unlimited'} read, {write or 'unlimited'} written"


def _operators() -> dict[str, str]:
    """ONNX operator -> where it runs."""
    from ridgeline.algorithm.onnx.convert import CONVERTERS, ELEMENTWISE
    from ridgeline.algorithm.onnx.host import HOSTED

    engine = {*CONVERTERS, *ELEMENTWISE}
    both = "the engine, or the host at an end of the network"
    return {
        name: both if name in engine and name in HOSTED else "the engine" if name in engine else "the host, at an end of the network"
        for name in sorted(engine | HOSTED)
    }
