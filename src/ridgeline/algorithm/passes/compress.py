"""A weight in a number format and a sparsity pattern: which elements stay, and the codes of those.

With the second moments of what a weight meets, the codes are chosen one input after another, and the error of each is made up for by those that
follow: Frantar et al., GPTQ, ICLR'23, and with a pattern SparseGPT, ICML'23.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ridgeline.errors import InputError, UnsupportedError
from ridgeline.formats import Encoded, Search, quantise, read_format
from ridgeline.formats.file import Sparse
from ridgeline.formats.olive import Olive
from ridgeline.formats.quantise import places
from ridgeline.formats.scalar import Scalar, Scaling, codebook
from ridgeline.formats.sparsity import read_pattern, wanda_scores
from ridgeline.formats.stored import Factors, Whole, packed_codes

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SEARCH = Search(least=0.4, most=1.2, step=0.02)  # of scales
DAMP = 0.01  # of the mean moment, added to each: GPTQ's
BLOCK = 64  # inputs whose errors are made up for together
DENSE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """`format` as the user names it, `int4`, or `int4@64` with a scale for every 64 inputs; `pattern` one that `read_pattern` reads, or none;
    `activations` the format that inputs are rounded to, or none. Where a weight does not divide into the pattern's units it is padded, or with `pad`
    False refused."""

    format: str
    pattern: str = DENSE
    activations: str = DENSE
    pad: bool = True

    @property
    def name(self) -> str:
        """int8 2:4 x int8."""
        stored = self.format if self.pattern == DENSE else f"{self.format} {self.pattern}"
        return stored if self.activations == DENSE else f"{stored} x {self.activations}"

    @property
    def format_name(self) -> str:
        return self.format.partition("@")[0]

    @property
    def group(self) -> int | None:
        size = self.format.partition("@")[2]
        return int(size) if size else None


def read_choice(format_text: str, pattern_text: str = DENSE, *, pad: bool = True) -> Choice:
    """Raises InputError for a format, group or pattern that is none, or that weights cannot take, and UnsupportedError for two that exclude each
    other."""
    name, mark, group = format_text.partition("@")
    found = read_format(name)
    if not isinstance(found, Scalar | Whole) or name == "m2xfp-act" or (isinstance(found, Scalar) and found.levels[0] >= 0):
        raise InputError(f"format '{name}' is not for weights, which are of both signs; take one such as int4 or nvfp4")
    if mark and not re.fullmatch(r"[1-9]\d{0,8}", group):
        raise InputError(f"format '{format_text}': after '@' comes how many inputs share a scale, such as {name}@64")
    if mark and (getattr(found, "block", None) is not None or (isinstance(found, Scalar) and found.scaling is Scaling.NONE)):
        raise InputError(f"format '{format_text}': {name} has blocks of its own, or no scales; leave '@{group}' out")
    if pattern_text != DENSE:
        read_pattern(pattern_text)
        if isinstance(found, Olive):
            raise UnsupportedError(f"{name} codes pairs, which pattern {pattern_text} would part; take another format with it")
    return Choice(format=format_text, pattern=pattern_text, pad=pad)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How a weight lies: the axis of output channels, the axes that a product adds up along, input channels last, and the axis of blocks."""

    channel: int
    reduction: tuple[int, ...]
    along: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredWeight:
    """A weight as it is stored. `sparse` says which elements stay, None that all do; `bits` counts codes, scales and what tells the places."""

    choice: Choice
    encoded: Encoded
    sparse: Sparse | None
    bits: int

    def decode(self) -> Array:
        """float32, in the weight's shape."""
        return self.encoded.decode()

    @property
    def bits_per_element(self) -> float:
        return self.bits / self.encoded.layout.elements


def store(values: Array, place: Place, choice: Choice, moments: Array | None = None) -> StoredWeight:
    """values: float32. moments: sum of x x^T over the inputs that the weight meets (inputs, inputs), in the order of `place.reduction`.

    A group larger than its axis is the axis. Raises InputError for NaN and infinities, and for what does not divide and may not be padded.
    """
    mask = None
    if choice.pattern != DENSE:
        mask = read_pattern(choice.pattern, pad=choice.pad).mask(_scores(values, place, moments), axis=place.reduction)
    made = store_masked(values, place, choice, mask)
    factors = made.encoded.factors()
    if moments is None or factors is None:
        return made
    return replace(made, encoded=_compensated(values, mask, made.encoded, factors, place, moments))


def store_masked(values: Array, place: Place, choice: Choice, mask: Array | None, encoded: Encoded | None = None) -> StoredWeight:
    """As `encoded`, or with the scales of least squared error and the nearest codes. `mask`: which elements stay, None that all do."""
    sparse = None if mask is None else Sparse(pattern=choice.pattern, axes=place.reduction, mask=mask)
    if encoded is None:
        encoded = _encoded(values if mask is None else np.where(mask, values, np.float32(0)), place, choice)
    return StoredWeight(choice=choice, encoded=encoded, sparse=sparse, bits=_bits(encoded, sparse))


