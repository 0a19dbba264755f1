"""Convolution; also Gemm and MatMul (a 1x1 kernel), and a Gemm after Flatten (a kernel as large as its input)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.nest import Nest, parse
from ridgeline.algorithm.operators.operator import Array, Shape
from ridgeline.algorithm.operators.window import convolve, padded, window_count
from ridgeline.errors import UnsupportedError

if TYPE_CHECKING:
    from ridgeline.algorithm.graph import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """weight (M, C/groups, KH, KW), bias (M,). `groups == C` is a depthwise convolution (M is a multiple of C).

    MatMul of L vectors is a 1x1 convolution on (C, 1, L).
    """

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_shape(self, node: Node, *shapes: Shape) -> Shape:
        weight = node.weight
        assert weight is not None
        (channels, height, width) = shapes[0]
        if weight.shape[1] * self.groups != channels or weight.shape[0] % self.groups:
            raise UnsupportedError(
                f"node '{node.name}': weight {weight.shape} in {self.groups} groups does not fit an input of {channels} channels"
            )
        top, left, bottom, right = self.pads
        rows = window_count(height + top + bottom, weight.shape[2], self.strides[0], self.dilations[0])
        columns = window_count(width + left + right, weight.shape[3], self.strides[1], self.dilations[1])
        if rows < 1 or columns < 1:
            raise UnsupportedError(f"node '{node.name}': kernel {weight.shape[2:]} is larger than its padded input {height}x{width}")
        return weight.shape[0], rows, columns

    def nest(self, node: Node, *shapes: Shape) -> Nest:
        weight = node.weight
        assert weight is not None
        _, rows, columns = self.output_shape(node, *shapes)
        filters, depth, height, width = weight.shape
        axes = {"n": 1, "g": self.groups, "m": filters // self.groups, "c": depth, "y": rows, "x": columns, "r": height, "q": width}
        factors = {"s": self.strides[0], "t": self.strides[1], "d": self.dilations[0], "e": self.dilations[1], "M": axes["m"], "C": depth}
        if self.groups == 1:
            del axes["g"], factors["M"], factors["C"]
            return parse("n c (y*s+r*d) (x*t+q*e), m c r q -> n m y x", axes=axes, factors=factors, multiplies=True)
        notation = "n (g*C+c) (y*s+r*d) (x*t+q*e), (g*M+m) c r q -> n (g*M+m) y x"
        return parse(notation, axes=axes, factors=factors, multiplies=True)

    def accumulate(self, node: Node, *inputs: Array, zero_points: tuple[int, ...]) -> Array:
        assert node.weight is not None
        values = padded(inputs[0], self.pads, zero_points[0])
        return convolve(values, node.weight, strides=self.strides, dilations=self.dilations, groups=self.groups)
