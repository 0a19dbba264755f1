"""Sound programs pass; without any one of their tokens they do not."""

import re
from dataclasses import replace

import numpy as np
import pytest

from ridgeline.errors import CheckFailedError
from ridgeline.hardware.engine.engine import Engine
from ridgeline.mapping.lower import lower
from ridgeline.mapping.program import Compute, Instruction, Load, Program, Store
from ridgeline.testing.graphs import random_network

ENGINE = Engine(
    lanes_out=4, lanes_in=8, bus_bytes=8, activation_bytes=1 << 12, weight_bytes=1 << 11, output_bytes=1 << 10, accumulator_depth=32
)
PAIRS = {  # a giver's field and its taker's
    "activation ready": ("signal_ready", "activation_wait", 0),
    "weight ready": ("signal_ready", "weight_wait", 1),
    "activation free": ("activation_release", "wait_free", 0),
    "weight free": ("weight_release", "wait_free", 1),
    "output ready": ("output_commit", "wait_ready", None),
    "output free": ("signal_free", "output_wait", None),
}


@pytest.fixture(scope="module")
def program() -> Program:
    made = lower(random_network(np.random.default_rng(1), blocks=8, largest_channels=16, largest_size=14), ENGINE)
    made.verify()
    return made


def _has(instruction: Instruction, name: str, target: int | None) -> bool:
    on_side = target is None or not isinstance(instruction, Load) or int(instruction.target) == target
    return on_side and bool(getattr(instruction, name, 0))


def _without(program: Program, changes: dict[int, dict[str, int]]) -> Program:
    instructions = tuple(replace(item, **changes.get(number, {})) for number, item in enumerate(program.instructions))
    return replace(program, instructions=instructions)


@pytest.mark.parametrize("pair", sorted(PAIRS))
def test_dropped_tokens_are_noticed(program: Program, pair: str) -> None:
    """Dropping the k-th token of a kind on both sides leaves a race, unless (never for data that is ready) other tokens imply it."""
    given, taken, target = PAIRS[pair]
    givers = [number for number, item in enumerate(program.instructions) if _has(item, given, target)]
    takers = [number for number, item in enumerate(program.instructions) if _has(item, taken, target)]
    assert len(givers) == len(takers)
    pairs = list(zip(givers, takers, strict=True))[:: max(1, len(givers) // 16)]
    messages = [_message(_without(program, {giver: {given: 0}, taker: {taken: 0}})) for giver, taker in pairs]
    found = [message for message in messages if message]
    pattern = re.compile(r"instruction \d+ \(\w+\): may (overwrite|read) .* before (LOAD|COMPUTE|STORE) \d+ has (loaded|read|drained) it")
    assert all(pattern.fullmatch(message) for message in found)
    assert len(found) == len(messages) if pair.endswith("ready") else 3 * len(found) > len(messages) > 10


def _message(program: Program) -> str:
    try:
        program.verify()
    except CheckFailedError as error:
        return str(error)
    return ""


def test_token_that_nobody_gives(program: Program) -> None:
    giver = next(number for number, item in enumerate(program.instructions) if isinstance(item, Compute) and item.output_commit)
    with pytest.raises(
        CheckFailedError, match=r"waits for \d+ 'output ready' tokens, but only \d+ were given before it; it would wait for ever$"
    ):
        _without(program, {giver: {"output_commit": 0}}).verify()


def test_loads_wait_for_stores(program: Program) -> None:
    waits = [number for number, item in enumerate(program.instructions) if isinstance(item, Load) and item.wait_stored]
    assert len(waits) > 2
    for number in waits:
        item = program.instructions[number]
        assert isinstance(item, Load)
        with pytest.raises(CheckFailedError, match="may read DRAM's words"):
            _without(program, {number: {"wait_stored": item.wait_stored - 1}}).verify()


def test_addresses(program: Program) -> None:
    store = next(number for number, item in enumerate(program.instructions) if isinstance(item, Store))
    with pytest.raises(CheckFailedError, match="outside the tensors"):
        _without(program, {store: {"dram_address": 0}}).verify()
    load = next(number for number, item in enumerate(program.instructions) if isinstance(item, Load) and item.signal_ready)
    with pytest.raises(CheckFailedError, match="buffer's words"):
        _without(program, {load: {"buffer_address": 1 << 20}}).verify()
