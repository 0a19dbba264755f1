"""`ridgeline compress`: a format and a pattern for each weight, chosen by the loss that they bring and by what the chip gains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ridgeline.errors import InputError, RidgelineError, UnsupportedError
from ridgeline.flows import source
from ridgeline.flows.data import Data, Input, noise, read_data
from ridgeline.flows.design import write_json
from ridgeline.flows.folder import check_replaceable, output_folder
from ridgeline.flows.progress import Progress, Silent

if TYPE_CHECKING:
    from ridgeline.algorithm.onnx.compressible import Weight
    from ridgeline.algorithm.onnx.load import Loaded
    from ridgeline.algorithm.onnx.rounded import Rounded
    from ridgeline.algorithm.passes.compress import Choice, StoredWeight
    from ridgeline.explore.compress import Outcome, Point
    from ridgeline.explore.compression import Costs, Samples, Study
    from ridgeline.hardware.chip import Chip

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
OBJECTIVES = ("latency", "energy", "size")
BATCH = 32  # images that run at once, where the file lets them
NOISE_IMAGES = 32
MOST_ACTIVATIONS = 1 << 14  # of a batch, from which a scale is found
ANY_SIZE = (1024, 1024, 1024)  # of a product, to ask whether a chip runs it
PRICED = 0.5  # of the budget that the mapper has, shared by its questions
QUESTIONS_S = (0.2, 10.0)  # of a question to the mapper, at least and at most
SEEN = 0.6  # of the calibration data, to which codes and scales are fitted
HELD_BACK = 0.05  # of the loss that is allowed, for data that the search does not see
SEED = 0
MODEL, PACKED, SUMMARY, REPORT = "compressed.onnx", "weights.npz", "compress.json", "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressOptions:
    """`loss` as the user writes it, 2% or 0.02; `test` None: the second half of the data. `keep`: layers that stay as they are."""

    network: str
    data: Path | None = None
    test: Path | None = None
    formats: str = "int8,int4,flint4,mxfp4,nvfp4"
    sparsity: str = "none"
    activations: str = "none"
    chip: str | None = None
    objective: str = "latency"
    metric: str = "cosine"
    loss: str = "1%"
    keep: str = ""
    compensate: bool = True
    budget_s: float = 60.0
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compressed:
    """`summary` is what --json prints; `failure` says what was not met, or is None."""

    summary: Mapping[str, Any]
    failure: str | None


def read_loss(text: str) -> float:
    """Raises InputError."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise InputError(f"--loss '{text}' is no number; give one such as 2% or 0.02") from error
    if not (isfinite(value) and value >= 0):
        raise InputError(f"--loss '{text}' must be 0 or more, such as 2% or 0.02")
    return value


def read_choices(options: CompressOptions) -> list[Choice]:
    """Every format with every pattern. Raises InputError."""
    from ridgeline.algorithm.passes.compress import read_choice

    formats, patterns = _names(options.formats), _names(options.sparsity)
    if not formats or not patterns:
        raise InputError("--formats and --sparsity take names with commas between them, such as int8,nvfp4 and none,2:4")
    return [read_choice(name, pattern) for pattern in patterns for name in formats]


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))


