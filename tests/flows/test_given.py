"""`ridgeline map --mapping`, and Timeloop's files as network and chip."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.cli.command import refused
from tests.mapping.test_estimate import PUBLISHED, PUBLISHED_PJ_A_MAC

from ridgeline.algorithm.timeloop import FREE, read_timeloop_problem
from ridgeline.cli.commands import ridgeline
from ridgeline.errors import RidgelineError
from ridgeline.flows.map import MapOptions, map_network
from ridgeline.hardware.chip import LOOP_AXES
from ridgeline.hardware.timeloop import read_timeloop
from ridgeline.mapping.count import count
from ridgeline.mapping.exchange.given import file_names
from ridgeline.mapping.exchange.timeloop import read_timeloop_mapping
from ridgeline.mapping.loops import TIMELOOP

FOLDER = Path(__file__).parents[2] / "examples/timeloop"
LAYER, CHIP = str(FOLDER / "layer.yaml"), str(FOLDER / "architecture.yaml")
ENERGIES, MAPPING = FOLDER / "energies.yaml", FOLDER / "mapping.yaml"
NAMES = {
    "DRAM": "dram",
    "GlobalBuffer": "glb",
    "InputRegFile": "input_register",
    "WeightRegFile": "weight_register",
    "PsumRegFile": "sum_register",
}
SMALL = ("resnet8", "--chip", "eyeriss-256", "--conventions", "timeloop", "--layers", "stack1")


def options(**changed: object) -> MapOptions:
    return MapOptions(**({"network": LAYER, "chip": CHIP, "energies": ENERGIES, "mapping": MAPPING, "rules": "timeloop"} | changed))  # type: ignore[arg-type]


def test_the_published_mapping_costs_what_timeloop_printed() -> None:
    """688,128 cycles, 726.06 uJ, and every level's energy and accesses (one run of Timeloop 4cf6d4c)."""
    found = map_network(options())
    layer = found["layers"][0]
    assert found["total"]["cycles"] == layer["cycles"] == 688_128
    assert found["total"]["energy_pj"] / 1e6 == pytest.approx(726.06, abs=0.005)
    assert layer["utilization"] == pytest.approx(0.65625)
    for level, energy in PUBLISHED_PJ_A_MAC.items():
        name = next((ours for ours, other in NAMES.items() if other == level), level)
        assert layer["energy_by_level"][name] / layer["macs"] == pytest.approx(energy, rel=2e-5)
    nest = read_timeloop_problem(Path(LAYER)).work.layers[0].nest
    chip = read_timeloop(Path(CHIP), ENERGIES)
    totals = dict.fromkeys(PUBLISHED, 0)
    for (level, _), access in count(read_timeloop_mapping(MAPPING, nest, chip), nest, chip, TIMELOOP).accesses.items():
        totals[NAMES[level]] += access.reads + access.writes + access.partial_reads + access.partial_writes
    assert totals == PUBLISHED


