"""Draws the pictures of docs/ from our own numbers: `pip install -e .[plots]`, then `python -m bench.plots`."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from ridgeline.explore.uniform import cuts, search
from ridgeline.formats import ENGINE_FORMATS
from ridgeline.mapping.uniform import ORDERS, cost, tile_of
from ridgeline.mapping.uniform_kernel import order_masks
from ridgeline.papers.caffeine import Caffeine
from ridgeline.papers.fpga15 import LAYERS, Fpga15

DOCS = Path(__file__).parents[1] / "docs"
LAYER = "conv5"  # the paper's figure 8 is of it


def main() -> None:
    matplotlib.rcParams |= {"font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
    _save(_fpga15(), "fpga15")
    _save(_caffeine(), "caffeine")


def _save(figure: Any, name: str) -> None:
    figure.savefig(DOCS / f"{name}.png", dpi=110, metadata={"Software": None}, bbox_inches="tight")
    plt.close(figure)


def _fpga15() -> Any:
    """The space of one layer: each legal <Tm, Tn, Tr, Tc> by its intensity and its compute roof, the memory's line, and the choice."""
    paper = Fpga15(layers=LAYER)
    study, nest, model = paper.study(), LAYERS[LAYER], Fpga15().study().model
    points: list[tuple[float, float]] = []
    orders = [ORDERS[row[3]] for row in order_masks(model)]
    for tm, tn in product(cuts(nest.axes["m"]), cuts(nest.axes["c"])):
        if tm * tn > paper.multipliers:
            continue
        for tr, tc in product(cuts(nest.axes["y"]), cuts(nest.axes["x"])):
            tile = tile_of(nest, tm=tm, tn=tn, tr=tr, tc=tc, model=model)
            found = [cost(nest, tile, order, tn=tn, format=ENGINE_FORMATS["float32"], memory=study.budget.memory, model=model) for order in orders]
            best = min(found, key=lambda item: item.total_bytes)
            points.append((best.intensity, 2 * best.macs / best.cycles * paper.clock_mhz / 1e3))
    chosen = search(study).chosen.layers[0].cost
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    axes.scatter(*zip(*points, strict=True), s=3, alpha=0.35, label=f"{len(points):,} designs of {LAYER}")
    intensity = [0.0, max(x for x, _ in points)]
    axes.plot(intensity, [x * paper.bandwidth_gb_per_s for x in intensity], color="tab:red", label=f"{paper.bandwidth_gb_per_s} GB/s")
    axes.scatter([chosen.intensity], [chosen.gops(paper.clock_mhz)], s=60, marker="*", color="black", zorder=3, label="chosen")
    axes.set(xlabel="operations a byte of DRAM traffic", ylabel="compute roof, GFLOPS", ylim=(0, 1.1 * max(y for _, y in points)))
    axes.legend(loc="lower right")
    return figure


def _caffeine() -> Any:
    """VGG16's first fully connected layer on <32, 32, 6272>: both mappings over the batch, plain and revised roofline."""
    paper = Caffeine()
    batches = [1 << power for power in range(15)]
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    for weight_major, colour in ((False, "tab:blue"), (True, "tab:orange")):
        for revised, style in ((False, "--"), (True, "-")):
            values = [paper.roofline_gops(weight_major=weight_major, batch=batch, revised=revised) for batch in batches]
            name = f"{'weight' if weight_major else 'input'}-major, {'revised' if revised else 'plain'}"
            axes.plot(batches, values, style, color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlabel="images at a time", ylabel="GOPS that the memory allows")
    axes.legend()
    return figure


if __name__ == "__main__":
    main()
