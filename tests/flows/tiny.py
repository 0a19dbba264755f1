"""A tiny network with its data, built once by a process on a small engine."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ridgeline.flows.options import Options

IMAGES = 4
PINS = {
    "lanes_out": 4, "lanes_in": 4, "taps": 2, "bus_bytes": 8, "activation_bytes": 4096, "weight_bytes": 4096, "output_bytes": 2048,
    "accumulator_depth": 32,
}  # fmt: skip


def model(*, filters: int = 5) -> bytes:
    """(batch, 2, 6, 6) -> convolution, relu, pooling, fully connected -> (batch, 3)."""
    rng = np.random.default_rng(7)
    weights = {
        "conv.weight": rng.standard_normal((filters, 2, 3, 3)) * 0.4,
        "conv.bias": rng.standard_normal(filters) * 0.1,
        "fc.weight": rng.standard_normal((3, 9 * filters)) * 0.2,
        "fc.bias": rng.standard_normal(3) * 0.1,
    }
    nodes = [
        helper.make_node("Conv", ["image", "conv.weight", "conv.bias"], ["conv.y"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv.y"], ["relu.y"], name="relu"),
        helper.make_node("MaxPool", ["relu.y"], ["pool.y"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pool.y"], ["flat.y"], name="flat"),
        helper.make_node("Gemm", ["flat.y", "fc.weight", "fc.bias"], ["scores"], name="fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2, 6, 6])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString(deterministic=True)


def write(folder: Path) -> Options:
    """The network and its data in `folder`; how to build it, into folder/out."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.onnx").write_bytes(model())
    rng = np.random.default_rng(3)
    images = rng.standard_normal((IMAGES, 2, 6, 6)).astype(np.float32)
    np.savez(folder / "data.npz", image=images, labels=np.array([0, 1, 2, 0]))
    return Options(network=str(folder / "tiny.onnx"), data=folder / "data.npz", device="ulx3s-85f", out=folder / "out", pins=PINS)


@contextmanager
def compiling(factory: pytest.TempPathFactory) -> Generator[None]:
    """One process at a time, so that the simulator is compiled once and then comes from the cache."""
    with (factory.getbasetemp().parent / "tiny.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
