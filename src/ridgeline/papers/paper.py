"""What a paper's file holds, and how its table and ours are set side by side.

A paper is a frozen dataclass: its fields are the parameters of the study with the paper's values as defaults (`metadata["help"]` says what each is,
and becomes the option's help), `published` is its table, `ours` computes ours. Nothing of ours is written down anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

from ridgeline.errors import InputError
from ridgeline.registry import Registry

PAPERS = Registry(
    kind="paper",
    built_in={
        "ant": "ridgeline.papers.ant:Ant",
        "balanced-sparsity": "ridgeline.papers.balanced_sparsity:BalancedSparsity",
        "caffeine": "ridgeline.papers.caffeine:Caffeine",
        "dual-side": "ridgeline.papers.dual_side:DualSide",
        "fpga15": "ridgeline.papers.fpga15:Fpga15",
        "islped16": "ridgeline.papers.islped16:Islped16",
        "olive": "ridgeline.papers.olive:OlivePairs",
        "seernet": "ridgeline.papers.seernet:SeerNet",
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A figure as printed; None for one of ours that the paper does not print. `tolerance` is relative; None for a figure that is shown and not
    judged."""

    quantity: str
    unit: str
    value: float | None
    tolerance: float | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure beside ours; `published` is None where the study is not the paper's or does not print it, `ours` where it is not rerun."""

    quantity: str
    unit: str
    published: float | None
    ours: float | None
    tolerance: float | None
    note: str = ""

    @property
    def error(self) -> float | None:
        """Relative to the published figure; None where that is 0."""
        return None if not self.published or self.ours is None else self.ours / self.published - 1

    @property
    def holds(self) -> bool | None:
        if self.published is None or self.ours is None or self.tolerance is None:
            return None
        return abs(self.ours - self.published) <= self.tolerance * abs(self.published)


class Paper(Protocol):
    """A study with its parameters as fields."""

    title: ClassVar[str]
    citation: ClassVar[str]
    published: ClassVar[tuple[Published, ...]]

    def ours(self) -> Mapping[str, float]:
        """Our figure of each published quantity, those that are shown and not rerun left out; with other parameters, some may be missing and others
        there. Raises RidgelineError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    paper: str
    title: str
    citation: str
    parameters: Mapping[str, Any]
    rows: tuple[Row, ...]

    @property
    def failed(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.holds is False)


def read_paper(name: str) -> type[Any]:
    """The paper's class. Raises UnknownNameError."""
    loaded = PAPERS.load(name)
    if not isinstance(loaded, type):
        raise InputError(f"paper '{name}' is no class of a study")
    return loaded


def reproduce(name: str, **parameters: Any) -> Reproduction:
    """The paper's table beside ours. With any parameter that is not the paper's, there is nothing published to compare with."""
    kind = read_paper(name)
    study = kind(**parameters)
    ours = study.ours()
    same = study == kind()
    known = {item.quantity: item for item in study.published}
    if same:
        rows = tuple(_row(item, ours) for item in study.published)
    else:
        rows = tuple(_unjudged(quantity, value, known.get(quantity)) for quantity, value in ours.items())
    return Reproduction(paper=name, title=study.title, citation=study.citation, parameters=asdict(study), rows=rows)


def _row(item: Published, ours: Mapping[str, float]) -> Row:
    found = ours.get(item.quantity) if item.tolerance is None else ours[item.quantity]  # what is judged has to be there
    return Row(quantity=item.quantity, unit=item.unit, published=item.value, ours=found, tolerance=item.tolerance, note=item.note)


def _unjudged(quantity: str, ours: float, item: Published | None) -> Row:
    return Row(quantity=quantity, unit=item.unit if item else "", published=None, ours=ours, tolerance=None)
