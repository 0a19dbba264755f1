"""What a report shows: plain values, so that this room computes nothing about networks or hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDot:
    """One layer on the roofline. `cycles` are from its first load to its last store where a simulation ran, else the predicted ones."""

    name: str
    operator: str
    macs: int
    dram_bytes: int
    cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignPoint:
    """One engine of the design space, with the best mapping of every layer."""

    cycles: float
    bytes_per_cycle: float  # mean DRAM traffic: what the design needs of the bandwidth
    parameters: Mapping[str, Any]  # shown on hover
    pareto: bool = False
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A unit at work, in cycles from the start of the program."""

    unit: str
    layer: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    summary: Mapping[str, Any]  # the content of summary.json
    peak_macs_per_cycle: int
    bytes_per_cycle: float
    layers: tuple[LayerDot, ...]
    points: tuple[DesignPoint, ...]
    timeline: tuple[Bar, ...]
    available: Mapping[str, int]  # the device's resources, by the names in summary["resources"]
