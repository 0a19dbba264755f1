"""`ridgeline map` by ZigZag's rules, and with its mapping YAML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ridgeline.cli.commands import ridgeline

SETTINGS = ("resnet8", "--chip", "tpu-like")


def run(*words: str) -> Result:
    return CliRunner().invoke(ridgeline, ["map", *SETTINGS, *words])


def test_found_written_and_costed_again(tmp_path: Path) -> None:
    found = run("--conventions", "zigzag", "--objective", "energy", "--out", str(tmp_path / "out"))
    assert found.exit_code == 0, found.output
    assert "energy in the space 'zigzag', without a proof" in found.stdout
    made = json.loads((tmp_path / "out" / "mapping.json").read_text())
    assert made["certificate"] == {"optimal": None, "gap": None, "space": "zigzag", "conventions": "zigzag"}
    assert "without a proof" in (tmp_path / "out" / "report.html").read_text()
    file = tmp_path / "out" / "zigzag-mapping.yaml"
    again = json.loads(run("--conventions", "zigzag", "--mapping", str(file), "--json").stdout)
    assert again["total"] == made["total"]
    slowest = json.loads(run("--conventions", "zigzag", "--latency", "slowest", "--mapping", str(file), "--json").stdout)
    assert slowest["total"]["energy_pj"] == made["total"]["energy_pj"]
    assert slowest["total"]["cycles"] < made["total"]["cycles"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--conventions", "zigzag"), "--conventions zigzag searches for --objective energy or latency"),
        (("--latency", "stalls"), "--latency stalls is for --mapping FILE, and --conventions zigzag"),
    ],
)
def test_what_is_not_searched(words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert message in str(result.exception)


def test_why_zigzags_file_is_not_written(tmp_path: Path) -> None:
    words = ["map", "vgg16", "--chip", "tpu-like", "--layers", "conv2_1", "--conventions", "zigzag", "--objective", "energy"]
    assert "zigzag-mapping" not in CliRunner().invoke(ridgeline, words).stderr
    result = CliRunner().invoke(ridgeline, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "no zigzag-mapping.yaml: layer 'conv2_1' in ZigZag's mapping YAML: it cannot be written as loops over contiguous tiles" in result.stderr
    assert not (tmp_path / "out" / "zigzag-mapping.yaml").exists()
    assert (tmp_path / "out" / "mapping.json").exists()
