"""`ridgeline explore --chip`: designs of a chip, each with the best mapping of every layer of the networks; the best, and the Pareto set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ridgeline.errors import InputError, UnsupportedError
from ridgeline.flows import source
from ridgeline.flows.folder import check_replaceable, output_folder
from ridgeline.flows.map import LONG_BUDGET_S, Rules, check_budget, chip_of, conventions, layer_summary, search_s
from ridgeline.flows.progress import Progress, Silent

if TYPE_CHECKING:
    from ridgeline.algorithm.layers import Layer
    from ridgeline.explore.architecture import Design, Explored
    from ridgeline.hardware.chip import Chip
    from ridgeline.hardware.vary import Value
    from ridgeline.mapping.search.space import SpaceName

STORES = Path("build") / "explore"
LONGEST = 80  # characters of a store's name


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureOptions:
    """What `ridgeline explore --chip` was asked. `networks` are parted by commas; `budget_s` is that of one design; without `store`, answers are kept
    in build/explore."""

    networks: str
    chip: str
    vary: str
    objective: str = "edp"
    area_cap_mm2: float | None = None
    space: SpaceName = "full"
    rules: Rules = "ridgeline"
    batch: int | None = None
    layers: str | None = None
    budget_s: float | None = None
    store: Path | None = None
    out: Path | None = None


def explore_chip(options: ArchitectureOptions, progress: Progress | None = None) -> Mapping[str, Any]:
    """What `explore --chip --json` prints. Writes it with pareto.json and a report where `out` is given. Raises RidgelineError."""
    from ridgeline.explore.architecture import explore_designs
    from ridgeline.explore.store import Question, open_store
    from ridgeline.explore.vary import designs, read_vary
    from ridgeline.mapping.search.network import read_objective

    start = perf_counter()
    progress = progress or Silent()
    objective, chip = read_objective(options.objective), chip_of(options.chip)
    check_budget(options.budget_s)
    if objective.is_pareto:
        raise InputError("--objective pareto is for `map`; `explore` gives the Pareto set of the designs, each mapped for a product such as edp")
    if options.rules == "zigzag":
        raise UnsupportedError(
            "--conventions zigzag is for `map`; designs are compared by proven bounds, which ridgeline and timeloop have"
        )
    vary, names = read_vary(options.vary, chip), _networks(options.networks)
    if options.area_cap_mm2 is not None and not 0 < options.area_cap_mm2 < inf:
        raise InputError(f"--area-cap-mm2 is {options.area_cap_mm2:g}; it must be above 0")
    if options.out is not None:
        check_replaceable(options.out)
    progress.step("reading the networks")
    layers = _layers(names, options)
    path = options.store or STORES / f"{_stem(names, chip)}.sqlite"
    progress.step("mapping the designs")
    budget_s = search_s(options.budget_s, LONG_BUDGET_S)
    question = Question(objective=objective, space=options.space, conventions=conventions(options.rules), budget_s=budget_s)
    with open_store(path) as store:
        found = explore_designs(
            [layer.nest for layer in layers], chip, designs(vary), question, store,
            area_cap_mm2=options.area_cap_mm2, progress=progress.advance,
        )  # fmt: skip
    asked = _asked(options, names, chip, vary, layers)
    summary = {
        **asked,
        **_result(found),
        "best_layers": [
            layer_summary(layer, item, found.chip, question.conventions) for layer, item in zip(layers, found.found.layers, strict=True)
        ],
        "area": _area(found.chip, known=found.best.area_mm2 is not None),
        "designs": [_design(design) for design in found.designs],
        "store": {"path": str(path), "reused": found.reused, "evaluated": found.evaluated},
        "time_s": round(perf_counter() - start, 4),
    }
    if options.out is not None:
        progress.step("writing the report")
        _write(options.out, {**asked, **_result(found)}, summary)
    return summary


def _networks(text: str) -> list[str]:
    """A file whose name holds a comma is one network."""
    names = [text] if Path(text).exists() else text.split(",")
    if "" in names:
        raise InputError(f"networks '{text}': a name is empty; give names or files parted by commas")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"networks '{text}' name '{twice}' twice")
    return names


def _layers(names: list[str], options: ArchitectureOptions) -> list[Layer]:
    """Of all networks; with several, each layer's name begins with its network's."""
    works = [source.read_work(name, batch=options.batch) for name in names]
    named = [
        replace(layer, name=f"{source.network_name(name)}: {layer.name}") if len(names) > 1 else layer
        for name, work in zip(names, works, strict=True)
        for layer in work.layers
    ]
    found = [layer for layer in named if options.layers is None or options.layers in layer.name]
    if not found:
        shown = ", ".join(layer.name for layer in named[:8])
        raise InputError(f"--layers '{options.layers}': no layer's name holds it; there are {shown}{', ...' if len(named) > 8 else ''}")
    return found


def _stem(names: list[str], chip: Chip) -> str:
    text = "-".join([*(source.network_name(name) for name in names), chip.name]).replace("/", "_")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _asked(
    options: ArchitectureOptions, names: list[str], chip: Chip, vary: Mapping[str, tuple[Value, ...]], layers: list[Layer]
) -> dict[str, Any]:
    return {
        "networks": [source.network_name(name) for name in names],
        "chip": chip.name,
        "vary": {path: list(values) for path, values in vary.items()},
        "objective": options.objective,
        "area_cap_mm2": options.area_cap_mm2,
        "budget_s": options.budget_s,
        "layers": len(layers),
        "macs": sum(layer.nest.macs for layer in layers),
        "space": options.space,
        "conventions": options.rules,
    }


def _result(found: Explored) -> dict[str, Any]:
    """The same whether a run was interrupted or not: no time, no store."""
    reasons = Counter(design.reason for design in found.designs if design.reason is not None)
    return {
        "count": {"asked": len(found.designs), **Counter(design.status for design in found.designs)},
        "not_mapped": dict(sorted(reasons.items())),
        "certificate": {"optimal": found.gap == 0, "gap": found.gap},
        "best": _design(found.best),
        "pareto": [_design(design) for design in found.pareto],
    }


def _design(design: Design) -> dict[str, Any]:
    mapped = design.mapped
    return {
        "parameters": dict(design.parameters),
        "status": design.status,
        "area_mm2": design.area_mm2,
        "energy_pj": None if mapped is None else mapped.energy_pj,
        "cycles": None if mapped is None else mapped.cycles,
        "time_s": None if mapped is None else mapped.time_s,
        "edp_pj_s": None if mapped is None else mapped.energy_pj * mapped.time_s,
        "gap": None if mapped is None else mapped.gap,
        "reason": design.reason,
    }


def _area(chip: Chip, *, known: bool) -> dict[str, Any] | None:
    """Of the best design, by part; `estimated` are the parts whose area the chip does not state, `missing` those that are not in it."""
    from ridgeline.hardware.area import chip_area

    if not known:
        return None
    area = chip_area(chip)
    return {"mm2": area.mm2, "by_part": dict(area.by_part), "estimated": list(area.estimated), "missing": list(area.missing)}


def _write(out: Path, pareto: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    from ridgeline.flows.design import write_json
    from ridgeline.report.architecture import render_architecture

    with output_folder(out) as folder:
        write_json(pareto, folder / "pareto.json")
        write_json(summary, folder / "explore.json")
        (folder / "report.html").write_text(render_architecture(summary), encoding="utf-8")
