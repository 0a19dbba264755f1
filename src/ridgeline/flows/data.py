"""The data that a network is calibrated and verified on: an npz whose keys are the network's inputs, or an npy for a network of one input."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from ridgeline.errors import InputError, nearest

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
LABELS = "labels"
FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Input:
    """An input that the data must hold: `shape` is that of one image, `dtype` what the network takes."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = FLOAT32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """`arrays[input]` is (images, *shape), `labels` (images,) or None."""

    arrays: Mapping[str, Array]
    labels: Array | None = None

    @property
    def images(self) -> int:
        return len(next(iter(self.arrays.values())))

    def first(self, images: int) -> Data:
        arrays = {name: array[:images] for name, array in self.arrays.items()}
        return Data(arrays=arrays, labels=None if self.labels is None else self.labels[:images])


def read_data(path: Path, inputs: Sequence[Input]) -> Data:
    """Raises InputError, naming the file and the array, for what does not fit the inputs."""
    found = read_arrays(path, inputs)
    labels = found.pop(LABELS, None) if all(item.name != LABELS for item in inputs) else None
    names = [item.name for item in inputs]
    for name in found:
        if name not in names:
            raise InputError(f"data '{path}' holds array '{name}', {_meant(name, names)}")
    for item in inputs:
        if item.name not in found:
            raise InputError(f"data '{path}' holds no array '{item.name}'; give one of shape (images, {_sizes(item.shape)})")
        _check(path, item, found[item.name])
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"data '{path}' holds {_counted(counts)}; give the same number of images for every input")
    return Data(arrays={item.name: np.asarray(found[item.name], item.dtype) for item in inputs}, labels=_labels(path, labels, counts[names[0]]))


def noise(inputs: Sequence[Input], *, images: int, seed: int) -> Data:
    """Standard normal values, or bytes for an input of integers; the same for the same seed."""
    rng = np.random.default_rng(seed)
    return Data(arrays={item.name: _noise(item, images, rng) for item in inputs})


def _noise(item: Input, images: int, rng: np.random.Generator) -> Array:
    shape = (images, *item.shape)
    if item.dtype.kind == "f":
        return rng.standard_normal(shape, dtype=np.float32).astype(item.dtype)
    low, high = (0, 1) if item.dtype.kind == "b" else (max(-128, np.iinfo(item.dtype).min), min(255, np.iinfo(item.dtype).max))
    return rng.integers(low, high, shape, endpoint=True).astype(item.dtype)


def read_arrays(path: Path, inputs: Sequence[Input]) -> dict[str, Array]:
    """All arrays of the file, unchecked; that of an npy file goes by the name of the only input."""
    if not path.is_file():
        raise InputError(f"data '{path}' is no file; give an npz or npy file")
    try:
        with path.open("rb") as opened:
            arrays = _loaded(path, opened, inputs)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError, MemoryError) as error:
        raise InputError(f"data '{path}' cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from error
    except Exception as error:  # zlib.error and others that a damaged archive brings
        if isinstance(error, InputError):
            raise
        raise InputError(f"data '{path}' is damaged: {' '.join(str(error).split())}") from error
    if not arrays:
        raise InputError(f"data '{path}' holds no array; give one for each input: {', '.join(item.name for item in inputs)}")
    return arrays


def _loaded(path: Path, opened: BinaryIO, inputs: Sequence[Input]) -> dict[str, Array]:
    start = opened.read(6)
    opened.seek(0)
    if start[:2] != b"PK" and start != b"\x93NUMPY":
        raise InputError(f"data '{path}' is neither an npz nor an npy file")
    loaded: Any = np.load(opened, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return {_only(path, inputs).name: loaded}
    return {str(name): np.asarray(loaded[name]) for name in loaded.files}


def _only(path: Path, inputs: Sequence[Input]) -> Input:
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs)
        raise InputError(f"data '{path}' is one array, but the network has the inputs {names}; give an npz with these keys")
    return inputs[0]


def _meant(name: str, names: Sequence[str]) -> str:
    guess = nearest(name, names)
    known = f"the network's inputs are {', '.join(names)}"
    return f"which is no input; did you mean '{guess}'?" if guess else f"which is no input; {known} (and '{LABELS}')"


def _check(path: Path, item: Input, array: Array) -> None:
    where = f"data '{path}': array '{item.name}'"
    if array.dtype.kind not in "fiu" and array.dtype != item.dtype:
        raise InputError(f"{where} holds {array.dtype}; numbers are needed (float or integer)")
    if array.ndim == 0 or array.shape[1:] != item.shape:
        raise InputError(f"{where} has shape {array.shape}; the network takes (images, {_sizes(item.shape)})")
    if len(array) == 0:
        raise InputError(f"{where} holds no image; give at least one")
    with np.errstate(over="ignore", invalid="ignore"):
        taken = array.astype(item.dtype)
    if item.dtype.kind == "f" and not np.isfinite(taken).all():
        raise InputError(f"{where} holds values that are not finite, or beyond {item.dtype}")
    if item.dtype.kind != "f" and not np.array_equal(taken, array):
        raise InputError(f"{where} holds values that are no {item.dtype}, which the network takes")


def _labels(path: Path, labels: Array | None, images: int) -> Array | None:
    if labels is None:
        return None
    if labels.shape != (images,) or labels.dtype.kind not in "iu":
        found = f"{labels.dtype} of shape {labels.shape}"
        raise InputError(f"data '{path}': array '{LABELS}' is {found}; it takes one whole number an image: ({images},)")
    return labels


def _counted(counts: Mapping[str, int]) -> str:
    return " and ".join(f"{count:,} images of '{name}'" for name, count in counts.items())


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(str(size) for size in shape)
