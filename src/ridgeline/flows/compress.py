"""`ridgeline compress`: a format and a pattern for each weight, chosen by the loss that they bring and by what the chip gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ridgeline.errors import InputError, RidgelineError, UnsupportedError
from ridgeline.flows import source
from ridgeline.flows.compress_summary import Told
from ridgeline.flows.data import Data, noise, read_data
from ridgeline.flows.design import write_json
from ridgeline.flows.floats import model_inputs
from ridgeline.flows.folder import check_replaceable, output_folder
from ridgeline.flows.progress import Progress, Silent

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Array
    from ridgeline.algorithm.onnx.compressible import Weight
    from ridgeline.algorithm.onnx.load import Loaded
    from ridgeline.algorithm.onnx.rounded import Rounded
    from ridgeline.algorithm.passes.compress import Choice, StoredWeight
    from ridgeline.algorithm.passes.fine_tune import FineTune
    from ridgeline.explore.bitmaps import Met
    from ridgeline.explore.compression import Samples, Study
    from ridgeline.explore.pricing import Costs

OBJECTIVES = ("latency", "energy", "size")
BATCH = 32  # images that run at once, where the file lets them
NOISE_IMAGES = 32
PRICED = 0.5  # of the budget that the mapper has, shared by its questions
QUESTIONS_S = (0.2, 10.0)  # of a question to the mapper, at least and at most
SEEN = 0.6  # of the calibration data, to which codes and scales are fitted
HELD_BACK = 0.05  # of the loss that is allowed, for data that the search does not see
SEED = 0
MODEL, PACKED, SUMMARY, REPORT = "compressed.onnx", "weights.npz", "compress.json", "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressOptions:
    """`loss` as the user writes it, 2% or 0.02; `test` None: the second half of the data. `keep`: layers that stay. `fine_tune`: steps, 0 none."""

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
    pad: bool = True
    budget_s: float = 60.0
    fine_tune: int = 0
    learning_rate: float = 0.01
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


def read_choices(options: CompressOptions, progress: Progress) -> list[Choice]:
    """Every format with every pattern; which of them exclude each other is told. Raises InputError, or UnsupportedError where all do."""
    from ridgeline.algorithm.passes.compress import read_choice

    formats, patterns = _names(options.formats), _names(options.sparsity)
    if not formats or not patterns:
        raise InputError("--formats and --sparsity take names with commas between them, such as int8,nvfp4 and none,2:4")
    kept: list[Choice] = []
    refused: list[UnsupportedError] = []
    for name, pattern in ((name, pattern) for pattern in patterns for name in formats):
        try:
            kept.append(read_choice(name, pattern, pad=options.pad))
        except UnsupportedError as error:
            refused.append(error)
    if not kept:
        raise refused[0]
    for error in refused:
        progress.note(f"left out: {error}")
    return kept


def read_activations(text: str) -> list[str]:
    """What inputs may be rounded to, `none` among it. Raises InputError, UnknownNameError."""
    from ridgeline.algorithm.onnx.rounded import check_rounding

    names = _names(text)
    if not names:
        raise InputError("--activations takes names with commas between them, such as none,int8,e4m3")
    for name in names:
        if name != "none":
            check_rounding(name)
    return names


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))


def compress(options: CompressOptions, progress: Progress | None = None) -> Compressed:
    """Raises InputError or UnsupportedError; then nothing is written."""
    from ridgeline.algorithm.metric import read_metric
    from ridgeline.algorithm.onnx.compressed import lifted
    from ridgeline.algorithm.onnx.compressible import Variants, array, constants_as_initialisers, read_weights
    from ridgeline.explore.compression import Study, batches, calibrate, samples, store_all
    from ridgeline.explore.fine_tuning import Tuning, fine_tuned

    start, progress = perf_counter(), progress or Silent()
    limit = read_loss(options.loss)
    _check(options)
    choices = _runnable(options, read_choices(options, progress), progress)
    roundings = [name for name in dict.fromkeys(choice.activations for choice in choices) if name != "none"]
    progress.step("reading the network")
    loaded = lifted(constants_as_initialisers(source.read_file(options.network)))
    weights = [weight for weight in read_weights(loaded) if not _is_kept(options, weight)]
    if not weights:
        raise InputError(f"--keep '{options.keep}' keeps every weight as it is; nothing is left to compress")
    arrays = {weight.name: array(loaded, weight) for weight in weights}
    calibration_data, test_data = _data(options, loaded, progress)
    metric = read_metric(options.metric, labels=calibration_data.labels is not None and test_data.labels is not None)
    batch = _batch(loaded)
    fitted = options.compensate or bool(roundings) or options.fine_tune > 0
    seen_data, measured_data = _parted(calibration_data) if fitted else (calibration_data, calibration_data)
    parts = batches(seen_data.arrays, batch)
    seen = calibrate(loaded, weights, parts, compensate=options.compensate, rounding_to=roundings)
    variants = Variants(loaded, weights, arrays, seen.rounded)
    calibration = samples(variants, measured_data.arrays, measured_data.labels, batch)
    test = samples(variants, test_data.arrays, test_data.labels, batch)
    lessons = _lessons(loaded, arrays, samples(variants, seen_data.arrays, seen_data.labels, batch)) if options.fine_tune else None
    progress.step("storing every weight in every format")
    stored = store_all(weights, arrays, choices, seen.moments, progress.advance)
    study = Study(weights=weights, choices=choices, stored=stored, variants=variants, metric=metric)
    progress.step("costs")
    costs = _costs(options, study, _met(options, loaded, study, seen_data), progress)
    progress.step("measuring what each choice loses")
    losses = study.single_losses(calibration, progress.advance)
    progress.step("choosing")
    outcome = study.search(costs.worths(options.objective), losses, (1 - HELD_BACK) * limit, calibration)
    tuned = None
    if lessons is not None:
        progress.step("fine-tuning")
        tuning = Tuning(study=study, loaded=loaded, arrays=arrays, rounded=seen.rounded, lessons=lessons, options=_fine_tune(options))
        tuned = fine_tuned(tuning, costs.worths(options.objective), losses, outcome, (1 - HELD_BACK) * limit, calibration, progress.advance)
    progress.step("testing on other data")
    told = Told(
        network=source.network_name(options.network), objective=options.objective, metric=options.metric, chip=options.chip, limit=limit,
        study=study, costs=costs, outcome=outcome, losses=losses, images=calibration_data.images, calibration=calibration, test=test,
        tuned=tuned,
    )  # fmt: skip
    summary = told.summary()
    best = {weight.name: item for weight, item in zip(weights, told.chosen(), strict=True)}
    kinds = {name: item.choice.activations for name, item in best.items()}
    rounded = {name: seen.rounded[kind][name] for name, kind in kinds.items() if kind != "none"}
    made = _Made(loaded=loaded, weights=best, rounded=rounded)
    summary["files"] = _write(options, made, summary, test, study, start)
    return Compressed(summary=summary, failure=_failure(summary))


def _check(options: CompressOptions) -> None:
    """What can be said at once. Raises InputError."""
    if options.objective not in OBJECTIVES:
        raise InputError(f"--objective '{options.objective}' is none of {', '.join(OBJECTIVES)}")
    if options.chip is None and options.objective != "size":
        raise InputError(f"--objective {options.objective} is of a chip; name one with --chip, or take --objective size")
    read_activations(options.activations)
    if options.fine_tune:
        _check_fine_tune(options)
    if options.out is not None:
        check_replaceable(options.out)


def _check_fine_tune(options: CompressOptions) -> None:
    from ridgeline.algorithm.onnx.trainable.walk import torch_module

    if options.fine_tune < 0:
        raise InputError(f"--fine-tune {options.fine_tune} must be 0 steps or more")
    _fine_tune(options)
    torch_module()


def _fine_tune(options: CompressOptions) -> FineTune:
    from ridgeline.algorithm.passes.fine_tune import FineTune

    return FineTune(steps=options.fine_tune, learning_rate=options.learning_rate, metric=options.metric)


def _lessons(loaded: Loaded, arrays: Mapping[str, Array], seen: Samples) -> Samples:
    """What the network learns from: the images that codes are fitted to. Raises what `check_trainable` does."""
    from ridgeline.explore.fine_tuning import check_trainable

    if seen.images < 2:
        raise InputError(f"--fine-tune learns from {seen.images} image; give 4 or more with --data")
    check_trainable(loaded, arrays, seen)
    return seen


def _runnable(options: CompressOptions, choices: Sequence[Choice], progress: Progress) -> list[Choice]:
    """Those that the chip runs; why it does not run the others is told. Raises what it says of the first where it runs none."""
    from ridgeline.explore.compression import runnable
    from ridgeline.hardware.chip import read_chip

    activations = read_activations(options.activations)
    if options.chip is None:
        return [replace(choice, activations=kind) for choice in choices for kind in activations]
    kept, refused = runnable(read_chip(options.chip), choices, activations)
    if not kept:
        raise refused[0][1]
    for error in _alone(kept, refused):
        progress.note(f"left out: {error}")
    if refused:
        progress.note(f"chip '{options.chip}' runs all but {', '.join(choice.name for choice, _ in refused)} of what was asked for")
    return kept


def _alone(kept: Sequence[Choice], refused: Sequence[tuple[Choice, RidgelineError]]) -> list[RidgelineError]:
    """What is said of each format and each pattern, of weights and of inputs, of which nothing is kept, once."""
    formats, patterns = {choice.format for choice in kept}, {choice.pattern for choice in kept}
    found: dict[str, RidgelineError] = {}
    for choice, error in refused:
        lost = choice.format if choice.format not in formats else choice.pattern if choice.pattern not in patterns else None
        if lost is None and choice.activations not in {each.activations for each in kept}:
            lost = f"x {choice.activations}"
        if lost is not None:
            found.setdefault(lost, error)
    return list(found.values())


def _is_kept(options: CompressOptions, weight: Weight) -> bool:
    return bool(options.keep) and any(options.keep in name for name in (weight.name, *weight.layers))


def _data(options: CompressOptions, loaded: Loaded, progress: Progress) -> tuple[Data, Data]:
    """To calibrate and to test on."""
    inputs = model_inputs(loaded.model.SerializeToString())
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


def _parted(data: Data) -> tuple[Data, Data]:
    """Of the calibration data, what codes and scales are fitted to, and what losses are measured on: codes lose less on what they are fitted to."""
    if data.images < 2:
        return data, data
    middle = min(data.images - 1, max(1, round(SEEN * data.images)))
    return data.first(middle), _after(data, middle)


def _after(data: Data, first: int) -> Data:
    arrays = {name: array[first:] for name, array in data.arrays.items()}
    return Data(arrays=arrays, labels=None if data.labels is None else data.labels[first:])


def _batch(loaded: Loaded, most: int = BATCH) -> int:
    """Images that run at once: as the file has them, or up to `most` where it lets them."""
    from ridgeline.algorithm.onnx.inputs import leading_sizes

    fixed = [size for size in leading_sizes(loaded.model.SerializeToString()).values() if size]
    return min(fixed) if fixed else most


def _met(options: CompressOptions, loaded: Loaded, study: Study, data: Data) -> Met | None:
    """What bitmaps are counted on, where the chip skips zeros of values."""
    from ridgeline.explore.bitmaps import IMAGES, met
    from ridgeline.explore.compression import batches
    from ridgeline.explore.pricing import inputs_format
    from ridgeline.hardware.chip import read_chip
    from ridgeline.mapping.running import depends_on_values

    if options.chip is None:
        return None
    chip = read_chip(options.chip)
    if not any(depends_on_values(chip, choice.format_name, inputs_format(chip, choice), choice.pattern) for choice in study.choices):
        return None
    batch = _batch(loaded, IMAGES)
    return met(loaded, study.weights, islice(batches(data.arrays, batch), -(-IMAGES // batch)))


def _costs(options: CompressOptions, study: Study, met: Met | None, progress: Progress) -> Costs:
    from ridgeline.explore.pricing import Pricing, price
    from ridgeline.hardware.chip import read_chip

    if options.chip is None:
        return price(Pricing(chip=None, objective=options.objective, layers=(), budget_s=0), study.weights, study.stored, progress.advance)
    layers = source.read_work(options.network).layers
    kinds = (len(layers) if met is not None else len({tuple(layer.nest.axes.items()) for layer in layers})) * len(study.choices)
    budget_s = min(max(PRICED * options.budget_s / kinds, QUESTIONS_S[0]), QUESTIONS_S[1])
    pricing = Pricing(chip=read_chip(options.chip), objective=options.objective, layers=layers, budget_s=budget_s, met=met)
    return price(pricing, study.weights, study.stored, progress.advance)


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
    from ridgeline.formats.file import write_packed
    from ridgeline.report.compress import render_compress

    summary["time_s"] = round(perf_counter() - start, 3)
    if options.out is None:
        return {}
    with output_folder(options.out) as folder:
        made = compressed(chosen.loaded, {name: item.encoded for name, item in chosen.weights.items()}, chosen.rounded)
        save(made, folder / MODEL)
        write_packed(folder / PACKED, {name: (item.encoded, item.sparse) for name, item in chosen.weights.items()})
        summary["loss"] |= _written(folder / MODEL, test, study)
        summary["as_floats"] = list(made.as_floats)
        summary["time_s"] = round(perf_counter() - start, 3)
        write_json(summary, folder / SUMMARY)
        (folder / REPORT).write_text(render_compress(summary), encoding="utf-8")
    return {"model": str(options.out / MODEL), "packed": str(options.out / PACKED), "report": str(options.out / REPORT)}


def _written(path: Path, test: Samples, study: Study) -> dict[str, float]:
    """What the file itself loses, as stock onnxruntime runs it, and with its exact options: docs/compress.md has them."""
    from ridgeline.algorithm.onnx.runtime import call, session
    from ridgeline.explore.compression import outputs

    found: dict[str, float] = {}
    for key, exact in (("file", False), ("file_exact", True)):
        made = outputs(partial(call, session(path, exact=exact)), test.feeds, test.batch)
        found[key] = study.metric.loss(made, test.reference, test.labels)
    return found
