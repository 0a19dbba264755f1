"""Sentences as the inputs of all-MiniLM-L6-v2: WordPiece tokens (Devlin et al., NAACL'19, uncased), padded to one length."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.minilm_network import LENGTH, source
from ridgeline.errors import InputError

SENTENCES = Path(__file__).parent / "minilm"
SETS = ("calibration", "test")
LONGEST = 100  # characters of a word that is cut in pieces; a longer one is unknown


def sentences(name: str) -> tuple[str, ...]:
    """Those of `calibration` or `test`, in the file's order."""
    return tuple((SENTENCES / f"{name}.txt").read_text(encoding="utf-8").splitlines())


def data(folder: Path) -> tuple[Path, Path]:
    """Writes FOLDER/calibration.npz and FOLDER/test.npz, the network's inputs by name, [96, 64] each."""
    known = vocabulary()
    folder.mkdir(parents=True, exist_ok=True)
    calibration, test = (folder / f"{name}.npz" for name in SETS)
    for path in (calibration, test):
        np.savez(path, **inputs(sentences(path.stem), known))
    return calibration, test


def vocabulary() -> dict[str, int]:
    lines = (source() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return {word: number for number, word in enumerate(lines)}


def inputs(texts: Sequence[str], known: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """int64 arrays [texts, 64]. Raises InputError for a text of more than 62 tokens."""
    ids = np.zeros((len(texts), LENGTH), np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        found = [known["[CLS]"], *tokens(text, known), known["[SEP]"]]
        if len(found) > LENGTH:
            raise InputError(f"sentence {row + 1} has {len(found)} tokens and the network takes {LENGTH}; shorten it: {text[:40]!r}")
        ids[row, : len(found)], mask[row, : len(found)] = found, 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def tokens(text: str, known: Mapping[str, int]) -> list[int]:
    """Numbers of the word pieces, without the marks at both ends."""
    return [known[piece] for word in _words(text) for piece in _pieces(word, known)]


def _words(text: str) -> list[str]:
    """Lower case without accents; each punctuation mark is a word."""
    plain = (letter for letter in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(letter) != "Mn")
    return "".join(f" {letter} " if _is_mark(letter) else letter for letter in plain).split()


def _is_mark(letter: str) -> bool:
    """All that ASCII prints besides letters and digits counts, `$` and `+` too."""
    return unicodedata.category(letter).startswith("P") or ("!" <= letter <= "~" and not letter.isalnum())


def _pieces(word: str, known: Mapping[str, int]) -> list[str]:
    """The longest known piece from the left, again and again; one unknown piece makes the word unknown."""
    found: list[str] = []
    start = 0
    while start < len(word) <= LONGEST:
        mark = "##" if start else ""
        end = next((end for end in range(len(word), start, -1) if mark + word[start:end] in known), start)
        if end == start:
            break
        found.append(mark + word[start:end])
        start = end
    return found if start == len(word) else ["[UNK]"]