def test_nothing_is_claimed_of_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["map", LAYER, "--chip", CHIP, "--energies", str(ENERGIES), "--mapping", str(MAPPING), "--conventions", "timeloop"]
    result = CliRunner().invoke(ridgeline, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "certificate  given: nothing is claimed\n" in result.stdout
    assert "partial mappings" not in result.stdout
    found = json.loads((tmp_path / "out/mapping.json").read_text())
    assert found["certificate"] == {"optimal": None, "gap": None, "space": "given", "conventions": "timeloop"}
    page = (tmp_path / "out/report.html").read_text()
    assert "mappings as given: nothing is claimed" in page
    assert "pruned with proof" not in page


def test_what_a_search_writes_costs_the_same_again(tmp_path: Path) -> None:
    """From our JSON, from its folder, and from Timeloop's file of each layer."""
    out = tmp_path / "out"
    result = CliRunner().invoke(ridgeline, ["map", *SMALL, "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    names = [layer["name"] for layer in made["layers"]]
    assert len(names) > 1
    files = sorted(path.name for path in (out / "mappings").iterdir())
    assert files == sorted(f"{name}.{kind}.yaml" for name in names for kind in ("timeloop", "problem"))
    for given in (out, out / "mapping.json", out / "mappings"):
        again = map_network(MapOptions(network="resnet8", chip="eyeriss-256", rules="timeloop", layers="stack1", mapping=given))
        assert again["total"] == made["total"]
        assert [layer["traffic_bytes"] for layer in again["layers"]] == [layer["traffic_bytes"] for layer in made["layers"]]


def test_a_searched_layer_of_timeloop_is_as_the_catalogue_finds_it() -> None:
    """The chip that was read and the catalogue's are one to a search."""
    ours = map_network(options(mapping=None, space="timeloop"))
    known = map_network(MapOptions(network=LAYER, chip="eyeriss-256", rules="timeloop", space="timeloop"))
    assert ours["certificate"]["optimal"]
    assert ours["total"]["cycles"] == known["total"]["cycles"]
    assert ours["total"]["energy_pj"] == pytest.approx(known["total"]["energy_pj"], rel=1e-9)


def test_what_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = ["--chip", "eyeriss-256", "--mapping"]
    (tmp_path / "odd.yaml").write_text("loops: []\n")
    (tmp_path / "odd.json").write_text('{"layers": [{"name": "conv1.conv", "mapping": {"loops": [], "positions": {"input": {}}}}]}')
    (tmp_path / "none.json").write_text('{"layers": []}')
    (tmp_path / "empty").mkdir()
    (tmp_path / "short.json").write_text(
        '{"layers": [{"name": "conv1.conv", "mapping": {"loops": [], "positions": {"input": {"dram": 0}, "weight": {"dram": 0}, "output": {}}}}]}'
    )
    for words, message in (
        (["resnet8", *given, str(MAPPING)], "is the mapping of one layer, and there are 10; name one with --layers, or give a folder"),
        (["resnet8", *given, str(tmp_path / "odd.yaml"), "--layers", "conv1"], "odd.yaml' is no mapping: a mapping.json of Ridgeline, a YAML of"),
        (["resnet8", *given, str(tmp_path / "odd.json"), "--layers", "conv1"], "odd.json' is no mapping.json of Ridgeline: Object missing"),
        (["resnet8", *given, str(tmp_path / "none.json"), "--layers", "conv1"], "none.json' has no mapping of layer 'conv1.conv'; it has"),
        (["resnet8", *given, str(tmp_path / "short.json"), "--layers", "conv1"], "short.json': layer 'conv1.conv': mapping: the loops over 'm'"),
        (["resnet8", *given, str(tmp_path / "empty"), "--layers", "conv1"], "conv1.conv.timeloop.yaml' cannot be read: No such file"),
        (["resnet8", *given, "missing.json"], "'missing.json' cannot be read: No such file"),
        (["resnet8", *given, str(MAPPING), "--budget", "3"], "is costed as it is; --store, --budget and --search are for a search"),
        (["resnet8", "--chip", "eyeriss-256", "--energies", str(ENERGIES)], "is for a chip in Timeloop's YAML"),
        ([LAYER, "--chip", CHIP], "DRAM has no energy for 'read'; give --energies a file with an ERT that has a table 'DRAM'"),
        ([LAYER, "--chip", "eyeriss-256", "--batch", "4"], "--batch is the extent of a dynamic axis"),
        ([CHIP, "--chip", "eyeriss-256"], "has no 'problem:' at its outermost level"),
        (["missing.yaml", "--chip", "eyeriss-256"], "'missing.yaml' cannot be read: No such file"),
    ):  # fmt: skip
        assert message in refused(capsys, "map", *words)


def test_a_tile_too_large_names_its_layer_and_level(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(Path(CHIP).read_text().replace("depth: 16384", "depth: 4096"))
    with pytest.raises(
        RidgelineError, match=r"layer 'layer': tiles of 130,048 bytes at level 'GlobalBuffer' of chip 'small', which holds 32,768"
    ):
        map_network(options(chip=str(tmp_path / "small.yaml")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("C: 64, M: 64", "C: 64, M: 0", "instance: M is 0; it must be a whole number of 1 or more"),
        ("C: 64, M: 64", "C: 64", "instance: M is None"),
        ("C: 64, M: 64", "C: 9000000000, M: 9000000000", "iterations; at most 2^62 can be counted"),
        ("N: 1", "N: 1, X: 3", "instance: 'X' is no dimension and no coefficient"),
        ("N: 1", "N: 1, densities: {Inputs: 0.5}", "densities of Inputs; a nest is dense"),
        ("N: 1", "N: 1, Wstride: -1", "coefficient Wstride is -1; a nest's steps are whole numbers of 1 or more"),
        ("[R, Wdilation]", "[R, P]", "projection R*P is no dimension times coefficients"),
        ("[R, Wdilation]", "[R, Wd]", "projection names 'Wd', which is no dimension and no coefficient"),
        ("[R, Wdilation]", "[P, Wdilation]", "dimension 'P' stands twice in one index"),
        ("[[R]], [[S]]]", "[[R]]]\n    - name: Bias\n      projection: [[[M]]]", "data spaces Weights, Bias, Inputs, Outputs; a layer has two"),
        ("read_write: True", "read_write: False", "data space Outputs has read_write False; only Outputs are written"),
        ("dimensions: [C,", "dimensions: [C, C,", "dimensions name 'C' twice"),
        ("dimensions: [C,", "dimensions: [Q1, Q2, Q3, Q4, C,", "dimension 'Q4' is one too many"),
        ("dimensions: [C,", "dimensions: [D, C,", "instance: D is None"),
        ("projection: [[[C]], [[M]],", "projection: [[[C]], [[M]], [[3]],", "is no list of [dimension] or [dimension, coefficient]"),
        ("name: conv2d", "name: conv2d\n    colour: red", "Object contains unknown field `colour`"),
    ],
)  # fmt: skip
def test_problems_that_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = Path(LAYER).read_text()
    assert old in text
    (tmp_path / "layer.yaml").write_text(text.replace(old, new))
    with pytest.raises(RidgelineError) as caught:
        read_timeloop_problem(tmp_path / "layer.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_dimensions_get_the_axes_that_are_left(tmp_path: Path) -> None:
    text = (
        "problem:\n  shape:\n    dimensions: [M, K, N]\n    data-spaces:\n    - {name: Inputs, projection: [[[M]], [[K]]]}\n"
        "    - {name: Weights, projection: [[[K]], [[N]]]}\n    - {name: Outputs, projection: [[[M]], [[N]]], read-write: True}\n"
        "  instance: {M: 4, K: 5, N: 6}\n"
    )
    (tmp_path / "product.yaml").write_text(text)
    found = read_timeloop_problem(tmp_path / "product.yaml")
    assert found.dimensions == {"M": "m", "K": "g", "N": "n"}
    assert found.work.layers[0].nest.axes == {"m": 4, "g": 5, "n": 6}
    assert found.work.layers[0].nest.reduced == ("g",)
    assert FREE == LOOP_AXES


def test_layers_names_as_files() -> None:
    assert file_names(["/block/conv [0,1]", "..", "conv"]) == ("_block_conv__0_1_", "_", "conv")
    alike = ("a/b", "a_b", "A.b", "a_B")
    assert len({name.lower() for name in file_names(alike)}) == len(alike)
    assert file_names(["x" * 400, "x" * 401])[0].startswith("x" * 150 + "-")
    assert len(set(file_names(["x" * 400, "x" * 401]))) == 2
