"""Chips: every file reads, its peak is the published one, its energies are those of its node, and a bad file is told in one line."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.flows.show import show
from ridgeline.hardware.chip import CHIPS, LOOP_AXES, Chip, chip_names, read_chip
from ridgeline.hardware.node import read_node

CATALOGUE = {
    "a100", "adafloat", "ant-os", "ant-ws", "bbs", "biscaled", "bitfusion", "dstc", "edge-tpu-like", "eyeriss-168", "eyeriss-256",
    "gemmini-default", "h100", "h200", "nvdla-like", "olaccel", "olive", "simba-like",
    "systolic-32", "tpu-like", "tpu-v1",
}  # fmt: skip
PUBLISHED_TOPS = {
    "a100": 312.0,  # NVIDIA's datasheets: dense fp16
    "h100": 989.4,
    "h200": 989.0,
    "dstc": 125.0,  # NVIDIA's V100 whitepaper: its tensor cores, dense fp16
    "tpu-v1": 92.0,  # Jouppi et al., ISCA 2017
    "simba-like": 4.01,  # Zimmer et al., JSSC 2020: one chip
    "eyeriss-168": 0.0672,  # Chen et al., JSSC 2017: 33.6 billion multiply-accumulates a second at 200 MHz
}
PUBLISHED_GB_PER_S = {"a100": 2039, "h100": 3350, "h200": 4800, "dstc": 900, "tpu-v1": 34, "nvdla-like": 20, "simba-like": 100}


def test_the_catalogue() -> None:
    assert set(chip_names()) == CATALOGUE


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_chip(name: str) -> None:
    chip = read_chip(name)
    assert chip.name == name
    for source in (chip.source, chip.mac.source, *(level.source for level in chip.levels)):
        assert len(source) > 20
    for outer, inner in pairwise(chip.levels):
        assert set(inner.serves) <= set(outer.serves), "the search needs levels within levels"
    assert len(chip.levels) <= 7
    assert len(chip.array) <= 4
    for level in chip.levels[1:]:
        smallest = sum(getattr(chip.widths, tensor) for tensor in level.must_keep if tensor != "output")
        smallest += chip.widths.partial if "output" in level.must_keep else 0
        assert level.usable_bytes is not None
        assert smallest <= 8 * level.usable_bytes, "one element of each tensor that must stay there"


@pytest.mark.parametrize(("name", "tops"), PUBLISHED_TOPS.items())
def test_peak(name: str, tops: float) -> None:
    chip = read_chip(name)
    assert chip.peak_tops == pytest.approx(tops, rel=0.02)
    assert chip.peak_tops == 2 * chip.macs * chip.clock_mhz / 1e6


@pytest.mark.parametrize(("name", "gb_per_s"), PUBLISHED_GB_PER_S.items())
def test_dram_bandwidth(name: str, gb_per_s: int) -> None:
    chip = read_chip(name)
    dram = chip.levels[0]
    assert dram.read_bits_per_cycle is not None
    assert dram.read_bits_per_cycle * chip.clock_mhz / 8e3 == pytest.approx(gb_per_s, rel=1e-3)


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_energies_of_a_node(name: str) -> None:
    """Where a source says that an energy is a process node's, it is."""
    chip = read_chip(name)
    for level in chip.levels:
        for node, figure in re.findall(r"energy assumed: node (\w+),? (at [\d,]+ bytes|a register|ddr4|hbm2)", level.source):
            assert level.write_pj_per_bit == pytest.approx(_node_pj(node, figure), rel=5e-3), level.name
            assert level.read_pj_per_bit in (level.write_pj_per_bit, 0), level.name
    for node, number, total in re.findall(r"node (\w+), an (\w+) multiplication and an (\w+) addition", chip.mac.source):
        assert chip.mac.pj == pytest.approx(read_node(node).mac_pj(number, total), rel=5e-3)


def _node_pj(name: str, figure: str) -> float:
    node = read_node(name)
    match figure.split():
        case ["at", size, "bytes"]:
            return node.memory_pj_per_bit(int(size.replace(",", "")))
        case ["a", "register"]:
            return node.register.pj_per_bit
        case _:
            return node.dram_pj_per_bit(figure)  # type: ignore[arg-type]


