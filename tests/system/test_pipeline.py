"""The pipeline of boards: what its steady state must be, and that nothing is in two places at once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.system.pipeline import BUFFERS, MOST_IMAGES, Run, Stage, enough_images, latency, period, run, slowest

# Whole seconds: sums are exact.
STAGES = st.lists(
    st.builds(Stage, time_s=st.integers(1, 30).map(float), engines=st.integers(1, 4), link_s=st.integers(0, 20).map(float)),
    min_size=1,
    max_size=5,
)


def most(stages: list[Stage]) -> float:
    return max([stage.time_s / stage.engines for stage in stages] + [stage.link_s for stage in stages[:-1]])


@given(STAGES)
def test_the_steady_state_is_that_of_the_slowest(stages: list[Stage]) -> None:
    found = run(stages, 40 * enough_images(stages))
    assert found.period_s == pytest.approx(most(stages), rel=1e-12)
    assert period(stages) == most(stages)
    board, link = slowest(stages)
    assert (stages[board].link_s if link else stages[board].time_s / stages[board].engines) == most(stages)


@given(STAGES, st.integers(1, 30))
def test_jobs(stages: list[Stage], images: int) -> None:
    found = run(stages, images)
    for image in range(images):
        own = [job for job in found.jobs if job.image == image]
        assert [(job.board, job.engine is None) for job in own] == [
            pair for board in range(len(stages)) for pair in ((board, False), (board, True))
        ][: 2 * len(stages) - 1]
        assert all(first.stop_s <= second.start_s for first, second in pairwise(own))
        assert own[-1].stop_s == found.ends_s[image]
    for board, stage in enumerate(stages):
        for engine in (None, *range(stage.engines)):
            working = [job for job in found.jobs if (job.board, job.engine) == (board, engine)]
            assert all(job.stop_s - job.start_s == (stage.link_s if engine is None else stage.time_s) for job in working)
            assert all(first.stop_s <= second.start_s for first, second in pairwise(working))
    assert latency(stages) == found.fill_s == sum(stage.time_s for stage in stages) + sum(stage.link_s for stage in stages[:-1])


@given(STAGES, st.integers(1, 30))
def test_buffers_hold_what_they_can(stages: list[Stage], images: int) -> None:
    """Images on their way into a board or in it, and those computed or about to be and not yet sent."""
    found = run(stages, images)
    for board, stage in enumerate(stages):
        computed = {job.image: job for job in found.jobs if job.board == board and job.engine is not None}
        sent = {job.image: job for job in found.jobs if job.board == board and job.engine is None}
        received = {job.image: job for job in found.jobs if job.board == board - 1 and job.engine is None}
        spans = [[(received[image].start_s, job.stop_s) for image, job in computed.items() if received]]
        spans.append([(computed[image].start_s, job.stop_s) for image, job in sent.items()])
        for side in spans:
            for start, _ in side:
                assert sum(low <= start < high for low, high in side) <= BUFFERS * stage.engines


def _simulated(stages: list[Stage], images: int) -> list[float]:
    """The same rules tick by tick: what can start starts."""
    waiting, ends, now = [images, *(0 for _ in stages[1:])], [], 0
    engines = [0.0] * len(stages)  # at work
    events: list[tuple[float, str, int]] = []
    arriving, done, held = [0] * len(stages), [0] * len(stages), [0] * len(stages)
    links = [False] * len(stages)
    while len(ends) < images:
        moved = True
        while moved:
            moved = False
            for event in sorted(event for event in events if event[0] == now):
                events.remove(event)
                moved = True
                _, kind, board = event
                if kind == "computed":
                    engines[board] -= 1
                    if board + 1 == len(stages):
                        ends.append(float(now))
                        held[board] -= 1
                    else:
                        done[board] += 1
                else:
                    links[board] = False
                    held[board] -= 1
                    arriving[board + 1] -= 1
                    waiting[board + 1] += 1
            for board, stage in enumerate(stages):
                room = BUFFERS * stage.engines
                if waiting[board] and engines[board] < stage.engines and held[board] < room:
                    waiting[board] -= 1
                    engines[board] += 1
                    held[board] += 1
                    events.append((now + stage.time_s, "computed", board))
                    moved = True
                if board + 1 == len(stages) or not done[board] or links[board]:
                    continue
                inside = waiting[board + 1] + arriving[board + 1] + engines[board + 1]
                if inside < BUFFERS * stages[board + 1].engines:
                    done[board] -= 1
                    links[board] = True
                    arriving[board + 1] += 1
                    events.append((now + stage.link_s, "sent", board))
                    moved = True
        now = int(min((event[0] for event in events), default=now))
    return ends


@given(STAGES, st.integers(1, 20))
def test_equal_to_a_simulation_by_ticks(stages: list[Stage], images: int) -> None:
    assert list(run(stages, images).ends_s) == _simulated(stages, images)


def test_fill_and_steady_state_by_hand() -> None:
    """Two boards of 3 and 5 seconds and a link of 2: the second board is the slowest, and an image more takes 5 seconds more."""
    found: Run = run([Stage(time_s=3, link_s=2), Stage(time_s=5)], 4)
    assert found.ends_s == (10, 15, 20, 25)
    assert (found.fill_s, found.period_s, found.time_s) == (10, 5, 25)
    assert slowest([Stage(time_s=3, link_s=2), Stage(time_s=5)]) == (1, False)
    assert slowest([Stage(time_s=3, link_s=7), Stage(time_s=5)]) == (0, True)
    assert slowest([Stage(time_s=12, engines=4, link_s=3), Stage(time_s=3)]) == (0, False)


def test_refusals() -> None:
    with pytest.raises(InputError, match="a batch of 0 images on 1 boards"):
        run([Stage(time_s=1)], 0)
    with pytest.raises(InputError, match="a batch of 3 images on 0 boards"):
        run([], 3)
    with pytest.raises(InputError, match="a board has 0 engines"):
        Stage(time_s=1, engines=0)


def test_a_batch_that_shows_the_steady_state() -> None:
    stages = [Stage(time_s=13.0, engines=13, link_s=0.5), Stage(time_s=9.0, engines=11, link_s=0.25), Stage(time_s=0.75)]
    images = enough_images(stages)
    assert images == 2 * (23 + 1 + 13)
    assert run(stages, images).period_s == pytest.approx(1.0)
    assert enough_images([Stage(time_s=1e9), Stage(time_s=1.0)]) == 6
    assert enough_images([Stage(time_s=float(number), engines=number) for number in (11, 13, 14, 15, 16)]) == MOST_IMAGES


def test_longer_batches_only_add_images() -> None:
    rng = np.random.default_rng(4)
    stages = [Stage(time_s=float(rng.integers(1, 9)), engines=int(rng.integers(1, 3)), link_s=float(rng.integers(0, 9))) for _ in range(4)]
    assert run(stages, 20).ends_s[:7] == run(stages, 7).ends_s
