"""`ridgeline map`: the best mapping of every layer of a network on a chip, with the proof."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, cast

from ridgeline.errors import InputError, UnsupportedError
from ridgeline.flows import source
from ridgeline.flows.folder import check_replaceable, output_folder
from ridgeline.flows.progress import Progress, Silent

if TYPE_CHECKING:
    from ridgeline.algorithm.layers import Layer, Work
    from ridgeline.explore.store import Question
    from ridgeline.hardware.chip import Chip
    from ridgeline.mapping.exchange.given import Given, GivenMappings
    from ridgeline.mapping.loops import Conventions
    from ridgeline.mapping.search.network import NetworkFound, Objective
    from ridgeline.mapping.search.solve import Found
    from ridgeline.mapping.search.space import SpaceName

Rules = Literal["ridgeline", "timeloop", "zigzag"]
BUDGET_S = 3.5  # of a search that is given none: a process that reads and maps a network ends within 5 s
LONG_BUDGET_S = 30.0  # the same where more is asked: layers together, a Pareto set or caps, or a design among many


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOptions:
    """What `ridgeline map` was asked. `unrolling` is ZigZag's mapping YAML, for a chip in its YAML; `layers` keeps those whose names hold the
    text; `store` keeps answers, and gives those that it has. `energies` is an ERT for an architecture of Timeloop; `constraints` replace the chip's
    own; with `mapping`, the mappings of a file or folder are costed and none is searched for. `search` may be a baseline that proves nothing:
    `samples` draws of a layer from `seed`. `fuse` keeps tensors between layers on the chip where that pays. The caps are of the whole network."""

    network: str
    chip: str
    unrolling: Path | None = None
    energies: Path | None = None
    constraints: Path | None = None
    mapping: Path | None = None
    search: Literal["exhaustive", "random", "annealing"] = "exhaustive"
    samples: int = 10_000
    seed: int = 0
    fuse: bool = False
    objective: str = "edp"
    cycles_cap: int | None = None
    energy_cap_uj: float | None = None
    space: SpaceName = "full"
    rules: Rules = "ridgeline"
    latency: Literal["slowest", "stalls"] | None = None
    batch: int | None = None
    layers: str | None = None
    budget_s: float | None = None
    store: Path | None = None
    out: Path | None = None


def map_network(options: MapOptions, progress: Progress | None = None) -> Mapping[str, Any]:
    """What `map --json` prints. Writes it with a report where `out` is given. Raises RidgelineError."""
    from ridgeline.explore.store import Question
    from ridgeline.hardware.constraints import constrained

    start = perf_counter()
    progress = progress or Silent()
    objective, chip = _objective(options), chip_of(options.chip, options.unrolling, options.energies)
    if options.constraints is not None:
        chip = constrained(chip, options.constraints)
    check_budget(options.budget_s)
    if options.out is not None:
        check_replaceable(options.out)
    progress.step("reading the network")
    work = source.read_work(options.network, batch=options.batch)
    layers = _chosen(work, options.layers)
    _check_fuse(options)
    if options.latency is not None and options.mapping is None and options.rules != "zigzag":
        raise UnsupportedError(f"--latency {options.latency} is for --mapping FILE, and --conventions zigzag; the search counts the slowest level")
    progress.step("mapping")
    is_long = options.fuse or objective.is_pareto or objective.is_capped
    budget_s = search_s(options.budget_s, LONG_BUDGET_S if is_long else BUDGET_S)
    alone_s = budget_s / 2 if options.fuse and budget_s is not None else budget_s  # fusing has its part
    question = Question(objective=objective, space=options.space, conventions=asked_conventions(options), budget_s=alone_s)
    if options.mapping is not None:
        found, stored = _given(options, options.mapping, layers, chip), {}
    elif options.search != "exhaustive":
        found, stored = _sampled(options, options.search, layers, chip)
    elif options.rules == "zigzag":
        found, stored = _even(options, layers, chip), {}
    else:
        found, stored = _found(options.store, layers, chip, question, progress)
    shown = [(layer, chip) for layer in layers]
    exchanged: Mapping[str, str] = {}
    zigzag: str | None = None
    if options.fuse:
        progress.step("fusing")
        stop = None if budget_s is None else start + budget_s
        found, shown, fused = _fused(options, work, layers, chip, cast("NetworkFound", found), stop, progress)
        stored = {**stored, **fused}
    else:
        exchanged, zigzag = _exchanged(found, layers, chip), _for_zigzag(found, layers, chip, _told(options, progress))
    summary = {**_summary(options, chip, work, shown, found), **stored, "time_s": round(perf_counter() - start, 4)}
    if options.out is not None:
        progress.step("writing the report")
        _write(options.out, summary, chip, exchanged, zigzag)
    return summary


def _objective(options: MapOptions) -> Objective:
    """With the caps. Raises InputError for one that is none, or where nothing searches for it."""
    from ridgeline.mapping.search.network import read_objective

    objective = read_objective(options.objective)
    caps = {"--cycles-cap": options.cycles_cap, "--energy-cap-uj": options.energy_cap_uj}
    given = [name for name, cap in caps.items() if cap is not None]
    for name, cap in caps.items():
        if cap is not None and not 0 < cap < inf:
            raise InputError(f"{name} is {cap:g}; it must be above 0")
    asked = ["--objective pareto"] * objective.is_pareto + given
    others = {
        "--mapping": options.mapping is not None, f"--search {options.search}": options.search != "exhaustive",
        "--conventions zigzag": options.rules == "zigzag", "--fuse": options.fuse,
    }  # fmt: skip
    other = next((name for name, is_given in others.items() if is_given), None)
    if asked and other is not None:
        raise UnsupportedError(f"{asked[0]} is for the exhaustive search, layer by layer; leave {other} out")
    if objective.is_pareto and given:
        raise InputError(f"--objective pareto gives the whole set; with {given[0]} give what is wanted most within it, such as --objective edp")
    return replace(
        objective,
        most_cycles=inf if options.cycles_cap is None else options.cycles_cap,
        most_energy_pj=inf if options.energy_cap_uj is None else 1e6 * options.energy_cap_uj,
    )


def _check_fuse(options: MapOptions) -> None:
    """Raises InputError."""
    if options.fuse and (options.mapping is not None or options.search != "exhaustive" or options.rules == "zigzag"):
        other = "--mapping" if options.mapping is not None else "--search" if options.search != "exhaustive" else "--conventions zigzag"
        raise InputError(f"--fuse chooses mappings with the exhaustive search by exact counts; leave {other} out")


def _fused(
    options: MapOptions, work: Work, layers: list[Layer], chip: Chip, alone: NetworkFound, stop: float | None, progress: Progress
) -> tuple[GivenMappings, list[tuple[Layer, Chip]], dict[str, Any]]:
    """Each layer as one tile of it on the chip that its segment leaves it, costed for all tiles; and what the JSON says of the segments."""
    from ridgeline.mapping.exchange.given import Given, GivenMappings
    from ridgeline.mapping.fuse import FuseOptions, fuse
    from ridgeline.mapping.search.network import read_objective

    asked = FuseOptions(objective=read_objective(options.objective), space=options.space, conventions=asked_conventions(options), stop=stop)
    fused = fuse(layers, work.links, chip, alone, asked, progress.advance)
    stages = sorted((stage for segment in fused.segments for stage in segment.stages), key=lambda stage: stage.number)
    found = GivenMappings(layers=tuple(Given(mapping=stage.mapping, estimate=stage.estimate) for stage in stages))
    shown = [(replace(layers[stage.number], nest=stage.nest), stage.chip) for stage in stages]
    segments = [
        {
            "layers": [layers[stage.number].name for stage in segment.stages], "tiles": segment.tiles, "level": segment.level,
            "weights_stay": segment.resident, "cycles": segment.cycles, "energy_pj": segment.energy_pj,
        }
        for segment in fused.segments if len(segment.stages) > 1
    ]  # fmt: skip
    certificate = {"optimal": alone.gap == 0, "gap": alone.gap, "space": options.space}
    return found, shown, {
        "fused": {
            "segments": segments,
            "tried": fused.tried,
            "alone": {"cycles": alone.cycles, "energy_pj": alone.energy_pj, "certificate": certificate},
        }
    }


def _found(
    path: Path | None, layers: list[Layer], chip: Chip, question: Question, progress: Progress
) -> tuple[NetworkFound, dict[str, Any]]:
    """The mappings, and what a store had of them. Raises DoesNotFitError where there are none."""
    from ridgeline.errors import DoesNotFitError
    from ridgeline.explore.architecture import answered
    from ridgeline.explore.store import open_store

    with nullcontext() if path is None else open_store(path) as store:
        answer, known = answered([layer.nest for layer in layers], chip, question, store, progress.advance)
    if answer.found is None:
        raise DoesNotFitError(answer.failure)
    return answer.found, {} if path is None else {"store": {"path": str(path), "layers": len(layers) if known else 0}}


def _given(options: MapOptions, path: Path, layers: list[Layer], chip: Chip) -> GivenMappings:
    from ridgeline.mapping.exchange.given import cost_mappings, read_mappings

    if options.store is not None or options.budget_s is not None or options.search != "exhaustive":
        raise InputError(f"--mapping '{path}' is costed as it is; --store, --budget and --search are for a search")
    mappings = read_mappings(path, layers, chip, source.timeloop_dimensions(options.network))
    return cost_mappings(mappings, layers, chip, asked_conventions(options), path=path)


def _sampled(
    options: MapOptions, method: Literal["random", "annealing"], layers: list[Layer], chip: Chip
) -> tuple[GivenMappings, dict[str, Any]]:
    """The best of a baseline's samples, layer by layer."""
    from ridgeline.mapping.exchange.given import Given, GivenMappings
    from ridgeline.mapping.search.baseline import Sampling, sample_mappings
    from ridgeline.mapping.search.network import read_objective

    if options.store is not None:
        raise InputError(f"--search {method} proves nothing that --store could keep; leave one of them out")
    sampling = Sampling(method=method, samples=options.samples, seed=options.seed, space=options.space)
    found = sample_mappings(
        [layer.nest for layer in layers], chip, read_objective(options.objective).worth, sampling, asked_conventions(options),
        budget_s=options.budget_s,
    )  # fmt: skip
    made = GivenMappings(layers=tuple(Given(mapping=item.mapping, estimate=item.estimate) for item in found))
    drawn = {id(item): item for item in found}.values()  # equal layers share one
    numbers = {"looked_at": sum(item.samples for item in drawn), "legal": sum(item.legal for item in drawn)}
    return made, {"sampled": {"search": method, "samples": options.samples, "seed": options.seed, **numbers}}


