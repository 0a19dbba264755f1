"""M2XFP (ASPLOS'26): MXFP4 with two bits of metadata for every 8 elements, in a form for weights and one for activations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ridgeline.formats.bits import packed, packed_bytes, unpacked
from ridgeline.formats.floats import minifloat
from ridgeline.formats.layout import Granularity, Layout
from ridgeline.formats.mx import BIAS, ScaleRule, powers, refuse_search, scale_codes
from ridgeline.formats.scalar import nearest_codes
from ridgeline.formats.scales import CHUNK, Float32s, Search, reaches
from ridgeline.formats.stored import Factors, Stored, Whole, packed_codes, restored

ELEMENT, FINER = minifloat(2, 1), minifloat(2, 3)
SUBGROUP = 8
FACTORS = np.array([1, 1.25, 1.5, 1.75], np.float32)
SHIFTS = (0, -1, 1)  # of a block's exponent, in the order in which equals win
Codes8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class _M2xfp(Whole):
    """Blocks of 32 with an E8M0 scale, and two bits for each 8 elements of a row."""

    bits: int = 4
    block: ClassVar[int | None] = 32

    def metadata_bytes(self, layout: Layout) -> int:
        return packed_bytes(2, _inner(layout).vectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class M2xfpWeights(_M2xfp):
    """A block's exponent floor(log2 largest) - 2 is shifted by 0, -1 or +1, and each subgroup's scale multiplied by 1, 1.25, 1.5 or 1.75: those of
    least squared error, the first of equals. The shift is part of the E8M0 code.
    """

    name: str = "m2xfp"

    def stored(self, matrix: Float32s, layout: Layout, search: Search | None, *, plain: bool) -> Stored:
        """Raises InputError for a scale search."""
        refuse_search(self.name, search)
        floors = scale_codes(reaches(matrix, layout, plain=plain), ELEMENT, ScaleRule.FLOOR)
        scales, factors = np.empty_like(floors), [np.empty(0, np.uint8)]
        for first, vectors in layout.vectors_in_chunks(matrix, CHUNK):
            span = slice(first, first + len(vectors))
            scales[span], chosen = _best(_subgroups(vectors), floors[span])
            factors.append(_of_rows(chosen, layout).reshape(-1))
        metadata, inner = np.concatenate(factors), _inner(layout)
        codes = packed_codes(ELEMENT, matrix, inner, _scales(scales, metadata, layout), plain=plain)
        return Stored(packed=codes, scales=scales, metadata=packed(metadata, 2))

    def factors(self, stored: Stored, layout: Layout) -> Factors:
        inner = _inner(layout)
        chosen = unpacked(stored.metadata, 2, inner.vectors)
        return Factors(element=ELEMENT, layout=inner, scales=_scales(stored.scales, chosen, layout))


@dataclass(frozen=True, slots=True, kw_only=True)
class M2xfpActivations(_M2xfp):
    """MXFP4's codes; in each subgroup the element of the largest magnitude code, the first of equals, is an E2M3: four times that code, less one,
    plus the subgroup's two bits. So it may lie 1 step below to 2 steps above the E2M1 that it is found by, and takes the nearest of these.
    """

    name: str = "m2xfp-act"

    def stored(self, matrix: Float32s, layout: Layout, search: Search | None, *, plain: bool) -> Stored:
        """Raises InputError for a scale search."""
        refuse_search(self.name, search)
        scales = scale_codes(reaches(matrix, layout, plain=plain), ELEMENT, ScaleRule.FLOOR)
        metadata = [np.empty(0, np.uint8)]
        for first, vectors in layout.vectors_in_chunks(matrix, CHUNK):
            with np.errstate(under="ignore"):
                quotients = _subgroups(vectors / powers(scales[first : first + len(vectors)])[:, None])
            coarse = (nearest_codes(ELEMENT, quotients) & 7).astype(np.int16)
            place = coarse.argmax(axis=-1)[..., None]
            fine = nearest_codes(FINER, np.abs(np.take_along_axis(quotients, place, axis=-1))).astype(np.int16)
            extra = np.clip(fine - 4 * np.take_along_axis(coarse, place, axis=-1) + 1, 0, 3)
            metadata.append(_of_rows(extra[..., 0].astype(np.uint8), layout).reshape(-1))
        codes = packed_codes(ELEMENT, matrix, layout, powers(scales), plain=plain)
        return Stored(packed=codes, scales=scales, metadata=packed(np.concatenate(metadata), 2))

    def restored(self, stored: Stored, layout: Layout) -> Float32s:
        matrix, inner = restored(ELEMENT, stored.packed, layout, powers(stored.scales)), _inner(layout)
        codes = unpacked(stored.packed, 4, layout.elements).reshape(layout.rows, layout.length)
        extra = unpacked(stored.metadata, 2, inner.vectors).reshape(layout.rows, -1).astype(np.int16)
        coarse = np.pad(codes & 7, ((0, 0), (0, -layout.length % SUBGROUP))).reshape(layout.rows, -1, SUBGROUP)
        place = coarse.argmax(axis=-1)[..., None]
        fine = 4 * np.take_along_axis(coarse, place, axis=-1)[..., 0].astype(np.int16) - 1 + extra
        places = place[..., 0] + SUBGROUP * np.arange(coarse.shape[1])
        signs = np.where(np.take_along_axis(codes, places, axis=1) & 8, -1, 1).astype(np.float32)
        blocks = powers(stored.scales).reshape(layout.rows, -1)[:, np.arange(inner.vectors_of_row) * SUBGROUP // layout.size]
        values = signs * FINER.values.astype(np.float32)[np.maximum(fine, 0)] * blocks
        np.put_along_axis(matrix, places, values, axis=1)
        return matrix


def _best(groups: Float32s, floors: Codes8) -> tuple[Codes8, Codes8]:
    """E8M0 codes of blocks, and the factors' codes, blocks x subgroups."""
    tried = [np.clip(floors.astype(np.int16) + shift, 0, 2 * BIAS).astype(np.uint8) for shift in SHIFTS]
    errors = np.stack([[_errors(groups, powers(codes) * factor) for factor in FACTORS] for codes in tried])
    shift = errors.min(axis=1).sum(axis=-1).argmin(axis=0)
    blocks = np.arange(len(groups))
    return np.stack(tried)[shift, blocks], errors.argmin(axis=1)[shift, blocks].astype(np.uint8)


