"""A batch of images through boards in a line: when each board and each link works.

A board has one or more engines, and for each of them two buffers for what arrives and two for what leaves, so that an image is received and one is
sent while an engine works at a third. Images keep their order. A link carries one image at a time, from the moment at which it is computed and
the next board has a free buffer; an engine starts when its image has arrived, the engine is free and so is a buffer for the result. A buffer for
arrivals is free again when its image is computed, one for results when its image is sent. Images wait at the first board; results leave the last
one at once.

With E engines of time C each, and links of time X, an image then leaves every max(C / E, X) seconds over all boards and links: each buffer's round
is C + X for two images an engine, and (C + X) / 2E is never above both C / E and X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

from ridgeline.errors import InputError

BUFFERS = 2  # an engine, on either side
MOST_IMAGES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A board: `time_s` is that of one image on one engine, `link_s` that of what leaves it for the next board (0 for the last)."""

    time_s: float
    engines: int = 1
    link_s: float = 0.0

    def __post_init__(self) -> None:
        if self.engines < 1 or self.time_s < 0 or self.link_s < 0:
            given = f"{self.engines} engines of {self.time_s} s and a link of {self.link_s} s"
            raise InputError(f"a board has {given}; engines are at least 1, times at least 0")

    @property
    def period_s(self) -> float:
        """Between two images that the board ends, at its best."""
        return self.time_s / self.engines


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A board's engine (or its link to the next board, engine None) at work for an image; all count from 0."""

    board: int
    engine: int | None
    image: int
    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """`ends_s`: when each image left the last board. `period_s`: between two images in the steady state, measured at the end of the batch."""

    jobs: tuple[Job, ...]
    ends_s: tuple[float, ...]
    fill_s: float  # until the first image has left
    period_s: float

    @property
    def time_s(self) -> float:
        """Of the whole batch."""
        return self.ends_s[-1]


def slowest(stages: Sequence[Stage]) -> tuple[int, bool]:
    """(board, whether it is its link) that sets the period; the first of equals, a board before its link."""
    times = [(stage.period_s, -index, 1) for index, stage in enumerate(stages)]
    times += [(stage.link_s, -index, 0) for index, stage in enumerate(stages[:-1])]
    _, index, board = max(times)
    return -index, not board


def period(stages: Sequence[Stage]) -> float:
    """Seconds between two images in the steady state."""
    board, link = slowest(stages)
    return stages[board].link_s if link else stages[board].period_s


def latency(stages: Sequence[Stage]) -> float:
    """Seconds of an image alone."""
    return sum(stage.time_s for stage in stages) + sum(stage.link_s for stage in stages[:-1])


def enough_images(stages: Sequence[Stage]) -> int:
    """A batch that fills the line and then shows its steady state for as long again."""
    longest = period(stages)
    inside = 1 if longest == 0 else int(latency(stages) / longest) + 1
    return min(2 * (inside + _round(stages)), MOST_IMAGES)


def _round(stages: Sequence[Stage]) -> int:
    """Images after which the steady state repeats itself: the slowest boards end one on each engine."""
    longest = period(stages)
    return lcm(*(stage.engines for stage in stages if stage.period_s >= longest * (1 - 1e-12)), 1)


def run(stages: Sequence[Stage], images: int) -> Run:
    """Every job of `images` images. The steady state's period is the mean over the batch's last rounds of the slowest board's engines."""
    if not stages or images < 1:
        raise InputError(f"a batch of {images} images on {len(stages)} boards; at least one of each is needed")
    line = [_Board(stage) for stage in stages]
    jobs: list[Job] = []
    for image in range(images):
        arrived = 0.0
        for number, board in enumerate(line):
            start = max(arrived, board.engine_free(image), board.result_free(image))
            jobs.append(
                Job(board=number, engine=image % board.stage.engines, image=image, start_s=start, stop_s=start + board.stage.time_s)
            )
            board.computed.append(jobs[-1].stop_s)
            if number + 1 == len(line):
                board.sent.append(jobs[-1].stop_s)
                continue
            leaving = max(jobs[-1].stop_s, board.sent[-1] if board.sent else 0.0, line[number + 1].arrival_free(image))
            arrived = leaving + board.stage.link_s
            jobs.append(Job(board=number, engine=None, image=image, start_s=leaving, stop_s=arrived))
            board.sent.append(arrived)
    ends = tuple(line[-1].sent)
    return Run(jobs=tuple(jobs), ends_s=ends, fill_s=ends[0], period_s=_mean_period(ends, _round(stages)))


@dataclass(slots=True, eq=False)
class _Board:
    """When each image so far was computed and sent."""

    stage: Stage
    computed: list[float]
    sent: list[float]

    def __init__(self, stage: Stage) -> None:
        self.stage, self.computed, self.sent = stage, [], []

    def engine_free(self, image: int) -> float:
        """Engines take turns: all need the same time."""
        return _before(self.computed, image, self.stage.engines)

    def arrival_free(self, image: int) -> float:
        return _before(self.computed, image, BUFFERS * self.stage.engines)

    def result_free(self, image: int) -> float:
        return _before(self.sent, image, BUFFERS * self.stage.engines)


def _before(times: Sequence[float], image: int, places: int) -> float:
    """When the image ends that has its place `places` images earlier."""
    return times[image - places] if image >= places else 0.0


def _mean_period(ends: Sequence[float], together: int) -> float:
    """Over the last whole number of rounds in the second half, or all there is: boards of several engines end their images in groups."""
    if len(ends) < 2:
        return ends[0]
    count = max(1, (len(ends) // 2) // together) * together
    count = min(count, len(ends) - 1)
    return (ends[-1] - ends[-1 - count]) / count
