"""The network in a number format: the graph that is lowered, golden.onnx, and what the engine is fed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ridgeline.errors import CheckFailedError
from ridgeline.flows import design as files
from ridgeline.flows import floats
from ridgeline.flows.data import Data
from ridgeline.flows.options import FormatName
from ridgeline.flows.progress import Progress
from ridgeline.formats import ENGINE_FORMATS, Format

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Graph
    from ridgeline.algorithm.onnx.network import Network
    from ridgeline.mapping.encoding import Encoding

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Arrays: TypeAlias = Mapping[str, Array]

CALIBRATION_MACS = 1 << 36  # spent on calibrating, in images that the data may not have
REFERENCE_MACS = 1 << 34  # on plain numpy integers
MOST_IMAGES = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """`graph` is what the engine computes; `inputs` are golden.onnx's, for all of the data; `golden_names`: a node's output tensor -> the name of
    its value in golden.onnx. `codes` makes golden.onnx's inputs of real values, `reals` real values of its outputs.
    """

    name: FormatName
    graph: Graph
    encoding: Encoding
    golden_names: Mapping[str, str]
    inputs: Arrays
    codes: Callable[[Arrays], Arrays]
    reals: Callable[[Arrays], Arrays]

    @property
    def number(self) -> Format:
        return ENGINE_FORMATS[self.name]


def prepare(name: FormatName, network: Network, data: Data, folder: Path, progress: Progress, *, activations: str = "int8") -> Prepared:
    """Writes golden.onnx and the host's files. `activations` of few levels are of int8 alone."""
    make = partial(_int8, activations=activations) if name == "int8" else _MAKERS[name]
    return make(network, data.first(MOST_IMAGES), folder, progress)


def _int8(network: Network, data: Data, folder: Path, progress: Progress, *, activations: str) -> Prepared:
    from ridgeline.algorithm.onnx.golden import boundary_names, golden
    from ridgeline.algorithm.onnx.golden_check import check_golden
    from ridgeline.algorithm.passes.quantise import quantise
    from ridgeline.mapping.encoding import INT8

    progress.step("quantising")
    reals = floats.engine_inputs(network, data.arrays)
    calibration = _calibration(network, reals, data.images)
    integer = quantise(network.graph, calibration, activations=activations, progress=progress.advance)
    (folder / files.GOLDEN).write_bytes(golden(integer))
    _write_host(folder, network, integer)
    progress.step("checking golden.onnx against plain integers")
    codes = floats.codes(integer, reals)
    compared = max(1, min(data.images, REFERENCE_MACS // _macs(network)))
    difference = check_golden(integer, {name: array[:compared] for name, array in codes.items()})
    if difference is not None:
        raise CheckFailedError(f"onnxruntime and plain integers differ: {difference}")
    return Prepared(
        name="int8",
        graph=integer,
        encoding=INT8,
        golden_names=boundary_names(integer),
        inputs=codes,
        codes=partial(floats.codes, integer),
        reals=partial(floats.reals, integer),
    )


def _float32(network: Network, data: Data, folder: Path, progress: Progress) -> Prepared:
    from ridgeline.algorithm.onnx.golden import boundary_names
    from ridgeline.algorithm.onnx.golden_float import golden_float
    from ridgeline.algorithm.passes.real import real
    from ridgeline.mapping.encoding import float32

    progress.step("writing golden.onnx")
    found = real(network.graph)
    (folder / files.GOLDEN).write_bytes(golden_float(network.graph))
    _write_parts(folder, {"front": network.front, "back": network.back})

    def same(values: Arrays) -> Arrays:
        return {name: array.astype(np.float32) for name, array in values.items()}

    return Prepared(
        name="float32",
        graph=found.graph,
        encoding=float32(found.limits),
        golden_names=boundary_names(network.graph),
        inputs=same(floats.engine_inputs(network, data.arrays)),
        codes=same,
        reals=same,
    )


def _fixed16(network: Network, data: Data, folder: Path, progress: Progress) -> Prepared:
    from ridgeline.algorithm.onnx.golden import boundary_names
    from ridgeline.algorithm.onnx.golden_check import check_golden
    from ridgeline.algorithm.onnx.golden_fixed import back_fixed, code_name, front_fixed, golden_fixed
    from ridgeline.algorithm.onnx.runtime import run
    from ridgeline.algorithm.passes.fixed import fixed, fixed_steps
    from ridgeline.mapping.encoding import fixed16

    progress.step("quantising")
    reals = floats.engine_inputs(network, data.arrays)
    found = fixed(network.graph, _calibration(network, reals, data.images), progress=progress.advance)
    (folder / files.GOLDEN).write_bytes(golden_fixed(found))
    front, back = front_fixed(found), back_fixed(found)
    _write_parts(folder, {"front": network.front, "quantize": front, "dequantize": back, "back": network.back})

    def codes(values: Arrays) -> Arrays:
        made = run(front, {name: array.astype(np.float32) for name, array in values.items()})
        return {name: made[code_name(name)] for name in values}

    def real_values(values: Arrays) -> Arrays:
        return run(back, {code_name(name): array for name, array in values.items()})

    progress.step("checking golden.onnx against plain integers")
    inputs = codes(reals)
    some = {name: array[: max(1, REFERENCE_MACS // _macs(network))] for name, array in inputs.items()}
    difference = check_golden(found.graph, some, model=golden_fixed(found, boundaries=True), steps=fixed_steps(found, some))
    if difference is not None:
        raise CheckFailedError(f"onnxruntime and plain integers differ: {difference}")
    return Prepared(
        name="fixed16",
        graph=found.graph,
        encoding=fixed16(found.limits),
        golden_names=boundary_names(found.graph),
        inputs=inputs,
        codes=codes,
        reals=real_values,
    )


def _macs(network: Network) -> int:
    return max(1, sum(network.graph.macs(node) for node in network.graph.nodes))


def _calibration(network: Network, reals: Arrays, images: int) -> dict[str, Array]:
    """As many images as there is time for."""
    count = max(1, min(images, CALIBRATION_MACS // _macs(network)))
    return {name: array[:count] for name, array in reals.items()}


def _write_host(folder: Path, network: Network, integer: Graph) -> None:
    """What the host computes around golden.onnx, in order: front, quantize, (golden), dequantize, back."""
    from ridgeline.algorithm.onnx.golden_ends import back_onnx, front_onnx

    parts = {"front": network.front, "quantize": front_onnx(integer), "dequantize": back_onnx(integer), "back": network.back}
    _write_parts(folder, parts)


def _write_parts(folder: Path, parts: Mapping[str, bytes | None]) -> None:
    (folder / "host").mkdir()
    for name, model in parts.items():
        if model is not None:
            (folder / "host" / f"{name}.onnx").write_bytes(model)


_MAKERS: Mapping[FormatName, Callable[[Network, Data, Path, Progress], Prepared]] = {"float32": _float32, "fixed16": _fixed16}