def test_most_energies_say_where_they_come_from() -> None:
    for name in ("a100", "h100", "h200", "tpu-v1", "nvdla-like", "gemmini-default"):
        chip = read_chip(name)
        assert all("energy assumed: node" in level.source for level in chip.levels), name
        assert chip.mac.source.startswith("assumed: node "), name


def test_zigzags_accesses() -> None:
    """pJ an access of a port's full width, as in tpu_like.yaml and edge_tpu_like.yaml."""
    both = {("dram", 64): (700, 750), ("sram_2mb", 2048): (416.16, 378.4)}
    costs = {
        "tpu-like": both | {("rf_128b", 8): (0.095, 0.095), ("rf_2b", 16): (0.021, 0.021)},
        "edge-tpu-like": both | {("sram_32kb", 512): (22.9, 52.01), ("rf_1b", 8): (0.01, 0.01), ("rf_2b", 16): (0.02, 0.02)},
    }
    for name, table in costs.items():
        chip = read_chip(name)
        assert chip.mac.pj == 0.04
        assert {level for level, _ in table} == {level.name for level in chip.levels}
        for (level, bits), (read, write) in table.items():
            found = chip.level(level)
            assert (found.read_pj_per_bit * bits, found.write_pj_per_bit * bits) == pytest.approx((read, write), rel=1e-9)
            assert set(found.must_keep) == set(found.keeps) or level == "dram", "ZigZag passes no level by"


def test_fixed_dataflows() -> None:
    tpu = read_chip("tpu-v1")
    assert (tpu.unroll["rows"].axes, tpu.unroll["columns"].axes) == (("c",), ("m",))
    weights = tpu.level("weight_register")
    assert weights.write_bits_per_cycle == 8 / 256, "256 cycles to shift a tile in"
    assert weights.usable_bytes == 1
    assert {axis: rule.factors for axis, rule in read_chip("tpu-like").unroll.items()} == {"columns": {"m": 32}, "rows": {"c": 32}}
    assert read_chip("eyeriss-168").unroll == {}


def test_instances() -> None:
    simba = read_chip("simba-like")
    assert [simba.instances(level) for level in simba.levels] == [1, 1, 16, 16, 128, 1024]
    assert simba.level("accumulation_buffer").capacity_bytes == 3072 // 8


def test_a_chip_from_a_file(tmp_path: Path) -> None:
    path = _edited(tmp_path, 'name = "eyeriss-256"', 'name = "mine"')
    assert read_chip(path).name == "mine"
    assert read_chip(str(path)) == read_chip(path)


def test_unknown_chip_and_level() -> None:
    with pytest.raises(UnknownNameError, match=re.escape("unknown chip 'eyeris-168'; did you mean 'eyeriss-168'?")):
        read_chip("eyeris-168")
    with pytest.raises(UnknownNameError, match=re.escape("unknown level 'gbl'; did you mean 'glb'?")):
        read_chip("eyeriss-168").level("gbl")


@pytest.mark.parametrize("path", ["nowhere.toml", "some/where"])
def test_a_file_that_is_not_there(path: str) -> None:
    with pytest.raises(InputError, match=f"chip file '{path}' does not exist"):
        read_chip(path)


