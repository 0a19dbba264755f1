"""How a flow tells what it is doing; the command line shows it on a terminal."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def step(self, text: str) -> None:
        """A new step begins."""
        ...

    def advance(self, done: int, total: int) -> None:
        """So much of the step is done."""
        ...

    def note(self, text: str) -> None:
        """Something that the user should know, such as a warning."""
        ...


class Silent:
    """Tells nobody."""

    def step(self, text: str) -> None:
        pass

    def advance(self, done: int, total: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass
