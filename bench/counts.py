"""Accesses in closed form against those of a walk over single multiplications, on random small mappings: all must be equal integers.

python -m bench.counts --cases 10000
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np

from bench.row import Row, percent, table
from ridgeline.mapping.count import count
from ridgeline.mapping.walk import walk
from ridgeline.testing.loops import FEATURES, Case, features, random_case

CASES = 10_000
SEED = 20_261


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    number: int
    iterations: int
    differs: tuple[str, ...]  # what, by level and tensor
    features: frozenset[str]
    walk_s: float
    count_s: float

    def __str__(self) -> str:
        return f"case {self.number} ({self.iterations:,} multiplications): {', '.join(self.differs) or 'equal'}"


def measure(cases: int = CASES, first: int = 0) -> list[Row]:
    found: list[Compared] = []
    for number in range(first, first + cases):
        found.append(_compared(number))
        if found[-1].differs:
            print(found[-1], file=sys.stderr, flush=True)
    return _rows(found)


def case(number: int) -> Case:
    return random_case(np.random.default_rng((SEED, number)))


def _compared(number: int) -> Compared:
    made = case(number)
    nest, chip, mapping, conventions = made
    start = time.perf_counter()
    walked = walk(mapping, nest, chip, conventions)
    between = time.perf_counter()
    counted = count(mapping, nest, chip, conventions)
    end = time.perf_counter()
    differs = [
        f"{' '.join(key)}: {counted.accesses.get(key)} for {walked.accesses.get(key)}"
        for key in sorted({*walked.accesses, *counted.accesses})
        if walked.accesses.get(key) != counted.accesses.get(key)
    ]
    if walked.steps != counted.steps:
        differs.append(f"{counted.steps:,} steps for {walked.steps:,}")
    return Compared(
        number=number,
        iterations=nest.iterations,
        differs=tuple(differs),
        features=features(made),
        walk_s=between - start,
        count_s=end - between,
    )


def _rows(found: Sequence[Compared]) -> list[Row]:
    wrong = [compared for compared in found if compared.differs]
    worst = str(min(wrong, key=lambda compared: compared.iterations)) if wrong else "-"
    largest = max(compared.iterations for compared in found)
    walked, counted = (1000 * sum(times) / len(found) for times in ([one.walk_s for one in found], [one.count_s for one in found]))
    occurred = Counter(name for compared in found for name in compared.features)
    return [
        Row(
            figure=f"{len(found):,} random mappings of up to {largest:,} multiplications: equal counts",
            value=f"{len(found) - len(wrong):,}",
            target="all",
            worst=worst,
            holds=not wrong,
        ),
        Row(figure="milliseconds a mapping, walk and closed form", value=f"{walked:.1f} and {counted:.1f}", target="-", worst="-", holds=None),
        *(
            Row(figure=f"cases with {name}", value=percent(occurred[name] / len(found)), target="-", worst=f"{occurred[name]:,}", holds=None)
            for name in FEATURES
        ),
    ]


@click.command(help=__doc__)
@click.option("--cases", type=click.IntRange(min=1), default=CASES, show_default=True, help="How many.")
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="The number of the first one.")
def main(cases: int, first: int) -> None:
    rows = measure(cases, first)
    print(table(rows))
    sys.exit(any(row.holds is False for row in rows))


if __name__ == "__main__":
    main()
