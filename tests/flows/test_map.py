"""`ridgeline map`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ridgeline.algorithm import zoo
from ridgeline.cli.commands import ridgeline
from ridgeline.errors import InputError
from ridgeline.flows.map import MapOptions, map_network
from ridgeline.hardware.chip import CHIPS, read_chip
from ridgeline.mapping.search.space import SPACES

SETTINGS = ("--chip", "eyeriss-256", "--conventions", "timeloop")


def run(*words: str) -> Result:
    return CliRunner().invoke(ridgeline, ["map", *words])


@pytest.fixture(scope="module")
def summary() -> dict[str, object]:
    result = run("resnet8", *SETTINGS, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_json(summary: dict[str, object]) -> None:
    assert set(summary) == {
        "network", "chip", "objective", "total", "certificate", "layers", "not_mapped", "covered", "search_s", "time_s"
    }  # fmt: skip
    assert (summary["network"], summary["chip"], summary["objective"]) == ("resnet8", "eyeriss-256", "edp")
    layers, total = summary["layers"], summary["total"]
    assert isinstance(layers, list)
    assert isinstance(total, dict)
    assert total["macs"] == zoo.entry("resnet8").macs == sum(layer["macs"] for layer in layers)
    assert total["cycles"] == sum(layer["cycles"] for layer in layers)
    assert total["energy_pj"] == pytest.approx(sum(layer["energy_pj"] for layer in layers))
    assert total["edp_pj_s"] == pytest.approx(total["energy_pj"] * total["cycles"] / 1e9)
    for layer in layers:
        assert layer["energy_pj"] == pytest.approx(sum(layer["energy_by_level"].values()))
        assert layer["cycles"] == max(layer["cycles_by_level"].values())
        assert layer["mapping"]["text"].endswith("multiply-accumulate")
    assert summary["certificate"] == {"optimal": True, "gap": 0.0, "space": "full", "conventions": "timeloop"}


def test_other_objectives_are_best_at_what_they_are_for(summary: dict[str, object]) -> None:
    def total(objective: str) -> tuple[float, float]:
        found = map_network(MapOptions(network="resnet8", chip="eyeriss-256", rules="timeloop", objective=objective))
        return found["total"]["energy_pj"], found["total"]["cycles"]

    edp = summary["total"]
    assert isinstance(edp, dict)
    energy, latency, ed2p = total("energy"), total("latency"), total("energy*latency^2")
    assert energy[0] <= min(edp["energy_pj"], latency[0], ed2p[0])
    assert latency[1] <= min(edp["cycles"], energy[1], ed2p[1])
    assert ed2p[0] * ed2p[1] ** 2 <= min(e * c**2 for e, c in ((edp["energy_pj"], edp["cycles"]), energy, latency)) * (1 + 1e-9)
    assert edp["energy_pj"] * edp["cycles"] <= min(e * c for e, c in (energy, latency, ed2p)) * (1 + 1e-9)


def test_a_pareto_set(tmp_path: Path, summary: dict[str, object]) -> None:
    out = tmp_path / "set"
    result = run("resnet8", *SETTINGS, "--objective", "pareto", "--out", str(out))
    assert result.exit_code == 0, result.output
    found = json.loads((out / "mapping.json").read_text())
    points = [(point["energy_pj"], point["cycles"]) for point in found["pareto"]]
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(points))
    edp = summary["total"]
    assert isinstance(edp, dict)
    assert found["total"]["edp_pj_s"] == pytest.approx(edp["edp_pj_s"], rel=1e-3)
    assert any(energy <= edp["energy_pj"] * 1.001 and cycles <= edp["cycles"] * 1.001 for energy, cycles in points)
    assert f"{len(points):,} points" in result.stdout
    assert "less of both energy and cycles than a point of the set" in result.stdout
    page = (out / "report.html").read_text()
    assert "<h2>Pareto set</h2>" in page
    assert f"{len(points):,} points" in page


def test_caps(tmp_path: Path) -> None:
    words = ("resnet8", *SETTINGS, "--objective", "energy")
    free = json.loads(run(*words, "--json").stdout)["total"]
    cap = free["cycles"] // 3
    result = run(*words, "--cycles-cap", str(cap), "--out", str(tmp_path / "capped"))
    found = json.loads((tmp_path / "capped" / "mapping.json").read_text())
    assert found["cycles_cap"] == cap >= found["total"]["cycles"]
    assert found["total"]["energy_pj"] > free["energy_pj"]
    assert f"energy within {cap:,} cycles is optimal" in result.stdout
    assert f"mapped for energy within {cap:,} cycles" in (tmp_path / "capped" / "report.html").read_text()
    assert json.loads(run(*words, "--cycles-cap", str(free["cycles"]), "--json").stdout)["total"] == free


def test_report(tmp_path: Path) -> None:
    out = tmp_path / "mapped"
    result = run("ds-cnn", *SETTINGS, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert f"report       {out / 'report.html'}" in result.stdout
    assert sorted(path.name for path in out.iterdir()) == [".ridgeline", "mapping.json", "mappings", "report.html"]
    page = (out / "report.html").read_text()
    assert "<h1>ds-cnn on eyeriss-256</h1>" in page
    assert "proven optimal" in page
    assert "[dram: input, weight, output]" in page


def test_some_layers_and_a_batch() -> None:
    result = run("resnet8", *SETTINGS, "--layers", "stack2", "--batch", "4", "--json")
    found = json.loads(result.stdout)
    assert [layer["name"] for layer in found["layers"]] == ["stack2.unit1.conv", "stack2.conv2", "stack2.shortcut"]
    assert found["layers"][0]["shape"].startswith("n 4 ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("resnet8", "--chip", "eyeris-256"), "unknown chip 'eyeris-256'; did you mean 'eyeriss-256'?"),
        (("resnet9", "--chip", "eyeriss-256"), "unknown model 'resnet9'; did you mean 'resnet8'?"),
        (("resnet8", "--chip", "missing.toml"), "chip file 'missing.toml' does not exist"),
        (("resnet8", "--chip", "eyeriss-256", "--objective", "power"), "objective 'power': give energy, latency, edp, ed2p, pareto, or a product"),
        (("resnet8", "--chip", "eyeriss-256", "--objective", "energy^0"), "objective 'energy^0': give energy"),
        (("resnet8", "--chip", "eyeriss-256", "--layers", "nothing"), "--layers 'nothing': no layer's name holds it; there are conv1.conv"),
        (("resnet8", *SETTINGS, "--cycles-cap", "0"), "--cycles-cap is 0; it must be above 0"),
        (("resnet8", *SETTINGS, "--energy-cap-uj", "nan"), "--energy-cap-uj is nan; it must be above 0"),
        (("resnet8", *SETTINGS, "--cycles-cap", "100"), "no mappings meet the caps: these layers take at least 61,429 cycles"),
        (("resnet8", *SETTINGS, "--energy-cap-uj", "1", "--fuse"), "--energy-cap-uj is for the exhaustive search, layer by layer; leave --fuse out"),
        (("resnet8", *SETTINGS, "--objective", "pareto", "--search", "random"), "--objective pareto is for the exhaustive search"),
        (("resnet8", *SETTINGS, "--objective", "pareto", "--cycles-cap", "9"), "--objective pareto gives the whole set; with --cycles-cap give"),
        (("resnet8", "--chip", "eyeriss-256", "--budget", "0"), "--budget is 0 seconds; it must be above 0"),
    ],
)
def test_bad_input(words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert result.exception is not None
    assert message in str(result.exception)


def test_a_baseline_claims_nothing(tmp_path: Path, summary: dict[str, object]) -> None:
    words = ("resnet8", *SETTINGS, "--search", "annealing", "--samples", "40", "--seed", "7")
    one, two = (json.loads(run(*words, "--json").stdout) for _ in range(2))
    assert (one["certificate"]["optimal"], one["certificate"]["gap"]) == (False, None)
    distinct = len({layer["shape"] for layer in one["layers"]})
    assert {name: one["sampled"][name] for name in ("search", "samples", "seed")} == {"search": "annealing", "samples": 40, "seed": 7}
    assert one["sampled"]["looked_at"] == 40 * distinct >= one["sampled"]["legal"] >= distinct
    assert one["layers"] == two["layers"]
    best = summary["total"]
    assert isinstance(best, dict)
    assert one["total"]["edp_pj_s"] >= best["edp_pj_s"]
    assert run(*words, "--out", str(tmp_path / "sampled")).exit_code == 0
    assert "without a proof" in (tmp_path / "sampled" / "report.html").read_text()
    assert f"annealing, seed 7: {40 * distinct} mappings looked at" in run(*words).stdout
    assert "leave one of them out" in str(run(*words, "--store", str(tmp_path / "answers.sqlite")).exception)
    given = run(*words, "--mapping", str(tmp_path / "sampled"))
    assert "--store, --budget and --search are for a search" in str(given.exception)


def test_constraints_replace_the_chips(tmp_path: Path, summary: dict[str, object]) -> None:
    (tmp_path / "own.toml").write_text("[unroll.rows]\nfactors = { c = 8 }\n[loops.glb]\n")
    found = json.loads(run("resnet8", *SETTINGS, "--constraints", str(tmp_path / "own.toml"), "--layers", "conv2", "--json").stdout)
    assert found["constraints"] == str(tmp_path / "own.toml")
    for layer in found["layers"]:
        spread = [(loop["axis"], loop["size"]) for loop in layer["mapping"]["loops"] if loop["array"] == "rows"]
        assert spread == [("c", 8)]
    (tmp_path / "own.toml").write_text("[unroll.rows]\nwhole = ['y']\n")
    result = run("resnet8", *SETTINGS, "--constraints", str(tmp_path / "own.toml"))
    assert "unroll.rows and loops.glb both want 'y' whole" in str(result.exception)


def test_zigzags_space() -> None:
    """Its unrolling is the chip's; what it finds, the space of all mappings has too."""
    settings = ("resnet8", "--chip", "tpu-like", "--objective", "energy", "--layers", "shortcut", "--json")
    zigzag, full = (json.loads(run(*settings, "--space", space).stdout) for space in ("zigzag", "full"))
    assert zigzag["certificate"] == {"optimal": True, "gap": 0.0, "space": "zigzag", "conventions": "ridgeline"}
    assert full["total"]["energy_pj"] <= zigzag["total"]["energy_pj"] * (1 + 1e-9)
    result = run("resnet8", *SETTINGS, "--space", "zigzag")
    assert "space 'zigzag' takes the unrolling that the chip fixes; give unroll.rows its factors" in str(result.exception)