REGISTER = """name = "input_register"
keeps = ["input"]
must_keep = ["input"]
serves = []"""
AXES = ", ".join(LOOP_AXES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("node_nm = 45", "node_nm = 45\nvoltage = 1", "Object contains unknown field `voltage`"),
        ("capacity_bytes = 131_072", "capacity = 131_072", "Object contains unknown field `capacity` - at `$.levels[1]`"),
        ("pj = 1.0", "", "Object missing required field `pj` - at `$.mac`"),
        ('name = "glb"', "", "Object missing required field `name` - at `$.levels[1]`"),
        ("write_pj_per_bit = 0.4629375", "", "Object missing required field `write_pj_per_bit` - at `$.levels[1]`"),
        ("pj = 1.0", "pj = -1.0", "Expected `float` >= 0.0 - at `$.mac.pj`"),
        ("read_pj_per_bit = 0.4629375", "read_pj_per_bit = -1", "Expected `float` >= 0.0 - at `$.levels[1].read_pj_per_bit`"),
        ("capacity_bytes = 131_072", "capacity_bytes = -1", "Expected `int` >= 1 - at `$.levels[1].capacity_bytes`"),
        ("capacity_bytes = 131_072", "capacity_bytes = 1.5", "Expected `int | null`, got `float` - at `$.levels[1].capacity_bytes`"),
        ('keeps = ["weight"]', 'keeps = ["weights"]', "Invalid enum value 'weights' - at `$.levels[3].keeps[0]`"),
        ('keeps = ["weight"]', "keeps = []", "level 'weight_register' keeps no tensor"),
        ("rows = 16", "rows = 0", "Expected `int` >= 1 - at `$.array[...]`"),
        ("rows = 16\ncolumns = 16", "", "a chip has an [array] of one axis or more, and one [[levels]] or more"),
        ('name = "input_register"', 'name = "glb"', "two levels are called 'glb'"),
        (REGISTER, REGISTER.replace("[]", '["row"]'), "level 'input_register' serves 'row', but the array has axes rows, columns"),
        (
            'must_keep = ["input", "output"]\nserves = ["rows", "columns"]',
            'must_keep = ["input", "output"]\nserves = ["rows", "columns"]\none_port = true',
            "level 'glb': with one_port, reads and writes share read_bits_per_cycle: give that, and no write_bits_per_cycle",
        ),
        ('must_keep = ["weight"]', 'must_keep = ["input"]', "level 'weight_register' must keep the input, which is not in its 'keeps'"),
        (
            'name = "dram"\nserves = ["rows", "columns"]',
            'name = "dram"\nserves = ["rows"]',
            "level 'glb' serves 'columns' but 'dram', which feeds it the input, does not",
        ),
        (
            'name = "dram"\n',
            'name = "dram"\nkeeps = ["input", "output"]\n',
            "the outermost level 'dram' does not keep the weight; every tensor starts or ends there",
        ),
        ('name = "dram"\n', 'name = "dram"\ncapacity_bytes = 1\n', "the outermost level 'dram' has a capacity_bytes; leave it out"),
        ("[unroll.rows]", "[unroll.lines]", "unroll: the array has no axis 'lines'; it has rows, columns"),
        ("[loops.dram]", "[loops.drum]", "loops: no level is called 'drum'; there are dram, glb, input_register, weight_register, sum_register"),
        ('axes = ["x", "m"]', 'axes = ["x", "k"]', f"unroll.columns names the loop axis 'k'; loop axes are {AXES}"),
        ('axes = ["x", "m"]', "factors = { k = 2 }", f"unroll.columns names the loop axis 'k'; loop axes are {AXES}"),
        ('whole = ["r"]', 'whole = ["s"]', f"loops.weight_register names the loop axis 's'; loop axes are {AXES}"),
        ('order = ["y", "n", "m"]', 'order = ["p"]', f"loops.glb names the loop axis 'p'; loop axes are {AXES}"),
        ('axes = ["x", "m"]', "factors = { x = 4, m = 8 }", "unroll.columns: its factors make 32, but the array has 16 along 'columns'"),
        ("[array]", '[homes]\ninput = "gbl"\n\n[array]', "homes.input: no level is called 'gbl'; there are dram, glb, input_register, "),
        ("[array]", '[homes]\nweight = "glb"\n\n[array]', "homes.weight: level 'glb' does not keep the weight"),
        (
            "[array]",
            '[homes]\nweight = "weight_register"\n\n[array]',
            "homes.weight: level 'weight_register' does not serve 'rows'; one instance must hold the whole tensor",
        ),
        ("[array]", '[homes]\nsums = "glb"\n\n[array]', "Invalid enum value 'sums' - at `key` in `$.homes`"),
        ("[array]", "[array", "is no TOML: Expected ']' at the end of a table declaration"),
    ],
)
def test_bad_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = _edited(tmp_path, old, new)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_chip(path)
    assert str(caught.value).startswith(f"chip file '{path}'")
    assert "\n" not in str(caught.value)


