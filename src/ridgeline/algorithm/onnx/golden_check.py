"""The golden network in onnxruntime against plain numpy integers: a fault of the runtime must not become the specification."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ridgeline.algorithm.graph import Array, Graph
from ridgeline.algorithm.onnx.golden import boundary_names, golden
from ridgeline.algorithm.onnx.runtime import call, session
from ridgeline.algorithm.reference import Step, integer_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first value that is not as expected; `index` is (image, channel, row, column)."""

    node: str
    tensor: str
    index: tuple[int, ...]
    expected: int
    found: int
    wrong: int  # values of this tensor that differ
    values: int  # of this tensor

    def __str__(self) -> str:
        return (
            f"node '{self.node}': value {list(self.index)} of tensor '{self.tensor}' is {self.found}, expected {self.expected}; "
            f"{self.wrong:,} of its {self.values:,} values differ"
        )


def check_golden(
    graph: Graph, inputs: Mapping[str, Array], *, model: bytes | Path | None = None, steps: Iterable[Step] | None = None
) -> Difference | None:
    """The first node whose output onnxruntime and numpy make differently, or None. `inputs`: (images, *shape) by input name.

    `model` is a golden file with boundaries, `steps` are numpy's runs of the nodes; by default both are made, of int8. Every value of every node
    is compared.
    """
    shown = boundary_names(graph)
    found = call(session(golden(graph, boundaries=True) if model is None else model), inputs)
    for step in integer_steps(graph, inputs) if steps is None else steps:
        values = found.get(shown[step.node.output])
        if values is not None:
            difference = first_difference(step.after, values.reshape(step.after.shape), node=step.node.name, tensor=step.node.output)
            if difference is not None:
                return difference
    return None


def first_difference(expected: Array, found: Array, *, node: str, tensor: str) -> Difference | None:
    wrong = expected != found
    if not wrong.any():
        return None
    index = tuple(int(place) for place in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    return Difference(
        node=node,
        tensor=tensor,
        index=index,
        expected=int(expected[index]),
        found=int(found[index]),
        wrong=int(np.count_nonzero(wrong)),
        values=expected.size,
    )