def _even(options: MapOptions, layers: list[Layer], chip: Chip) -> GivenMappings:
    """By ZigZag's rules: found by the exact ones, and costed."""
    from ridgeline.mapping.estimate import estimate
    from ridgeline.mapping.exchange.given import Given, GivenMappings
    from ridgeline.mapping.search.even import even_mappings
    from ridgeline.mapping.search.solve import LEAST_CYCLES, LEAST_ENERGY

    goals = {"energy": LEAST_ENERGY, "latency": LEAST_CYCLES}
    if options.objective not in goals or options.store is not None or options.space != "full":
        raise UnsupportedError(
            f"--conventions zigzag searches for --objective {' or '.join(goals)}, in a space of its own and without --store; with --mapping FILE it "
            "costs any mapping"
        )
    budget_s = search_s(options.budget_s, BUDGET_S)
    stop = None if budget_s is None else perf_counter() + budget_s
    mappings, rules = even_mappings([layer.nest for layer in layers], chip, goals[options.objective], stop=stop), asked_conventions(options)
    pairs = zip(mappings, layers, strict=True)
    return GivenMappings(layers=tuple(Given(mapping=mapping, estimate=estimate(mapping, layer.nest, chip, rules)) for mapping, layer in pairs))


def _exchanged(found: NetworkFound | GivenMappings, layers: list[Layer], chip: Chip) -> Mapping[str, str]:
    """Files for other tools, where they can say what was found."""
    from ridgeline.mapping.exchange.given import timeloop_files

    return timeloop_files([item.mapping for item in found.layers], layers, chip)


