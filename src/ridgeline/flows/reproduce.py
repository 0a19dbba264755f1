"""`ridgeline reproduce`: a paper's table beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from ridgeline.papers import PAPERS, Reproduction, read_paper, reproduce


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A field of a paper's study, as a command line shows it."""

    name: str
    kind: type[object]
    default: object
    help: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reproduced:
    """`failure` names the figures that do not hold."""

    summary: Mapping[str, Any]
    reproductions: tuple[Reproduction, ...] = field(default=())
    failure: str | None = None


def papers() -> tuple[str, ...]:
    return PAPERS.names()


def title(paper: str) -> str:
    return str(read_paper(paper).title)


def parameters(paper: str) -> tuple[Parameter, ...]:
    """Raises UnknownNameError."""
    listed = ((item.name, cast("object", item.default), str(item.metadata["help"])) for item in fields(read_paper(paper)))
    return tuple(Parameter(name=name, kind=type(default), default=default, help=text) for name, default, text in listed)


def run(paper: str, given: Mapping[str, Any]) -> Reproduced:
    """One paper, with those parameters that are not its own. Raises RidgelineError."""
    found = reproduce(paper, **given)
    return Reproduced(summary=_summary(found), reproductions=(found,), failure=_failure((found,)))


def run_all() -> Reproduced:
    found = tuple(reproduce(paper) for paper in papers())
    return Reproduced(summary={"papers": [_summary(item) for item in found]}, reproductions=found, failure=_failure(found))


def _failure(found: tuple[Reproduction, ...]) -> str | None:
    wrong = [f"{item.paper}: {row.quantity}" for item in found for row in item.failed]
    return f"not within its tolerance: {'; '.join(wrong)}" if wrong else None


def _summary(found: Reproduction) -> dict[str, Any]:
    return {
        "paper": found.paper,
        "title": found.title,
        "citation": found.citation,
        "parameters": dict(found.parameters),
        "rows": [
            {
                "quantity": row.quantity,
                "unit": row.unit,
                "published": row.published,
                "ours": row.ours,
                "error": row.error,
                "tolerance": row.tolerance,
                "holds": row.holds,
                "note": row.note,
            }
            for row in found.rows
        ],
    }
