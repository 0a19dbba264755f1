"""Descriptions in TOML: those that Ridgeline comes with, by name, and a user's own, by path."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from ridgeline.errors import InputError, unknown_name

Kind = TypeVar("Kind")


def names_in(folder: Path) -> tuple[str, ...]:
    """What a folder of descriptions has."""
    return tuple(sorted(file.stem for file in folder.glob("*.toml")))


def read_named(name_or_path: str | Path, folder: Path, kind: type[Kind], word: str) -> Kind:
    """The one of that name in a folder, or that of a file; messages call it `word`. Raises InputError."""
    name = str(name_or_path)
    if name in names_in(folder):
        return read_toml(folder / f"{name}.toml", kind, word)
    path = Path(name_or_path)
    if path.is_file():
        return read_toml(path, kind, word)
    if path.suffix == ".toml" or path.name != name:
        raise InputError(f"{word} file '{path}' does not exist")
    raise unknown_name(word, name, names_in(folder))


def read_toml(path: Path, kind: type[Kind], word: str) -> Kind:
    """Raises InputError for a file that is none."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InputError(f"{word} file '{path}' cannot be read: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise InputError(f"{word} file '{path}': {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{word} file '{path}' is no TOML: {error}") from error