def _told(options: MapOptions, progress: Progress) -> Progress:
    """Who hears why there is no file for ZigZag: whoever asked for its rules and an output folder."""
    return progress if options.rules == "zigzag" and options.out is not None else Silent()


def _for_zigzag(found: NetworkFound | GivenMappings, layers: list[Layer], chip: Chip, progress: Progress) -> str | None:
    """ZigZag's mapping YAML of all layers, if it can say them all; else a note of why not."""
    from ridgeline.mapping.exchange.zigzag import write_mappings

    try:
        return write_mappings(layers, [item.mapping for item in found.layers], chip)
    except UnsupportedError as error:
        progress.note(f"no zigzag-mapping.yaml: {error}")
        return None


def check_budget(budget_s: float | None) -> None:
    """Raises InputError."""
    if budget_s is not None and not budget_s > 0:
        raise InputError(f"--budget is {budget_s:g} seconds; it must be above 0")


def search_s(budget_s: float | None, usual_s: float) -> float | None:
    """Seconds of a search: the usual ones where nothing is asked for, None, until all is proven, for infinity."""
    return usual_s if budget_s is None else None if budget_s == inf else budget_s


def chip_of(name: str, unrolling: Path | None = None, energies: Path | None = None) -> Chip:
    """A name, a TOML, or the YAML of Timeloop or ZigZag, by what it holds."""
    from ridgeline.hardware.chip import read_chip

    path = Path(name)
    is_yaml = path.suffix in (".yaml", ".yml")
    if is_yaml and _is_timeloop(path):
        from ridgeline.hardware.timeloop import read_timeloop

        if unrolling is not None:
            raise InputError(f"--unrolling '{unrolling}' is for a chip in ZigZag's YAML; Timeloop's has constraints")
        return read_timeloop(path, energies)
    if energies is not None:
        raise InputError(f"--energies '{energies}' is for a chip in Timeloop's YAML; others give their energies themselves")
    if is_yaml:
        from ridgeline.hardware.zigzag import read_zigzag

        return read_zigzag(path, unrolling)
    if unrolling is not None:
        raise InputError(f"--unrolling '{unrolling}' is for a chip in ZigZag's YAML; a TOML has [unroll]")
    return read_chip(name)


