"""What zeros save on a chip that steps over those of both operands, counted on weights as they are stored and on inputs that calibration met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ridgeline.algorithm.layers import Layer
from ridgeline.algorithm.onnx.compressible import Weight, activations
from ridgeline.algorithm.onnx.load import Loaded
from ridgeline.errors import InputError
from ridgeline.formats.sparsity import Steps
from ridgeline.mapping.dual_side import Bitmap, dual_side_steps

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
IMAGES = 4  # whose steps are counted
TILES = 32  # of 32 rows of a group's product for an image, drawn where there are more
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Met:
    """Where the inputs of layers are not zero, by tensor: (images, ...)."""

    inputs: Mapping[str, Bitmap]

    def density(self, layer: Layer) -> float:
        """The share of a layer's inputs that are not zero; padding is not among them. All of inputs that were not met."""
        held = self.inputs.get(layer.inputs[0])
        return 1.0 if held is None else float(np.mean(held))

    def steps(self, layer: Layer, weight: Weight, values: Array) -> Steps:
        """Of a layer with those weights, over some images. A transposed convolution skips nothing here, since its phases part its weights; nor does a
        layer that takes the weight in another way than the others.

        Raises InputError for inputs of another size than the layer's.
        """
        nest, rng = layer.nest, np.random.default_rng(SEED)
        if weight.operator == "ConvTranspose" or layer.inputs[0] not in self.inputs:
            return Steps(sparse=1, dense=1, skipped=0, tiles=1)
        matrix = values != 0
        if weight.operator in ("MatMul", "Gemm") and weight.channel == 0:
            matrix = matrix.T
        kept = np.ascontiguousarray(matrix).reshape(nest.inputs[1].extents(nest.axes))
        found = [dual_side_steps(nest, inputs, kept, tiles=TILES, rng=rng) for inputs in self._inputs(layer, weight)]
        return Steps(**{name: sum(getattr(part, name) for part in found) for name in ("sparse", "dense", "skipped", "tiles")})

    def _inputs(self, layer: Layer, weight: Weight) -> list[Bitmap]:
        """Of each run of the layer, as its nest reads them."""
        held, operand = self.inputs[layer.inputs[0]], layer.nest.inputs[0]
        wanted, image = operand.extents(layer.nest.axes), operand.present[-max(1, held.ndim - 2) :]
        if weight.operator == "Conv":
            runs, padded = layer.nest.axes["n"], _padded(held, weight, wanted)
        else:
            runs, padded = max(1, prod(wanted) // prod(held.shape[1:])), held
        parts = [padded[at : at + runs] for at in range(0, len(padded) - runs + 1, runs)][:IMAGES]
        if not parts or parts[0].size != prod(wanted) or (weight.operator == "Conv" and held.shape[2:] != image):
            raise InputError(
                f"layer '{layer.name}' reads an input of {' x '.join(map(str, operand.present or wanted))}, but the data make one of "
                f"{' x '.join(map(str, held.shape))} for {len(held)} images; export the network with the data's sizes"
            )
        return [np.ascontiguousarray(part).reshape(wanted) for part in parts]


def _padded(held: Bitmap, weight: Weight, wanted: Sequence[int]) -> Bitmap:
    """Images with their padding, or without what no window reaches."""
    rank = len(weight.strides)
    widths: list[tuple[int, int]] = [(0, 0), (0, 0)]
    for axis, (size, reach) in enumerate(zip(held.shape[2:], wanted[-rank:], strict=True)):
        before = max(0, reach - size) // 2 if weight.pads is None else weight.pads[axis]
        widths.append((before, max(0, reach - size - before)))
    made = np.pad(held, widths)
    return made[(slice(None), slice(None), *(slice(0, reach) for reach in wanted[-rank:]))]


def met(loaded: Loaded, weights: Sequence[Weight], parts: Iterable[Mapping[str, Array]]) -> Met:
    """Over batches of images, in the float network."""
    names = list(dict.fromkeys(name for weight in weights for name in weight.inputs))
    found: dict[str, list[Bitmap]] = {name: [] for name in names}
    for values in activations(loaded, names, iter(parts)):
        for name in names:
            found[name].append(values[name] != 0)
    return Met(inputs={name: np.concatenate(each) for name, each in found.items()})
