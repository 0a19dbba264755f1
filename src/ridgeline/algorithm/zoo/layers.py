"""The layers of a convolutional network, with seeded weights that keep its signal alive through any depth.

Weights are He's (K. He et al., "Delving Deep into Rectifiers", ICCV 2015, eq. 10). What a trained network's batch normalisation has learnt of
its inputs, a seeded one must be told: each `Value` carries the mean and the variance that its channels are expected to have (inputs are taken
as 0 and 1, independent), and a batch normalisation holds what follows for its own input. Since weights have zero mean, that expectation holds for
spatially correlated images too.

Its offsets are positive before a ReLU (`LIFT`), as a ReLU at offset 0 multiplies the share of any disturbance, such as rounding, by
pi / (pi - 1) = 1.47 a layer (G. Yang et al., "A Mean Field Theory of Batch Normalization", ICLR 2019), and at offset 1 by 1.12. Networks with
no shortcut past their layers are given more (`FOLDED_LIFT`).
"""

from dataclasses import dataclass
from math import erf, exp, pi, sqrt
from typing import TypeAlias

import numpy as np

from ridgeline.algorithm.zoo.draft import Array, Draft
from ridgeline.errors import InputError

Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[int, int, int, int]  # top, left, bottom, right

LIFT = 1.0
FOLDED_LIFT = 1.3
EPSILON = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor of the network: the shape of one image, and per channel the mean and variance to expect."""

    name: str
    shape: tuple[int, ...]
    mean: Array
    variance: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A kernel's extent, step, and zeros around the image."""

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)

    def output(self, name: str, height: int, width: int) -> Pair:
        top, left, bottom, right = self.pads
        out_height = (height + top + bottom - self.kernel[0]) // self.stride[0] + 1
        out_width = (width + left + right - self.kernel[1]) // self.stride[1] + 1
        if min(out_height, out_width) < 1:
            kernel = f"{self.kernel[0]} x {self.kernel[1]}"
            raise InputError(f"{name!r}: a {kernel} window does not fit its {height} x {width} input; raise the input size")
        return out_height, out_width

    @property
    def attributes(self) -> dict[str, tuple[int, ...]]:
        return {"kernel_shape": self.kernel, "strides": self.stride, "pads": self.pads}


def window(kernel: int, stride: int = 1, pad: int | None = None) -> Window:
    """A square window; unless told, padded so that stride 1 keeps the size."""
    border = kernel // 2 if pad is None else pad
    return Window(kernel=(kernel, kernel), stride=(stride, stride), pads=(border, border, border, border))


def image(draft: Draft, channels: int, height: int, width: int) -> Value:
    """The network's input, `images`."""
    name = draft.input("images", (channels, height, width))
    return Value(name=name, shape=(channels, height, width), mean=np.zeros(channels), variance=np.ones(channels))


