"""One board's search in the form that a line of boards takes: what `choose` finds, within the board's memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ridgeline.algorithm.graph import Graph
from ridgeline.errors import DoesNotFitError
from ridgeline.explore.choose import Choice, Objective
from ridgeline.explore.pruned import choose_pruned
from ridgeline.hardware.device import Device
from ridgeline.mapping.lower import lower


def require_memory(need_bytes: int, device: Device, copies: int) -> None:
    """Raises DoesNotFitError for programs, one for each copy of the engine, that the board's memory cannot hold."""
    if copies * need_bytes > device.dram.capacity_bytes:
        several = f"{copies} engines' programs, weights and layers" if copies > 1 else "the program, its weights and layers"
        raise DoesNotFitError(
            f"{several} need {copies * need_bytes:,} bytes of DRAM but '{device.name}' has {device.dram.capacity_bytes:,}; "
            "choose a device with more memory"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSearch:
    """`search(graph, device)`: a `line.Search`. `objective`, `pins` and `caps` are those of `choose`."""

    objective: Objective
    pins: Mapping[str, int] = field(default_factory=dict[str, int])
    caps: Mapping[str, int] = field(default_factory=dict[str, int])

    def __call__(self, graph: Graph, device: Device) -> tuple[float, Choice]:
        choice = choose_pruned(graph, device, objective=self.objective, pins=self.pins, caps=self.caps)
        require_memory(lower(graph, choice.engine, choice.tilings, pack=False).memory_bytes, device, choice.copies)
        return choice.cycles / (choice.copies * device.clock_mhz * 1e6), choice
