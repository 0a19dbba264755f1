"""The one small tree of errors. A message is one line: what, where, the numbers, the next step."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar


class RidgelineError(Exception):
    """Something the user can act on. Never shown as a traceback; `exit_code` is the command line's status."""

    exit_code: ClassVar[int] = 2


class InputError(RidgelineError):
    """A file, option or value that cannot be used as it is."""


class UnknownNameError(InputError):
    """A name that no table lists."""


class UnsupportedError(RidgelineError):
    """A valid request for something that Ridgeline does not do."""


class DoesNotFitError(RidgelineError):
    """No design within the device's resources; the message says which resource, what is needed and what there is."""


class MissingToolError(RidgelineError):
    """A program that this machine lacks; the message says what to install."""


class ToolError(RidgelineError):
    """Another program ended badly; `log` is the file that holds all it said."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message if log is None else f"{message}; its log: {log}")
        self.log = log


class CheckFailedError(RidgelineError):
    """The run finished, and a check of it fails."""

    exit_code: ClassVar[int] = 1


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None."""
    by_folded = {candidate.casefold(): candidate for candidate in sorted(known)}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that no table lists: `unknown device 'ulx3s-85'; did you mean 'ulx3s-85f'?`."""
    names = sorted(known)
    guess = nearest(name, names)
    if guess is not None:
        return UnknownNameError(f"unknown {kind} {name!r}; did you mean {guess!r}?")
    return UnknownNameError(f"unknown {kind} {name!r}; known: {', '.join(names) or 'none'}")
