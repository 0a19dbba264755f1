"""Output folders: each appears whole or not at all, and nothing that Ridgeline did not make is ever replaced."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ridgeline.errors import InputError

MARKER = ".ridgeline"


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """Which files of a folder Ridgeline made."""

    files: tuple[str, ...]


@contextmanager
def output_folder(out: Path) -> Generator[Path]:
    """A new folder that takes the place of `out` when the block ends well, and vanishes when it does not.

    Raises InputError when `out` cannot be written, or holds a file that Ridgeline did not make.
    """
    out = Path(os.path.abspath(out))
    check_replaceable(out)
    made = _beside(out)
    try:
        yield made
        (made / MARKER).write_bytes(msgspec.json.encode(Marker(files=tuple(sorted(_files(made))))))
        made.chmod(0o777 & ~_umask())
        _replace(out, made)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"'{made.parent}' or '{tempfile.gettempdir()}'"
        raise InputError(f"output folder '{out}' cannot be written: {error.strerror}, in {where}; make room, or give another with --out") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_replaceable(out: Path) -> None:
    """Raises InputError unless `out` is absent, empty, or made by Ridgeline alone."""
    if out.is_symlink():
        raise InputError(f"output folder '{out}' is a link, which would be replaced; give '{out.resolve()}' itself, or another, with --out")
    if out.exists() and not out.is_dir():
        raise InputError(f"output folder '{out}' is no folder; give another with --out")
    if not out.exists():
        return
    if os.path.ismount(out):
        raise InputError(f"output folder '{out}' is a mount point, which cannot be replaced; give a folder inside it with --out")
    present = set(_listed(out))
    if not present:
        return
    own = _own(out)
    if own is None:
        raise InputError(f"output folder '{out}' holds files that Ridgeline did not make ('{min(present)}'); empty it or give another with --out")
    if foreign := present - own - {MARKER}:
        raise InputError(f"output folder '{out}' holds '{min(foreign)}', which Ridgeline did not make; move it or give another folder with --out")


def _listed(folder: Path) -> Iterator[str]:
    try:
        yield from _files(folder)
    except OSError as error:
        raise InputError(f"output folder '{folder}' cannot be read: {error.strerror}") from error


def _files(folder: Path) -> Iterator[str]:
    """Every file, and every folder that holds nothing."""

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=refuse):
        relative = Path(place).relative_to(folder)
        yield from (str(relative / name) for name in files)
        yield from (str(relative / name) for name in folders if (Path(place) / name).is_symlink())
        if not files and not folders and relative != Path():
            yield str(relative)


def _own(folder: Path) -> set[str] | None:
    try:
        return set(msgspec.json.decode((folder / MARKER).read_bytes(), type=Marker).files)
    except (OSError, msgspec.MsgspecError):
        return None


def _beside(out: Path) -> Path:
    """A new folder in the nearest folder above `out` that exists."""
    parent = next(folder for folder in out.parents if os.path.lexists(folder))
    try:
        return Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=parent))
    except OSError as error:
        raise InputError(f"output folder '{out}' cannot be made in '{parent}': {error.strerror}; give another with --out") from error


def _replace(out: Path, made: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        check_replaceable(out)
        if not out.exists():
            made.rename(out)
            return
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
        move = _move_content if Path.cwd().is_relative_to(out.resolve()) else _move
        kept = old / "old"
        try:
            move(out, kept)
            move(made, out)
        except BaseException:
            if kept.exists():
                move(kept, out)
            raise
        finally:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise InputError(f"output folder '{out}' cannot be written: {error.strerror}") from error


def _move(source: Path, target: Path) -> None:
    source.rename(target)


def _move_content(source: Path, target: Path) -> None:
    """For the folder in which the user's shell is: it stays, and what it holds changes."""
    target.mkdir(exist_ok=True)
    for entry in list(source.iterdir()):
        entry.rename(target / entry.name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
