"""Timeloop's architecture YAML as a chip, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ridgeline.errors import InputError, RidgelineError, UnsupportedError
from ridgeline.hardware.chip import Chip, read_chip
from ridgeline.hardware.timeloop import read_timeloop

EXAMPLES = Path(__file__).parents[2] / "examples/timeloop"
CONVOLUTION = {"n", "m", "c", "y", "x", "r", "q"}  # the seven dimensions of the published constraints
NAMES = {
    "DRAM": "dram",
    "GlobalBuffer": "glb",
    "InputRegFile": "input_register",
    "WeightRegFile": "weight_register",
    "PsumRegFile": "sum_register",
}
SIDES = {"columns": "columns", "rows_y": "rows"}
SMALL = """
architecture:
  version: 0.4
  nodes:
  - !Container {name: system, attributes: {technology: "32nm", global_cycle_seconds: 2e-9}}
  - !Component {name: memory, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Container {name: PE, spatial: {meshX: 14, meshY: 12}}
  - !Component
    name: buffer
    class: smartbuffer_RF
    attributes: {depth: 16, width: 16, datawidth: 8, n_banks: 2, shared_bandwidth: 2, multiple-buffering: 2}
    constraints: {dataspace: {keep: [Inputs], bypass: [Weights]}}
  - !Component {name: sums, class: regfile, attributes: {depth: 4, width: 16, datawidth: 16}, constraints: {dataspace: {keep_only: [Outputs]}}}
  - !Component {name: mac, class: intmac, attributes: {multiplier_width: 8, adder_width: 16, energy_per_op: 0.5}}
ERT:
  version: '0.4'
  tables:
  - {name: "system_top_level.memory[1..1]", actions: [{name: read, energy: 512}, {name: write, energy: 256}, {name: leak, energy: 1.0}]}
  - {name: "system_top_level.buffer[1..168]", actions: [{name: read, energy: 3.2, arguments: {}}, {name: write, energy: 1.6}]}
  - {name: "system_top_level.sums[1..168]", actions: [{name: read, energy: 4}, {name: write, energy: 2}, {name: update, energy: 2}]}
"""
OLD = """
architecture:
  version: 0.3
  subtree:
  - name: system
    local:
    - {name: "memory[1..1]", class: DRAM, attributes: {width: 64, datawidth: 8, vector_access_energy: 64}}
    - {name: "buffer[1..1]", class: SRAM, attributes: {entries: 1024, word-bits: 8, block-size: 2, vector-access-energy: 4}}
    subtree:
    - name: PE[0..167]
      local:
      - {name: registers, class: regfile, attributes: {depth: 8, width: 8, datawidth: 8, meshX: 14, vector_access_energy: 0.8}}
      - {name: mac, class: intmac, attributes: {datawidth: 8, meshX: 14, energy_per_op: 0.25}}
"""


def read(folder: Path, text: str = SMALL) -> Chip:
    (folder / "arch.yaml").write_text(text)
    return read_timeloop(folder / "arch.yaml")


def test_eyeriss_is_the_catalogues() -> None:
    """But for names, sources, and the axes that the published constraints do not name: g, z and t."""
    chip, known = read_timeloop(EXAMPLES / "architecture.yaml", EXAMPLES / "energies.yaml"), read_chip("eyeriss-256")
    assert (chip.clock_mhz, chip.node_nm, chip.widths, chip.mac.pj) == (known.clock_mhz, known.node_nm, known.widths, known.mac.pj)
    assert {SIDES[axis]: size for axis, size in chip.array.items()} == known.array
    for ours, other in zip(chip.levels, known.levels, strict=True):
        assert (NAMES[ours.name], {SIDES[axis] for axis in ours.serves}) == (other.name, set(other.serves))
        assert ours.read_pj_per_bit == pytest.approx(other.read_pj_per_bit, rel=1e-12)
        assert ours.write_pj_per_bit == pytest.approx(other.write_pj_per_bit, rel=1e-12)
        same = {"name": "-", "serves": (), "source": "-", "read_pj_per_bit": 0.0, "write_pj_per_bit": 0.0}
        assert msgspec.structs.replace(ours, **same) == msgspec.structs.replace(other, **same)
    for side, axis in SIDES.items():
        spread, rule = chip.unroll[side], known.unroll[axis]
        assert set(spread.axes or ()) & CONVOLUTION == set(rule.axes or ())
        assert (spread.whole, spread.factors) == (rule.whole, rule.factors)
    for name, other in NAMES.items():
        limits, narrow = chip.loops[name], known.loops[other]
        assert set(limits.axes or ()) & CONVOLUTION == set(narrow.axes or ()) & CONVOLUTION
        assert limits.whole == narrow.whole
        assert limits.order == tuple(axis for axis in narrow.order if axis != "g")


def test_words_blocks_and_buffers(tmp_path: Path) -> None:
    chip = read(tmp_path)
    memory, buffer, sums = chip.levels
    assert (chip.name, chip.clock_mhz, chip.node_nm, chip.array) == ("arch", 500, 32, {"PE_x": 14, "PE_y": 12})
    assert (memory.read_pj_per_bit, memory.write_pj_per_bit, memory.capacity_bytes) == (8, 4, None)
    assert (buffer.keeps, buffer.must_keep) == (("input", "output"), ("input",))
    assert (buffer.capacity_bytes, buffer.usable_bytes, buffer.one_port, buffer.read_bits_per_cycle) == (32, 16, True, 16)
    assert buffer.read_pj_per_bit == pytest.approx(0.2)
    assert (sums.keeps, sums.must_keep, sums.capacity_bytes) == (("output",), ("output",), 4)  # 4 words of the memory's 8 bits
    assert sums.read_pj_per_bit * 8 == 4  # pJ of one of its words
    assert [chip.instances(level) for level in chip.levels] == [1, 168, 168]


def test_the_older_form(tmp_path: Path) -> None:
    chip = read(tmp_path, OLD)
    assert chip.array == {"buffer_x": 14, "buffer_y": 12}
    assert [(level.name, level.capacity_bytes, level.read_pj_per_bit, chip.instances(level)) for level in chip.levels] == [
        ("memory", None, 1, 1), ("buffer", 1024, 0.25, 1), ("registers", 8, 0.1, 168),
    ]  # fmt: skip
    assert chip.mac.pj == 0.25


def test_constraints_of_a_file_of_its_own(tmp_path: Path) -> None:
    text = OLD + (
        "architecture_constraints:\n  targets:\n"
        "  - {target: registers, type: bypass, keep: [Weights], bypass: [Inputs, Outputs]}\n"
        "  - {target: buffer, type: spatial, factors: C8 M1 N1, permutation: CMNPQRS, split: 2}\n"
        "  - {target: buffer, type: temporal, factors: R0, permutation: RS}\n"
    )
    chip = read(tmp_path, text)
    assert chip.level("registers").keeps == ("weight",)
    assert (chip.unroll["buffer_x"].axes, chip.unroll["buffer_x"].factors) == (("c",), {"c": 8})
    assert set(chip.unroll["buffer_y"].axes or ()) == {"g", "y", "x", "r", "q", "z", "t"}
    assert (chip.loops["buffer"].whole, chip.loops["buffer"].order) == (("r",), ("r", "q"))


def test_containers_hand_on_the_width_of_a_word(tmp_path: Path) -> None:
    text = SMALL.replace("global_cycle_seconds: 2e-9", "global_cycle_seconds: 2e-9, datawidth: 8").replace(
        "{depth: 16, width: 16, datawidth: 8,", "{memory_depth: 16, memory_width: 16, nports: 2,"
    )
    assert read(tmp_path, text).levels == read(tmp_path).levels


def test_a_chip_without_a_fan_out_has_one_multiplier(tmp_path: Path) -> None:
    chip = read(tmp_path, SMALL.replace(", spatial: {meshX: 14, meshY: 12}", ""))
    assert (chip.array, chip.macs) == ({"mac": 1}, 1)
    assert all(level.serves == ("mac",) for level in chip.levels)


BUFFER = "keep: [Inputs], bypass: [Weights]"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "datawidth: 8, n_banks: 2",
            "datawidth: 8, colour: 2",
            "buffer: attribute 'colour' is not read; a chip is made of width, datawidth",
        ),
        ("name: buffer", "name: buffer\n    colour: 2", "Object contains unknown field `colour`"),
        ("multiple-buffering: 2", "multiple-buffering: 3", "buffer: multiple_buffering is 3; a chip's level has one buffer or two"),
        ("width: 16, datawidth: 8, n", "width: 12, datawidth: 8, n", "buffer: width 12 is not block-size times datawidth 8"),
        ("n_banks: 2", "cluster_size: 4", "buffer: cluster_size is 4; a chip can only say 1"),
        ("depth: 16, ", "depth: 2*8, ", "depth is '2*8'; it must be a number of 0 or more (expressions are not read)"),
        ("smartbuffer_RF", "XY_NoC", "buffer: class 'XY_NoC' has no counterpart in a chip"),
        ("{name: write, energy: 1.6}", "{name: leak, energy: 0}", "buffer has no energy for 'write'; give --energies a file with an ERT"),
        (
            "{name: update, energy: 2}",
            "{name: update, energy: 3}",
            "sums: an update takes 3 pJ and a write 2; a chip has one energy for both",
        ),
        (", energy_per_op: 0.5", "", "mac has no energy for 'compute'; give --energies a file with an ERT that has a table 'mac'"),
        (BUFFER, "keep: [Inputs], bypass: [Inputs]", "the input is in keep and in bypass"),
        (BUFFER, "keep: [Filters]", "'Filters' is no tensor; there are Inputs, Weights, Outputs"),
        ("- !Container {name: PE", "- !Pipelined {name: PE", "!Pipelined has no counterpart in a chip"),
        ("- !Container {name: PE", "- !Pipeline {name: PE", "!Pipeline is no mapping with one of the tags"),
        ("meshY: 12", "meshY: 0", "PE: spatial has meshX 14 and meshY 0; both must be 1 or more"),
        ("class: intmac", "class: regfile", "a chip has one memory or more, and one compute component"),
        ("{dataspace: {" + BUFFER, "{temporal: {factors: [C=4]}, dataspace: {" + BUFFER, "temporal factor 4 over axis 'c'; a chip's loops"),
        ("{dataspace: {" + BUFFER, "{temporal: {factors: [X=1]}, dataspace: {" + BUFFER, "'X' is no dimension; there are N, G, C, M, K"),
        ("{dataspace: {" + BUFFER, "{temporal: {factors: ['C<=4']}, dataspace: {" + BUFFER, "factors 'C<=4' are none such as 'C=4'"),
        ("{dataspace: {" + BUFFER, "{temporal: {no_reuse: [Inputs]}, dataspace: {" + BUFFER, "'no_reuse' has no counterpart in a chip"),
        ("ERT:", "sparse_optimizations: {}\nERT:", "'sparse_optimizations:' is not read"),
        ("architecture:", "arch:", "has no 'architecture:'"),
        ("version: 0.4", "version: 0.4\n  version: 0.4", "the key 'version' stands twice"),
        ("nodes:", "nodes: [", "is no YAML of Timeloop"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(RidgelineError) as caught:
        read(tmp_path, SMALL.replace(old, new, 1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
        "a: &a {k: 1}\n" + "".join(f"b{n}: &{chr(98 + n)} {{'<<': 1}}\n" for n in range(2)) + "c: " + "[" * 5000,
        "architecture: &a [*a]",
        "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)),
        "architecture: !!python/object/apply:os.system [ls]",
        "\x00\x01",
        "- 1\n- 2",
        "architecture: {nodes: [" + "1" * 5000 + "]}",
    ],
)
def test_hostile_files_give_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_two_parallel_memories_keep_different_tensors(tmp_path: Path) -> None:
    text = (EXAMPLES / "architecture.yaml").read_text()
    with pytest.raises(InputError, match="the input is kept in two branches of one !Parallel, 'InputRegFile' and 'WeightRegFile'"):
        read(tmp_path, text.replace("keep: [Weights]", "keep: [Inputs]"))
    with pytest.raises(InputError, match="WeightRegFile: it is one of several in parallel; say which tensors it keeps"):
        read(tmp_path, text.replace("dataspace: {keep: [Weights]}", "dataspace: {}"))
    with pytest.raises(UnsupportedError, match="the outermost memory of a chip keeps all tensors"):
        read(tmp_path, SMALL.replace("datawidth: 8}}", "datawidth: 8}, constraints: {dataspace: {bypass: [Inputs]}}}", 1))