def test_a_tensor_that_no_level_keeps(tmp_path: Path) -> None:
    text = (CHIPS / "eyeriss-256.toml").read_text()
    text = text.replace('name = "dram"\n', 'name = "dram"\nkeeps = ["input", "output"]\n').replace('keep = ["weight"]', 'keep = ["input"]')
    (tmp_path / "mine.toml").write_text(text.replace('keeps = ["weight"]', 'keeps = ["input"]'))
    with pytest.raises(InputError, match=re.escape("no level keeps the weight; the outermost, 'dram', must keep every tensor")):
        read_chip(tmp_path / "mine.toml")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "noise.toml"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match=re.escape(f"chip file '{path}' is no TOML")):
        read_chip(path)


def test_homes_are_read(tmp_path: Path) -> None:
    chip = read_chip(_edited(tmp_path, "[array]", '[homes]\ninput = "glb"\noutput = "glb"\n\n[array]'))
    assert chip.homes == {"input": "glb", "output": "glb"}


def test_a_chip_is_frozen() -> None:
    chip: Chip = read_chip("tpu-v1")
    with pytest.raises(AttributeError):
        chip.clock_mhz = 1.0  # type: ignore[misc]


def test_show_chips() -> None:
    shown = show("chips")
    assert shown.head == ("name", "node nm", "MACs", "clock MHz", "peak TOPS", "levels", "runs", "decoders")
    assert {row[0] for row in shown.rows} == CATALOGUE
    assert next(row for row in shown.rows if row[0] == "tpu-v1")[1:5] == (28, 65_536, 700.0, pytest.approx(91.75, abs=0.01))
    assert [entry["name"] for entry in shown.values["chips"]] == sorted(CATALOGUE)


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_show_a_chip(name: str) -> None:
    shown, chip = show(name), read_chip(name)
    parts = [str(row[0]).partition(":")[0] for row in shown.rows]
    assert parts == [*(level.name for level in chip.levels), "multipliers", *(item.name.partition(":")[0] for item in chip.decoders)]
    assert all(len(row) == len(shown.head) for row in shown.rows)
    values: dict[str, Any] = json.loads(json.dumps(shown.values))
    assert (values["macs"], values["peak_tops"]) == (chip.macs, chip.peak_tops)
    assert [level["instances"] for level in values["levels"]] == [chip.instances(level) for level in chip.levels]


def test_show_says_what_a_level_is() -> None:
    rows = {str(row[0]): row[1:] for row in show("eyeriss-168").rows}
    assert rows["dram"] == (1, None, "input, weight, output", "rows, columns", "12.5", "28.8 together")
    assert rows["glb"] == (1, 102_400, "input, output", "rows, columns", "0.375", "80 read, 64 written")
    assert rows["input_spad"] == (168, 24, "input", "one multiplier", "0.0625 read, 0.1875 written", "unlimited")
    assert rows["multipliers: 12 rows, 14 columns"] == (168, None, "-", "-", "1 a MAC", "0.0672 TOPS")
    rows = {str(row[0]): row[1:] for row in show("tpu-v1").rows}
    assert rows["unified_buffer"][-1] == "2,048 each way"
    assert rows["weight_fifo"][-1] == "2,048 read, unlimited written"


def test_show_a_chip_of_ones_own(tmp_path: Path) -> None:
    path = _edited(tmp_path, 'name = "eyeriss-256"', 'name = "mine"')
    assert show(str(path)).head[0] == "mine, 1000 MHz"
    path = _edited(tmp_path, "pj = 1.0", "pj = -1.0")
    with pytest.raises(InputError, match=re.escape(f"chip file '{path}': Expected `float` >= 0.0 - at `$.mac.pj`")):
        show(str(path))
    with pytest.raises(UnknownNameError, match=re.escape("unknown name 'simba'; did you mean 'simba-like'?")):
        show("simba")


def _edited(folder: Path, old: str, new: str) -> Path:
    text = (CHIPS / "eyeriss-256.toml").read_text()
    assert text.count(old) == 1, old
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new))
    return path
