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


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSearch:
    """`search(graph, device)`: a `line.Search`. `objective`, `pins` and `caps` are those of `choose`."""

    objective: Objective
    pins: Mapping[str, int] = field(default_factory=dict[str, int])
    caps: Mapping[str, int] = field(default_factory=dict[str, int])

    def __call__(self, graph: Graph, device: Device) -> tuple[float, Choice]:
        choice = choose_pruned(graph, device, objective=self.objective, pins=self.pins, caps=self.caps)
        need = choice.copies * lower(graph, choice.engine, choice.tilings, pack=False).memory_bytes
        if need > device.dram.capacity_bytes:
            raise DoesNotFitError(
                f"the program, its weights and layers need {need:,} bytes of DRAM but '{device.name}' has {device.dram.capacity_bytes:,}"
            )
        return choice.cycles / (choice.copies * device.clock_mhz * 1e6), choice
