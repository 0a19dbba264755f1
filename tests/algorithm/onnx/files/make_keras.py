"""Makes the keras_*.onnx and tf2onnx_plain.onnx files beside it: `python make_keras.py` with tensorflow 2.21, keras 3.15 and tf2onnx 1.17 installed.

Keras's own export, and tf2onnx's conversion of one of the networks; all take images as height, width, channels.
"""

import keras
import numpy as np
import onnx
import tf2onnx
from keras import Model, layers


def normalised(x: keras.KerasTensor, activation: str) -> keras.KerasTensor:
    return layers.Activation(activation)(layers.BatchNormalization()(x))


def plain() -> Model:
    """Convolutions with every kind of border, both poolings, and a classifier."""
    image = keras.Input((15, 15, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = normalised(layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(x), "relu")
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = normalised(layers.Conv2D(8, (3, 2), padding="valid")(x), "relu6")
    x = layers.AveragePooling2D(2, strides=1, padding="same")(x)
    x = layers.Dense(7, activation="relu")(layers.Flatten()(x))
    return Model(image, layers.Dense(4, activation="softmax")(layers.Dropout(0.3)(x)), name="plain")


def separable() -> Model:
    """Depthwise convolutions, a gate for each channel, and a residual sum."""
    image = keras.Input((12, 12, 3), name="image")
    x = normalised(layers.Conv2D(6, 1)(layers.ZeroPadding2D(((0, 1), (1, 0)))(image)), "swish")
    y = normalised(layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x), "hard_swish")
    gate = layers.Dense(3, activation="relu")(layers.GlobalAveragePooling2D()(y))
    gate = layers.Reshape((1, 1, 12))(layers.Dense(12, activation="hard_sigmoid")(gate))
    x = layers.Add()([x, layers.SeparableConv2D(6, 3, padding="same")(layers.Multiply()([y, gate]))])
    x = keras.activations.gelu(
        layers.SeparableConv2D(5, 5, strides=2, padding="same")(x), approximate=True
    )  # the exact one is not exported
    return Model(image, layers.Dense(3, activation="sigmoid")(layers.GlobalAveragePooling2D()(x)), name="separable")


def encoder() -> Model:
    """Down and up again: joins along channels and height, upsampling, a transposed convolution, slopes, a crop."""
    image = keras.Input((8, 10, 2), name="image")
    x = layers.LeakyReLU(negative_slope=0.2)(layers.Conv2D(4, 3, padding="same")(image))
    y = layers.Conv2D(6, 3, strides=2, padding="same", activation="elu")(x)
    up = layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="tanh")(y)
    wide = layers.UpSampling2D(2)(layers.Conv2D(3, 1, dilation_rate=1)(y))
    x = layers.Concatenate()([x, up, wide])
    x = layers.PReLU(shared_axes=[1, 2], alpha_initializer="uniform")(layers.Conv2D(5, 3, dilation_rate=2, padding="same")(x))
    x = layers.Concatenate(axis=1)([x, layers.Cropping2D(((1, 2), (0, 0)))(x)])
    return Model(image, layers.Conv2D(2, 1)(layers.Subtract()([x, layers.Permute((1, 2, 3))(x * 0.5)])), name="encoder")


def sequence() -> Model:
    """Vectors in a row: products along the last axis and 1-D convolutions."""
    row = keras.Input((12, 5), name="row")
    x = layers.Dense(5, activation="silu")(row)
    x = layers.Conv1D(8, 3, padding="same", activation="mish")(layers.Add()([x, row]))
    x = layers.MaxPooling1D(2)(x)
    x = layers.SeparableConv1D(6, 3, activation="softplus")(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])
    return Model(row, layers.Dense(3)(x), name="sequence")


def drawn(model: Model) -> Model:
    """With weights and moments that no two channels share."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        spread = rng.uniform(0.5, 1.5, variable.shape) if "variance" in variable.name or "gamma" in variable.name else None
        scale = 1 / np.sqrt(max(1, np.prod(variable.shape[:-1])))
        variable.assign(spread if spread is not None else rng.standard_normal(variable.shape) * scale)
    return model


def strip(path: str) -> None:
    model = onnx.load(path)
    del model.metadata_props[:], model.graph.value_info[:]
    for thing in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        thing.doc_string = ""
    onnx.save(model, path)


def main() -> None:
    for make in (plain, separable, encoder, sequence):
        model = drawn(make())
        model(np.zeros((1, *model.input_shape[1:]), np.float32))
        path = f"keras_{model.name}.onnx"
        model.export(path, format="onnx", verbose=False)
        strip(path)
        if make is plain:
            tf2onnx.convert.from_keras(model, opset=13, output_path="tf2onnx_plain.onnx")
            strip("tf2onnx_plain.onnx")


if __name__ == "__main__":
    main()
