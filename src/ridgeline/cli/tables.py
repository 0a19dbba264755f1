"""What a person reads after a run: short tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ridgeline.papers import Reproduction

FRONT_ROWS = 20
SHOWN_POINTS = 8  # of a mapping's Pareto set


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns padded to their widest cell; numbers to the right."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(name), *(len(row[index]) for row in cells), 0) for index, name in enumerate(head)]
    right = [bool(rows) and all(isinstance(row[index], int | float) or row[index] is None for row in rows) for index in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(row, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), *(line(row) for row in cells)])


def pairs(values: Mapping[str, object]) -> str:
    """One line a value; the names of values within values are joined by dots."""
    values = dict(_flat(values))
    width = max(len(name) for name in values)
    return "\n".join(f"{name.ljust(width)}  {_text(value)}".rstrip() for name, value in values.items())


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, object]", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def built(summary: Mapping[str, Any], out: str) -> str:
    """The result of `build`."""
    engine, cycles, resources = summary["engine"], summary["cycles"], summary["resources"]
    measured = resources["synthesized"]
    counted = measured if any(value is not None for value in measured.values()) else resources["predicted"]
    accuracy = summary["accuracy"]
    lines = {
        "network": f"{summary['network']} on {summary['device']} at {summary['clock_mhz']:g} MHz",
        "engine": _copies(summary)
        + f"{engine['lanes_out']} x {engine['lanes_in']} lanes, {engine['taps']} depthwise taps, {engine['bus_bytes']}-byte bus",
        **_agreement(summary),
        "quality": ", ".join(f"{name} {'exact' if value is None else f'{value:.1f} dB'}" for name, value in summary["sqnr_db"].items()),
        "accuracy": ", ".join(f"{name} {100 * value:.2f} %" for name, value in accuracy.items() if value is not None),
        "cycles": _cycles(cycles),
        "array": f"{100 * summary['utilization']:.1f} % of its multiply-accumulates used",
        "throughput": _throughput(summary),
        "resources": ", ".join(f"{name} {value:,}" for name, value in counted.items() if value is not None)
        + f" ({'synthesized' if counted is measured else 'predicted'}{_each(summary)})",
        "Fmax": "" if summary["fmax_mhz"] is None else f"{summary['fmax_mhz']:.1f} MHz",
        "report": f"{out}/{summary['files']['report']}",
    }
    return pairs({name: text for name, text in lines.items() if text and not text.startswith(" (")})


def explored(summary: Mapping[str, Any]) -> str:
    """The result of `explore`: the choice, and the Pareto set."""
    engine, need, seen = summary["engine"], summary["resources"]["predicted"], summary["explored"]
    front: Sequence[Mapping[str, Any]] = summary["pareto"]
    shown = front[:: max(1, -(-len(front) // FRONT_ROWS))]
    names = [name for name in ("dsp", "bram", *engine) if shown and name in shown[0]]
    rows = [(round(row["cycles"]), row["bytes_per_cycle"], *(row[name] for name in names)) for row in shown]
    chosen = pairs({
        "network": f"{summary['network']} on {summary['device']} at {summary['clock_mhz']:g} MHz",
        "engine": _copies(summary) + ", ".join(f"{name} {value:{',' if isinstance(value, int) else ''}}" for name, value in engine.items()),
        "cycles": f"{summary['cycles']['predicted']:,} predicted",
        "throughput": _throughput(summary),
        "resources": ", ".join(f"{name} {value:,}" for name, value in need.items()) + f" (predicted{_each(summary)})",
        "explored": f"{seen['evaluated']:,} of {seen['legal']:,} legal designs evaluated, the others pruned with proof, in {seen['time_s']:.2f} s",
    })
    head = ["cycles", "bytes a cycle", *(name.replace("_", " ").removesuffix(" bytes") for name in names)]
    title = f"{len(rows)} of the {len(front)} designs that no other one beats in cycles, multipliers and block RAMs together (--json: all)"
    return f"{chosen}\n\n{title}\n{table(head, rows)}"


def lined(summary: Mapping[str, Any], out: Path | None) -> str:
    """The result of `explore` on boards in a line."""
    batch, seen = summary["pipeline"], summary["explored"]
    lines = {
        "network": f"{summary['network']} on {len(summary['boards'])} boards in a line, cut for {summary['objective']}",
        "throughput": f"{_digits(summary['throughput_images_per_s'])} images a second, {_digits(summary['gops'])} GOPS",
        "slowest": summary["bottleneck"],
        "latency": f"{_digits(1e3 * summary['latency_s'])} ms an image",
        "batch": f"{batch['images']:,} images in {_digits(1e3 * batch['time_s'])} ms; the first after {_digits(1e3 * batch['fill_s'])} ms",
        "explored": f"{seen['searched']:,} of {seen['sections']:,} sections searched, the others pruned with proof, in {seen['time_s']:.2f} s",
        "report": "" if out is None else f"{out}/report.html",
    }
    head = ["board", "device", "layers", "engines", "lanes", "cycles", "ms", "dsp", "bram", "link bytes", "link ms"]
    rows = [
        (
            number,
            board["device"],
            " to ".join(dict.fromkeys(board["layers"])),
            board["copies"],
            f"{board['engine']['lanes_out']} x {board['engine']['lanes_in']}",
            board["cycles"],
            1e3 * board["time_s"],
            board["resources"]["predicted"]["dsp"],
            board["resources"]["predicted"]["bram"],
            board["link_bytes"],
            None if board["link_time_s"] is None else 1e3 * board["link_time_s"],
        )
        for number, board in enumerate(summary["boards"], start=1)
    ]
    return f"{pairs({name: text for name, text in lines.items() if text})}\n\n{table(head, rows)}"


def verified(summary: Mapping[str, Any]) -> str:
    cycles = summary["cycles"]
    return pairs({**_agreement(summary), "cycles": _cycles(cycles)})


def _agreement(summary: Mapping[str, Any]) -> dict[str, str]:
    """Whether the simulated values are golden.onnx's."""
    compared = f"{summary['values_compared']:,} values of {summary['images']:,} images against onnxruntime"
    names = [f"{name} ({found['simulator']})" for name, found in summary["simulated"].items()]
    shown = "" if list(summary["simulated"]) == ["rtl"] else f", {' and '.join(names)}"
    if summary["format"] != "float32":
        return {"bit-exact": f"{_yes(summary['bit_exact'])}: {compared}{shown}"}
    worst = max((found["largest_error"] or 0.0 for found in summary["simulated"].values()), default=0.0)
    return {
        "accurate": f"{_yes(summary['within_tolerance'])}: {compared}{shown}; largest difference {worst:.1e} of a layer's largest value"
    }


