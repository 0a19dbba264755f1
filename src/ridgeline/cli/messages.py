"""Progress and warnings, on stderr. Steps and bars are drawn only on a terminal, so that a log holds nothing but what matters."""

from __future__ import annotations

import sys
import time

import click

BAR = 24


class Messages:
    """A flow's `Progress`."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._text = ""
        self._drawn = 0.0

    def step(self, text: str) -> None:
        self._text, self._drawn = text, 0.0
        self._draw(f"{text} ...")

    def advance(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._drawn < 0.1 and done < total:
            return
        self._drawn = now
        filled = BAR * done // max(1, total)
        self._draw(f"{self._text} [{'#' * filled}{'.' * (BAR - filled)}] {100 * done // max(1, total)} %")

    def note(self, text: str) -> None:
        self.clear()
        click.echo(f"ridgeline: warning: {text}", err=True)

    def clear(self) -> None:
        self._draw("")

    def _draw(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