def compress(options: CompressOptions, progress: Progress | None = None) -> Compressed:
    """Raises InputError or UnsupportedError; then nothing is written."""
    from ridgeline.algorithm.metric import read_metric
    from ridgeline.algorithm.onnx.compressed import lifted
    from ridgeline.algorithm.onnx.compressible import Variants, array, constants_as_initialisers, read_weights
    from ridgeline.explore.compression import Study, samples, store_all

    start, progress = perf_counter(), progress or Silent()
    limit, choices = read_loss(options.loss), read_choices(options)
    _check(options)
    choices = _runnable(options, choices, progress)
    progress.step("reading the network")
    loaded = lifted(constants_as_initialisers(source.read_file(options.network)))
    weights = [weight for weight in read_weights(loaded) if not _is_kept(options, weight)]
    if not weights:
        raise InputError(f"--keep '{options.keep}' keeps every weight as it is; nothing is left to compress")
    arrays = {weight.name: array(loaded, weight) for weight in weights}
    calibration_data, test_data = _data(options, loaded, progress)
    metric = read_metric(options.metric, labels=calibration_data.labels is not None and test_data.labels is not None)
    batch = _batch(loaded)
    seen_data, measured_data = _parted(options, calibration_data)
    seen = _seen(options, loaded, weights, seen_data, batch)
    variants = Variants(loaded, weights, arrays, seen.rounded)
    calibration = samples(variants, measured_data.arrays, measured_data.labels, batch)
    test = samples(variants, test_data.arrays, test_data.labels, batch)
    progress.step("storing every weight in every format")
    stored = store_all(weights, arrays, choices, seen.moments, progress.advance)
    study = Study(weights=weights, choices=choices, stored=stored, variants=variants, metric=metric)
    progress.step("costs")
    costs = _costs(options, study, progress)
    progress.step("measuring what each choice loses")
    losses = study.single_losses(calibration, progress.advance)
    progress.step("choosing")
    outcome = study.search(costs.worths(options.objective), losses, (1 - HELD_BACK) * limit, calibration)
    progress.step("testing on other data")
    told = _Told(
        options=options, limit=limit, study=study, costs=costs, outcome=outcome, losses=losses, images=calibration_data.images,
        calibration=calibration, test=test,
    )  # fmt: skip
    summary = told.summary()
    best = {weights[number].name: item for number, item in enumerate(told.chosen())}
    rounded = {name: how for name, how in seen.rounded.items() if best[name].choice.activations != "none"}
    made = _Made(loaded=loaded, weights=best, rounded=rounded)
    summary["files"] = _write(options, made, summary, test, study, start)
    return Compressed(summary=summary, failure=_failure(summary))


def _check(options: CompressOptions) -> None:
    """What can be said at once. Raises InputError."""
    from ridgeline.algorithm.onnx.rounded import check_rounding

    if options.objective not in OBJECTIVES:
        raise InputError(f"--objective '{options.objective}' is none of {', '.join(OBJECTIVES)}")
    if options.chip is None and options.objective != "size":
        raise InputError(f"--objective {options.objective} is of a chip; name one with --chip, or take --objective size")
    if options.activations != "none":
        check_rounding(options.activations)
    if options.out is not None:
        check_replaceable(options.out)


def _runnable(options: CompressOptions, choices: Sequence[Choice], progress: Progress) -> list[Choice]:
    """The pairs of format and pattern that the chip runs; what else was asked for is told. Raises what the chip says of a format or a pattern that
    it runs with none of the others."""
    from ridgeline.hardware.chip import read_chip

    if options.chip is None:
        return [replace(choice, activations=options.activations) for choice in choices]
    kept: list[Choice] = []
    refused: list[tuple[Choice, RidgelineError]] = []
    chip = read_chip(options.chip)
    for choice in choices:
        try:
            kept.append(_on_chip(chip, choice, options.activations))
        except (UnsupportedError, InputError) as error:
            refused.append((choice, error))
    for choice, error in refused:
        if all(other.format != choice.format for other in kept) or all(other.pattern != choice.pattern for other in kept):
            raise error
    if refused:
        progress.note(f"chip '{chip.name}' does not run {', '.join(choice.name for choice, _ in refused)}: left out")
    return kept


def _on_chip(chip: Chip, choice: Choice, activations: str) -> Choice:
    """With activations in that format where the chip multiplies such weights by them, else in its own. Raises UnsupportedError, or InputError for
    what depends on the values."""
    from ridgeline.formats import read_format
    from ridgeline.mapping.running import running

    def ask(inputs: str | None) -> None:
        bits = read_format(choice.format_name).bits
        running(chip, weight=choice.format_name, weight_bits=bits, input=inputs, pattern=choice.pattern, size=ANY_SIZE)

    if activations not in ("none", chip.format):
        try:
            ask(activations)
            return replace(choice, activations=activations)
        except UnsupportedError:
            pass
    ask(chip.format)
    return choice


