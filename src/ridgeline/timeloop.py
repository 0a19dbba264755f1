"""What all of Timeloop's files share: YAML with its tags, names of dimensions and tensors, lists of factors and permutations.

Formats as Timeloop v0.4 and its front end read them (github.com/NVlabs/timeloop, src/mapping/parser.cpp; Accelergy-Project/timeloopfe, v4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import yaml

from ridgeline.errors import InputError

DIMENSIONS = {"N": "n", "G": "g", "C": "c", "M": "m", "K": "m", "P": "y", "Q": "x", "R": "r", "S": "q", "Z": "z", "T": "t"}
"""A dimension's axis; K is M's older name, Z and T are a volume's depth."""
TENSORS = {"Inputs": "input", "Weights": "weight", "Outputs": "output"}
TAGS = ("Container", "Component", "Hierarchical", "Parallel", "Pipelined", "Nothing")
TAG = "tag"  # the key under which a tag such as !Component is kept
MOST_BYTES, MOST_VALUES, MOST_DEPTH = 4_000_000, 200_000, 60
FACTOR = re.compile(r"([A-Za-z]+)\s*=?\s*([0-9]{1,15})(?:,([0-9]{1,15})(?![A-Za-z]))?")
Kind = TypeVar("Kind")


class _Loader(yaml.SafeLoader):
    """YAML's own tags, and Timeloop's nodes as mappings; keys once, and merges that stay small."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_VALUES:
            raise yaml.constructor.ConstructorError(None, None, f"merged mappings of more than {MOST_VALUES:,} keys", node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = next((key for key in dict.fromkeys(keys) if keys.count(key) > 1), None) if len(keys) < 1000 else None
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{twice}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _tagged(loader: Any, tag: str, node: yaml.Node) -> dict[Any, Any]:
    if tag not in TAGS or not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, f"!{tag} is no mapping with one of the tags {', '.join(TAGS)}", node.start_mark)
    return {**loader.construct_mapping(node, deep=True), TAG: tag}


_Loader.add_multi_constructor("!", _tagged)  # pyright: ignore[reportUnknownMemberType]


def read_yaml(path: Path) -> Any:
    """The file's mappings, lists and scalars, with hyphens in keys as underscores and a node's tag under `TAG`. Raises InputError for a file that is
    no YAML, holds other tags, or is too large once its aliases are followed."""
    try:
        data = path.read_bytes()
        if len(data) > MOST_BYTES:
            raise InputError(f"'{path}' has {len(data):,} bytes; at most {MOST_BYTES:,} are read")
        found = yaml.load(data, Loader=_Loader)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise InputError(f"'{path}' is nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise InputError(f"'{path}' is no YAML of Timeloop: {' '.join(str(error).split())}") from error
    return _Plain(path).plain(found, 0)


class _Plain:
    """Copies values, and counts them: aliases make a small file large."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0

    def plain(self, value: Any, depth: int) -> Any:
        self.count += 1
        if self.count > MOST_VALUES or depth > MOST_DEPTH:
            raise InputError(f"'{self.path}' holds more than {MOST_VALUES:,} values, or is nested deeper than {MOST_DEPTH}")
        if isinstance(value, dict):
            items = cast("dict[Any, Any]", value).items()
            return {str(key).replace("-", "_"): self.plain(inner, depth + 1) for key, inner in items}
        if isinstance(value, list):
            return [self.plain(inner, depth + 1) for inner in cast("list[Any]", value)]
        return value


def document(path: Path, key: str) -> Any:
    """What stands under a key of the file's outermost mapping. Raises InputError."""
    found = read_yaml(path)
    if not isinstance(found, dict) or key not in found:
        raise InputError(f"'{path}' has no '{key}:' at its outermost level")
    return cast("dict[str, Any]", found)[key]


def convert(value: Any, kind: type[Kind], where: str) -> Kind:
    """Raises InputError, which names the field."""
    try:
        return msgspec.convert(value, type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {' '.join(str(error).split())}") from error


def tensor_names(value: Any, where: str) -> tuple[str, ...]:
    """Of a keep or bypass list. Raises InputError."""
    names = [value] if isinstance(value, str) else _texts(value or [], where)
    unknown = next((name for name in names if name not in TENSORS), None)
    if unknown is not None:
        raise InputError(f"{where}: '{unknown}' is no tensor; there are {', '.join(TENSORS)}")
    return tuple(TENSORS[name] for name in names)


def factors(value: Any, where: str) -> dict[str, tuple[int, int | None]]:
    """dimension -> (factor, residual or None), of `C=4 M=2`, `C4 M2`, `C=5,3` or a list of them. Raises InputError."""
    texts = [value] if isinstance(value, str) else _texts(value or [], where)
    found: dict[str, tuple[int, int | None]] = {}
    for text in texts:
        for name, factor, residual in _factors(text.split("#")[0], where):
            if name in found:
                raise InputError(f"{where}: factors give '{name}' twice")
            found[name] = factor, residual
    return found


def _factors(text: str, where: str) -> Iterable[tuple[str, int, int | None]]:
    place = 0
    while text[place:].strip(" ,\t\n"):
        place += len(text[place:]) - len(text[place:].lstrip(" ,\t\n"))
        match = FACTOR.match(text, place)
        if match is None:
            raise InputError(f"{where}: factors '{text}' are none such as 'C=4', with a residual 'C=5,3'")
        name, factor, residual = match.groups()
        yield name, int(factor), int(residual) if residual is not None else None
        place = match.end()


def permutation(value: Any, where: str) -> tuple[str, ...]:
    """Dimensions, the innermost first: `CMR`, `C,M,R` or a list. Raises InputError."""
    if isinstance(value, str):
        text = value.split("#")[0]
        parts = text.split(",") if "," in text else list(text)
        names = [part.strip() for part in parts if part.strip()]
    else:
        names = _texts(value or [], where)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{where}: the permutation names '{twice}' twice")
    return tuple(names)


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[Any]", value)):
        raise InputError(f"{where}: {value!r} is no text and no list of texts")
    return cast("list[str]", value)


def dimension_axes(names: Sequence[str], free: Sequence[str]) -> dict[str, str]:
    """The axis of each dimension: by `DIMENSIONS`, and of a name that it lacks (K beside M too) the next one of `free` that no other takes. Raises
    InputError where they do not suffice."""
    named = {name: DIMENSIONS[name] for name in names if name in DIMENSIONS and not (name == "K" and "M" in names)}
    left = iter([axis for axis in free if axis not in named.values()])
    found: dict[str, str] = {}
    for name in names:
        axis = named.get(name) or next(left, None)
        if axis is None:
            raise InputError(f"dimension '{name}' is one too many: there are {len(free)} axes, {', '.join(free)}")
        found[name] = axis
    return found


def axis_of(name: str, dimensions: Mapping[str, str], where: str) -> str:
    if name not in dimensions:
        raise InputError(f"{where}: '{name}' is no dimension; there are {', '.join(dimensions)}")
    return dimensions[name]


def container_name(name: str) -> str:
    """`PE` of `inter_PE_spatial`, as Timeloop's front end calls the fan-out into a container."""
    return name[len("inter_") : -len("_spatial")] if name.startswith("inter_") and name.endswith("_spatial") else name