def _cycles(cycles: Mapping[str, Any]) -> str:
    if cycles["simulated"] is None:
        return f"{cycles['predicted']:,} predicted, none simulated"
    return f"{cycles['predicted']:,} predicted, {cycles['simulated']:,} simulated ({100 * cycles['error']:+.2f} %)"


def uniform(summary: Mapping[str, Any]) -> str:
    """The result of `explore --engine uniform`: the choice, its layers, and the Pareto set."""
    chosen, seen, front = summary["chosen"], summary["explored"], summary["pareto"]
    head = pairs({
        "network": f"{summary['network']} on {summary['device']} at {summary['clock_mhz']:g} MHz, {summary['format']}, batch {summary['batch']}",
        "engine": f"<Tm, Tn> = <{chosen['tm']}, {chosen['tn']}>, tiles of at most {chosen['tr']} x {chosen['tc']}, over {summary['reduction']}",
        "cycles": f"{chosen['cycles']:,} of the array, {_digits(1e3 * chosen['time_s'])} ms in all",
        "throughput": f"{_digits(chosen['gops'])} GOPS",
        "bandwidth": f"{_digits(chosen['bandwidth_gb_per_s'])} GB/s at most to keep the array busy",
        "resources": f"dsp {chosen['dsp']:,}, bram {chosen['bram']:,} (predicted)",
        "explored": f"{seen['points']:,} points in {seen['seconds']:.2f} s",
    })
    names = ("name", "tm", "tn", "tr", "tc", "order", "cycles", "gops", "bandwidth_gb_per_s", "bound")
    layers = [(*(row[name] for name in names), row["alone"]["tm"], row["alone"]["tn"], row["alone"]["cycles"]) for row in summary["per_layer"]]
    titles = ["layer", "tm", "tn", "tr", "tc", "loops", "cycles", "GOPS", "GB/s", "bound", "alone: tm", "tn", "cycles"]
    points = front[:: max(1, -(-len(front) // FRONT_ROWS))]
    return "\n\n".join([
        head,
        table(titles, layers),
        f"{len(points)} of the {len(front)} engines that no other one beats in time, multipliers and bytes moved together (--json: all)\n"
        + table(["tm", "tn", "cycles", "GOPS", "GB/s", "dsp", "bram"], [tuple(point.values()) for point in points]),
    ])


def reproduced(found: Sequence[Reproduction]) -> str:
    """The papers' tables beside ours; each note once, below its table."""
    return "\n\n".join(_reproduced(item) for item in found)


def _reproduced(found: Reproduction) -> str:
    notes = list(dict.fromkeys(row.note for row in found.rows if row.note))
    judged = any(row.published is not None for row in found.rows)
    head = ["quantity", "unit", "published", "ours", "error", "tolerance", "holds", ""] if judged else ["quantity", "unit", "ours"]
    rows = [
        (row.quantity, row.unit, row.published, row.ours, _percent(row.error), _percent(row.tolerance), row.holds, _mark(notes, row.note))
        if judged
        else (row.quantity, row.unit, row.ours)
        for row in found.rows
    ]
    below = [f"[{number}] {note}" for number, note in enumerate(notes, start=1)] if judged else []
    return "\n".join([found.title, found.citation, "", table(head, rows), *below])


def _mark(notes: Sequence[str], note: str) -> str:
    return f"[{notes.index(note) + 1}]" if note else ""


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _copies(summary: Mapping[str, Any]) -> str:
    return f"{summary['copies']} engines of " if summary["copies"] > 1 else ""


def _each(summary: Mapping[str, Any]) -> str:
    return ", each" if summary["copies"] > 1 else ""


def _throughput(summary: Mapping[str, Any]) -> str:
    return f"{_digits(summary['throughput_images_per_s'])} images a second at {summary['clock_mhz']:g} MHz"


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "NO", None: "not simulated"}[value]


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return _digits(cell) if isinstance(cell, float) else str(cell)


def _digits(value: float) -> str:
    from ridgeline.report.digits import four_digits

    return four_digits(value)


def mapped(summary: Mapping[str, Any], out: Path | None) -> str:
    """The result of `map`."""
    total, certificate = summary["total"], summary["certificate"]
    head = ("layer", "shape", "cycles", "uJ", "pJ a MAC", "utilisation %", "bound")
    rows = [
        (
            layer["name"], layer["shape"], layer["cycles"], round(layer["energy_pj"] / 1e6, 3), round(layer["energy_pj"] / layer["macs"], 3),
            round(100 * layer["utilization"], 1), layer["bound"],
        )
        for layer in summary["layers"]
    ]  # fmt: skip
    covered, given = summary["covered"], certificate["space"] == "given"
    lines = {
        "network": f"{summary['network']} on {summary['chip']}",
        "total": f"{total['cycles']:,} cycles, {total['energy_pj'] / 1e6:,.1f} uJ, {total['energy_pj'] / total['macs']:.4g} pJ a MAC",
        **({} if "pareto" not in summary else {"pareto": _points(summary["pareto"])}),
        "certificate": "given: nothing is claimed" if given else _claim(summary, certificate),
        **({} if not covered["counted"] else {"search": _looked_at(covered, summary["search_s"])}),
        **({} if "sampled" not in summary else {"search": _sampled(summary["sampled"])}),
        **({} if "fused" not in summary else {"fused": _fused(summary["fused"], total)}),
        **({"report": str(out / "report.html")} if out is not None else {}),
    }
    return "\n".join([table(head, rows), "", pairs(lines)])


def _claim(summary: Mapping[str, Any], certificate: Mapping[str, Any]) -> str:
    objective = summary["objective"]
    if certificate["gap"] is None:
        return f"{objective} in the space '{certificate['space']}', without a proof"
    if "pareto" in summary:
        off = "" if certificate["optimal"] else f", but for {100 * certificate['gap']:.2g} %,"
        return f"no mappings in the space '{certificate['space']}' take{off} less of both energy and cycles than a point of the set"
    caps = [f"{summary[key]:,} {unit}" for key, unit in (("cycles_cap", "cycles"), ("energy_cap_uj", "uJ")) if key in summary]
    within = f" within {' and '.join(caps)}" if caps else ""
    proof = "optimal" if certificate["optimal"] else f"within {100 * certificate['gap']:.2g} % of the optimum"
    return f"{objective}{within} is {proof} in the space '{certificate['space']}'"


def _points(pareto: Sequence[Mapping[str, Any]]) -> str:
    """Some of them, evenly."""
    places = sorted({round(place * (len(pareto) - 1) / max(1, SHOWN_POINTS - 1)) for place in range(SHOWN_POINTS)})
    lines = [f"{pareto[place]['energy_pj'] / 1e6:,.4g} uJ, {pareto[place]['cycles']:,} cycles" for place in places]
    return "\n    ".join([f"{len(pareto):,} points" + (f", of which {len(lines)} are" if len(pareto) > len(lines) else ""), *lines])


def _looked_at(covered: Mapping[str, int], time_s: float) -> str:
    return f"{covered['counted']:,} partial mappings looked at, {covered['pruned']:,} pruned with proof, {time_s:.2f} s"


def _fused(fused: Mapping[str, Any], total: Mapping[str, Any]) -> str:
    """What it saves, and where."""
    alone = fused["alone"]
    less = [f"{100 * (1 - total[name] / alone[name]):.3g} % fewer {words}" for name, words in (("cycles", "cycles"), ("energy_pj", "pJ"))]
    segments = [
        f"{' + '.join(segment['layers'])} in {segment['level']}" + (f", {segment['tiles']} tiles" if segment["tiles"] > 1 else "")
        for segment in fused["segments"]
    ]
    return "\n    ".join([f"{', '.join(less)} than layer by layer; {fused['tried']:,} segments priced", *segments])


def _sampled(sampled: Mapping[str, Any]) -> str:
    return f"{sampled['search']}, seed {sampled['seed']}: {sampled['looked_at']:,} mappings looked at, {sampled['legal']:,} of them fit"


def architectures(summary: Mapping[str, Any], out: Path | None) -> str:
    """The result of `explore --chip`."""
    count, best, store = summary["count"], summary["best"], summary["store"]
    paths, certificate = list(summary["vary"]), summary["certificate"]
    rows = [
        (*(point["parameters"][path] for path in paths), point["energy_pj"] / 1e6, point["cycles"], 1e3 * point["time_s"], point["area_mm2"])
        for point in sorted(summary["pareto"], key=lambda point: point["energy_pj"])
    ]
    shown = rows[:: max(1, -(-len(rows) // FRONT_ROWS))]
    proof = "proven the best" if certificate["optimal"] else f"within {100 * certificate['gap']:.2g} % of the best"
    parameters = ", ".join(f"{path} {_text(value)}" for path, value in best["parameters"].items())
    left_out = ", ".join(f"{number:,} {status}" for status, number in count.items() if status not in ("asked", "mapped"))
    lines = {
        "networks": f"{', '.join(summary['networks'])} on {summary['chip']}, {summary['layers']:,} layers",
        "best": f"{parameters}: {summary['objective']} {proof} of these designs",
        "it takes": f"{_digits(best['energy_pj'] / 1e6)} uJ, {best['cycles']:,} cycles, {_digits(1e3 * best['time_s'])} ms"
        + ("" if best["area_mm2"] is None else f", {_digits(best['area_mm2'])} mm2{_without(summary['area'])}"),
        "designs": f"{count['asked']:,}, {count['mapped']:,} mapped{f', {left_out}' if left_out else ''}",
        "store": f"{store['path']}: {store['reused']:,} were there, {store['evaluated']:,} evaluated",
        **({"report": str(out / "report.html")} if out is not None else {}),
    }
    return "\n\n".join([
        pairs(lines),
        f"{len(shown)} of the {len(rows)} designs that no other one beats in energy, time and area (--json: all)\n"
        + table([*paths, "uJ", "cycles", "ms", "mm2"], shown),
    ])


def _without(area: Mapping[str, Any] | None) -> str:
    return f", {', '.join(area['missing'])} not in it" if area is not None and area["missing"] else ""


def compressed(summary: Mapping[str, Any], out: Path | None) -> str:
    """The result of `compress`."""
    total, before, loss = summary["total"], summary["before"], summary["loss"]
    kinds: dict[str, int] = {}
    for layer in summary["layers"]:
        marks = (("", layer["format"]), (" ", layer["pattern"]), (" x ", layer["activations"]))
        name = "".join(f"{mark}{text}" for mark, text in marks if text != "none")
        kinds[name] = kinds.get(name, 0) + 1
    lines = {
        "network": f"{summary['network']}{'' if summary['chip'] is None else ' on ' + summary['chip']}, {summary['objective']}",
        "loss": f"{loss['test']:.4g} tested, {loss['calibration']:.4g} calibrated, at most {summary['limit']:g} ({summary['metric']})",
        "weights": f"{total['weight_bytes']:,} bytes, {total['bits_per_weight']:.3g} bits each; {before['weight_bytes']:,} before",
        "choices": ", ".join(f"{name} x {count}" for name, count in sorted(kinds.items(), key=lambda item: -item[1])),
    }
    if summary["fine_tuned"] is not None:
        lines["fine-tuned"] = _fine_tuned(summary["fine_tuned"])
    if "file" in loss:
        lines["file"] = f"loses {loss['file']:.4g} in onnxruntime, {loss['file_exact']:.4g} with its exact options"
    if summary["chip"] is not None:
        lines["time"] = f"{1e6 * total['time_s']:,.3f} us, {1e6 * before['time_s']:,.3f} before"
        lines["energy"] = f"{total['energy_pj'] / 1e6:,.3f} uJ, {before['energy_pj'] / 1e6:,.3f} before"
        gap = max(total["mapping_gap"], before["mapping_gap"])
        lines["mappings"] = f"each within {100 * gap:.2g} % of the best there could be; --budget gives the mapper time" if gap else "proven optimal"
    if out is not None:
        lines["report"] = str(out / "report.html")
    singles = [
        (row["format"], row["pattern"], row["activations"], row["total"]["bits_per_weight"], *_on_chip(row["total"]), row["loss"], row["test_loss"])
        for row in summary["single"]
        if row["total"] is not None
    ]
    on_chip = ("us", "uJ") if summary["chip"] is not None else ()
    return f"{pairs(lines)}\n\n{table(('one choice for all', 'pattern', 'inputs', 'bits', *on_chip, 'loss', 'tested'), singles)}"


def _fine_tuned(told: Mapping[str, Any]) -> str:
    steps, tries, without = told["steps"], told["tries"], told["without"]
    fell = ", ".join(f"{each['loss_before']:.4g} to {each['loss_after']:.4g}" for each in tries)
    other = f"{without['loss']['test']:.4g} tested, {without['total']['weight_bytes']:,} bytes"
    return f"{'kept' if told['kept'] else 'not kept'}, {steps} steps: {fell}; without: {other}"


def _on_chip(total: Mapping[str, Any]) -> tuple[float, ...]:
    return (1e6 * total["time_s"], total["energy_pj"] / 1e6) if "time_s" in total else ()
