"""ISLPED'16: "Energy-Efficient CNN Implementation on a Deeply Pipelined FPGA Cluster": AlexNet on four and VGG16 on six VX690T in a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ridgeline.errors import DoesNotFitError, InputError, unknown_name
from ridgeline.explore.uniform import Budget, Study, memory_of, section_designs
from ridgeline.formats import read_format
from ridgeline.hardware.device import read_device
from ridgeline.mapping.uniform import Model, Reduction
from ridgeline.papers.networks import Chain, alexnet, vgg16
from ridgeline.papers.paper import Published
from ridgeline.system.line import Partition, Times, best

NETWORKS = {"AlexNet": alexnet, "VGG16": vgg16}
_UNKNOWN = "the links, the batch and how much of each board its engine takes are not published; not judged"
_ALEXNET = f"ours is held by the first layer, whose 3 channels fill 3 of Tn lanes and which one board runs alone; {_UNKNOWN}"
_VGG16 = f"ours may take all of a board's multipliers and its full bandwidth; {_UNKNOWN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Islped16:
    """The best cut of a network over boards in a line, each with the best uniform engine for its layers."""

    title: ClassVar[str] = "Energy-Efficient CNN Implementation on a Deeply Pipelined FPGA Cluster (ISLPED 2016)"
    citation: ClassVar[str] = "C. Zhang, D. Wu, J. Sun, G. Sun, G. Luo, J. Cong, ISLPED 2016, doi 10.1145/2934583.2934644"
    published: ClassVar[tuple[Published, ...]] = (
        Published(quantity="AlexNet: throughput", unit="GOPS", value=825.6, tolerance=None, note=_ALEXNET),
        Published(quantity="VGG16: throughput", unit="GOPS", value=1280.3, tolerance=None, note=_VGG16),
    )

    networks: str = field(default="AlexNet,VGG16", metadata={"help": "By commas."})
    alexnet_boards: int = field(default=4, metadata={"help": "In AlexNet's line."})
    vgg16_boards: int = field(default=6, metadata={"help": "In VGG16's line."})
    device: str = field(default="vc709", metadata={"help": "Each board: a name that `ridgeline show devices` lists, or a TOML file."})
    dsp: int = field(default=3600, metadata={"help": "DSP blocks of each board at most."})
    clock_mhz: float = field(default=150.0, metadata={"help": "Of the engines."})
    format: str = field(default="fixed16", metadata={"help": "Number format: float32, fixed16 or int8."})
    reduction: str = field(default="channels", metadata={"help": "Over the lanes: channels, row or window."})
    link_gb_per_s: float = field(default=1.25, metadata={"help": "Of each link, assumed: a serial link of 10 Gb/s."})
    batch: int = field(default=32, metadata={"help": "Images at a time, assumed: Caffeine's."})

    def ours(self) -> Mapping[str, float]:
        """Raises InputError for a parameter out of range, DoesNotFitError when a section fits no board."""
        if not 0 < self.link_gb_per_s < 1e6 or not 0 < self.clock_mhz < 1e4:
            raise InputError(f"link_gb_per_s is {self.link_gb_per_s:g} and clock_mhz {self.clock_mhz:g}; both must be above 0")
        if not 1 <= self.batch <= 1 << 16 or self.dsp < 1:
            raise InputError(f"batch is {self.batch:,} and dsp {self.dsp:,}; both must be 1 or more, batch at most {1 << 16:,}")
        found: dict[str, float] = {}
        for name in (name.strip() for name in self.networks.split(",") if name.strip()):
            if name not in NETWORKS:
                raise unknown_name("network", name, NETWORKS)
            boards = self.alexnet_boards if name == "AlexNet" else self.vgg16_boards
            chain = NETWORKS[name](batch=self.batch)
            cut = self.cut(name, chain, boards)
            found[f"{name}: throughput"] = 2 * sum(layer.macs for layer in chain.layers) / cut.time_s / 1e9
        if not found:
            raise InputError(f"networks '{self.networks}' names none; known: {', '.join(NETWORKS)}")
        return found

    def _reduction(self) -> Reduction:
        known = {kind.name.lower(): kind for kind in Reduction}
        if self.reduction not in known:
            raise unknown_name("reduction", self.reduction, known)
        return known[self.reduction]

    def cut(self, name: str, chain: Chain, boards: int) -> Partition:
        """The partition in which the slowest board or link takes least time for a batch."""
        layers = len(chain.layers)
        if not 1 <= boards <= layers:
            raise InputError(f"{name} has {layers} layers and cannot lie on {boards} boards; give 1 to {layers}")
        board = read_device(self.device)
        budget = Budget(
            dsp_kind=board.dsp_kind, dsp=min(self.dsp, board.resources.dsp), bram_18kb=board.resources.bram_18kb, clock_mhz=self.clock_mhz,
            memory=memory_of(board),
        )  # fmt: skip
        study = Study(layers=chain.layers, format=read_format(self.format), budget=budget, model=Model(reduction=self._reduction()))
        times = np.full((layers + 1, layers + 1), np.inf)
        for (start, stop), design in section_designs(study).items():
            times[start, stop] = design.time_s
        crossing = np.array([0, *chain.crossing]) * self.batch * study.format.bytes / (self.link_gb_per_s * 1e9)
        found = best(Times(boards=np.tile(times, (boards, 1, 1)), links=np.tile(crossing, (boards - 1, 1))), "throughput")
        if found is None:
            raise DoesNotFitError(f"{name}: no cut leaves every board of {boards} layers that fit '{board.name}'")
        return found
