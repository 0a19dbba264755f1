"""Whatever lies in a folder is verified: every damage that matters is found, and named."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ridgeline.errors import CheckFailedError, InputError
from ridgeline.flows import check
from ridgeline.flows.build import Built
from ridgeline.flows.design import Design, read_json
from ridgeline.flows.verify import verify
from ridgeline.mapping.program import INSTRUCTION_BYTES, Load, decode, encode
from ridgeline.tools import verilator
from ridgeline.tools.simulator import Simulation


def edited(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / "rtl" / "ridgeline_engine.v"
    text = change(path.read_text())
    assert text != path.read_text()
    path.write_text(text)


def around(text: str, *, replaced: dict[str, str], body: str) -> str:
    """The engine inside a new top with the same ports; `replaced` says what its ports are connected to instead."""
    top = text[text.index("module ridgeline_engine(") :]
    top = top[: top.index("endmodule")]
    ports = re.findall(r"^ *(input|output) (\[[^]]*\])? *(\w+) *;", top, re.MULTILINE)
    header = ", ".join(f"{way} {width} {name}" for way, width, name in ports)
    inside = ", ".join(f".{name}({replaced.get(name, name)})" for _, _, name in ports)
    renamed = text.replace("module ridgeline_engine(", "module inner_engine(")
    return f"{renamed}\nmodule ridgeline_engine({header});\n{body}\n  inner_engine inner({inside});\nendmodule\n"


@pytest.fixture
def unoptimised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few thousand cycles do not repay a compiler that optimises."""
    monkeypatch.setattr(verilator, "build", partial(verilator.build, opt="-O0"))


def test_what_build_made_is_right(built: Built) -> None:
    found = verify(built.out)
    assert found.failure is None
    assert found.summary["bit_exact"] is True
    assert found.summary["values_compared"] == built.summary["values_compared"]
    assert found.summary["cycles"] == built.summary["cycles"]


def used_bytes(folder: Path) -> list[int]:
    """A weight, a parameter, and every instruction's opcode."""
    entry = read_json(Design, folder / "design.json").entry
    size = (folder / "program.bin").stat().st_size
    return [0, *range(entry, size, INSTRUCTION_BYTES)]


def test_a_flipped_byte_of_the_program_is_found(built: Built, copy: Path) -> None:
    original = (built.out / "program.bin").read_bytes()
    for place in used_bytes(built.out):
        damaged = bytearray(original)
        damaged[place] ^= 0xFF
        (copy / "program.bin").write_bytes(damaged)
        try:
            failure = verify(copy).failure
        except CheckFailedError as error:
            failure = str(error)
        assert failure is not None, f"byte {place}"


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_flipped_byte_of_a_dump_is_found(built: Built, monkeypatch: pytest.MonkeyPatch, layer: int) -> None:
    design = read_json(Design, built.out / "design.json")
    wrong = design.layers[layer]
    run = check.simulator.simulate

    def damaged(*arguments: object, **options: object) -> Simulation:
        found = run(*arguments, **options)  # type: ignore[arg-type]
        found.dumps[wrong.output][-1, 1] ^= 0x40  # channel 1 of the first pixel
        return found

    monkeypatch.setattr(check.simulator, "simulate", damaged)
    found = verify(built.out)
    assert found.summary["bit_exact"] is False
    first = found.summary["first_wrong"]
    assert (first["layer"], first["index"]) == (wrong.name, [1, 0, 0])
    assert first["found"] == np.int8(first["expected"] ^ 0x40)
    pattern = rf"layer '{wrong.name}' \({wrong.operator}\): image \d, index \(1, 0, 0\): expected {first['expected']}, found {first['found']}; \d of "
    assert re.match(pattern, found.failure or "")


@pytest.mark.usefixtures("unoptimised")
def test_a_harmless_edit_passes_whatever_lint_says(copy: Path) -> None:
    edited(copy, lambda text: around(text, replaced={}, body="  wire [3:0] narrow = 8'hff;  // a width that lint warns of"))
    assert verify(copy).failure is None


@pytest.mark.usefixtures("unoptimised")
def test_a_wrong_edit_is_found(copy: Path) -> None:
    body = "  wire [63:0] right;\n  assign m_axi_wdata = right ^ 64'h1;"
    edited(copy, lambda text: around(text, replaced={"m_axi_wdata": "right"}, body=body))
    failure = verify(copy).failure
    assert failure is not None
    assert failure.startswith("layer 'conv' (Conv): image 0, index (0, 0, 0): expected ")


