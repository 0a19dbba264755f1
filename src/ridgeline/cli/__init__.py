"""The command line: parses, calls a flow, prints."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import click

from ridgeline.cli.commands import ridgeline
from ridgeline.errors import RidgelineError, ToolError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0 done, 1 a check failed, 2 cannot be carried out, 130 interrupted."""
    if arguments is None:
        signal.signal(signal.SIGINT, _interrupted)
        signal.signal(signal.SIGTERM, _terminated)
        signal.signal(signal.SIGHUP, _terminated)
    try:
        with ridgeline.make_context("ridgeline", list(sys.argv[1:] if arguments is None else arguments)) as context:
            ridgeline.invoke(context)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except RidgelineError as error:
        _fail(_said(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; nothing was written", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename!r}' if error.filename else ''}", 2)
    except MemoryError:
        _fail("not enough memory; try fewer --images", 2)
    sys.exit(0)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"ridgeline: {message}", err=True)
    sys.exit(status)


def _said(error: RidgelineError) -> str:
    """The message, without a log that went with the run's temporary folder."""
    if isinstance(error, ToolError) and error.log is not None and not error.log.exists():
        return str(error).removesuffix(f"; its log: {error.log}")
    return str(error)


def _interrupted(number: int, _: object) -> NoReturn:
    _leave_quietly(number)
    raise KeyboardInterrupt


def _terminated(number: int, _: object) -> NoReturn:
    _leave_quietly(number)
    sys.exit(128 + number)


def _leave_quietly(number: int) -> None:
    """A second signal must not stop the tidying up, and what lies half-made must not warn that it was never used (Amaranth's modules do)."""
    signal.signal(number, signal.SIG_IGN)
    warnings.simplefilter("ignore")
