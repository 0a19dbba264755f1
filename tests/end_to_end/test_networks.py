"""Networks through the emitted Verilog: every value of every layer equals onnxruntime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.end_to_end.conftest import DRAM

from ridgeline.algorithm import zoo
from ridgeline.algorithm.onnx.network import Network
from ridgeline.algorithm.onnx.reader import read_network
from ridgeline.algorithm.passes.quantise import quantise
from ridgeline.algorithm.zoo import samples
from ridgeline.flows import floats
from ridgeline.flows.check import Checked
from ridgeline.hardware.engine.engine import Engine
from ridgeline.testing.graphs import informative
from ridgeline.testing.hardware import run

CALIBRATION_IMAGES = 4
DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def simulated(network: Network, images: np.ndarray, engine: Engine, folder: Path, *, count: int, calibration: int) -> Checked:
    """The first `count` images on the hardware."""
    (port,) = floats.network_inputs(network)
    reals = floats.engine_inputs(network, {port.name: images})
    integer = quantise(network.graph, {name: array[:calibration] for name, array in reals.items()})
    codes = floats.codes(integer, {name: array[:count] for name, array in reals.items()})
    return run(integer, engine, codes, folder, dram=DRAM)


@pytest.mark.parametrize("name", [entry.name for entry in zoo.describe() if entry.engine])
def test_every_distinct_block_of_the_zoo(name: str, engine: Engine, tmp_path: Path) -> None:
    network = read_network(zoo.reduced(name).SerializeToString(deterministic=True))
    (port,) = floats.network_inputs(network)
    images = samples.images(CALIBRATION_IMAGES, port.shape, seed=1)
    checked = simulated(network, images, engine, tmp_path, count=1, calibration=CALIBRATION_IMAGES)
    assert checked.mismatch is None
    assert checked.values_compared > sum(array.size for array in checked.outputs.values())
    assert all(informative(array) for array in checked.outputs.values())


def test_digits_on_all_its_images(engine: Engine, tmp_path: Path) -> None:
    with np.load(DIGITS / "test.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    network = read_network(DIGITS / "digits.onnx")
    checked = simulated(network, images, engine, tmp_path, count=len(images), calibration=len(images))
    assert checked.mismatch is None
    assert checked.images == len(images) == 360
    (scores,) = checked.outputs.values()
    assert (scores.argmax(axis=1) == labels).mean() >= 0.96
