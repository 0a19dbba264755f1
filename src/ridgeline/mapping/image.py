"""Tensors in a program's memory."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ridgeline.errors import InputError
from ridgeline.mapping.program import Placement, Program

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def memory(program: Program) -> Array:
    """uint8 (memory_bytes,): the program's image, zeros elsewhere."""
    image = np.zeros(program.memory_bytes, np.uint8)
    data = program.image()
    image[: len(data)] = np.frombuffer(data, np.uint8)
    return image


def packed_bytes(place: Placement, values: Array, dtype: str = "int8") -> bytes:
    """The bytes of a tensor, (C, H, W), from its address on; padding is zero. `dtype` is that of an element, which the placement counts."""
    if values.shape != place.shape:
        raise InputError(f"tensor '{place.name}' has shape {place.shape}, but values of shape {values.shape} were given")
    (channels, height, width) = place.shape
    rows = np.zeros((height, place.row_bytes), dtype)
    pixels = rows[:, : width * place.pixel_bytes].reshape(height, width, place.pixel_bytes)
    pixels[:, :, :channels] = values.transpose(1, 2, 0)
    rows[:, : width * place.pixel_bytes] = pixels.reshape(height, -1)
    return rows.tobytes()


def pack_input(program: Program, image: Array, tensor: str, values: Array) -> None:
    """Writes int8 (C, H, W) into the memory image, uint8."""
    place = program.placements[tensor]
    data = np.frombuffer(packed_bytes(place, values), np.uint8)
    image[place.address : place.address + data.size] = data


def unpack(program: Program, image: Array, tensor: str) -> Array:
    """int8 (C, H, W) of a tensor in the memory image."""
    place = program.placements[tensor]
    return unpacked(place, image[place.address : place.address + place.bytes])


def unpacked(place: Placement, data: Array | bytes, dtype: str = "int8") -> Array:
    """(C, H, W) from a tensor's bytes."""
    (channels, height, width) = place.shape
    rows = np.frombuffer(data, dtype).reshape(height, place.row_bytes)
    pixels = rows[:, : width * place.pixel_bytes].reshape(height, width, place.pixel_bytes)
    return np.ascontiguousarray(pixels[:, :, :channels].transpose(2, 0, 1))
