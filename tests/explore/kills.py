"""Explores a tiny network's designs while being killed at random moments: FOLDER NETWORK KILLS SEED. Prints what happened as JSON.

Each run of the command is a process of its own, forked from this one so that the libraries are loaded and compiled once.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from contextlib import redirect_stdout, suppress
from pathlib import Path
from random import Random

from ridgeline.cli import main
from ridgeline.explore import architecture
from ridgeline.explore.store import Question, question_key

CHIP, VARY = "eyeriss-256", "array.rows=3..12:1 glb.capacity_bytes=1K..8K:x2"
LONGEST = 0.25  # of an unharmed run, the most that passes before a kill


def words(folder: Path, network: str) -> list[str]:
    return ["explore", network, "--chip", CHIP, "--vary", VARY, "--store", str(folder / "store.sqlite"), "--out", str(folder / "out")]


def load(folder: Path, network: str) -> None:
    """One run in this process, which loads and compiles all that the others use."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), suppress(SystemExit):
        main(words(folder, network))


def unharmed_s(folder: Path, network: str) -> float:
    folder.mkdir()
    start = time.perf_counter()
    run(folder, network, folder / "log", None)
    return time.perf_counter() - start


def run(folder: Path, network: str, log: Path, wait_s: float | None) -> bool:
    """One process, killed after so long; whether it ended by itself, well."""
    child = os.fork()
    if child == 0:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        record(log)
        try:
            main(words(folder, network))
        except SystemExit as end:
            os._exit(int(end.code or 0))
        os._exit(99)
    if wait_s is not None:
        time.sleep(wait_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFEXITED(status)


def record(log: Path) -> None:
    """Every design's key is written to `log` when the mapper is called for it."""
    plain = architecture.map_nests
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def recorded(nests, chip, objective, *, space, conventions, budget_s, progress):
        question = Question(objective=objective, space=space, conventions=conventions, budget_s=budget_s)
        os.write(file, question_key(nests, chip, question).encode() + b"\n")
        return plain(nests, chip, objective, space=space, conventions=conventions, budget_s=budget_s, progress=progress)

    architecture.map_nests = recorded


def kept(folder: Path) -> set[str]:
    try:
        rows = sqlite3.connect(folder / "store.sqlite").execute("SELECT key FROM answers").fetchall()
    except sqlite3.OperationalError:
        return set()  # killed before there was a table
    return {row[0] for row in rows}


def study(folder: Path, network: str, kills: int, seed: int) -> dict[str, object]:
    warm = folder / "warm"
    load(warm, network)
    longest_s = LONGEST * unharmed_s(folder / "unharmed", network)
    wanted = (warm / "out" / "pareto.json").read_bytes()
    rng, killed, again, lost, grew, equal = Random(seed), 0, 0, 0, 0, 0
    round_ = 0
    while killed < kills or round_ == 0:
        round_ += 1
        place = folder / f"round{round_}"
        place.mkdir()
        ended = False
        while not ended:
            before, log = kept(place), place / "log"
            log.unlink(missing_ok=True)
            ended = run(place, network, log, rng.uniform(0, longest_s) if killed < kills else None)
            killed += not ended
            after = kept(place)
            started = log.read_text().split() if log.exists() else []
            again += len(before & set(started)) + len(started) - len(set(started))
            lost += len(before - after)
            grew += len(after) > len(before)
        equal += (place / "out" / "pareto.json").read_bytes() == wanted
    return {"killed": killed, "again": again, "lost": lost, "grew": grew, "rounds": round_, "equal": equal, "designs": len(kept(warm))}


if __name__ == "__main__":
    print(json.dumps(study(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