def _is_timeloop(path: Path) -> bool:
    from ridgeline.timeloop import read_yaml

    found = read_yaml(path)
    return isinstance(found, dict) and "architecture" in found


def asked_conventions(options: MapOptions) -> Conventions:
    """The rules, with another latency than theirs where that is asked."""
    found = conventions(options.rules)
    return found if options.latency is None else replace(found, latency=options.latency)


def conventions(rules: Rules) -> Conventions:
    from ridgeline.mapping.loops import TIMELOOP, ZIGZAG, Conventions

    return {"ridgeline": Conventions(), "timeloop": TIMELOOP, "zigzag": ZIGZAG}[rules]


def _chosen(work: Work, text: str | None) -> list[Layer]:
    found = [layer for layer in work.layers if text is None or text in layer.name]
    if not found:
        names = ", ".join(layer.name for layer in work.layers[:8])
        raise InputError(f"--layers '{text}': no layer's name holds it; there are {names}{', ...' if len(work.layers) > 8 else ''}")
    return found


def _summary(
    options: MapOptions, chip: Chip, work: Work, shown: list[tuple[Layer, Chip]], found: NetworkFound | GivenMappings
) -> dict[str, Any]:
    """`shown` are the layers, each with the chip that it was mapped on."""
    rules = asked_conventions(options)
    return {
        "network": source.network_name(options.network),
        "chip": chip.name,
        **({} if options.constraints is None else {"constraints": str(options.constraints)}),
        "objective": options.objective,
        **{name: cap for name, cap in (("cycles_cap", options.cycles_cap), ("energy_cap_uj", options.energy_cap_uj)) if cap is not None},
        "total": {**_totals(found.energy_pj, found.cycles, chip), "macs": sum(item.estimate.macs for item in found.layers)},
        **_front(found, chip),
        "certificate": _certificate(options, found),
        "layers": [layer_summary(layer, item, own, rules) for (layer, own), item in zip(shown, found.layers, strict=True)],
        "not_mapped": list(work.others),
        **_searched(found),
    }