def _errors(groups: Float32s, scales: Float32s) -> NDArray[np.float64]:
    """Of every subgroup."""
    with np.errstate(over="ignore", under="ignore"):
        codes = nearest_codes(ELEMENT, groups / scales[:, None, None])
    return np.sum((groups - ELEMENT.values[codes] * scales[:, None, None].astype(np.float64)) ** 2, axis=-1)


def _subgroups(vectors: Float32s) -> Float32s:
    """Blocks x subgroups x 8, filled up with zeros."""
    return np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % SUBGROUP))).reshape(len(vectors), -1, SUBGROUP)


def _of_rows(codes: Codes8, layout: Layout) -> Codes8:
    """Codes of blocks' subgroups as rows of those that have elements."""
    return codes.reshape(-1, layout.vectors_of_row * codes.shape[1])[:, : -(-layout.length // SUBGROUP)]


def _inner(layout: Layout) -> Layout:
    return replace(layout, granularity=Granularity.GROUP, group=min(SUBGROUP, layout.length))


def _scales(codes: Codes8 | Float32s, factors: NDArray[np.unsignedinteger], layout: Layout) -> Float32s:
    """Of every subgroup: the block's times its factor."""
    inner = _inner(layout)
    of_row = np.arange(inner.vectors_of_row) * SUBGROUP // layout.size
    with np.errstate(over="ignore", under="ignore"):
        return (powers(codes).reshape(layout.rows, -1)[:, of_row] * FACTORS[factors].reshape(layout.rows, -1)).reshape(-1)