def conv(draft: Draft, x: Value, name: str, *, channels: int, window: Window, groups: int = 1, bias: bool = False) -> Value:
    """A convolution for a batch normalisation to follow."""
    weight = _he(draft, (channels, x.shape[0] // groups, *window.kernel))
    offsets = draft.normal((channels,), std=0.05) if bias else None
    return _conv(draft, x, name, weight=weight, bias=offsets, window=window, groups=groups)


def folded_conv(draft: Draft, x: Value, name: str, *, channels: int, window: Window, groups: int = 1) -> Value:
    """A convolution of a network without batch normalisation: weighted as if one had been folded into it."""
    weight = _he(draft, (channels, x.shape[0] // groups, *window.kernel))
    weight, bias = _folded(draft, x, weight)
    return _conv(draft, x, name, weight=weight, bias=bias, window=window, groups=groups)


def batch_norm(draft: Draft, x: Value, name: str, *, gain: float = 1.0, lift: float = LIFT) -> Value:
    """A batch normalisation whose statistics are those to expect; `gain` is the scale it gives, `lift` its mean offset in units of that."""
    gamma, beta = _affine(draft, x.shape[0], gain=gain, lift=lift)
    parameters = {"weight": gamma, "bias": beta, "running_mean": x.mean, "running_var": x.variance}
    names = [draft.constant(f"{name}.{key}", array.astype(np.float32)) for key, array in parameters.items()]
    draft.node("BatchNormalization", [x.name, *names], name, epsilon=EPSILON)
    return Value(name=name, shape=x.shape, mean=beta.astype(float), variance=np.square(gamma, dtype=float))


def relu(draft: Draft, x: Value, name: str) -> Value:
    return _rectified(x, draft.node("Relu", [x.name], name))


def relu6(draft: Draft, x: Value, name: str) -> Value:
    limits = [draft.constant(f"{name}.{key}", np.array(limit, dtype=np.float32)) for key, limit in (("min", 0), ("max", 6))]
    return _rectified(x, draft.node("Clip", [x.name, *limits], name))


def add(draft: Draft, x: Value, y: Value, name: str) -> Value:
    draft.node("Add", [x.name, y.name], name)
    return Value(name=name, shape=x.shape, mean=x.mean + y.mean, variance=x.variance + y.variance)


def max_pool(draft: Draft, x: Value, name: str, *, window: Window) -> Value:
    """Moments of the larger of two independent normals: a window's values are many, but alike."""
    shape = (x.shape[0], *window.output(name, x.shape[1], x.shape[2]))
    draft.node("MaxPool", [x.name], name, **window.attributes)
    mean = x.mean + np.sqrt(x.variance / pi)
    return Value(name=name, shape=shape, mean=mean, variance=x.variance * (1 - 1 / pi))


def global_average_pool(draft: Draft, x: Value, name: str) -> Value:
    draft.node("GlobalAveragePool", [x.name], name)
    return Value(name=name, shape=(x.shape[0], 1, 1), mean=x.mean, variance=x.variance)


def flatten(draft: Draft, x: Value, name: str) -> Value:
    draft.node("Flatten", [x.name], name, axis=1)
    pixels = x.shape[1] * x.shape[2]
    return Value(name=name, shape=(x.shape[0] * pixels,), mean=x.mean.repeat(pixels), variance=x.variance.repeat(pixels))


def folded_dense(draft: Draft, x: Value, name: str, *, units: int) -> Value:
    """A hidden layer of a network without batch normalisation: weighted as `folded_conv`."""
    weight, bias = _folded(draft, x, _he(draft, (units, x.shape[0])))
    return _gemm(draft, x, name, weight=weight, bias=bias)


def classifier(draft: Draft, x: Value, name: str, *, classes: int) -> Value:
    """The last layer, whose outputs are the logits."""
    return _gemm(draft, x, name, weight=_he(draft, (classes, x.shape[0])), bias=draft.normal((classes,), std=0.05))


def _he(draft: Draft, shape: tuple[int, ...]) -> Array:
    """Weights (outputs, inputs, ...) of variance 2 / fan-in."""
    return draft.normal(shape, std=sqrt(2 / np.prod(shape[1:])))


def _affine(draft: Draft, channels: int, *, gain: float, lift: float) -> tuple[Array, Array]:
    gamma = draft.rng.uniform(0.8 * gain, 1.2 * gain, channels).astype(np.float32)
    return gamma, draft.normal((channels,), std=0.2 * gain, mean=lift * gain)


def _folded(draft: Draft, x: Value, weight: Array) -> tuple[Array, Array]:
    """The weight, scaled in place, and the bias."""
    if draft.outline:
        return weight, np.zeros(len(weight), np.float32)
    mean, variance = _moments(draft, x, weight)
    gamma, beta = _affine(draft, len(weight), gain=1.0, lift=FOLDED_LIFT)
    scale = gamma / np.sqrt(variance)
    bias = beta - mean * scale
    weight *= scale.astype(np.float32).reshape(-1, *[1] * (weight.ndim - 1))
    return weight, bias.astype(np.float32)


def _conv(draft: Draft, x: Value, name: str, *, weight: Array, bias: Array | None, window: Window, groups: int) -> Value:
    channels = len(weight)
    shape = (channels, *window.output(name, x.shape[1], x.shape[2]))
    mean, variance = _moments(draft, x, weight)
    inputs = [x.name, draft.constant(f"{name}.weight", weight)]
    if bias is not None:
        inputs.append(draft.constant(f"{name}.bias", bias))
        mean = mean + bias
    draft.node("Conv", inputs, name, group=groups, **window.attributes)
    return Value(name=name, shape=shape, mean=mean, variance=variance)


def _gemm(draft: Draft, x: Value, name: str, *, weight: Array, bias: Array) -> Value:
    mean, variance = _moments(draft, x, weight)
    inputs = [x.name, draft.constant(f"{name}.weight", weight), draft.constant(f"{name}.bias", bias)]
    draft.node("Gemm", inputs, name, transB=1)
    return Value(name=name, shape=(len(weight),), mean=mean + bias, variance=variance)


def _moments(draft: Draft, x: Value, weight: Array) -> tuple[Array, Array]:
    """Per output channel the mean and variance of a weighted sum of independent inputs; groups follow from the shapes."""
    outputs, inputs = weight.shape[:2]
    if draft.outline:
        return np.zeros(outputs), np.ones(outputs)
    groups = len(x.mean) // inputs
    taps = weight.reshape(groups, outputs // groups, inputs, -1)
    mean = np.einsum("goik,gi->go", taps, x.mean.reshape(groups, inputs), dtype=float, casting="safe")
    variance = np.einsum("goik,goik,gi->go", taps, taps, x.variance.reshape(groups, inputs), dtype=float, casting="safe")
    return mean.reshape(outputs), variance.reshape(outputs)


def _rectified(x: Value, name: str) -> Value:
    """Moments of max(0, x) for a normal x."""
    std = np.sqrt(x.variance)
    ratio = x.mean / std
    below = np.array([0.5 + 0.5 * erf(value / sqrt(2)) for value in ratio])
    density = np.array([exp(-value * value / 2) / sqrt(2 * pi) for value in ratio])
    mean = x.mean * below + std * density
    square = (x.mean**2 + x.variance) * below + x.mean * std * density
    return Value(name=name, shape=x.shape, mean=mean, variance=square - mean**2)
