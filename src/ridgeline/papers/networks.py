"""The layers of the networks that the papers measure, as loop nests. Sizes are the networks' own; the zoo builds the same layers as ONNX."""

from __future__ import annotations

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.explore.uniform import Layer
from ridgeline.mapping.uniform import fully_connected

_VGG16 = (
    (3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 256, 56),
    (256, 512, 28), (512, 512, 28), (512, 512, 28), (512, 512, 14), (512, 512, 14), (512, 512, 14),
)  # fmt: skip
_VGG16_DENSE = ((25088, 4096), (4096, 4096), (4096, 1000))


def convolution(*, m: int, c: int, size: int, kernel: int, stride: int = 1) -> Nest:
    """m output and c input maps; `size` of the square output map."""
    axes = {"n": 1, "m": m, "c": c, "y": size, "x": size, "r": kernel, "q": kernel}
    factors = {"s": stride, "t": stride, "d": 1, "e": 1}
    return parse("n c (y*s+r*d) (x*t+q*e), m c r q -> n m y x", axes=axes, factors=factors, multiplies=True)


def vgg16_convolutions(*, batch: int) -> tuple[Layer, ...]:
    return tuple(
        Layer(name=f"conv{number}", nest=convolution(m=m, c=c, size=size, kernel=3), times=batch)
        for number, (c, m, size) in enumerate(_VGG16, start=1)
    )


def vgg16_dense(*, batch: int, weight_major: bool) -> tuple[Layer, ...]:
    """All images of the batch at once, mapped as Caffeine does (mapping.uniform.fully_connected)."""
    return tuple(
        Layer(name=f"fc{number}", nest=fully_connected(inputs, outputs, batch=batch, weight_major=weight_major))
        for number, (inputs, outputs) in enumerate(_VGG16_DENSE, start=6)
    )
