"""Reading --data: what fits is read, and each thing that does not is said in one line."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.flows.data import Input, noise, read_data

IMAGE = (Input(name="image", shape=(2, 3)),)
TWO = (*IMAGE, Input(name="mask", shape=(4,)))
GOOD = np.arange(12, dtype=np.float32).reshape(2, 2, 3)


def npz(folder: Path, **arrays: object) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8, np.int64])
def test_numbers_of_any_type_are_read(tmp_path: Path, dtype: type) -> None:
    found = read_data(npz(tmp_path, image=GOOD.astype(dtype), labels=np.array([1, 2])), IMAGE)
    assert found.images == 2
    assert found.arrays["image"].dtype == np.float32
    assert np.array_equal(found.arrays["image"], GOOD)
    assert found.labels is not None
    assert found.labels.tolist() == [1, 2]
    assert found.first(1).images == 1


def test_an_input_of_integers_takes_integers(tmp_path: Path) -> None:
    codes = (Input(name="image", shape=(2, 3), dtype=np.dtype(np.uint8)),)
    found = read_data(npz(tmp_path, image=GOOD), codes)
    assert found.arrays["image"].dtype == np.uint8
    assert np.array_equal(found.arrays["image"], GOOD)
    for wrong in (GOOD + 0.5, GOOD - 1, GOOD + 300):
        with pytest.raises(InputError, match="array 'image' holds values that are no uint8, which the network takes"):
            read_data(npz(tmp_path, image=wrong), codes)
    made = noise(codes, images=100, seed=1).arrays["image"]
    assert (made.dtype, int(made.min()) < 10, int(made.max()) > 245) == (np.uint8, True, True)


def test_an_npy_is_the_only_input(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GOOD)
    assert np.array_equal(read_data(tmp_path / "a.npy", IMAGE).arrays["image"], GOOD)
    with pytest.raises(InputError, match=r"is one array, but the network has the inputs image, mask; give an npz with these keys"):
        read_data(tmp_path / "a.npy", TWO)


def test_an_input_may_be_called_labels(tmp_path: Path) -> None:
    found = read_data(npz(tmp_path, labels=GOOD), (Input(name="labels", shape=(2, 3)),))
    assert found.labels is None
    assert np.array_equal(found.arrays["labels"], GOOD)


WRONG = {
    "name": ({"images": GOOD}, "holds array 'images', which is no input; did you mean 'image'?"),
    "far name": ({"image": GOOD, "zz": GOOD}, "holds array 'zz', which is no input; the network's inputs are image (and 'labels')"),
    "missing": ({"labels": np.array([1])}, "holds no array 'image'; give one of shape (images, 2, 3)"),
    "shape": ({"image": GOOD[:, :, :2]}, "array 'image' has shape (2, 2, 2); the network takes (images, 2, 3)"),
    "no batch": ({"image": GOOD[0]}, "array 'image' has shape (2, 3); the network takes (images, 2, 3)"),
    "scalar": ({"image": np.float32(1)}, "array 'image' has shape (); the network takes (images, 2, 3)"),
    "text": ({"image": np.array([["a"] * 3] * 2)[None]}, "array 'image' holds <U1; numbers are needed (float or integer)"),
    "complex": ({"image": GOOD.astype(complex)}, "array 'image' holds complex128; numbers are needed (float or integer)"),
    "truth": ({"image": GOOD > 1}, "array 'image' holds bool; numbers are needed (float or integer)"),
    "object": ({"image": np.array([None] * 6, object).reshape(1, 2, 3)}, "cannot be read: "),
    "no image": ({"image": GOOD[:0]}, "array 'image' holds no image; give at least one"),
    "nan": ({"image": GOOD * np.nan}, "array 'image' holds values that are not finite, or beyond float32"),
    "large": ({"image": GOOD.astype(np.float64) * 1e300}, "array 'image' holds values that are not finite, or beyond float32"),
    "labels": ({"image": GOOD, "labels": np.array([1])}, "array 'labels' is int64 of shape (1,); it takes one whole number an image: (2,)"),
    "real labels": ({"image": GOOD, "labels": np.ones(2)}, "array 'labels' is float64 of shape (2,); it takes one whole number an image: (2,)"),
    "nothing": ({}, "holds no array; give one for each input: image"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said(tmp_path: Path, kind: str) -> None:
    arrays, message = WRONG[kind]
    path = npz(tmp_path, **arrays)
    with pytest.raises(InputError, match=re.escape(f"data '{path}'") + ".*" + re.escape(message)):
        read_data(path, IMAGE)


def test_inputs_of_different_lengths(tmp_path: Path) -> None:
    path = npz(tmp_path, image=GOOD, mask=np.zeros((3, 4)))
    with pytest.raises(InputError, match="holds 2 images of 'image' and 3 images of 'mask'; give the same number of images for every input"):
        read_data(path, TWO)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no file; give an npz or npy file"):
        read_data(tmp_path / "none.npz", IMAGE)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InputError, match="is neither an npz nor an npy file"):
        read_data(tmp_path / "text.npz", IMAGE)


@given(cut=st.integers(0, 400), place=st.integers(0, 400), value=st.integers(1, 255))
def test_a_damaged_file_is_one_line_or_the_same_values(tmp_path_factory: pytest.TempPathFactory, cut: int, place: int, value: int) -> None:
    path = npz(tmp_path_factory.mktemp("damaged"), image=GOOD)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= value
    path.write_bytes(data[: len(data) - cut] if cut < len(data) else b"")
    message, found = "", None
    try:
        found = read_data(path, IMAGE)
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    assert message or (found is not None and found.arrays["image"].shape[1:] == (2, 3))


def test_noise_is_seeded() -> None:
    first, second, other = (noise(IMAGE, images=4, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.arrays["image"], second.arrays["image"])
    assert not np.array_equal(first.arrays["image"], other.arrays["image"])
    assert first.images == 4
