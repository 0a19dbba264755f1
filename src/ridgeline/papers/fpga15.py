"""FPGA'15: "Optimizing FPGA-based Accelerator Design for Deep Convolutional Neural Networks", VC707, 100 MHz, float32, AlexNet's convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ridgeline.errors import InputError, unknown_name
from ridgeline.explore.uniform import Budget, Layer, Study, UniformChoice, memory_of, search
from ridgeline.formats import read_format
from ridgeline.hardware.device import read_device
from ridgeline.mapping.uniform import Memory, Model, Reduction
from ridgeline.papers.networks import convolution
from ridgeline.papers.paper import Published

# The paper's table of layers: one of the two groups of each, so that the network is all of them twice.
LAYERS = {
    "conv1": convolution(m=48, c=3, size=55, kernel=11, stride=4),
    "conv2": convolution(m=128, c=48, size=27, kernel=5),
    "conv3": convolution(m=192, c=256, size=13, kernel=3),
    "conv4": convolution(m=192, c=192, size=13, kernel=3),
    "conv5": convolution(m=128, c=192, size=13, kernel=3),
}
GROUPS = 2
UNLIMITED = 10**6  # block RAMs: the counts are those of whole maps, which no buffer limit enters
_OPTIMUM = (366_025, 237_185, 160_264, 120_198, 80_132)
_TOGETHER = (366_025, 255_430, 171_051, 129_444, 86_296)
_INFERRED = "480 multiply-accumulators and a fill of 20 cycles a tile (none for a single tile) are inferred from the published counts"
_GAP = "the model against the board: it has no DRAM latency, no refresh, and no start and end of a layer"


def _published() -> tuple[Published, ...]:
    rows = [
        Published(quantity=f"{name}: cycles of its own optimum", unit="cycles", value=value, tolerance=0.0)
        for name, value in zip(LAYERS, _OPTIMUM, strict=True)
    ]
    rows.append(Published(quantity="sum of the optima", unit="cycles", value=963_804, tolerance=0.0, note=_INFERRED))
    rows += [
        Published(quantity=f"{name}: cycles on the uniform engine", unit="cycles", value=value, tolerance=0.0)
        for name, value in zip(LAYERS, _TOGETHER, strict=True)
    ]
    return (
        *rows,
        Published(quantity="sum on the uniform engine", unit="cycles", value=1_008_246, tolerance=0.0, note=_INFERRED),
        Published(quantity="Tm of the uniform engine", unit="lanes", value=64, tolerance=0.0),
        Published(quantity="Tn of the uniform engine", unit="lanes", value=7, tolerance=0.0),
        Published(quantity="DSP48E1 of the uniform engine", unit="blocks", value=2240, tolerance=0.0),
        Published(quantity="conv3: bandwidth it needs", unit="GB/s", value=1.551, tolerance=0.01, note="on the cycles without the fills"),
        Published(quantity="throughput", unit="GFLOPS", value=61.62, tolerance=0.10, note=_GAP),
        Published(quantity="time of the layers", unit="ms", value=21.61, tolerance=0.10, note=_GAP),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fpga15:
    """Its cycles, pair of tiles, DSP blocks, bandwidth and throughput from the model alone."""

    title: ClassVar[str] = "Optimizing FPGA-based Accelerator Design for Deep Convolutional Neural Networks (FPGA 2015)"
    citation: ClassVar[str] = "C. Zhang, P. Li, G. Sun, Y. Guan, B. Xiao, J. Cong, FPGA 2015, doi 10.1145/2684746.2689060"
    published: ClassVar[tuple[Published, ...]] = _published()

    multipliers: int = field(default=480, metadata={"help": "Multiply-accumulators at most: inferred, with the fill, from the published counts."})
    bandwidth_gb_per_s: float = field(default=4.5, metadata={"help": "Of the memory."})
    clock_mhz: float = field(default=100.0, metadata={"help": "Of the engine."})
    dsp: int = field(default=2800, metadata={"help": "DSP48E1 blocks of the device."})
    bram_18kb: int = field(default=UNLIMITED, metadata={"help": "Block RAMs of 18 Kb; the published counts are those of whole maps."})
    fill_cycles: int = field(default=20, metadata={"help": "Of the pipeline, once a tile; none for a layer of one tile: inferred from the counts."})
    format: str = field(default="float32", metadata={"help": "Number format: float32, fixed16 or int8."})
    layers: str = field(default=",".join(LAYERS), metadata={"help": "Of AlexNet, by commas."})

    def study(self) -> Study:
        """Raises InputError for a parameter out of range."""
        for name in ("multipliers", "clock_mhz", "dsp", "bram_18kb"):
            if not 0 < getattr(self, name) < 1e9:
                raise InputError(f"{name} is {getattr(self, name):g}; it must be above 0")
        if not 0 <= self.fill_cycles < 1e6:
            raise InputError(f"fill_cycles is {self.fill_cycles}; it must be 0 or more")
        budget = Budget(
            dsp_kind="DSP48E1",
            dsp=self.dsp,
            bram_18kb=self.bram_18kb,
            clock_mhz=self.clock_mhz,
            memory=Memory(gb_per_s=self.bandwidth_gb_per_s),
            macs=self.multipliers,
        )
        model = Model(fill_cycles=self.fill_cycles, whole_tiles=True)
        return Study(layers=self._layers(), format=read_format(self.format), budget=budget, model=model)

    def ours(self) -> Mapping[str, float]:
        study = self.study()
        return figures(study, search(study))

    def _layers(self) -> tuple[Layer, ...]:
        names = [name.strip() for name in self.layers.split(",") if name.strip()]
        if not names or len(set(names)) < len(names):
            raise InputError(f"layers '{self.layers}' names no layer, or one twice; known: {', '.join(LAYERS)}")
        for name in names:
            if name not in LAYERS:
                raise unknown_name("layer", name, LAYERS)
        return tuple(Layer(name=name, nest=LAYERS[name]) for name in names)


def figures(study: Study, choice: UniformChoice) -> dict[str, float]:
    """By the names of the published table."""
    clock_mhz, chosen = study.budget.clock_mhz, choice.chosen
    found: dict[str, float] = {}
    for design in choice.alone:
        found[f"{design.layers[0].layer.name}: cycles of its own optimum"] = design.cycles
    found["sum of the optima"] = sum(design.cycles for design in choice.alone)
    for item in chosen.layers:
        found[f"{item.layer.name}: cycles on the uniform engine"] = item.cost.cycles
    found["sum on the uniform engine"] = chosen.cycles
    found["Tm of the uniform engine"], found["Tn of the uniform engine"] = chosen.engine.tm, chosen.engine.tn
    found["DSP48E1 of the uniform engine"] = chosen.engine.dsp("DSP48E1")
    for item in chosen.layers:
        if item.layer.name == "conv3":
            found["conv3: bandwidth it needs"] = item.cost.bandwidth_gb_per_s(clock_mhz)
    found["throughput"] = chosen.gops
    found["time of the layers"] = GROUPS * chosen.time_s * 1e3
    return found


def beyond() -> UniformChoice:
    """The paper's own limits, 2,240 DSP blocks at 5 a multiply-accumulate and the board's block RAMs, clock and bandwidth, with what its design
    leaves: lanes that take whole windows, gathered while they are loaded; groups of a layer that share their input as one; tiles at the border as
    small as they are."""
    board = read_device("vc707")
    layers = (
        Layer(name="conv1", nest=convolution(m=96, c=3, size=55, kernel=11, stride=4)),
        Layer(name="conv2", nest=LAYERS["conv2"], times=GROUPS),
        Layer(name="conv3", nest=convolution(m=384, c=256, size=13, kernel=3)),
        Layer(name="conv4", nest=LAYERS["conv4"], times=GROUPS),
        Layer(name="conv5", nest=LAYERS["conv5"], times=GROUPS),
    )
    budget = Budget(
        dsp_kind=board.dsp_kind, dsp=2240, bram_18kb=board.resources.bram_18kb, clock_mhz=100.0, memory=memory_of(board)
    )  # fmt: skip
    return search(Study(layers=layers, format=read_format("float32"), budget=budget, model=Model(reduction=Reduction.WINDOW)))
