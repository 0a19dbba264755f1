"""ANT, MICRO 2022: six accelerators at equal area on eight networks, each layer in the bits that its design gives it; time and energy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

import msgspec

from ridgeline.errors import InputError, unknown_name
from ridgeline.explore.quantised import Spent, best_mappings
from ridgeline.hardware.quantised import Machine, design_names, read_design, read_machine
from ridgeline.hardware.toml import read_toml
from ridgeline.papers.ant_networks import NETWORKS
from ridgeline.papers.paper import Published

BASE, RIVAL, OURS = "AdaFloat", "BitFusion", "ANT-OS"
PARTS = ("static", "DRAM", "buffers", "core")
SPEED, SAVING = f"mean time of {RIVAL} over {OURS}", f"mean energy of {RIVAL} over {OURS}"
_DIGITS = 0.005 * (1 + 1e-9)  # half of the last digit printed
_AVERAGED = {"BiScaled": ("VGG16", "ResNet18", "ResNet50")}  # all networks for a design that is not here
_GOLDEN = "of the model that the readings were settled by; the paper prints two digits of the ratio"
_THREE = "of VGG16, ResNet18 and ResNet50, inferred: the two that are printed have a mean of .377, all eight one of .367 and a static part of .14"
_MEAN = "called a geometric mean, it is the arithmetic one"


class Bits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of each network the layers in `listed` bits; all others are in `others`."""

    listed: int
    others: int
    layers: dict[str, tuple[int, ...]]


class _Tables(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    time: dict[str, dict[str, float]]
    energy: dict[str, dict[str, tuple[float, float, float, float]]]
    cycles: dict[str, dict[str, int]]
    bits: dict[str, Bits]


@cache
def _tables() -> _Tables:
    return read_toml(Path(__file__).with_name("ant.toml"), _Tables, "table")


def layer_bits(network: str, design: str, layers: int) -> tuple[int, ...]:
    """Of each layer's operands. A design without a list runs all in its widest."""
    listed = _tables().bits.get(design.split("-")[0])
    if listed is None:
        return (read_design(design).widest_bits,) * layers
    return tuple(listed.listed if layer in listed.layers[network] else listed.others for layer in range(layers))


def _published() -> tuple[Published, ...]:
    tables, rows = _tables(), list[Published]()
    for network, line in tables.cycles.items():
        for design, value in line.items():
            rows.append(Published(quantity=f"{network} on {design}: cycles", unit="cycles", value=value, tolerance=0.0, note=_GOLDEN))
    for design, line in tables.time.items():
        for network, value in line.items():
            note = _THREE if network == "mean" and design in _AVERAGED else ""
            rows.append(_digits(f"{network} on {design}: time", f"of {BASE}'s", value, note))
    for network, lines in tables.energy.items():
        for design, values in lines.items():
            for part, value in zip(PARTS, values, strict=True):
                rows.append(_digits(f"{network} on {design}: {part}", f"of {BASE}'s energy", value))
    for quantity, value in ((SPEED, 2.8), (SAVING, 2.5)):
        rows.append(Published(quantity=quantity, unit="x", value=value, tolerance=0.05 * (1 + 1e-9) / value, note=_MEAN))
    return tuple(rows)


def _digits(quantity: str, unit: str, value: float, note: str = "") -> Published:
    return Published(quantity=quantity, unit=unit, value=value, tolerance=_DIGITS / value, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ant:
    """Its model, its designs and the bits of each layer: the best tiles and order of every layer on every design."""

    title: ClassVar[str] = "ANT: Exploiting Adaptive Numerical Data Type for Low-bit Deep Neural Network Quantization (MICRO 2022)"
    citation: ClassVar[str] = (
        "C. Guo, C. Zhang, J. Leng, Z. Liu, F. Yang, Y. Liu, M. Guo, Y. Zhu, MICRO 2022, doi 10.1109/MICRO56248.2022.00095"
    )
    published: ClassVar[tuple[Published, ...]] = _published()

    networks: str = field(default=",".join(NETWORKS), metadata={"help": "By commas."})
    designs: str = field(default=",".join(design_names()), metadata={"help": f"By commas; {BASE} is always there."})
    batch: int = field(default=64, metadata={"help": "Images or sequences at a time."})
    dram_bits_per_cycle: int = field(default=1024, metadata={"help": "Of the memory."})
    weights_kib: int = field(default=128, metadata={"help": "Of the weights' memory."})
    activations_kib: int = field(default=256, metadata={"help": "Of the activations' memory."})
    outputs_kib: int = field(default=128, metadata={"help": "Of the outputs' memory."})

    def machine(self) -> Machine:
        """Raises InputError for a parameter out of range."""
        for name in ("batch", "dram_bits_per_cycle", "weights_kib", "activations_kib", "outputs_kib"):
            if not 1 <= getattr(self, name) <= 1 << 16:
                raise InputError(f"{name} is {getattr(self, name):,}; it must be in 1..{1 << 16:,}")
        read = read_machine()
        return msgspec.structs.replace(
            read,
            dram_bits_per_cycle=self.dram_bits_per_cycle,
            weights=msgspec.structs.replace(read.weights, kib=self.weights_kib),
            activations=msgspec.structs.replace(read.activations, kib=self.activations_kib),
            outputs=msgspec.structs.replace(read.outputs, kib=self.outputs_kib),
        )

    def spent(self, network: str, design: str) -> Spent:
        """Of a whole network. Raises InputError, DoesNotFitError."""
        works = NETWORKS[network](self.batch)
        bits = layer_bits(network, design, len(works))
        mapped = best_mappings(tuple(zip(works, bits, strict=True)), read_design(design), self.machine())
        return sum((item.spent for item in mapped), Spent())

    def ours(self) -> Mapping[str, float]:
        networks, designs = _named("network", self.networks, tuple(NETWORKS)), _named("design", self.designs, design_names())
        designs = tuple(dict.fromkeys((*designs, BASE)))
        return figures({(network, design): self.spent(network, design) for network in networks for design in designs})


def figures(spent: Mapping[tuple[str, str], Spent]) -> dict[str, float]:
    """By the names of the published table, from what each network spends on each design."""
    found: dict[str, float] = {}
    ratios: dict[str, dict[str, tuple[float, ...]]] = {}
    for (network, design), item in spent.items():
        base = spent[network, BASE]
        parts = (item.static_nj, item.dram_nj, item.buffer_nj, item.core_nj)
        line = (item.cycles / base.cycles, *(part / base.energy_nj for part in parts))
        ratios.setdefault(design, {})[network] = line
        found[f"{network} on {design}: cycles"] = item.cycles
        found |= _named_ratios(network, design, line)
    means = {design: _mean(design, lines) for design, lines in ratios.items()}
    for design, line in means.items():
        found |= _named_ratios("mean", design, line)
    if RIVAL in means and OURS in means:
        found[SPEED] = means[RIVAL][0] / means[OURS][0]
        found[SAVING] = sum(means[RIVAL][1:]) / sum(means[OURS][1:])
    return found


def _mean(design: str, lines: Mapping[str, tuple[float, ...]]) -> tuple[float, ...]:
    chosen = [line for network, line in lines.items() if network in _AVERAGED.get(design, lines)] or list(lines.values())
    return tuple(sum(column) / len(chosen) for column in zip(*chosen, strict=True))


def _named_ratios(network: str, design: str, line: tuple[float, ...]) -> dict[str, float]:
    return {f"{network} on {design}: {name}": value for name, value in zip(("time", *PARTS), line, strict=True)}


def _named(kind: str, listed: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
    if not names:
        raise InputError(f"{kind}s '{listed}' names none; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)
    return names
