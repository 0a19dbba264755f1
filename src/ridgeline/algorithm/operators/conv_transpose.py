"""Transposed convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.algorithm.operators.operator import Array, Shape
from ridgeline.algorithm.operators.window import convolve, padded
from ridgeline.errors import UnsupportedError

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvTranspose:
    """weight (C, M/groups, KH, KW) as ONNX has it, bias (M,). `pads` and `output_padding` as ONNX has them, resolved from auto_pad by the reader."""

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    dilations: tuple[int, int] = (1, 1)
    output_padding: tuple[int, int] = (0, 0)
    groups: int = 1

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        weight = node.weight
        assert weight is not None
        (channels, height, width) = shapes[0]
        if weight.shape[0] != channels or channels % self.groups:
            raise UnsupportedError(
                f"node '{node.name}': weight {weight.shape} in {self.groups} groups does not fit an input of {channels} channels"
            )
        top, left, bottom, right = self.pads
        rows = (height - 1) * self.strides[0] + self.dilations[0] * (weight.shape[2] - 1) + 1 + self.output_padding[0] - top - bottom
        columns = (width - 1) * self.strides[1] + self.dilations[1] * (weight.shape[3] - 1) + 1 + self.output_padding[1] - left - right
        return weight.shape[1] * self.groups, rows, columns

    def forward(self, weight: Array) -> Array:
        """The weight (M, C/groups, KH, KW) of the plain convolution, over the spread input, that computes the same."""
        per_group = weight.reshape(self.groups, -1, *weight.shape[1:])
        return np.ascontiguousarray(per_group.swapaxes(1, 2)[..., ::-1, ::-1].reshape(-1, *per_group.shape[1:2], *weight.shape[2:]))

    def border(self, kernel: tuple[int, int]) -> tuple[int, int, int, int]:
        """The padding of that convolution: top, left, bottom, right; negative where it crops."""
        reach = [dilation * (taps - 1) for dilation, taps in zip(self.dilations, kernel, strict=True)]
        top, left, bottom, right = self.pads
        below, beside = self.output_padding
        return reach[0] - top, reach[1] - left, reach[0] - bottom + below, reach[1] - right + beside

    def spread(self, values: Array, fill: int) -> Array:
        """The input with strides - 1 zeros (`fill`) between neighbours."""
        batch, channels, height, width = values.shape
        size = (batch, channels, (height - 1) * self.strides[0] + 1, (width - 1) * self.strides[1] + 1)
        result = np.full(size, fill, values.dtype)
        result[:, :, :: self.strides[0], :: self.strides[1]] = values
        return result

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        weight = node.weight
        assert weight is not None
        channels, rows, columns = shapes[0]
        _, filters, height, width = weight.shape
        axes = {"n": 1, "g": self.groups, "m": filters, "c": channels // self.groups, "y": rows, "x": columns, "r": height, "q": width}
        strides = {"s": self.strides[0], "t": self.strides[1], "d": self.dilations[0], "e": self.dilations[1]}
        notation = "n (g*C+c) y x, (g*C+c) m r q -> n (g*M+m) (y*s+r*d) (x*t+q*e)"
        return parse(notation, axes=axes, factors={**strides, "M": filters, "C": axes["c"]}, multiplies=True)

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        assert node.weight is not None
        weight = self.forward(node.weight)
        values = padded(self.spread(inputs[0], zero_points[0]), self.border(weight.shape[2:]), zero_points[0])
        return convolve(values, weight, strides=(1, 1), dilations=self.dilations, groups=self.groups)
