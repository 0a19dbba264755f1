"""NVFP4: blocks of 16 E2M1 elements with an E4M3 scale, and one float32 scale for the tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ridgeline.formats.floats import minifloat
from ridgeline.formats.layout import Layout
from ridgeline.formats.mx import refuse_search
from ridgeline.formats.scalar import nearest_codes
from ridgeline.formats.scales import CHUNK, Float32s, Float64s, Search, reaches
from ridgeline.formats.stored import Factors, Stored, Whole, packed_codes

ELEMENT, SCALE = minifloat(2, 1), minifloat(4, 3)
LEAST_SCALE, LARGEST_SCALE = np.float32(2.0**-6), np.float32(448)  # of a block: E4M3's normal numbers
LEAST_TENSOR_SCALE = np.float32(2.0**-120)  # (1 / it) / LEAST_SCALE is a float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Nvfp4(Whole):
    """With the tensor's scale g = largest / (6 x 448), a block's is s = E4M3(largest / 6 / g), and an element E2M1(x * ((1 / g) / s)), each step in
    float32 as NVIDIA's kernels take it. `four_six`: g = largest / (6 x 256), and a block takes the better of largest / 6 and largest / 4 for its
    scale by squared error, the first of equals (Cook et al., Four Over Six, 2025). A tensor of zeros has g = 1.
    """

    bits: int = 4
    four_six: bool = False
    block: ClassVar[int | None] = 16
    tensor_scales: ClassVar[int] = 1

    def stored(self, matrix: Float32s, layout: Layout, search: Search | None, *, plain: bool) -> Stored:
        """Raises InputError for a scale search."""
        refuse_search(self.name, search)
        reach = reaches(matrix, layout, plain=plain)
        most = np.float32(reach.max())
        tensor = np.maximum(most / np.float32(6 * (256 if self.four_six else 448)), LEAST_TENSOR_SCALE) if most else np.float32(1)
        scales = _scale_codes(reach, 6, tensor)
        if self.four_six:
            wider = _scale_codes(reach, 4, tensor)
            scales = np.where(_errors(matrix, layout, wider, tensor) < _errors(matrix, layout, scales, tensor), wider, scales)
        packed = packed_codes(ELEMENT, matrix, layout, _reciprocals(scales, tensor), plain=plain, reciprocal=True)
        return Stored(packed=packed, scales=scales, tensor_scale=np.array([tensor], np.float32))

    def factors(self, stored: Stored, layout: Layout) -> Factors:
        return Factors(element=ELEMENT, layout=layout, scales=_values(stored.scales) * stored.tensor_scale)


def nvfp4(form: str) -> Nvfp4:
    """nvfp4, or nvfp4-46 with the choice of 4 and 6."""
    return Nvfp4(name=f"nvfp4{form}", four_six=bool(form))


def _scale_codes(reach: Float32s, divisor: int, tensor: np.float32) -> NDArray[np.uint8]:
    with np.errstate(under="ignore"):
        scales = np.clip(reach / np.float32(divisor) / tensor, LEAST_SCALE, LARGEST_SCALE)
    return nearest_codes(SCALE, scales).astype(np.uint8)


def _values(codes: NDArray[np.uint8] | Float32s) -> Float32s:
    return SCALE.values[codes.astype(np.intp)].astype(np.float32)


def _reciprocals(codes: NDArray[np.uint8], tensor: np.float32) -> Float32s:
    return (np.float32(1) / tensor) / _values(codes)


def _errors(matrix: Float32s, layout: Layout, codes: NDArray[np.uint8], tensor: np.float32) -> Float64s:
    """The squared error of every block with these scales."""
    levels, scales, factors = ELEMENT.values.astype(np.float32), _values(codes) * tensor, _reciprocals(codes, tensor)
    out = np.empty(layout.vectors)
    for first, vectors in layout.vectors_in_chunks(matrix, CHUNK):
        span = slice(first, first + len(vectors))
        decoded = levels[nearest_codes(ELEMENT, vectors * factors[span, None])] * scales[span, None]
        out[span] = np.sum((vectors.astype(np.float64) - decoded) ** 2, axis=1)
    return out
