"""hls4ml on the digits network, from model to decisions of its C simulation for the test images: prints one line of JSON.

The network is built in Keras with the weights of digits.onnx (hls4ml's own ONNX reader refuses it), and the decisions are held against
onnxruntime's for that file. Measured with hls4ml's default number format, and with one that its pooling accumulator does not overflow.
Runs in the peer's own virtual environment, which has nothing of Ridgeline's: `python -m bench demo` makes it and calls this.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hls4ml
import keras
import numpy as np
import onnx
import onnxruntime
from keras import layers
from onnx import numpy_helper

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
BACKEND = "Vitis"
DEFAULT, WIDE = "fixed<16,6>", "fixed<24,12>"
KERNEL_AXES = {"conv1": (2, 3, 1, 0), "conv2": (2, 3, 1, 0), "block.depthwise": (2, 3, 0, 1), "block.pointwise": (2, 3, 1, 0),
               "conv3": (2, 3, 1, 0), "fc": (1, 0)}  # fmt: skip  # ONNX's axes in Keras's order


def digits() -> keras.Model:
    """The network of examples/digits/train.py; images are (batch, 8, 8, 1).

    Zeros are padded by layers of their own: hls4ml compiles them a third faster than padding="same", which at a stride of 2 is another
    padding anyway.
    """
    images = keras.Input((8, 8, 1), name="images")
    x = layers.Conv2D(16, 3, activation="relu", name="conv1")(layers.ZeroPadding2D(1)(images))
    x = layers.Conv2D(32, 3, strides=2, activation="relu", name="conv2")(layers.ZeroPadding2D(1)(x))
    y = layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(layers.ZeroPadding2D(1)(x))
    y = layers.Conv2D(32, 1, name="pointwise")(y)
    x = layers.ReLU(name="relu")(layers.Add(name="add")([x, y]))
    x = layers.Conv2D(32, 3, activation="relu", name="conv3")(layers.ZeroPadding2D(1)(x))
    return keras.Model(images, layers.Dense(10, name="fc")(layers.GlobalAveragePooling2D(name="mean")(x)))


def with_weights(network: keras.Model, model: onnx.ModelProto) -> keras.Model:
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for name, axes in KERNEL_AXES.items():
        layer = network.get_layer(name.removeprefix("block."))
        layer.set_weights([arrays[f"{name}.weight"].transpose(axes), arrays[f"{name}.bias"]])
    return network


def simulated(network: keras.Model, precision: str, images: np.ndarray) -> np.ndarray:
    """The logits of hls4ml's compiled C simulation."""
    config = hls4ml.utils.config_from_keras_model(network, granularity="name", backend=BACKEND, default_precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        project = hls4ml.converters.convert_from_keras_model(network, hls_config=config, backend=BACKEND, output_dir=f"{folder}/digits")
        project.compile()
        return project.predict(images).reshape(len(images), -1)


def measured(network: keras.Model, precision: str, images: np.ndarray, decisions: np.ndarray) -> dict[str, Any]:
    """Seconds, those of the C++ compiler included, and how many decisions are the float network's."""
    start, processor = time.perf_counter(), sum(os.times()[:4])
    logits = simulated(network, precision, images)
    return {
        "precision": precision,
        "wall_s": time.perf_counter() - start,
        "processor_s": sum(os.times()[:4]) - processor,
        "agree": int((logits.argmax(1) == decisions).sum()),
    }


def main() -> None:
    images = np.load(DIGITS / "test.npz")["images"]
    (logits,) = onnxruntime.InferenceSession(DIGITS / "digits.onnx").run(None, {"images": images})
    network = with_weights(digits(), onnx.load(DIGITS / "digits.onnx"))
    channels_last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    default, wide = (measured(network, precision, channels_last, logits.argmax(1)) for precision in (DEFAULT, WIDE))
    print(json.dumps({"version": version("hls4ml"), "images": len(images), "default": default, "wide": wide}))


if __name__ == "__main__":
    main()
