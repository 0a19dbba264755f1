"""Designs of one chip, each with the best mapping of all layers: the best of them, and those that no other one beats.

A design is the chip with other parameters. Its layers are mapped for one objective, so a design is one point of energy, time and area.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ridgeline.algorithm.nest import Nest
from ridgeline.errors import DoesNotFitError, InputError, UnsupportedError
from ridgeline.explore.store import Answer, Question, Store, question_key
from ridgeline.hardware.area import chip_area
from ridgeline.hardware.chip import Chip
from ridgeline.hardware.vary import Value, varied
from ridgeline.mapping.search.network import NetworkFound, map_nests

Status: TypeAlias = Literal["mapped", "no mapping", "no chip", "above the area cap"]
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What a design needs for all layers once. worth: the objective with seconds for cycles; gap: how much less it could be, relative."""

    energy_pj: float
    cycles: int
    time_s: float
    worth: float
    gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """area_mm2 is None where the chip and the tables do not say; `reason` says why a design is not mapped."""

    parameters: Mapping[str, Value]
    status: Status
    area_mm2: float | None = None
    mapped: Mapped | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """`designs` in the order in which they were asked; `pareto` and `best` are among them, `best` with its `found` mappings. gap: how much less than
    the best design's worth the least of all could be. reused: answers that the store had; evaluated: those that were made now."""

    designs: tuple[Design, ...]
    pareto: tuple[Design, ...]
    best: Design
    found: NetworkFound
    chip: Chip
    gap: float
    reused: int
    evaluated: int


def answered(
    nests: Sequence[Nest], chip: Chip, question: Question, store: Store | None, progress: Progress | None = None
) -> tuple[Answer, bool]:
    """The mapper's answer, and whether the store had it; a new one is kept there. Raises InputError or UnsupportedError for what the mapper does not
    cover, whatever the chip's size."""
    key = question_key(nests, chip, question) if store is not None else ""
    known = store.answer(key) if store is not None else None
    if known is not None:
        return known, True
    try:
        made = map_nests(
            nests,
            chip,
            question.objective,
            space=question.space,
            conventions=question.conventions,
            budget_s=question.budget_s,
            progress=progress,
        )
        answer = Answer(found=made)
    except DoesNotFitError as error:
        answer = Answer(failure=str(error))
    if store is not None:
        store.keep(key, answer)
    return answer, False


def explore_designs(
    nests: Sequence[Nest], chip: Chip, settings: Iterable[Mapping[str, Value]], question: Question, store: Store, *,
    area_cap_mm2: float | None = None, progress: Progress | None = None,
) -> Explored:  # fmt: skip
    """Every setting of the chip's parameters, in the order given. Raises InputError where an area cap has no area to hold against, DoesNotFitError
    where no design is left that has a mapping."""
    every = list(settings)
    made: list[Design] = []
    reused = evaluated = 0
    for number, values in enumerate(every):
        design = _sized(chip, values, area_cap_mm2)
        if design.status == "mapped":
            answer, known = answered(nests, varied(chip, values), question, store)
            design = _with(design, answer, varied(chip, values), question)
            reused, evaluated = reused + known, evaluated + (not known)
        made.append(design)
        if progress is not None:
            progress(number + 1, len(every))
    best = _best(made)
    variant = varied(chip, best.parameters)
    answer, _ = answered(nests, variant, question, store)
    if answer.found is None or best.mapped is None:
        raise AssertionError("the best design is mapped")
    least = min(design.mapped.worth * (1 - design.mapped.gap) for design in made if design.mapped is not None)
    return Explored(
        designs=tuple(made), pareto=pareto(made), best=best, found=answer.found, chip=variant,
        gap=max(0.0, 1 - least / best.mapped.worth) if least < best.mapped.worth else 0.0, reused=reused, evaluated=evaluated,
    )  # fmt: skip


def _sized(chip: Chip, values: Mapping[str, Value], area_cap_mm2: float | None) -> Design:
    """A design that is to be mapped, or why it is not."""
    try:
        variant = varied(chip, values)
    except UnsupportedError as error:
        return Design(parameters=values, status="no chip", reason=str(error))
    try:
        area = chip_area(variant).mm2
    except UnsupportedError as error:
        if area_cap_mm2 is not None:
            raise InputError(f"--area-cap-mm2 {area_cap_mm2:g}: {error}") from error
        return Design(parameters=values, status="mapped")
    if area_cap_mm2 is not None and area > area_cap_mm2:
        return Design(parameters=values, status="above the area cap", area_mm2=area, reason=f"its area is above {area_cap_mm2:g} mm2")
    return Design(parameters=values, status="mapped", area_mm2=area)


def _with(design: Design, answer: Answer, chip: Chip, question: Question) -> Design:
    found = answer.found
    if found is None:
        return Design(parameters=design.parameters, status="no mapping", area_mm2=design.area_mm2, reason=answer.failure)
    time_s = found.cycles / (chip.clock_mhz * 1e6)
    mapped = Mapped(
        energy_pj=found.energy_pj,
        cycles=found.cycles,
        time_s=time_s,
        worth=question.objective.worth(found.energy_pj, time_s),
        gap=found.gap,
    )
    return Design(parameters=design.parameters, status="mapped", area_mm2=design.area_mm2, mapped=mapped)


def _best(designs: Sequence[Design]) -> Design:
    """Of the least worth; of equal ones that of least energy, time and area, then the first."""
    able = [design for design in designs if design.mapped is not None]
    if not able:
        raise DoesNotFitError(f"none of {len(designs):,} designs has a mapping: {_commonest(designs)}")
    return min(able, key=lambda design: (design.mapped.worth if design.mapped else 0.0, *_point(design)))


def _commonest(designs: Sequence[Design]) -> str:
    reasons = [design.reason or "" for design in designs]
    most = max(dict.fromkeys(reasons), key=reasons.count)
    return most if len(set(reasons)) == 1 else f"{most} ({reasons.count(most):,} of them)"


def _point(design: Design) -> tuple[float, float, float]:
    """Energy, time, area; the area 0 where it is not known, of all or of none."""
    if design.mapped is None:
        raise AssertionError("only mapped designs are compared")
    return design.mapped.energy_pj, design.mapped.time_s, design.area_mm2 or 0.0


def pareto(designs: Sequence[Design]) -> tuple[Design, ...]:
    """Those of the mapped designs that no other one beats: is no worse in energy, time and area, and better in one. In the order given."""
    able = [design for design in designs if design.mapped is not None]
    front: list[tuple[float, float, float]] = []
    for point in sorted({_point(design) for design in able}):
        if not any(all(mine <= its for mine, its in zip(other, point, strict=True)) for other in front):
            front.append(point)
    kept = set(front)
    return tuple(design for design in able if _point(design) in kept)
