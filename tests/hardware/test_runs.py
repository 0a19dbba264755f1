"""What chips say that they run: every declaration reads, rates are the datasheets', and what cannot be is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ridgeline.errors import InputError
from ridgeline.flows.show import show
from ridgeline.formats import format_names, read_format
from ridgeline.formats.sparsity import families
from ridgeline.hardware.chip import CHIPS, chip_names, read_chip
from ridgeline.hardware.rates import read_speeds, speeds_names
from ridgeline.hardware.runs import declared, matches

# Dense tera-operations a second: NVIDIA's datasheets of the A100, H100 SXM and H200.
PUBLISHED = {
    ("a100", "int8"): 624, ("a100", "int4"): 1248, ("h100", "e4m3"): 1979, ("h100", "int8"): 1979, ("h200", "e5m2"): 1979, ("h200", "int8"): 1979,
}  # fmt: skip
PATTERNS = ("2:4", "1:8", "4:16", "bank16:50%", "bitmap", "block4:50%", "unstructured:80%")


@pytest.mark.parametrize("name", chip_names())
def test_every_declaration(name: str) -> None:
    chip = read_chip(name)
    assert chip.format is not None
    assert read_format(chip.format).bits == chip.widths.weight == chip.widths.input
    for run in chip.runs:
        for number in (*run.weights, *run.inputs):
            assert read_format(number).name
        assert run.speeds is None or run.speeds in speeds_names()
        assert "none" in run.patterns or any(matches(known, pattern) for known in run.patterns for pattern in PATTERNS), run.patterns
        assert len(run.source) > 20
    for decodes in chip.decodes:
        for known in decodes.weights:
            assert any(matches(known, number) for number in format_names()), known
    assert families()


@pytest.mark.parametrize(("name", "number"), PUBLISHED)
def test_dense_rates_are_the_datasheets(name: str, number: str) -> None:
    chip = read_chip(name)
    run = next(run for run in chip.runs if number in run.weights and run.patterns == ("none",))
    assert chip.peak_tops * run.rate == pytest.approx(PUBLISHED[name, number], rel=2e-3)


def test_speeds_of_2_to_4_are_never_flat() -> None:
    for name in ("a100", "h100", "h200"):
        for run in read_chip(name).runs:
            if run.patterns == ("2:4",):
                assert run.speeds is not None
                speeds = read_speeds(run.speeds)
                assert speeds.at((256, 256, 256)) < 1.1 < speeds.at((8192, 8192, 8192))


def test_the_table_of_chips_says_what_they_run() -> None:
    shown = show("chips")
    column = shown.head.index("runs")
    rows = {row[0]: row[column] for row in shown.rows}
    assert rows["tpu-v1"] == "int8"
    assert rows["dstc"] == "float16; float16 in *"
    assert rows["olive"] == "; ".join(declared(read_chip("olive")))
    assert rows["a100"] == "bfloat16; float16; int8; int4; float16 or bfloat16 in 2:4; int8 in 2:4; more decoded at 'registers'"


def test_the_table_of_chips_says_where_they_decode() -> None:
    shown = show("chips")
    column = shown.head.index("decoders")
    rows = {row[0]: row[column] for row in shown.rows}
    assert rows["ant-os"] == "128 along rows and columns, not in the area"
    assert rows["olive"] == "128 along rows and columns, 0.00438 mm2; 64 along rows and columns, not in the area"
    assert rows["dstc"] == "320 in each of sms x cores, 12.2 mm2"
    assert rows["a100"] == "110,592 in each of sms x rows x columns x depth, not in the area"
    assert rows["eyeriss-168"] == ""
    assert show("olive").values["decoders"][0]["count"] == 128
    assert show("olive").rows[-1][0] == "decoders of 8 bits: 64 along rows and columns, not in the area"


DECODER = '[[decoders]]\nname = "selection of 2:4"\nwork = "selects"\nhandles = ["2:4"]\neach = ["sms", "rows", "columns", "depth"]'
GOOD = (CHIPS / "a100.toml").read_text()
RUN = '[[runs]]\nweights = ["int8"]\ninputs = ["int8"]\ngrows = { depth = 2 }'
DECODES = 'at = "registers"\nbytes = 65_536'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('format = "bfloat16"\n', "", "chip 'a100' has runs or decodes but no 'format'; name the one that its other figures are of"),
        (DECODER, DECODER.replace("depth", "deep"), "decoders[0], 'selection of 2:4': the array has no axis 'deep'; it has sms"),
        (DECODER, DECODER + '\nborders = ["rows"]', "axis 'rows' is a border and in 'each'; keep one of the two"),
        (DECODER, DECODER + "\num2 = 3.0", "um2 and node_nm go together; an area is of a node"),
        (DECODER, DECODER.partition("\neach")[0], "say where they stand: along 'borders', or in 'each' of some axes"),
        (DECODER, DECODER.replace("selection of 2:4", "l2"), "another part of the chip is called so; take a name of its own"),
        (RUN, RUN.replace("depth", "depths"), "runs[1]: the array has no axis 'depths'; it has sms, rows, columns, depth"),
        (RUN, RUN.replace("= 2", "= 1.3"), "runs[1]: 1.3 times 8 multipliers along 'depth' are no whole number"),
        (RUN, RUN + '\nskips = "pattern"', "runs[1] skips or has speeds, but pattern 'none' leaves nothing out; name its pattern"),
        (RUN, RUN + '\npatterns = ["2:4"]\nskips = "pattern"\nspeeds = "a100-int8"', "runs[1] both skips and has speeds; keep one of the two"),
        (RUN, RUN.replace("depth = 2", "sms = 1.25"), "level 'shared_memory' of 167,936 bytes does not divide into 1.25 times as many instances"),
        (DECODES, DECODES.replace("registers", "register"), "decodes[0]: no level is called 'register'; there are hbm, l2, shared_memory, registers"),
        (DECODES, DECODES.replace("registers", "hbm"), "weights are decoded at the border of a level inside 'hbm' that keeps them, not of 'hbm'"),
        (DECODES, 'at = "l2"', "level 'shared_memory' inside 'l2' keeps weights and other tensors; decode at its own border"),
        (DECODES, 'at = "registers"', "decodes[0]: level 'registers' needs bytes to set aside for them"),
        (DECODES, DECODES.replace("65_536", "262_144"), "decodes[0]: 262,144 bytes of level 'registers', which holds 262,144; leave some"),
        ("weights = [\"int8\"]\n", "weights = []\n", "Expected `array` of length >= 1"),
        ("grows = { depth = 4 }", "grow = { depth = 4 }", "Object contains unknown field `grow`"),
    ],
)  # fmt: skip
def test_declarations_that_cannot_be(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = tmp_path / "chip.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_chip(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