def test_the_spaces_are_those_of_the_search() -> None:
    for command in ("map", "explore"):
        choice = next(parameter.type for parameter in ridgeline.commands[command].params if parameter.name == "space")
        assert isinstance(choice, click.Choice)
        assert tuple(choice.choices) == SPACES


def test_a_level_without_room_is_named(tmp_path: Path) -> None:
    text = (CHIPS / "eyeriss-256.toml").read_text().replace("capacity_bytes = 24\n", "capacity_bytes = 1\n")
    (tmp_path / "small.toml").write_text(text.replace('name = "eyeriss-256"', 'name = "small"'))
    result = run("resnet8", "--chip", str(tmp_path / "small.toml"))
    reason = "needs 6 bytes, but it offers 1: 6 for the input, as loops.weight_register runs r whole, 3"
    assert f"level 'input_register' of chip 'small' {reason}" in str(result.exception)


def test_a_folder_that_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    shutil.copy(CHIPS / "eyeriss-256.toml", tmp_path / "own")
    result = run("ds-cnn", *SETTINGS, "--out", str(tmp_path / "own"))
    assert "holds files that Ridgeline did not make" in str(result.exception)
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["eyeriss-256.toml"]


def test_every_level_appears(summary: dict[str, object]) -> None:
    layers = summary["layers"]
    assert isinstance(layers, list)
    names = ["mac", *(level.name for level in read_chip("eyeriss-256").levels)]
    assert list(layers[0]["energy_by_level"]) == names


