"""The design space without a build."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.flows import tiny

from ridgeline.errors import InputError
from ridgeline.flows.explore import explore
from ridgeline.flows.options import Options


def without_data(folder: Path) -> Options:
    return replace(tiny.write(folder), data=None)


def test_data_is_for_boards_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--data is for boards in a line; `ridgeline build` makes the design of one board"):
        explore(tiny.write(tmp_path))


def test_the_front(tmp_path: Path) -> None:
    found = explore(replace(without_data(tmp_path), pins={"taps": 2}))
    front = found.summary["pareto"]
    assert found.summary["engine"]["taps"] == 2
    assert found.summary["explored"]["evaluated"] > 100
    assert front
    for row in front:
        assert not any(all(other[name] < row[name] for name in ("cycles", "dsp", "bram")) for other in front)


def test_caps_hold(tmp_path: Path) -> None:
    options = replace(without_data(tmp_path), pins={})
    free, bound = explore(options).summary, explore(replace(options, caps={"dsp": 32})).summary
    assert bound["resources"]["predicted"]["dsp"] <= 32 < free["resources"]["predicted"]["dsp"]
    assert bound["cycles"]["predicted"] >= free["cycles"]["predicted"]