def recoded(values: Array, encoded: Encoded) -> Encoded | None:
    """The nearest codes of other values at the same scales; None for a format that is no levels times scales."""
    factors = encoded.factors()
    if factors is None:
        return None
    codes = packed_codes(factors.element, factors.layout.matrix(values), factors.layout, factors.scales, plain=False)
    return replace(encoded, stored=replace(encoded.stored, packed=codes))


def _scores(values: Array, place: Place, moments: Array | None) -> Array:
    """Magnitudes; with moments, Wanda's: times the norm of the input."""
    if moments is None:
        return np.abs(values)
    rows = _rows(values, place)
    return _from_rows(wanda_scores(rows, np.sqrt(np.diag(moments))), values.shape, place)


def _encoded(values: Array, place: Place, choice: Choice) -> Encoded:
    found = read_format(choice.format_name)
    search = None if isinstance(found, Whole) or (isinstance(found, Scalar) and found.scaling is Scaling.NONE) else SEARCH
    if isinstance(found, Whole) and found.block is not None:
        return quantise(values, found, axis=place.along)
    if choice.group is not None:
        group = min(choice.group, values.shape[place.along])
        return quantise(values, found, granularity="group", axis=place.along, group=group, search=search)
    return quantise(values, found, granularity="channel", axis=place.channel, search=search)


def _bits(encoded: Encoded, sparse: Sparse | None) -> int:
    if sparse is None:
        return encoded.bits
    codes = places(encoded.format, encoded.layout) * encoded.format.bits
    kept = read_pattern(sparse.pattern).storage_bits(encoded.shape, encoded.format.bits, axis=sparse.axes, mask=sparse.mask)
    return kept + encoded.bits - codes


def _rows(values: Array, place: Place) -> Array:
    """(output channels, inputs), of whatever else each channel has: the axes that are neither are channels too."""
    others = [axis for axis in range(values.ndim) if axis not in place.reduction]
    moved = np.transpose(values, (*others, *place.reduction))
    return np.ascontiguousarray(moved.reshape(-1, int(np.prod([values.shape[axis] for axis in place.reduction]))))


def _from_rows(rows: Array, shape: tuple[int, ...], place: Place) -> Array:
    others = [axis for axis in range(len(shape)) if axis not in place.reduction]
    order = (*others, *place.reduction)
    return np.ascontiguousarray(np.transpose(rows.reshape([shape[axis] for axis in order]), np.argsort(order)))


def _compensated(values: Array, mask: Array | None, encoded: Encoded, factors: Factors, place: Place, moments: Array) -> Encoded:
    """The scales of `encoded`, and codes chosen one input after another."""
    levels = codebook(factors.element).levels
    scales = _rows(_spread(factors), place)
    kept = np.ones_like(scales, np.bool_) if mask is None else _rows(mask, place)
    chosen = _chosen(_rows(values, place), kept, scales, levels, _upper(moments))
    codes = recoded(_from_rows(chosen, values.shape, place), encoded)
    assert codes is not None  # it has factors
    return codes


def _spread(factors: Factors) -> Array:
    """The scale of every element."""
    layout = factors.layout
    vectors = layout.vector_of(np.arange(layout.elements)).reshape(layout.rows, layout.length)
    return layout.tensor(factors.scales[vectors])


def _upper(moments: Array) -> Array:
    """The upper Cholesky factor of the inverse of the damped moments, float64. An input that is always zero stands alone."""
    damped = moments.astype(np.float64)
    dead = np.diag(damped) <= 0
    damped[dead, dead] = 1.0
    damped[np.diag_indices_from(damped)] += DAMP * float(np.mean(np.diag(damped)))
    return np.linalg.cholesky(np.linalg.inv(damped)).T


def _chosen(rows: Array, kept: Array, scales: Array, levels: Array, upper: Array) -> Array:
    """Levels times scales for every element (channels, inputs)."""
    left, out = rows.astype(np.float64), np.zeros_like(rows)
    middles = levels[:-1] / 2 + levels[1:] / 2
    for start in range(0, rows.shape[1], BLOCK):
        stop = min(start + BLOCK, rows.shape[1])
        errors = np.zeros((len(rows), stop - start))
        for at in range(start, stop):
            quotients = left[:, at] / scales[:, at]
            nearest = levels[np.searchsorted(middles, quotients, side="right")] * scales[:, at]
            out[:, at] = np.where(kept[:, at], nearest, 0)
            errors[:, at - start] = (left[:, at] - out[:, at]) / upper[at, at]
            left[:, at + 1 : stop] -= np.outer(errors[:, at - start], upper[at, at + 1 : stop])
        left[:, stop:] -= errors @ upper[start:stop, stop:]
    return out