def test_a_design_that_hangs_is_found(copy: Path) -> None:
    """A load that waits for more stores than there are."""
    entry = read_json(Design, copy / "design.json").entry
    image = bytearray((copy / "program.bin").read_bytes())
    first = decode(bytes(image[entry : entry + INSTRUCTION_BYTES]))
    assert isinstance(first, Load)
    image[entry : entry + INSTRUCTION_BYTES] = encode(replace(first, wait_stored=1000))
    (copy / "program.bin").write_bytes(image)
    message = r"image 0: the design did not finish in [\d,]+ cycles; [\d,]+ were predicted, and twice that and 10,000 allowed"
    with pytest.raises(CheckFailedError, match=message):
        verify(copy, images=1)


def test_a_design_that_does_not_compile_is_found(copy: Path) -> None:
    edited(copy, lambda text: text.replace("endmodule", "end_module", 1))
    message = r"the design does not compile: verilator failed with status 1: %Error: rtl/ridgeline_engine\.v:\d+:\d+: syntax error, [^/]*$"
    with pytest.raises(CheckFailedError, match=message):
        verify(copy)


def test_a_design_without_a_port_is_found(copy: Path) -> None:
    edited(copy, lambda text: text.replace("module ridgeline_engine(", "module another_engine("))
    with pytest.raises(CheckFailedError, match="the design does not compile"):
        verify(copy)


@pytest.mark.parametrize("name", ["design.json", "prediction.json", "golden.onnx", "program.bin", "outputs.npz", "rtl"])
def test_a_missing_part_is_named(copy: Path, name: str) -> None:
    path = copy / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=re.escape(str(path))):
        verify(copy)


@pytest.mark.parametrize("name", ["design.json", "prediction.json", "golden.onnx", "outputs.npz"])
def test_a_damaged_part_is_one_line(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:40])
    with pytest.raises(InputError) as caught:
        verify(copy)
    assert "\n" not in str(caught.value)


def test_a_cut_program_is_refused(copy: Path) -> None:
    (copy / "program.bin").write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match=r"program.bin' has 100 bytes; it must end between [\d,]+ and [\d,]+"):
        verify(copy)


def test_inputs_of_another_shape_are_refused(copy: Path) -> None:
    np.savez(copy / "outputs.npz", image=np.zeros((2, 2, 6, 5), np.int8))
    with pytest.raises(InputError, match=r"must hold 'image', int8 of shape \(images, 2, 6, 6\)"):
        verify(copy)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no folder; give one that `ridgeline build` made"):
        verify(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"design.json' is missing; give a folder that `ridgeline build` made"):
        verify(tmp_path)


EDITS = {
    "engine": (lambda design: design["engine"].pop("bus_bytes"), "engine has no 'bus_bytes'"),
    "tensor": (lambda design: design["tensors"].clear(), "which a layer or a port names"),
    "address": (lambda design: next(iter(design["tensors"].values())).update(address=1 << 40), "beyond memory_bytes of "),
    "pixel": (lambda design: next(iter(design["tensors"].values())).update(pixel_bytes=1), "tensor 'image' of shape (2, 6, 6) does not fit"),
    "name": (lambda design: design["outputs"][0].update(name="nope"), "Invalid output name:nope"),
    "shape": (lambda design: design["outputs"][0].update(shape=[3, 1]), "output 'scores' has shape (3, 1) in the design, but (3,) in golden.onnx"),
    "port": (lambda design: design["inputs"][0].update(split=[7]), "port 'image' of shape (2, 6, 6) does not fit its tensor"),
    "dram": (lambda design: design["dram"].update(bytes_denominator=0), "Expected `int` >= 1 - at `$.dram.bytes_denominator`"),
}


@pytest.mark.parametrize("kind", EDITS)
def test_a_description_that_contradicts_itself_is_refused(copy: Path, kind: str) -> None:
    change, message = EDITS[kind]
    design = json.loads((copy / "design.json").read_text())
    change(design)
    (copy / "design.json").write_text(json.dumps(design))
    with pytest.raises(InputError, match=re.escape(message)):
        verify(copy)


def test_a_waveform_that_cannot_be_written_is_refused(copy: Path) -> None:
    with pytest.raises(InputError, match=r"wave.vcd' cannot be written: it must be a file in a folder that exists"):
        verify(copy, check.Settings(wave=copy / "none" / "wave.vcd"))