def _totals(energy_pj: float, cycles: float, chip: Chip) -> dict[str, Any]:
    time_s = cycles / (chip.clock_mhz * 1e6)
    return {"cycles": int(cycles), "energy_pj": energy_pj, "edp_pj_s": energy_pj * time_s, "time_s": time_s}


def _front(found: NetworkFound | GivenMappings, chip: Chip) -> dict[str, Any]:
    """The Pareto set, where it was asked for."""
    from ridgeline.mapping.exchange.given import GivenMappings

    if isinstance(found, GivenMappings) or not found.front:
        return {}
    return {"pareto": [_totals(energy, cycles, chip) for energy, cycles in found.front]}


def _certificate(options: MapOptions, found: NetworkFound | GivenMappings) -> dict[str, Any]:
    """Nothing is claimed of mappings that were given, or found without a proof."""
    from ridgeline.mapping.exchange.given import GivenMappings

    if options.search != "exhaustive":
        return {"optimal": False, "gap": None, "space": options.space, "conventions": options.rules}
    if options.fuse:
        return {"optimal": False, "gap": None, "space": options.space, "conventions": options.rules, "fused": True}
    if isinstance(found, GivenMappings):
        return {"optimal": None, "gap": None, "space": "given" if options.mapping is not None else "zigzag", "conventions": options.rules}
    return {"optimal": found.gap == 0, "gap": found.gap, "space": options.space, "conventions": options.rules}


def _searched(found: NetworkFound | GivenMappings) -> dict[str, Any]:
    from ridgeline.mapping.exchange.given import GivenMappings

    if isinstance(found, GivenMappings):
        return {"covered": {"counted": 0, "pruned": 0}, "search_s": 0.0}
    return {"covered": {"counted": found.covered.counted, "pruned": found.covered.pruned}, "search_s": round(found.time_s, 4)}


def layer_summary(layer: Layer, found: Found | Given, chip: Chip, rules: Conventions) -> dict[str, Any]:
    """What `--json` prints of one layer."""
    from ridgeline.mapping.outline import outline
    from ridgeline.mapping.text import nest_text

    made = found.estimate
    return {
        "name": layer.name,
        "operator": layer.operator,
        "shape": layer.shape,
        "macs": made.macs,
        "tiles": made.macs // layer.nest.iterations,
        "cycles": made.cycles,
        "energy_pj": made.energy_pj,
        "energy_by_level": dict(made.energy_by_level),
        "cycles_by_level": dict(made.cycles_by_level),
        "traffic_bytes": {level: dict(traffic) for level, traffic in made.traffic_bytes.items()},
        "occupied_bytes": dict(made.occupied_bytes),
        "utilization": made.utilization,
        "bound": made.bound,
        "mapping": {
            "loops": [{"axis": loop.axis, "size": loop.size, "array": loop.array} for loop in found.mapping.loops],
            "positions": {tensor: dict(levels) for tensor, levels in found.mapping.positions.items()},
            "levels": [asdict(level) for level in outline(found.mapping, layer.nest, chip, rules)],
            "text": nest_text(found.mapping, chip),
        },
    }


def _write(out: Path, summary: Mapping[str, Any], chip: Chip, exchanged: Mapping[str, str], zigzag: str | None) -> None:
    from ridgeline.flows.design import write_json
    from ridgeline.report.mapping import MappingReport, render_mapping
    from ridgeline.report.nest import Memory

    memories = tuple(
        Memory(level=level.name, bytes_per_cycle=chip.bytes_per_cycle(level), usable_bytes=level.usable_bytes) for level in chip.levels
    )
    with output_folder(out) as folder:
        write_json(summary, folder / "mapping.json")
        for name, text in exchanged.items():
            (folder / "mappings").mkdir(exist_ok=True)
            (folder / "mappings" / name).write_text(text, encoding="utf-8")
        if zigzag is not None:
            (folder / "zigzag-mapping.yaml").write_text(zigzag, encoding="utf-8")
        report = MappingReport(summary=summary, array=chip.array, memories=memories)
        (folder / "report.html").write_text(render_mapping(report), encoding="utf-8")
