"""`ridgeline reproduce`: a command a paper, whose options are the fields of its study."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli import tables
from ridgeline.errors import CheckFailedError, unknown_name

if TYPE_CHECKING:
    from ridgeline.flows.reproduce import Reproduced

ALL = "all"


def _json_option() -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help="Print a JSON object instead of a table.")


class Papers(click.Group):
    """Its commands are the papers, found when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from ridgeline.flows.reproduce import papers

        return [*papers(), ALL]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Raises UnknownNameError."""
        from ridgeline.flows import reproduce

        if cmd_name == ALL:
            return click.Command(ALL, callback=_all, params=[_json_option()], help="All papers, as they are.")
        if cmd_name not in reproduce.papers():
            raise unknown_name("paper", cmd_name, [*reproduce.papers(), ALL])
        options = [
            click.Option([f"--{item.name.replace('_', '-')}", item.name], type=item.kind, default=item.default, show_default=True, help=item.help)
            for item in reproduce.parameters(cmd_name)
        ]
        return click.Command(
            cmd_name,
            callback=partial(_one, cmd_name),
            params=[*options, _json_option()],
            help=f"{reproduce.title(cmd_name)}. With other parameters than the paper's, ours alone.",
            short_help=reproduce.title(cmd_name),
        )


@click.command(cls=Papers, invoke_without_command=True, subcommand_metavar="[PAPER|all] [OPTIONS]...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
@click.pass_context
def reproduce(context: click.Context, as_json: bool) -> None:
    """Set a paper's published table beside our own numbers; without a PAPER, list the papers."""
    if context.invoked_subcommand is not None:
        return
    from ridgeline.flows import reproduce as flow

    listed = {name: flow.title(name) for name in flow.papers()}
    values = {"papers": [{"paper": name, "title": title} for name, title in listed.items()]}
    click.echo(json.dumps(values, indent=2) if as_json else tables.pairs(listed))


def _one(paper: str, *, as_json: bool, **given: Any) -> None:
    from ridgeline.flows.reproduce import run

    _print(run(paper, given), as_json=as_json)


def _all(as_json: bool) -> None:
    from ridgeline.flows.reproduce import run_all

    _print(run_all(), as_json=as_json)


def _print(found: Reproduced, *, as_json: bool) -> None:
    click.echo(json.dumps(found.summary, indent=2, allow_nan=False) if as_json else tables.reproduced(found.reproductions))
    if found.failure is not None:
        raise CheckFailedError(found.failure)
