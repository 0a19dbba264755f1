"""The reproduced papers: how many of their figures hold and the worst, what is reached beyond them in their own limits, and the search's speed."""

from __future__ import annotations

import time
from dataclasses import replace

from bench.row import Row, percent
from ridgeline.explore.uniform import search
from ridgeline.papers import ant, caffeine, fpga15
from ridgeline.papers.paper import PAPERS, Reproduction, reproduce

CAFFEINE_GOPS = 2 * 15_470_264_320 / 101.15e-3 / 1e9  # VGG16's over its published time


def measure() -> list[Row]:
    found = [reproduce(name) for name in PAPERS.names()]
    modelled = next(row.ours for row in reproduce("fpga15").rows if row.quantity == "throughput")
    return [*(_row(item) for item in found), *_beyond(modelled), _speed(), _designs()]


def _row(found: Reproduction) -> Row:
    judged = [row for row in found.rows if row.holds is not None]
    if not judged:
        return Row(figure=f"{found.paper}: published figures", value="shown", target="not judged", worst=_worst(found), holds=None)
    exact = sum(row.ours == row.published for row in judged)
    value = f"{len(judged) - len(found.failed)} of {len(judged)} hold, {exact} exact"
    return Row(figure=f"{found.paper}: published figures", value=value, target="all", worst=_worst(found), holds=not found.failed)


def _worst(found: Reproduction) -> str:
    judged = [row for row in found.rows if row.holds is not None]
    row = max(
        judged or [row for row in found.rows if row.published is not None and row.ours is not None], key=lambda row: abs(row.error or 0.0)
    )
    return f"{row.quantity}: {row.ours:,.4g} against {row.published:,.4g} {row.unit} ({100 * (row.error or 0.0):+.2f} %)"


def _beyond(fpga15_gops: float) -> list[Row]:
    rows: list[Row] = []
    for figure, choice, base, target in (
        ("AlexNet's convolutions in FPGA'15's limits, over its model", fpga15.beyond(), fpga15_gops, 1.3),
        ("VGG16 in Caffeine's limits on KU060, over its board", caffeine.beyond(), CAFFEINE_GOPS, 1.2),
    ):
        design = choice.chosen
        engine = f"<{design.engine.tm}, {design.engine.tn}>, {design.gops:.1f} against {base:.1f} GOPS"
        holds = design.gops >= target * base
        rows.append(Row(figure=figure, value=f"{design.gops / base:.3f} x", target=f">= {target} x", worst=engine, holds=holds))
    return rows


def _speed() -> Row:
    """Every Tm, Tn, Tr, Tc and order of AlexNet's convolutions."""
    study = replace(fpga15.Fpga15(bram_18kb=2060).study(), every=True)
    search(study)
    choice = search(study)
    rate = choice.points / choice.time_s
    same = search(replace(study, every=False))
    difference = percent(same.chosen.time_s / choice.chosen.time_s - 1)
    return Row(
        figure="search: every tile and order of AlexNet's convolutions",
        value=f"{rate / 1e6:.1f} M/s",
        target=">= 10 M/s",
        worst=f"{choice.points:,} points in {choice.time_s:.2f} s; {same.points:,} that cut evenly give the same answer: {difference} off",
        holds=rate >= 1e7,
    )


def _designs() -> Row:
    """Every tile and order of every layer of ANT's eight networks on its six designs, kernels compiled."""
    study = ant.Ant()
    ant.Ant(networks="ResNet18").ours()
    started = time.perf_counter()
    ours = study.ours()
    seconds = time.perf_counter() - started
    exact = [item for item in study.published if item.tolerance == 0.0]
    right = sum(ours[item.quantity] == item.value for item in exact)
    return Row(
        figure="search: ANT's eight networks on six designs",
        value=f"{seconds:.1f} s",
        target="<= 10 s",
        worst=f"{right} of {len(exact)} cycle counts exact",
        holds=seconds <= 10 and right == len(exact),
    )
