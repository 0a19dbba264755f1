"""Transposed convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.algorithm.operators.operator import Shape

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
        (_, height, width) = shapes[0]
        top, left, bottom, right = self.pads
        rows = (height - 1) * self.strides[0] + self.dilations[0] * (weight.shape[2] - 1) + 1 + self.output_padding[0] - top - bottom
        columns = (width - 1) * self.strides[1] + self.dilations[1] * (weight.shape[3] - 1) + 1 + self.output_padding[1] - left - right
        return weight.shape[1] * self.groups, rows, columns
