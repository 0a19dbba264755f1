"""The design space without a build."""

from dataclasses import replace
from pathlib import Path

from tests.flows import tiny

from ridgeline.flows.explore import explore


def test_the_front(tmp_path: Path) -> None:
    found = explore(replace(tiny.write(tmp_path), pins={"taps": 2}))
    front = found.summary["pareto"]
    assert found.summary["engine"]["taps"] == 2
    assert found.summary["explored"]["evaluated"] > 100
    assert front
    for row in front:
        assert not any(all(other[name] < row[name] for name in ("cycles", "dsp", "bram")) for other in front)


def test_caps_hold(tmp_path: Path) -> None:
    options = replace(tiny.write(tmp_path), pins={})
    free, bound = explore(options).summary, explore(replace(options, caps={"dsp": 32})).summary
    assert bound["resources"]["predicted"]["dsp"] <= 32 < free["resources"]["predicted"]["dsp"]
    assert bound["cycles"]["predicted"] >= free["cycles"]["predicted"]