def _is_kept(options: CompressOptions, weight: Weight) -> bool:
    return bool(options.keep) and any(options.keep in name for name in (weight.name, *weight.layers))


def _data(options: CompressOptions, loaded: Loaded, progress: Progress) -> tuple[Data, Data]:
    """To calibrate and to test on."""
    inputs = _inputs(loaded)
    if options.data is None:
        if any(item.dtype.kind != "f" for item in inputs):
            raise InputError("--data is needed: the network takes whole numbers, and what they mean nobody can guess")
        progress.note("no --data: calibrated and tested on seeded noise, so the losses say nothing about real inputs")
        data = noise(inputs, images=NOISE_IMAGES, seed=SEED)
    else:
        data = read_data(options.data, inputs)
    if options.test is not None:
        return data, read_data(options.test, inputs)
    if data.images < 2:
        raise InputError(f"data '{options.data}' holds {data.images} image; give 2 or more, or others with --test-data")
    middle = data.images // 2
    return data.first(middle), _after(data, middle)


def _parted(options: CompressOptions, data: Data) -> tuple[Data, Data]:
    """Of the calibration data, what codes and scales are fitted to, and what losses are measured on: codes lose less on what they are fitted to."""
    if data.images < 2 or (not options.compensate and options.activations == "none"):
        return data, data
    middle = min(data.images - 1, max(1, round(SEEN * data.images)))
    return data.first(middle), _after(data, middle)


def _after(data: Data, first: int) -> Data:
    arrays = {name: array[first:] for name, array in data.arrays.items()}
    return Data(arrays=arrays, labels=None if data.labels is None else data.labels[first:])


def _inputs(loaded: Loaded) -> list[Input]:
    from ridgeline.algorithm.onnx.inputs import input_shapes, input_types

    model = loaded.model.SerializeToString()
    types = input_types(model)
    return [Input(name=name, shape=shape, dtype=types[name]) for name, shape in input_shapes(model).items()]


def _batch(loaded: Loaded) -> int:
    from ridgeline.algorithm.onnx.inputs import leading_sizes

    fixed = [size for size in leading_sizes(loaded.model.SerializeToString()).values() if size]
    return min(fixed) if fixed else BATCH


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """What calibration tells of each weight's inputs: moments, and how they are rounded."""

    moments: Mapping[str, Array]
    rounded: Mapping[str, Rounded]


def _seen(options: CompressOptions, loaded: Loaded, weights: Sequence[Weight], data: Data, batch: int) -> _Seen:
    """Over all layers that share a weight."""
    from ridgeline.algorithm.onnx.compressible import activations, moments
    from ridgeline.algorithm.onnx.rounded import rounding
    from ridgeline.algorithm.passes.compress import SEARCH

    is_rounded = options.activations != "none"
    if not options.compensate and not is_rounded:
        return _Seen(moments={}, rounded={})
    rng = np.random.default_rng(SEED)
    found: dict[str, Array] = {}
    some: dict[str, list[Array]] = {weight.name: [] for weight in weights}
    for values in activations(loaded, [name for weight in weights for name in weight.inputs], _batches(data.arrays, batch)):
        for weight in weights:
            for name in weight.inputs:
                made = moments(weight, values[name], rng) if options.compensate else None
                if made is not None:
                    found[weight.name] = found[weight.name] + made if weight.name in found else made
                if is_rounded:
                    some[weight.name].append(rng.choice(values[name].reshape(-1), MOST_ACTIVATIONS))
    rounded = {name: rounding(np.concatenate(each), options.activations, SEARCH) for name, each in some.items() if is_rounded}
    return _Seen(moments=found, rounded=rounded)


def _batches(feeds: Mapping[str, Array], batch: int) -> Iterator[Mapping[str, Array]]:
    for at in range(0, len(next(iter(feeds.values()))), batch):
        yield {name: array[at : at + batch] for name, array in feeds.items()}


