"""`ridgeline reproduce`, and `explore --engine uniform`, from the command line."""

import json
from dataclasses import fields

import pytest
from tests.cli.command import refused, run

from ridgeline.papers import paper as papers
from ridgeline.papers.fpga15 import Fpga15


def test_the_papers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "reproduce")
    assert status == 0
    listed = [line.split()[0] for line in out.splitlines()]
    assert listed == sorted(listed) == list(papers.PAPERS.names())
    status, out, _ = run(capsys, "reproduce", "--json")
    assert [row["paper"] for row in json.loads(out)["papers"]] == listed


def test_a_table_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "reproduce", "fpga15", "--json")
    found = json.loads(out)
    assert (status, err, found["paper"]) == (0, "", "fpga15")
    for row in found["rows"]:
        assert set(row) == {"quantity", "unit", "published", "ours", "error", "tolerance", "holds", "note"}
        assert row["holds"] is True


def test_all_papers(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "reproduce", "all", "--json")
    assert (status, [item["paper"] for item in json.loads(out)["papers"]]) == (0, list(papers.PAPERS.names()))


def test_a_table_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "reproduce", "fpga15")
    assert "FPGA 2015, doi 10.1145/2684746.2689060" in out


def test_every_parameter_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "reproduce", "fpga15", "--multipliers", 512, "--bandwidth-gb-per-s", 9, "--layers", "conv3", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["parameters"]["multipliers"] == 512
    assert {(row["published"], row["holds"]) for row in found["rows"]} == {(None, None)}
    _, out, _ = run(capsys, "reproduce", "fpga15", "--help")
    assert all(f"--{name.replace('_', '-')}" in out for name in (item.name for item in fields(Fpga15)))


def test_a_figure_that_does_not_hold_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Fpga15.ours

    def wrong(self: Fpga15) -> dict[str, float]:
        return {**ours(self), "throughput": 1.0}

    monkeypatch.setattr(Fpga15, "ours", wrong)
    status, out, err = run(capsys, "reproduce", "fpga15", "--json")
    assert status == 1
    assert err == "ridgeline: not within its tolerance: fpga15: throughput\n"
    assert [row["quantity"] for row in json.loads(out)["rows"] if row["holds"] is False] == ["throughput"]


def test_bad_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "reproduce", "fpga16") == "unknown paper 'fpga16'; did you mean 'fpga15'?"
    assert refused(capsys, "reproduce", "fpga15", "--multiplier", 1) == "No such option '--multiplier'. Did you mean '--multipliers'?"
    assert refused(capsys, "reproduce", "fpga15", "--multipliers", "many").startswith("Invalid value for '--multipliers'")
    assert refused(capsys, "reproduce", "fpga15", "--format", "fp32").startswith("unknown format 'fp32'")


def test_a_uniform_engine(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explore", "resnet8", "--device", "vc707", "--engine", "uniform", "--format", "float32", "--clock-mhz", 100]
    status, out, _ = run(capsys, *words, "--json")
    found = json.loads(out)
    assert status == 0
    assert {"tm", "tn", "tr", "tc", "cycles", "gops", "bandwidth_gb_per_s", "dsp", "bram"} <= set(found["chosen"])
    assert set(found["explored"]) == {"points", "seconds"}
    status, out, _ = run(capsys, *words)
    assert f"<Tm, Tn> = <{found['chosen']['tm']}, {found['chosen']['tn']}>" in out
    assert refused(capsys, *words, "--taps", 2) == "--taps pins the programmable engine; a uniform one has --lanes TMxTN"
    assert refused(capsys, "explore", "resnet8", "--device", "vc707", "--format", "float32").startswith("--format float32 is for --engine uniform")
