"""`ridgeline explore --chip` and `map --store`: what they print, write, take from a store and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.cli.command import refused
from tests.flows import tiny

from ridgeline.cli.commands import ridgeline

VARY = "array.rows=4..12:4 glb.capacity_bytes=1K,64K"


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.onnx").write_bytes(tiny.model())
    (tmp_path / "wider.onnx").write_bytes(tiny.model(filters=7))
    return str(tmp_path / "tiny.onnx")


def run(*words: object) -> dict[str, object]:
    result = CliRunner().invoke(ridgeline, [str(word) for word in (*words, "--json")])
    assert result.exit_code == 0, repr(result.exception)
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_one_run_and_its_repetition(network: str, tmp_path: Path) -> None:
    words = ("explore", network, "--chip", "eyeriss-256", "--vary", "array.rows=4..12:4", "--vary", "glb.capacity_bytes=1K,64K")
    first = run(*words, "--out", tmp_path / "one")
    assert first["store"] == {"path": "build/explore/tiny-eyeriss-256.sqlite", "reused": 0, "evaluated": 6}
    second = run(*words, "--out", tmp_path / "two")
    assert second["store"] == {"path": "build/explore/tiny-eyeriss-256.sqlite", "reused": 6, "evaluated": 0}
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [".ridgeline", "explore.json", "pareto.json", "report.html"]
    assert (tmp_path / "one" / "pareto.json").read_bytes() == (tmp_path / "two" / "pareto.json").read_bytes()
    result = json.loads((tmp_path / "one" / "pareto.json").read_text())
    assert all(first[key] == value for key, value in result.items())
    assert set(result) | {"best_layers", "area", "designs", "store", "time_s"} == set(first)
    assert (result["vary"], result["count"]) == (
        {"array.rows": [4, 8, 12], "glb.capacity_bytes": [1024, 65536]}, {"asked": 6, "mapped": 6}
    )  # fmt: skip
    assert result["best"] in result["pareto"]
    page = (tmp_path / "one" / "report.html").read_text()
    assert "<h1>tiny: designs of eyeriss-256</h1>" in page
    assert all(f'id="{name}"' in page for name in ("time-energy", "area-energy", "area-time"))


def test_a_larger_study_goes_on_from_a_smaller_one(network: str) -> None:
    run("explore", network, "--chip", "eyeriss-256", "--vary", "array.rows=4,8", "--store", "own.sqlite")
    more = run("explore", network, "--chip", "eyeriss-256", "--vary", "array.rows=4..12:4", "--store", "own.sqlite")
    assert more["store"] == {"path": "own.sqlite", "reused": 2, "evaluated": 1}


def test_several_networks_add_up(network: str) -> None:
    settings = ("--chip", "eyeriss-256", "--vary", "array.rows=12", "--objective", "energy")
    both = run("explore", f"{network},wider.onnx", *settings)
    alone = [run("explore", name, *settings)["best"] for name in (network, "wider.onnx")]
    assert both["networks"] == ["tiny", "wider"]
    assert both["best"]["energy_pj"] == pytest.approx(sum(best["energy_pj"] for best in alone))
    assert both["best"]["cycles"] == sum(best["cycles"] for best in alone)
    assert [layer["name"] for layer in both["best_layers"]] == ["tiny: conv", "tiny: fc", "wider: conv", "wider: fc"]
    assert sum(layer["energy_pj"] for layer in both["best_layers"]) == pytest.approx(both["best"]["energy_pj"])


def test_map_takes_an_answer_from_the_store(network: str) -> None:
    plain = run("map", network, "--chip", "eyeriss-256")
    first, second = (run("map", network, "--chip", "eyeriss-256", "--budget", "30", "--store", "a.sqlite") for _ in range(2))
    assert (first["store"], second["store"]) == ({"path": "a.sqlite", "layers": 0}, {"path": "a.sqlite", "layers": 2})
    times = {"time_s", "search_s", "store", "covered"}
    assert [{k: v for k, v in found.items() if k not in times} for found in (first, second)] == [
        {k: v for k, v in plain.items() if k not in times}
    ] * 2
    assert set(plain) == set(first) - {"store"}
    design = run("explore", network, "--chip", "eyeriss-256", "--vary", "array.rows=16", "--budget", "30", "--store", "a.sqlite")
    assert design["store"] == {"path": "a.sqlite", "reused": 1, "evaluated": 0}, "the design that the chip itself is"


def test_the_table(network: str) -> None:
    result = CliRunner().invoke(ridgeline, ["explore", network, "--chip", "eyeriss-256", "--vary", VARY, "--area-cap-mm2", "2.5"])
    assert "networks  tiny on eyeriss-256, 2 layers\nbest      array.rows " in result.stdout
    assert "designs   6, " in result.stdout
    assert "above the area cap" in result.stdout
    assert "designs that no other one beats in energy, time and area (--json: all)\n" in result.stdout


def test_some_layers(network: str) -> None:
    assert run("explore", network, "--chip", "eyeriss-256", "--vary", VARY, "--layers", "fc")["layers"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "explore takes either --device, an FPGA, or --chip, whose parameters --vary names; give one of them"),
        (("--device", "zcu102", "--chip", "h100"), "explore takes either --device, an FPGA, or --chip"),
        (("--device", "zcu102", "--vary", VARY), "--vary is an option of `explore --chip`; leave it out, or give --chip instead"),
        (("--device", "zcu102", "--store", "a"), "--store is an option of `explore --chip`"),
        (("--chip", "h100", "--lanes", "8x8"), "--lanes is an option of `explore --device`; leave it out, or give --device instead"),
        (("--chip", "h100", "--format", "int8"), "--format is an option of `explore --device`"),
        (("--chip", "eyeriss-256"), "--vary names no parameter; give PATH=VALUES"),
        (("--chip", "eyeriss-25", "--vary", VARY), "unknown chip 'eyeriss-25'; did you mean 'eyeriss-256'?"),
        (("--chip", "eyeriss-256", "--vary", "array.row=8"), "unknown array axis 'row'; did you mean 'rows'?"),
        (("--chip", "eyeriss-256", "--vary", VARY, "--objective", "throughput"), "objective 'throughput': give energy, latency, edp"),
        (("--chip", "eyeriss-256", "--vary", VARY, "--budget", "0"), "--budget is 0 seconds; it must be above 0"),
        (("--chip", "eyeriss-256", "--vary", VARY, "--area-cap-mm2", "nan"), "--area-cap-mm2 is nan; it must be above 0"),
        (("--chip", "eyeriss-256", "--vary", VARY, "--layers", "nothing"), "--layers 'nothing': no layer's name holds it; there are conv, fc"),
        (("--chip", "eyeriss-256", "--vary", VARY, "--area-cap-mm2", "0.01"), "none of 6 designs has a mapping: its area is above 0.01 mm2"),
        (("--chip", "eyeriss-256", "--vary", VARY, "--store", "tiny.onnx"), "store 'tiny.onnx' is no SQLite database"),
    ],
)  # fmt: skip
def test_refusals(network: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str) -> None:
    assert message in refused(capsys, "explore", network, *words)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ("resnet8,", "networks 'resnet8,': a name is empty"),
        ("resnet8,resnet8", "networks 'resnet8,resnet8' name 'resnet8' twice"),
        ("resnet8,resnet9", "unknown model 'resnet9'; did you mean 'resnet8'?"),
    ],
)
def test_refused_networks(network: str, capsys: pytest.CaptureFixture[str], networks: str, message: str) -> None:
    assert message in refused(capsys, "explore", networks, "--chip", "eyeriss-256", "--vary", VARY)


def test_an_engine_has_its_own_objectives(network: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'edp' is not one of 'latency', 'throughput'" in refused(
        capsys, "explore", network, "--device", "ulx3s-85f", "--objective", "edp"
    )
