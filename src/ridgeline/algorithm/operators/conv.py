"""Convolution; also Gemm and MatMul (a 1x1 kernel), and a Gemm after Flatten (a kernel as large as its input)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.operators.operator import Shape
from ridgeline.errors import UnsupportedError
from ridgeline.algorithm.operators.window import window_count

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
