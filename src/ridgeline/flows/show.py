"""`ridgeline show`: what Ridgeline knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from ridgeline.errors import unknown_name

KINDS = ("models", "devices", "operators")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A table, or the values of one thing where `head` is empty."""

    values: Mapping[str, Any]
    head: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = field(default=())


def show(what: str) -> Shown:
    """`what` is a kind, or the name of a model, a device or an operator. Raises UnknownNameError, or InputError for a device's TOML file."""
    if what in KINDS:
        return {"models": models, "devices": devices, "operators": operators}[what]()
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


def operators() -> Shown:
    rows = [(name, where) for name, where in _operators().items()]
    return Shown(values={"operators": [{"name": name, "runs_on": where} for name, where in rows]}, head=("ONNX operator", "runs on"), rows=rows)


def one(name: str) -> Shown:
    from ridgeline.algorithm import zoo
    from ridgeline.hardware.device import device_names, read_device

    if name in zoo.names():
        return Shown(values=_entry(zoo.entry(name)))
    if name in device_names() or name.endswith(".toml"):
        return Shown(values=_device(read_device(name)))
    known = _operators()
    if name in known:
        return Shown(values={"name": name, "runs_on": known[name]})
    raise unknown_name("name", name, [*KINDS, *zoo.names(), *device_names(), *known])


def _entry(item: Any) -> dict[str, Any]:
    hidden = ("builder", "reduced")
    return {part.name: getattr(item, part.name) for part in fields(item) if part.name not in hidden}


def _device(item: Any) -> dict[str, Any]:
    return msgspec.to_builtins(item) | {"bytes_per_cycle": item.bytes_per_cycle, "dsp_kind": item.dsp_kind}


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
