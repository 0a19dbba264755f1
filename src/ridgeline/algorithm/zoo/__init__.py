"""Known networks by their parameters, with seeded weights: what the papers' shapes cost and need, with no file to download."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import TYPE_CHECKING, cast

from ridgeline.algorithm.zoo.table import ENTRIES, OUTLINE, Entry
from ridgeline.errors import InputError, nearest, unknown_name
from ridgeline.registry import resolve

if TYPE_CHECKING:
    from ridgeline.algorithm.onnx.writer import ModelProto


def names() -> tuple[str, ...]:
    return tuple(ENTRIES)


def describe() -> tuple[Entry, ...]:
    """What `ridgeline show models` lists; builds no network."""
    return tuple(ENTRIES.values())


def entry(name: str) -> Entry:
    if name not in ENTRIES:
        raise unknown_name("model", name, ENTRIES)
    return ENTRIES[name]


def model(name: str, *, seed: int = 0, **overrides: int) -> ModelProto:
    """An ONNX model, opset 17, with a symbolic leading axis `batch`; `overrides` are the parameters that `parameters(name)` lists."""
    builder = cast("Callable[..., ModelProto]", resolve(entry(name).builder))
    known = _parameters(builder)
    for parameter, number in overrides.items():
        _check(name, parameter, number, known)
    return builder(seed=seed, **overrides)


def outline(name: str) -> ModelProto:
    """The model without its large weights, for what needs shapes only: at once, whatever its size."""
    return model(name, seed=OUTLINE)


def reduced(name: str, *, seed: int = 0, **overrides: int) -> ModelProto:
    """A small copy with every distinct block of the network, for tests."""
    return model(name, seed=seed, **{**entry(name).reduced, **overrides})


def parameters(name: str) -> Mapping[str, int]:
    """The parameters that a network takes, with the values of the paper."""
    return _parameters(cast("Callable[..., ModelProto]", resolve(entry(name).builder)))


def _parameters(builder: Callable[..., ModelProto]) -> Mapping[str, int]:
    return {key: cast("int", parameter.default) for key, parameter in signature(builder).parameters.items() if key != "seed"}


def _check(name: str, parameter: str, number: int, known: Mapping[str, int]) -> None:
    if parameter not in known:
        guess = nearest(parameter, known)
        hint = f"did you mean {guess!r}?" if guess else f"it has {', '.join(known)}"
        raise InputError(f"model {name!r} has no parameter {parameter!r}; {hint}")
    if number < 1:
        raise InputError(f"model {name!r}: {parameter} is {number}; give a whole number of at least 1")
