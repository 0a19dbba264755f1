"""Caffeine: "Towards Uniformed Representation and Acceleration for Deep CNNs", KU060 and VX690t: fully connected layers as convolutions on one
engine, a roofline whose bandwidth depends on the bursts, and VGG16 on two boards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ridgeline.errors import DoesNotFitError, InputError, unknown_name
from ridgeline.explore.uniform import Budget, LayerDesign, Study, UniformChoice, UniformDesign, design_of, memory_of, search
from ridgeline.formats import read_format
from ridgeline.hardware.device import read_device
from ridgeline.mapping.uniform import ORDERS, Memory, Model, UniformCost, cost, fully_connected, tile_of
from ridgeline.papers.networks import vgg16_convolutions, vgg16_dense
from ridgeline.papers.paper import Published

ROOFLINE_LAYER = (25088, 4096)  # VGG16's first fully connected layer
ROOFLINE_FORMAT = read_format("float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A published design. `macs` follows from the published peak: peak / 2 / clock; `bram_18kb` is what it takes."""

    format: str
    macs: int
    clock_mhz: float
    dsp: int
    bram_18kb: int


BOARDS: Mapping[str, Board] = {
    "KU060 fixed16": Board(format="fixed16", macs=912, clock_mhz=200, dsp=1058, bram_18kb=782),
    "KU060 float32": Board(format="float32", macs=240, clock_mhz=200, dsp=1314, bram_18kb=798),
    "VX690t fixed16": Board(format="fixed16", macs=2120, clock_mhz=150, dsp=2833, bram_18kb=1248),
}
DSP_KIND = "DSP48E2"
_CONV = "the array is the pair of factors of the published peak that ends the network first; the residue is that pair, which the paper does not print"
_DENSE = "a stream of weights has one of two equal ports, inferred: the published GOPS of both boards are half of the memory's bandwidth"
_ALL = "the printed figure does not follow from its neighbours: shown, not judged"
_BOARD = "measured by the paper on its board; ours is the revised roofline: shown, not judged"


