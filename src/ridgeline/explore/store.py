"""Answers of the mapper, kept in one SQLite file: what was once evaluated is not evaluated again, by whichever process.

An answer is found by the content of its question: the nests, the chip, the objective, the space, the conventions, the budget, the mapper's own
source, and the form in which answers are kept. Each is committed by itself as soon as it is known, so that a process may end at any moment.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import msgspec

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import InputError
from ridgeline.hardware.chip import Chip
from ridgeline.mapping.loops import Conventions
from ridgeline.mapping.search.network import NetworkFound, Objective
from ridgeline.mapping.search.space import SpaceName

FORMAT = 1  # of the file
WAIT_S = 10.0  # for another process that is writing


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of the mapper, beside layers and chip."""

    objective: Objective
    space: SpaceName
    conventions: Conventions
    budget_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The mappings, or why there are none."""

    found: NetworkFound | None = None
    failure: str | None = None


def question_key(nests: Sequence[Nest], chip: Chip, question: Question) -> str:
    """Equal for equal questions, whatever the layers are called."""
    layers = [
        (list(nest.axes.items()), [(tensor.name, [sorted(index.items()) for index in tensor.indices]) for tensor in nest.operands])
        for nest in nests
    ]
    content = msgspec.json.encode([FORMAT, _mapper(), layers, chip, asdict(question)], order="sorted")
    return hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=1)
def _mapper() -> str:
    """The mapper's version: what its room's sources hold, and those of what it maps from and to."""
    root = Path(str(files("ridgeline")))
    single = (root / "algorithm" / "nest.py", *(root / "hardware" / f"{name}.py" for name in ("chip", "decoders", "runs", "toml")))
    sources = [*root.glob("mapping/*.py"), *root.glob("mapping/search/*.py"), *single]
    content = hashlib.sha256()
    for path in sorted(sources):
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


class Store:
    """An open file of answers. Every method raises InputError where the file cannot be used."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def __len__(self) -> int:
        with _told(self.path):
            return int(self._connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def answer(self, key: str) -> Answer | None:
        with _told(self.path):
            row = self._connection.execute("SELECT content FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            return msgspec.json.decode(zlib.decompress(row[0]), type=Answer)
        except (zlib.error, msgspec.MsgspecError, TypeError, UnicodeDecodeError) as error:
            raise InputError(
                f"store '{self.path}' is damaged: an answer in it cannot be read; delete it, or give another with --store"
            ) from error

    def keep(self, key: str, answer: Answer) -> None:
        """On the disk when this returns. The first answer to a question stays."""
        content = zlib.compress(msgspec.json.encode(answer))
        with _told(self.path):
            self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, content))


@contextmanager
def open_store(path: Path) -> Generator[Store]:
    """The store in that file, which is made where it is absent or empty. Raises InputError for a file that is none, or of another version."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"store '{path}' cannot be made: {error.strerror}; give another with --store") from error
    with _told(path):
        connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)  # each statement is a transaction of its own
    try:
        with _told(path):
            _prepare(path, connection)
        yield Store(path, connection)
    finally:
        connection.close()


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        connection.execute("CREATE TABLE ridgeline_store (format INTEGER NOT NULL)")
        connection.execute("INSERT INTO ridgeline_store VALUES (?)", (FORMAT,))
        connection.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, content BLOB NOT NULL)")
    elif "ridgeline_store" not in tables:
        raise InputError(f"store '{path}' is a database of another program (it has a table '{min(tables)}'); give another with --store")
    found = connection.execute("SELECT format FROM ridgeline_store").fetchone()
    connection.execute("COMMIT")
    if found is None or found[0] != FORMAT:
        version = "none" if found is None else found[0]
        raise InputError(f"store '{path}' is of version {version}, and this Ridgeline reads version {FORMAT}; give another with --store")


@contextmanager
def _told(path: Path) -> Generator[None]:
    """What SQLite says, as one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text:
            raise InputError(f"store '{path}' is in use by another process; wait until that ends, or give another with --store") from error
        if "not a database" in text:
            raise InputError(f"store '{path}' is no SQLite database; give another with --store") from error
        if "malformed" in text:
            raise InputError(f"store '{path}' is damaged ({text}); delete it, or give another with --store") from error
        raise InputError(f"store '{path}' cannot be used: {text}; make room or give another with --store") from error
