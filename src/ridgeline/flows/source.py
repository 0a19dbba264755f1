"""The network that a user names: an ONNX file, a name that `ridgeline show models` lists, or for a mapper one layer in Timeloop's YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ridgeline.errors import InputError, nearest, unknown_name

if TYPE_CHECKING:
    from ridgeline.algorithm.layers import Work
    from ridgeline.algorithm.onnx.load import Loaded
    from ridgeline.algorithm.onnx.network import Network


def read_model(name_or_path: str, *, batch: int | None = None) -> Network:
    """Raises InputError or UnsupportedError, for what the file holds or the engine cannot do."""
    from ridgeline.algorithm.onnx.reader import read_network

    return read_network(_source(name_or_path), batch=batch)


def read_work(name_or_path: str, *, batch: int | None = None) -> Work:
    """The layers, from shapes alone: weights may be absent. Raises as `read_model`, for what has no shape or cannot be written as a nest."""
    from ridgeline.algorithm.onnx import work
    from ridgeline.algorithm.timeloop import read_timeloop_problem

    if _is_problem(name_or_path):
        if batch is not None:
            raise InputError(f"--batch is the extent of a dynamic axis; '{name_or_path}' gives its dimensions itself, in 'instance'")
        return read_timeloop_problem(Path(name_or_path)).work
    return work.read_work(_source(name_or_path, outline=True), batch=batch)


def read_file(name_or_path: str) -> Loaded:
    """The file as it is, checked, with the weights that it holds. Raises InputError or UnsupportedError."""
    from ridgeline.algorithm.onnx.load import load_model

    return load_model(_source(name_or_path))


def timeloop_dimensions(name_or_path: str) -> Mapping[str, str] | None:
    """The axis of each dimension's name, where the network is one layer in Timeloop's YAML."""
    from ridgeline.algorithm.timeloop import read_timeloop_problem

    return read_timeloop_problem(Path(name_or_path)).dimensions if _is_problem(name_or_path) else None


def _is_problem(name_or_path: str) -> bool:
    return Path(name_or_path).suffix in (".yaml", ".yml")


def network_name(name_or_path: str) -> str:
    """`digits` of `examples/digits/digits.onnx`."""
    return Path(name_or_path).stem


def _source(name_or_path: str, *, outline: bool = False) -> Path | bytes:
    from ridgeline.algorithm import zoo

    path = Path(name_or_path)
    if path.exists():
        return path
    if name_or_path in zoo.names():
        model = zoo.outline(name_or_path) if outline else zoo.model(name_or_path)
        return model.SerializeToString(deterministic=True)
    if path.suffix or path.name != name_or_path:
        raise InputError(f"network {name_or_path!r} does not exist; give an ONNX file, or a name that `ridgeline show models` lists")
    if nearest(name_or_path, zoo.names()) is None:
        raise InputError(f"network {name_or_path!r} is neither a file nor a known model; `ridgeline show models` lists those")
    raise unknown_name("model", name_or_path, zoo.names())
