"""The design space without a build."""

from dataclasses import replace
from pathlib import Path

from tests.flows import tiny

from ridgeline.flows.explore import explore


def test_the_choice_is_on_the_front(tmp_path: Path) -> None:
    found = explore(replace(tiny.write(tmp_path), pins={"lanes_out": 4, "lanes_in": 4}))
    engine, pareto = found.summary["engine"], found.summary["pareto"]
    assert (engine["lanes_out"], engine["lanes_in"]) == (4, 4)
    assert found.summary["explored"]["evaluated"] > 100
    assert [row["chosen"] for row in pareto].count(True) <= 1
    for row in pareto:
        assert not any(other["cycles"] < row["cycles"] and other["bytes_per_cycle"] < row["bytes_per_cycle"] for other in pareto)


def test_caps_hold(tmp_path: Path) -> None:
    options = replace(tiny.write(tmp_path), pins={})
    free, bound = explore(options).summary, explore(replace(options, caps={"dsp": 32})).summary
    assert bound["resources"]["predicted"]["dsp"] <= 32 < free["resources"]["predicted"]["dsp"]
    assert bound["cycles"]["predicted"] >= free["cycles"]["predicted"]
