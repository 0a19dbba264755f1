"""The layers of the networks that the papers measure, as loop nests. Sizes are the networks' own; the zoo builds the same layers as ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.explore.uniform import Layer
from ridgeline.mapping.uniform import fully_connected

_VGG16 = (
    (3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 256, 56),
    (256, 512, 28), (512, 512, 28), (512, 512, 28), (512, 512, 14), (512, 512, 14), (512, 512, 14),
)  # fmt: skip
_VGG16_POOLED = (2, 4, 7, 10, 13)  # convolutions with a pooling of 2 x 2 behind them
_VGG16_DENSE = ((25088, 4096), (4096, 4096), (4096, 1000))
# c and m of one group, size, kernel, stride, groups, size behind the pooling
_ALEXNET = (
    (3, 96, 55, 11, 4, 1, 27), (48, 128, 27, 5, 1, 2, 13), (256, 384, 13, 3, 1, 1, 13), (192, 192, 13, 3, 1, 2, 13), (192, 128, 13, 3, 1, 2, 6),
)  # fmt: skip
_ALEXNET_DENSE = ((9216, 4096), (4096, 4096), (4096, 1000))


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """Layers one after another; `crossing[k]` values of an image leave layer k."""

    layers: tuple[Layer, ...]
    crossing: tuple[int, ...]


def alexnet(*, batch: int) -> Chain:
    layers = [
        Layer(name=f"conv{number}", nest=convolution(m=m, c=c, size=size, kernel=kernel, stride=stride), times=batch * groups)
        for number, (c, m, size, kernel, stride, groups, _) in enumerate(_ALEXNET, start=1)
    ]
    crossing = [m * groups * pooled**2 for _, m, _, _, _, groups, pooled in _ALEXNET]
    return _with_dense(layers, crossing, _ALEXNET_DENSE, batch)


def vgg16(*, batch: int) -> Chain:
    crossing = [m * (size // 2 if number in _VGG16_POOLED else size) ** 2 for number, (_, m, size) in enumerate(_VGG16, start=1)]
    return _with_dense(list(vgg16_convolutions(batch=batch)), crossing, _VGG16_DENSE, batch)


def _with_dense(layers: list[Layer], crossing: list[int], dense: Sequence[tuple[int, int]], batch: int) -> Chain:
    found = [
        Layer(name=f"fc{number}", nest=fully_connected(inputs, outputs, batch=batch, weight_major=True))
        for number, (inputs, outputs) in enumerate(dense, start=6)
    ]
    return Chain(layers=(*layers, *found), crossing=(*crossing, *(outputs for _, outputs in dense)))
