"""Golden values beside those of the simulated memory: every value of every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ridgeline.errors import InputError
from ridgeline.flows.design import Design, Tensor
from ridgeline.mapping import image

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
TOLERANCE = 1e-5  # of real values


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """The first wrong layer; `index` is (channel, row, column) of its tensor, or the index in the network's output."""

    layer: str
    operator: str
    image: int
    index: tuple[int, ...]
    expected: int | float
    found: int | float
    wrong: int
    values: int

    def __str__(self) -> str:
        place = ", ".join(str(part) for part in self.index)
        return (
            f"layer '{self.layer}' ({self.operator}): image {self.image}, index ({place}): expected {self.expected}, found {self.found}; "
            f"{self.wrong:,} of {self.values:,} values differ"
        )


def unpacked(tensor: Tensor, dump: Array, dtype: str = "int8") -> Array:
    """A tensor's values (images, C, H, W), from its bytes in DRAM, uint8 (images, bytes)."""
    return np.stack([image.unpacked(tensor.placement(), row, dtype) for row in np.ascontiguousarray(dump)])


def packed(tensor: Tensor, codes: Array, dtype: str = "int8") -> Array:
    """The inverse; what is padding is zero."""
    return np.stack([np.frombuffer(image.packed_bytes(tensor.placement(), values, dtype), np.uint8) for values in codes])


def check_described(design: Design, expected: Mapping[str, Array]) -> None:
    """Raises InputError for a layer or an output of the design that golden.onnx has in another shape."""
    for layer in design.layers:
        wanted, shape = expected[layer.golden].shape[1:], design.tensors[layer.output].shape
        if prod(wanted) != prod(shape):
            raise InputError(f"layer '{layer.name}' writes a tensor of shape {shape}, but '{layer.golden}' of golden.onnx has {wanted}")
    for port in design.outputs:
        wanted = expected[port.name].shape[1:]
        if wanted != port.shape:
            raise InputError(f"output '{port.name}' has shape {port.shape} in the design, but {wanted} in golden.onnx")


def first_mismatch(design: Design, expected: Mapping[str, Array], dumps: Mapping[str, Array], first_image: int = 0) -> Mismatch | None:
    """The first wrong layer in the program's order. `expected[golden name]` is (images, C, H, W), `dumps[tensor]` (images, bytes)."""
    for layer in design.layers:
        wanted = expected[layer.golden]
        found = unpacked(design.tensors[layer.output], dumps[layer.output], design.dtype)
        wanted = wanted.reshape(found.shape)
        if differing(wanted, found).any():
            return _mismatch(layer.name, layer.operator, wanted, found, first_image=first_image)
    return None


def differing(wanted: Array, found: Array) -> Array:
    """Which values are wrong: those that are not equal; of real values those that differ by more than TOLERANCE of the image's largest."""
    if wanted.dtype.kind != "f":
        return wanted != found
    return ~(np.abs(found.astype(np.float64) - wanted) <= TOLERANCE * _reach(wanted))


def error(wanted: Array, found: Array) -> float:
    """The largest difference of real values, relative to the largest one of its image; 0 for equal ones."""
    difference = np.abs(found.astype(np.float64) - wanted)
    with np.errstate(divide="ignore"):
        return float(np.divide(difference, _reach(wanted), out=np.zeros(difference.shape), where=difference > 0).max())


def _reach(wanted: Array) -> Array:
    return np.abs(wanted).max(axis=tuple(range(1, wanted.ndim)), keepdims=True).astype(np.float64)


def largest_error(design: Design, expected: Mapping[str, Array], dumps: Mapping[str, Array]) -> float:
    """Over all layers."""
    errors: list[float] = []
    for layer in design.layers:
        found = unpacked(design.tensors[layer.output], dumps[layer.output], design.dtype)
        errors.append(error(expected[layer.golden].reshape(found.shape), found))
    return max(errors, default=0.0)


def outputs(design: Design, dumps: Mapping[str, Array]) -> dict[str, Array]:
    """Each output of the network, (images, *shape)."""
    return {
        port.name: port.of_graph().to_array(unpacked(design.tensors[port.tensor], dumps[port.tensor], design.dtype))
        for port in design.outputs
    }


def first_wrong_output(expected: Mapping[str, Array], found: Mapping[str, Array], first_image: int = 0) -> Mismatch | None:
    for name, values in found.items():
        if differing(expected[name], values).any():
            return _mismatch(name, "output", expected[name], values, first_image=first_image)
    return None


def dumped(design: Design) -> Sequence[str]:
    """The tensors to read back: every layer's output and the network's, each once."""
    return tuple(dict.fromkeys([*(layer.output for layer in design.layers), *(port.tensor for port in design.outputs)]))


def _mismatch(name: str, operator: str, wanted: Array, found: Array, *, first_image: int) -> Mismatch:
    wrong = differing(wanted, found)
    place = tuple(int(part) for part in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    return Mismatch(
        layer=name,
        operator=operator,
        image=first_image + place[0],
        index=place[1:],
        expected=wanted[place].item(),
        found=found[place].item(),
        wrong=int(np.count_nonzero(wrong)),
        values=wrong.size,
    )