def _costs(options: CompressOptions, study: Study, progress: Progress) -> Costs:
    from ridgeline.explore.compression import Pricing, price
    from ridgeline.hardware.chip import read_chip

    if options.chip is None:
        return price(Pricing(chip=None, objective=options.objective, layers={}, budget_s=0), study.weights, study.stored, progress.advance)
    layers: dict[str, list[Any]] = {}
    for layer in source.read_work(options.network).layers:
        layers.setdefault(layer.name.partition("[")[0], []).append(layer)
    kinds = len({tuple(layer.nest.axes.items()) for each in layers.values() for layer in each}) * len(study.choices)
    budget_s = min(max(PRICED * options.budget_s / kinds, QUESTIONS_S[0]), QUESTIONS_S[1])
    pricing = Pricing(chip=read_chip(options.chip), objective=options.objective, layers=layers, budget_s=budget_s)
    return price(pricing, study.weights, study.stored, progress.advance)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Told:
    """What the summary is made from."""

    options: CompressOptions
    limit: float
    study: Study
    costs: Costs
    outcome: Outcome
    losses: Sequence[Sequence[float]]
    images: int  # to calibrate on, of which losses are measured on those of `calibration`
    calibration: Samples
    test: Samples

    def chosen(self) -> list[StoredWeight]:
        rows = zip(self.study.stored, self.outcome.best.choices, strict=True)
        return [item for row, choice in rows if (item := row[choice]) is not None]

    def summary(self) -> dict[str, Any]:
        options, study, best = self.options, self.study, self.outcome.best
        elements = sum(weight.elements for weight in study.weights)
        return {
            "network": source.network_name(options.network),
            "chip": options.chip,
            "objective": options.objective,
            "metric": options.metric,
            "limit": self.limit,
            "loss": {"calibration": best.loss, "test": self._tested(best)},
            "images": {"calibration": self.images, "measured": self.calibration.images, "test": self.test.images},
            "total": self._total(best.choices),
            "before": self._before(),
            "weights": {"compressed": len(study.weights), "elements": elements},
            "layers": [self._layer(number) for number in range(len(study.weights))],
            "single": [self._single(number) for number in range(len(study.choices))],
            "points": [self._point(point) for point in sorted(self.outcome.points, key=lambda point: (point.cost, point.loss))],
        }

    def _tested(self, point: Point) -> float:
        return self.study.loss(dict(enumerate(point.choices)), self.test)

    def _total(self, choices: Sequence[int]) -> dict[str, Any]:
        rows = zip(self.costs.table, choices, strict=True)
        return self._figures([cost for row, choice in rows if (cost := row[choice]) is not None])

    def _before(self) -> dict[str, Any]:
        return self._figures(list(self.costs.plain))

    def _figures(self, costs: Sequence[Any]) -> dict[str, Any]:
        from ridgeline.explore.compression import Cost

        made = sum(costs, Cost())
        elements = sum(weight.elements for weight in self.study.weights)
        found: dict[str, Any] = {"weight_bytes": -(-made.bits // 8), "bits_per_weight": made.bits / elements}
        if self.options.chip is not None:
            whole = made + self.costs.rest
            found |= {"time_s": whole.time_s, "energy_pj": whole.energy_pj}
        return found

    def _layer(self, number: int) -> dict[str, Any]:
        weight, choice = self.study.weights[number], self.outcome.best.choices[number]
        stored, cost, plain = self.study.stored[number][choice], self.costs.table[number][choice], self.costs.plain[number]
        if stored is None or cost is None:
            raise KeyError(weight.name)
        on_chip = {} if self.options.chip is None else {"time_s": cost.time_s, "energy_pj": cost.energy_pj}
        before = {} if self.options.chip is None else {"time_s_before": plain.time_s, "energy_pj_before": plain.energy_pj}
        return {
            "weight": weight.name, "layers": list(weight.layers), "shape": list(weight.shape), "format": stored.choice.format,
            "pattern": stored.choice.pattern, "activations": stored.choice.activations, "bits_per_element": stored.bits_per_element,
            "bytes": -(-stored.bits // 8), "loss_alone": self.losses[number][choice], **on_chip, **before,
        }  # fmt: skip

    def _single(self, choice: int) -> dict[str, Any]:
        """The whole network in one choice."""
        point = next((each for each in self.outcome.points if set(each.choices) == {choice}), None)
        name = self.study.choices[choice].name
        if point is None:
            return {"choice": name, "loss": None, "test_loss": None, "total": None}
        return {"choice": name, "loss": point.loss, "test_loss": self._tested(point), "total": self._total(point.choices)}

    def _point(self, point: Point) -> dict[str, Any]:
        others = [other for other in self.outcome.points if (other.cost, other.loss) != (point.cost, point.loss)]
        beaten = any(other.cost <= point.cost and other.loss <= point.loss for other in others)
        kinds = {self.study.choices[choice].name for choice in point.choices}
        return {
            "loss": point.loss, "cost": point.cost, "choice": kinds.pop() if len(kinds) == 1 else "mixed", "pareto": not beaten,
            "best": point is self.outcome.best,
        }  # fmt: skip


def _failure(summary: Mapping[str, Any]) -> str | None:
    loss, limit, metric = summary["loss"], summary["limit"], summary["metric"]
    if loss["calibration"] > limit:
        return f"nothing loses at most {limit:g} ({metric}): the least is {loss['calibration']:.4g}; add formats of more bits, or raise --loss"
    if loss["test"] > limit:
        return f"on the data to test on the loss is {loss['test']:.4g} ({metric}), above {limit:g}; give more data, or a lower --loss"
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Made:
    """The network, and what its weights and their inputs become."""

    loaded: Loaded
    weights: Mapping[str, StoredWeight]
    rounded: Mapping[str, Rounded]


def _write(options: CompressOptions, chosen: _Made, summary: dict[str, Any], test: Samples, study: Study, start: float) -> dict[str, Any]:
    """The folder, if one is asked for; and what the written file loses in stock onnxruntime."""
    from ridgeline.algorithm.onnx.compressed import compress as compressed
    from ridgeline.algorithm.onnx.compressed import save
    from ridgeline.formats.file import Sparse, write_packed
    from ridgeline.report.compress import render_compress

    summary["time_s"] = round(perf_counter() - start, 3)
    if options.out is None:
        return {}
    with output_folder(options.out) as folder:
        made = compressed(chosen.loaded, {name: item.encoded for name, item in chosen.weights.items()}, chosen.rounded)
        save(made, folder / MODEL)
        sparse = {
            name: None if item.mask is None else Sparse(pattern=item.choice.pattern, axes=study.place(name).reduction, mask=item.mask)
            for name, item in chosen.weights.items()
        }
        write_packed(folder / PACKED, {name: (item.encoded, sparse[name]) for name, item in chosen.weights.items()})
        summary["loss"] |= _written(folder / MODEL, test, study)
        summary["as_floats"] = list(made.as_floats)
        summary["time_s"] = round(perf_counter() - start, 3)
        write_json(summary, folder / SUMMARY)
        (folder / REPORT).write_text(render_compress(summary), encoding="utf-8")
    return {"model": str(options.out / MODEL), "packed": str(options.out / PACKED), "report": str(options.out / REPORT)}


def _written(path: Path, test: Samples, study: Study) -> dict[str, float]:
    """What the file itself loses, as stock onnxruntime runs it, and with activations in float where it would round them."""
    from ridgeline.algorithm.onnx.runtime import call, session

    found: dict[str, float] = {}
    for key, exact in (("file", False), ("file_exact", True)):
        loaded = session(path, exact=exact)
        parts = [call(loaded, feeds) for feeds in _batches(test.feeds, test.batch)]
        made = {name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in test.reference}
        found[key] = study.metric.loss(made, test.reference, test.labels)
    return found
