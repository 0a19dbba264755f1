"""2:4 on tensor cores: how well measured speeds tell one that is left out, beside a model of times and a flat factor; layers on chips by format, and
networks of mixed widths beside the cycles of another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from time import perf_counter

import numpy as np

from bench.row import Row
from ridgeline.algorithm.nest import Nest, parse
from ridgeline.flows import source
from ridgeline.formats import read_format
from ridgeline.formats.sparsity import read_pattern
from ridgeline.hardware.chip import read_chip
from ridgeline.hardware.rates import Point, Speeds, read_speeds, speeds_names
from ridgeline.mapping.dual_side import dual_side_steps, speed
from ridgeline.mapping.running import running, time_s
from ridgeline.mapping.search.network import map_nests, read_objective

# NVIDIA/CUDALibrarySamples, issue 57, 2022: an A100, fp16, m = n = k = 4096, cuSPARSELt and CUTLASS, milliseconds. In no table here.
ELSEWHERE_MS = (0.607959, 0.545792)
BUDGET_S = 15
# Cycles at batch 64 by the ANT study's simulator (MICRO 2022), and which layers are in 8 bits; -1 is the last.
ANT = (
    ("vgg16", "ant-os", 245_986_176, (0, -1)),
    ("vgg16", "bitfusion", 922_759_624, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15)),
    ("vgg16", "adafloat", 1_214_664_532, ()),
    ("resnet18", "ant-os", 33_917_312, (0, -1)),
    ("resnet18", "bitfusion", 102_543_576, (*range(16), 17, 18, 20)),
    ("resnet18", "adafloat", 149_187_322, ()),
)
SIDE = 4096


def measure() -> list[Row]:
    return [*_left_out(), _elsewhere(), *_layers(), _bitmaps(), _mixed_widths()]


def interpolated(points: Sequence[Point], size: int) -> float:
    return Speeds(points=tuple(points), source="").at_cube(log(size))


def timed(points: Sequence[Point], size: int) -> float:
    """By a model of both times, least squares in logarithms: (start + work) / (start x ratio + work / gain), work as the cube of the size."""
    sizes = np.array([point.size for point in points]) / SIDE
    speeds = np.log([point.speed for point in points])
    start, ratio, gain = (axis.reshape(-1, 1) for axis in _grid())
    error = ((np.log((start + sizes**3) / (start * ratio + sizes**3 / gain)) - speeds) ** 2).sum(axis=1)
    a, b, c = (axis[int(error.argmin())] for axis in _grid())
    work = (size / SIDE) ** 3
    return float((a + work) / (a * b + work / c))


def _grid() -> tuple[np.ndarray, ...]:
    axes = np.meshgrid(np.geomspace(1e-4, 3, 40), np.geomspace(0.5, 4, 40), np.linspace(1, 2.3, 40), indexing="ij")
    return tuple(axis.reshape(-1) for axis in axes)


def _errors(model: Callable[[Sequence[Point], int], float], *, leave_out: bool) -> list[tuple[float, str]]:
    """(error, where) of every measurement."""
    found: list[tuple[float, str]] = []
    for name in speeds_names():
        points = read_speeds(name).points
        for left in points:
            rest = [point for point in points if point is not left] if leave_out else points
            found.append((model(rest, left.size) / left.speed - 1, f"{name} at {left.size}"))
    return found


def _left_out() -> list[Row]:
    errors = _errors(interpolated, leave_out=True)
    means = {
        "straight lines, itself included": _mean(_errors(interpolated, leave_out=False)),
        "a model of times, left out": _mean(_errors(timed, leave_out=True)),
        "itself included": _mean(_errors(timed, leave_out=False)),
        "a flat 2": _mean(_errors(lambda points, size: 2.0, leave_out=False)),
    }
    worst = max(errors, key=lambda item: abs(item[0]))
    rows = [
        Row(
            figure="2:4 over dense, 30 public measurements, each from the others of its series",
            value=f"mean error {100 * _mean(errors):.1f} %",
            target="below a flat 2",
            worst=f"{100 * worst[0]:+.0f} %, {worst[1]}",
            holds=bool(_mean(errors) < means["a flat 2"]),
            peer=", ".join(f"{name} {100 * value:.1f} %" for name, value in means.items()),
        )
    ]
    for name in speeds_names():
        own = [(error, where) for error, where in errors if where.startswith(f"{name} ")]
        cells = ", ".join(f"{where.rpartition(' ')[2]} {100 * error:+.0f}" for error, where in own)
        rows.append(Row(figure=f"  {name}", value=f"mean error {100 * _mean(own):.1f} %", target="-", worst=f"by size, %: {cells}", holds=None))
    return rows


def _mean(errors: Sequence[tuple[float, str]]) -> float:
    return sum(abs(error) for error, _ in errors) / len(errors)


def _elsewhere() -> Row:
    dense, sparse = ELSEWHERE_MS
    ours = read_speeds("a100-bfloat16").at((SIDE, SIDE, SIDE))
    return Row(
        figure="the same of an A100 in fp16 at 4096, measured by others in 2022",
        value=f"{ours:.2f}",
        target=f"{dense / sparse:.2f}",
        worst=f"{100 * (ours * sparse / dense - 1):+.0f} %: libraries and clocks differ by more than sizes do",
        holds=None,
    )


def _layers() -> list[Row]:
    """A matrix by one vector and by many, weights in several formats: from memory's time to the array's."""
    rows: list[Row] = []
    for columns in (1, SIDE):
        nest = parse("n c, m c -> n m", axes={"n": columns, "m": SIDE, "c": SIDE}, multiplies=True)
        times: dict[str, float] = {}
        start = perf_counter()
        for label, weight, bits, pattern in (
            ("bfloat16", "bfloat16", 16, "none"), ("its 2:4", "bfloat16", 9, "2:4"), ("int8", "int8", 8, "none"), ("nvfp4", "nvfp4", 4.5, "none"),
        ):  # fmt: skip
            chip = running(read_chip("h100"), weight=weight, weight_bits=bits, pattern=pattern, size=(columns, SIDE, SIDE))
            found = map_nests([nest], chip, read_objective("latency"), budget_s=BUDGET_S)
            times[label] = 1e6 * time_s(found.layers[0].estimate, chip)
        rows.append(
            Row(
                figure=f"h100: 4096 x 4096 weights by {columns:,} columns, us by format",
                value=", ".join(f"{name} {value:.4g}" for name, value in times.items()),
                target="int8 at most half of bfloat16's",
                worst=f"{perf_counter() - start:.0f} s of search",
                holds=bool(times["int8"] <= 0.51 * times["bfloat16"]),
            )
        )
    return rows


def _bitmaps() -> Row:
    """A 3 x 3 convolution of 64 channels on 56 x 56, weights pruned to 75 %, half of the inputs zero."""
    rng = np.random.default_rng(0)
    axes = {"n": 1, "m": 64, "c": 64, "y": 56, "x": 56, "r": 3, "q": 3}
    nest = parse("n c (y+r) (x+q), m c r q -> n m y x", axes=axes, multiplies=True)
    inputs = rng.random((1, 64, 58, 58)) < 0.5
    weights = read_pattern("unstructured:75%").mask(np.abs(rng.standard_normal((64, 64, 3, 3))), axis=(1, 2, 3))
    start = perf_counter()
    steps = dual_side_steps(nest, inputs, weights)
    took = perf_counter() - start
    return Row(
        figure="dstc: steps of a convolution from its bitmaps, weights 75 % zero, inputs 50 %",
        value=f"{speed(steps):.2f} times fewer in {took:.2f} s",
        target=f"<= {1 / (0.25 * 0.5):.0f}, what is not zero",
        worst=f"{steps.sparse:,} of {steps.dense:,}",
        holds=bool(1 <= speed(steps) <= 8),
    )


def _mixed_widths() -> Row:
    """Each layer on the array that its width has, cycles added up."""
    errors: list[tuple[float, str]] = []
    start = perf_counter()
    for network, name, published, wide in ANT:
        layers, chip = source.read_work(network, batch=64).layers, read_chip(name)
        own = chip.format or ""
        nests: dict[str, list[Nest]] = {}
        for number, layer in enumerate(layers):
            nests.setdefault("int8" if number in wide or number - len(layers) in wide else own, []).append(layer.nest)
        cycles = 0
        for weight, part in nests.items():
            made = running(chip, weight=weight, weight_bits=read_format(weight).bits)
            cycles += map_nests(part, made, read_objective("latency"), budget_s=BUDGET_S).cycles
        errors.append((cycles / published - 1, f"{network} on {name}: {cycles:,} and {published:,}"))
    worst = max(errors, key=lambda item: abs(item[0]))
    return Row(
        figure="VGG16 and ResNet18 on ant-os, bitfusion and adafloat: cycles beside the ANT study's",
        value=f"{100 * abs(worst[0]):.4f} % apart at most",
        target="<= 0.1 %",
        worst=f"{worst[1]}; {perf_counter() - start:.0f} s",
        holds=bool(abs(worst[0]) <= 1e-3),
    )