def _published() -> tuple[Published, ...]:
    points = (
        ("input-major, batch 1", 4.8, 1.49, 1.58),
        ("input-major, batch 16384", 158.5, 157.6, 160.2),
        ("weight-major, batch 1", 4.99, 4.97, 5.40),
    )
    rows: list[Published] = []
    for name, plain, revised, board in points:
        rows.append(Published(quantity=f"{name}: plain roofline", unit="GOPS", value=plain, tolerance=0.02))
        rows.append(Published(quantity=f"{name}: revised roofline", unit="GOPS", value=revised, tolerance=0.02))
        rows.append(Published(quantity=f"{name}: board", unit="GOPS", value=board, tolerance=None, note=_BOARD))
    results = (("KU060 fixed16", 310, 173, 266, 101.15), ("KU060 float32", 88, 45, 79, None), ("VX690t fixed16", 488, 170, 354, 65.13))
    for name, conv, dense, both, milliseconds in results:
        rows.append(Published(quantity=f"{name}: VGG16 conv", unit="GOPS", value=conv, tolerance=0.15, note=_CONV))
        rows.append(Published(quantity=f"{name}: VGG16 FC", unit="GOPS", value=dense, tolerance=0.15, note=_DENSE))
        rows.append(Published(quantity=f"{name}: VGG16 all", unit="GOPS", value=both, tolerance=None, note=_ALL))
        if milliseconds is not None:
            rows.append(Published(quantity=f"{name}: VGG16, an image", unit="ms", value=milliseconds, tolerance=0.15))
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caffeine:
    """Its two mappings of fully connected layers, its plain and its revised roofline, and VGG16 on KU060 and VX690t."""

    title: ClassVar[str] = "Caffeine: Towards Uniformed Representation and Acceleration for Deep Convolutional Neural Networks (ICCAD 2016)"
    citation: ClassVar[str] = "C. Zhang, Z. Fang, P. Zhou, P. Pan, J. Cong, ICCAD 2016, doi 10.1145/2966986.2967011; TCAD 38(11), 2019"
    published: ClassVar[tuple[Published, ...]] = _published()

    tm: int = field(default=32, metadata={"help": "Tm of the rooflines' engine."})
    tn: int = field(default=32, metadata={"help": "Tn of the rooflines' engine."})
    map_tile: int = field(default=6272, metadata={"help": "Tr x Tc of the rooflines' engine."})
    bandwidth_gb_per_s: float = field(default=10.0, metadata={"help": "Of the memory, for long bursts."})
    ports: int = field(default=2, metadata={"help": "That share the boards' bandwidth, for weights and for maps; 0 for none: inferred."})
    batch: int = field(default=32, metadata={"help": "Images of VGG16 at a time."})
    fill_cycles: int = field(default=20, metadata={"help": "Of the pipeline, once a tile."})
    boards: str = field(default=",".join(BOARDS), metadata={"help": "Published designs to compare with, by commas."})

    def ours(self) -> Mapping[str, float]:
        """Raises InputError for a parameter out of range."""
        for name in ("tm", "tn", "map_tile", "batch"):
            if not 1 <= getattr(self, name) <= 1 << 20:
                raise InputError(f"{name} is {getattr(self, name):,}; it must be in 1..{1 << 20:,}")
        if not 0 <= self.fill_cycles < 10**6:
            raise InputError(f"fill_cycles is {self.fill_cycles}; it must be 0 or more")
        found = self._rooflines()
        for name in self._boards():
            found |= self._board(name, BOARDS[name])
        return found

    def memory(self, *, revised: bool, ports: int = 0) -> Memory:
        """KU060's measured curve, in proportion to the bandwidth."""
        curve = memory_of(read_device("ku060")).bursts
        bursts = tuple((burst, rate * self.bandwidth_gb_per_s / curve[-1][1]) for burst, rate in curve) if revised else ()
        return Memory(
            gb_per_s=self.bandwidth_gb_per_s,
            bursts=bursts,
            ports=ports,
            weight_ports=ports // 2,
            port_gb_per_s=self.bandwidth_gb_per_s / ports if ports else 0.0,
        )

    def roofline_gops(self, *, weight_major: bool, batch: int, revised: bool) -> float:
        """What the memory lets the engine attain on VGG16's first fully connected layer: intensity times bandwidth."""
        nest = fully_connected(*ROOFLINE_LAYER, batch=batch, weight_major=weight_major)
        model = Model(fill_cycles=0)
        tile = tile_of(nest, tm=self.tm, tn=self.tn, tr=1, tc=self.map_tile, model=model)
        memory = self.memory(revised=revised)
        points = (cost(nest, tile, order, tn=self.tn, format=ROOFLINE_FORMAT, memory=memory, model=model) for order in ORDERS)
        return max(2 * point.macs / point.memory_s / 1e9 for point in points)

    def _rooflines(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, weight_major, batch in (
            ("input-major, batch 1", False, 1),
            ("input-major, batch 16384", False, 16384),
            ("weight-major, batch 1", True, 1),
        ):
            for roofline in ("plain", "revised"):
                found[f"{name}: {roofline} roofline"] = self.roofline_gops(weight_major=weight_major, batch=batch, revised=roofline == "revised")
            found[f"{name}: board"] = found[f"{name}: revised roofline"]
        return found

    def _boards(self) -> tuple[str, ...]:
        names = tuple(name.strip() for name in self.boards.split(",") if name.strip())
        for name in names:
            if name not in BOARDS:
                raise unknown_name("board", name, BOARDS)
        return names

    def _board(self, name: str, board: Board) -> dict[str, float]:
        design = self.board_design(board)
        conv = [item for item in design.layers if item.layer.name.startswith("conv")]
        dense = [item for item in design.layers if item.layer.name.startswith("fc")]
        return {
            f"{name}: VGG16 conv": _gops(conv, board.clock_mhz),
            f"{name}: VGG16 FC": _gops(dense, board.clock_mhz),
            f"{name}: VGG16 all": design.gops,
            f"{name}: VGG16, an image": design.time_s / self.batch * 1e3,
        }

    def board_design(self, board: Board) -> UniformDesign:
        """The array of exactly the published number of multiply-accumulators that ends VGG16 first, fully connected layers weight-major."""
        layers = (*vgg16_convolutions(batch=self.batch), *vgg16_dense(batch=self.batch, weight_major=True))
        budget = Budget(
            dsp_kind=DSP_KIND,
            dsp=5 * board.dsp,  # the multiply-accumulators are given
            bram_18kb=board.bram_18kb,
            clock_mhz=board.clock_mhz,
            memory=self.memory(revised=True, ports=self.ports),
            macs=board.macs,
        )
        study = Study(layers=layers, format=read_format(board.format), budget=budget, model=Model(fill_cycles=self.fill_cycles))
        found: list[UniformDesign] = []
        for tm, tn in ((tm, board.macs // tm) for tm in range(1, board.macs + 1) if board.macs % tm == 0):
            try:
                found.append(design_of(study, tm, tn))
            except DoesNotFitError:
                continue
        return min(found, key=lambda design: design.time_s)


def _gops(layers: Sequence[LayerDesign], clock_mhz: float) -> float:
    total = sum((item.cost for item in layers), UniformCost())
    return 2 * total.macs / sum(item.cost.time_s(clock_mhz) for item in layers) / 1e9


def beyond() -> UniformChoice:
    """The paper's own limits on KU060, 1,058 DSP blocks, 10 GB/s by bursts, 200 MHz, VGG16 in fixed16 with a batch of 32, with what its design
    leaves: the memory's whole bandwidth for whichever array needs it, and lanes that divide the network's layers."""
    board = read_device("ku060")
    layers = (*vgg16_convolutions(batch=32), *vgg16_dense(batch=32, weight_major=True))
    budget = Budget(
        dsp_kind=board.dsp_kind, dsp=1058, bram_18kb=board.resources.bram_18kb, clock_mhz=200.0, memory=Caffeine().memory(revised=True)
    )  # fmt: skip
    return search(Study(layers=layers, format=read_format("fixed16"), budget=budget))
