"""The values that a float graph's tensors take on calibration data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ridgeline.algorithm.graph import Array, Graph, Node
from ridgeline.algorithm.operators import Conv, ConvTranspose
from ridgeline.algorithm.passes.histogram import Histogram, histogram, merged
from ridgeline.algorithm.passes.moments import Moments
from ridgeline.algorithm.reference import float_steps, input_tensors
from ridgeline.errors import InputError

# Elements of the largest tensor of a batch: bounds the memory that calibration takes.
_BATCH_ELEMENTS = 1 << 22

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """`tensors`: by tensor. `before`: by node, the value before a function that needs a table. `means`: by tensor that a convolution reads."""

    tensors: Mapping[str, Histogram]
    before: Mapping[str, Histogram]
    means: Mapping[str, Array]


def noise(graph: Graph, rng: np.random.Generator, *, images: int = 8) -> dict[str, Array]:
    """Standard normal float32 arrays for every input: calibration where there is no data."""
    return {port.name: rng.standard_normal((images, *port.shape), dtype=np.float32) for port in graph.inputs}


def observe(graph: Graph, calibration: Mapping[str, Array], *, progress: Progress | None = None) -> Observed:
    """Runs the float graph on all of `calibration`, a few images at a time. Raises InputError for values that are not finite."""
    images = _images(calibration)
    batch = max(1, _BATCH_ELEMENTS // max(tensor.elements for tensor in graph.tensors.values()))
    tensors: dict[str, Histogram] = {}
    before: dict[str, Histogram] = {}
    read = {node.inputs[0] for node in graph.nodes if isinstance(node.operator, Conv | ConvTranspose)}
    moments = {name: Moments.none(graph.tensors[name].shape[0]) for name in read}
    for name, values in graph.constants.items():
        _add(tensors, name, values, where=f"the constant tensor '{name}'")
    for start in range(0, images, batch):
        arrays = {name: np.asarray(array[start : start + batch], np.float32) for name, array in calibration.items()}
        for name, values in input_tensors(graph, arrays, None).items():
            if name in graph.constants:
                continue
            _add(tensors, name, values, where=f"the calibration data of input '{name}'")
            if name in moments:
                moments[name] += Moments.of(values)
        for step in float_steps(graph, arrays):
            _add(tensors, step.node.output, step.after, where=f"the output of node '{step.node.name}'")
            if step.node.output in moments:
                moments[step.node.output] += Moments.of(step.after)
            if needs_table(step.node):
                _add(before, step.node.name, step.before, where=f"the output of node '{step.node.name}'")
        if progress is not None:
            progress(min(images, start + batch), images)
    return Observed(tensors=tensors, before=before, means={name: found.mean(images) for name, found in moments.items()})


def needs_table(node: Node) -> bool:
    return node.function is not None and node.function.clip is None


def _images(calibration: Mapping[str, Array]) -> int:
    counts = {name: array.shape[0] if array.ndim else 0 for name, array in calibration.items()}
    if not counts or min(counts.values()) == 0:
        raise InputError(f"calibration data holds no image: {counts}; give at least one for each input")
    if len(set(counts.values())) != 1:
        raise InputError(f"calibration data holds different numbers of images: {counts}; give as many for each input")
    return next(iter(counts.values()))


def _add(known: dict[str, Histogram], name: str, values: Array, *, where: str) -> None:
    if not np.isfinite(values).all():
        raise InputError(f"{where} holds values that are not finite; calibrate with data in the network's own range")
    found = histogram(values)
    known[name] = merged(known[name], found) if name in known else found
