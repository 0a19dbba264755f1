"""Packed weights in a file: exact sizes, the way back, and files that are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.formats import quantise, read_format
from ridgeline.formats.file import Sparse, packed_size, read_packed, write_packed
from ridgeline.formats.sparsity import read_pattern


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@given(
    rows=st.integers(1, 7), columns=st.integers(1, 37), name=st.sampled_from(["int4", "flint4", "nf4", "int3", "mxfp4", "nvfp4", "m2xfp", "e4m3"]),
    rule=st.sampled_from(["none", "2:4", "bank8:50%", "unstructured:70%", "row:50%"]),
)  # fmt: skip
def test_way_back(tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, name: str, rule: str) -> None:
    path = tmp_path_factory.mktemp("packed") / "weights.npz"
    values, sparse = normal(rows, columns), None
    if rule != "none":
        mask = read_pattern(rule).mask(np.abs(values), axis=1)
        values, sparse = np.where(mask, values, np.float32(0)), Sparse(pattern=rule, axes=(1,), mask=mask)
    encoded = quantise(values, read_format(name))
    write_packed(path, {"a.weight": (encoded, sparse)})
    found = read_packed(path)["a.weight"]
    assert np.array_equal(found, encoded.decode() if sparse is None else np.where(sparse.mask, encoded.decode(), np.float32(0)))
    bits = read_format(name).bits
    scales = (encoded.bits - bits * values.size) // 8
    if sparse is None:
        assert packed_size(encoded, None) == -(-bits * values.size // 8) + scales
    else:
        stored, metadata = read_pattern(rule).sizes(rows, columns, sparse.mask)
        assert packed_size(encoded, sparse) == -(-bits * stored // 8) + -(-metadata // 8) + scales


def test_pairs_are_not_parted(tmp_path: Path) -> None:
    values = normal(4, 8)
    sparse = Sparse(pattern="2:4", axes=(1,), mask=read_pattern("2:4").mask(np.abs(values)))
    with pytest.raises(InputError, match="olive4 codes pairs"):
        write_packed(tmp_path / "w.npz", {"w": (quantise(values, read_format("olive4")), sparse)})


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    write_packed(path, {"w": (quantise(normal(4, 8), read_format("int4")), None)})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        read_packed(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(InputError, match="holds no packed weights"):
        read_packed(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_packed(tmp_path / "absent.npz")
    header = np.frombuffer(b'{"version":9,"weights":{}}', np.uint8)
    np.savez(path, ridgeline=header)
    with pytest.raises(InputError, match="are of version 9; this Ridgeline reads version 1"):
        read_packed(path)


def test_codes_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    write_packed(path, {"w": (quantise(normal(4, 8), read_format("int4")), None)})
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}
    for key, message in (("w/codes", "has 15 codes of uint8, not 16 of uint8"), ("w/scales", "has 2 scales of float32, not 1 of")):
        changed = {**arrays, key: arrays[key][:-1] if key == "w/codes" else np.repeat(arrays[key], 2)}
        np.savez(path, **changed)
        with pytest.raises(InputError, match=message):
            read_packed(path)


def test_metadata_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    write_packed(path, {"w": (quantise(normal(4, 40), read_format("m2xfp")), None)})
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files if name != "w/metadata"}
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="has 0 metadata of uint8, not 5 of uint8"):
        read_packed(path)