def test_fuse(tmp_path: Path) -> None:
    result = run("resnet8", "--chip", "tpu-like", "--fuse", "--json", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    alone = found["fused"]["alone"]
    assert found["total"]["energy_pj"] * found["total"]["cycles"] < alone["energy_pj"] * alone["cycles"]
    assert found["total"]["energy_pj"] == pytest.approx(sum(layer["energy_pj"] for layer in found["layers"]))
    assert found["total"]["macs"] == zoo.entry("resnet8").macs
    assert found["fused"]["segments"]
    assert found["certificate"]["fused"]
    assert alone["certificate"]["optimal"]
    by_name = {layer["name"]: layer for layer in found["layers"]}
    for segment in found["fused"]["segments"]:
        for first, second in pairwise(segment["layers"]):
            assert "output" not in by_name[first]["traffic_bytes"]["dram"]
            assert "input" not in by_name[second]["traffic_bytes"]["dram"]
    assert "Layers together" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tpu-like", "--search", "random"), "leave --search out"),
        (("tpu-like", "--conventions", "zigzag", "--objective", "energy"), "leave --conventions zigzag out"),
        (("systolic-32",), "no level on it serves the whole array"),
    ],
)
def test_fuse_is_refused_where_it_means_nothing(words: tuple[str, ...], message: str) -> None:
    result = run("resnet8", "--fuse", "--chip", *words)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
