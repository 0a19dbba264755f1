"""A weight in a format and a pattern: bits, masks, and what making up for errors is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.algorithm.passes.compress import Choice, Place, read_choice, store
from ridgeline.errors import InputError, UnsupportedError
from ridgeline.formats import read_format
from ridgeline.formats.sparsity import read_pattern

MATRIX = Place(channel=1, reduction=(0,), along=0)
CONV = Place(channel=0, reduction=(2, 3, 1), along=1)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def correlated(inputs: int, samples: int = 400) -> np.ndarray:
    """Inputs that say much of each other, as a network's do: most of what they are comes from a third as many."""
    mixed = normal(samples, inputs // 3, seed=3) @ normal(inputs // 3, inputs, seed=4) + 0.3 * normal(samples, inputs, seed=5)
    return mixed.astype(np.float64)


@pytest.mark.parametrize(
    ("name", "pattern", "message"),
    [
        ("int5x", "none", "unknown format 'int5x'"),
        ("uint4", "none", "format 'uint4' is not for weights"),
        ("m2xfp-act", "none", "format 'm2xfp-act' is not for weights"),
        ("int4@", "none", "after '@' comes how many inputs share a scale"),
        ("int4@0", "none", "after '@' comes how many inputs share a scale"),
        ("nvfp4@32", "none", "nvfp4 has blocks of its own"),
        ("bfloat16@32", "none", "or no scales"),
        ("int4", "2:x", "2:x"),
    ],
)
def test_refused_choices(name: str, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_choice(name, pattern)


@given(
    rows=st.integers(1, 9), columns=st.integers(1, 40), name=st.sampled_from(["int4", "int4@8", "flint4", "mxfp4", "nvfp4", "int8"]),
    pattern=st.sampled_from(["none", "2:4", "unstructured:50%", "bank16:50%"]),
)  # fmt: skip
def test_bits_and_zeros(rows: int, columns: int, name: str, pattern: str) -> None:
    values = normal(columns, rows)
    found = store(values, MATRIX, Choice(format=name, pattern=pattern))
    codes = read_format(name.partition("@")[0]).bits * values.size
    scales = found.encoded.bits - codes
    if pattern == "none":
        assert found.sparse is None
        assert found.bits == codes + scales
        return
    assert found.sparse is not None
    assert not found.decode()[~found.sparse.mask].any()
    rule = read_pattern(pattern)
    assert found.bits == scales + rule.storage_bits(values.shape, found.encoded.format.bits, axis=(0,), mask=found.sparse.mask)
    assert np.array_equal(rule.mask(np.abs(values), axis=(0,)), found.sparse.mask)


def test_convolution_is_pruned_along_its_channels() -> None:
    values = normal(6, 8, 3, 3)
    found = store(values, CONV, Choice(format="int8", pattern="2:4"))
    assert found.sparse is not None
    assert (found.sparse.mask.reshape(6, 2, 4, 3, 3).sum(axis=2) == 2).all()


@pytest.mark.parametrize("name", ["int4", "flint4", "int3", "mxfp4", "nvfp4", "int4@16"])
@pytest.mark.parametrize("pattern", ["none", "2:4"])
def test_errors_make_up_for_each_other(name: str, pattern: str) -> None:
    """What a layer loses on inputs that the moments did not see."""
    every = correlated(48, samples=800)
    seen, unseen = every[:400], every[400:]
    values = normal(48, 16)
    losses: list[float] = []
    for moments in (None, seen.T @ seen):
        found = store(values, MATRIX, Choice(format=name, pattern=pattern), moments).decode()
        losses.append(float(np.square(unseen @ (found - values)).sum()))
    assert losses[1] < 0.8 * losses[0]


def test_uncorrelated_inputs_are_rounded() -> None:
    """Where no input says anything of another, the nearest level is best."""
    values = normal(32, 8)
    assert np.array_equal(
        store(values, MATRIX, Choice(format="int4"), np.eye(32)).decode(), store(values, MATRIX, Choice(format="int4")).decode()
    )


def test_dead_inputs_and_channels() -> None:
    moments = correlated(32).T @ correlated(32)
    moments[5], moments[:, 5] = 0, 0
    values = normal(32, 8)
    values[:, 3] = 0
    found = store(values, MATRIX, Choice(format="int4"), moments).decode()
    assert np.isfinite(found).all()
    assert not found[:, 3].any()


def test_what_cannot_be_stored() -> None:
    values = normal(18, 4)
    with pytest.raises(UnsupportedError, match="olive4 codes pairs, which pattern 2:4 would part"):
        read_choice("olive4", "2:4")
    assert store(values, MATRIX, Choice(format="int4", pattern="2:4")).bits > 72 * 2
    with pytest.raises(InputError, match="do not divide into 2:4, which needs 4 x 20; pad them"):
        store(values, MATRIX, read_choice("int4", "2:4", pad=False))
    values[3, 2] = np.nan
    with pytest.raises(InputError, match=r"index \(3, 2\) is nan"):
        store(values, MATRIX, Choice(format="int4"))
