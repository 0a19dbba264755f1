"""`--backend hls` and `both`: the C++ of a tiny network, end to end."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.flows import tiny

from ridgeline.errors import CheckFailedError, DoesNotFitError, InputError, UnsupportedError
from ridgeline.flows.build import Built, build
from ridgeline.flows.check import Settings
from ridgeline.flows.folder import check_replaceable
from ridgeline.flows.options import FormatName
from ridgeline.flows.verify import verify
from ridgeline.tools.simulator import Stalls


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A C++ engine of lanes that the Verilog does not have."""
    options = tiny.write(tmp_path_factory.mktemp("hls"))
    return build(replace(options, backend="hls", device="zcu104", pins={"lanes_out": 6, "lanes_in": 5}))


@pytest.fixture
def folder(made: Built, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.out, tmp_path / "copy"))


def test_every_value_equals_onnxruntime(made: Built) -> None:
    found = made.summary
    assert made.failure is None
    assert found["bit_exact"] is True
    assert found["values_compared"] == tiny.IMAGES * (5 * 36 + 5 * 9 + 3)
    assert found["backend"] == "hls"
    assert found["simulated"]["hls"]["simulator"] == "C simulation"
    assert found["engine"]["lanes_out"] == 6
    assert found["engine"]["lanes_in"] == 5


def test_nothing_unmeasured_is_invented(made: Built) -> None:
    found = json.loads((made.out / "summary.json").read_text())
    assert found["cycles"]["simulated"] is None
    assert found["cycles"]["error"] is None
    assert all(layer["simulated_cycles"] is None for layer in found["layers"])
    assert sum(layer["predicted_cycles"] for layer in found["layers"]) == found["cycles"]["predicted"]
    assert found["resources"]["predicted"]["lut"] is None
    assert found["files"]["rtl"] is None
    assert (made.out / found["files"]["hls"]).is_file()
    assert not (made.out / "rtl").exists()
    assert "hls by C simulation" in (made.out / "report.html").read_text()


def test_buffers_are_those_of_the_tiles(made: Built) -> None:
    """conv: 6 x 6 pixels of 2 channels, dense, and its output of 6; fc: 9 pixels of 6. Twice each, as two tiles fit."""
    engine = made.summary["engine"]
    assert engine["accumulator_depth"] <= 36
    assert engine["activation_bytes"] < 1024
    header = (made.out / "hls" / "engine.h").read_text()
    assert f"constexpr int ACTIVATIONS = {engine['activation_bytes']};" in header


def test_make_csim(folder: Path) -> None:
    done = subprocess.run(["make", "csim"], cwd=folder / "hls", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "conv: 180 values, 0 wrong\npool: 45 values, 0 wrong\nfc: 3 values, 0 wrong\n" in done.stdout
    assert "warning" not in done.stderr
    check_replaceable(folder)  # it leaves nothing behind


def test_both_back_ends_give_the_same_bytes(built: Built, tmp_path: Path) -> None:
    """The same program, in Verilog and in C++."""
    options = replace(tiny.write(tmp_path), backend="both")
    found = build(options)
    assert found.failure is None
    assert list(found.summary["simulated"]) == ["rtl", "hls"]
    assert all(item["bit_exact"] for item in found.summary["simulated"].values())
    assert found.summary["values_compared"] == 2 * tiny.IMAGES * (5 * 36 + 5 * 9 + 3)
    assert found.summary["cycles"] == built.summary["cycles"]
    assert (found.out / "program.bin").read_bytes() == (built.out / "program.bin").read_bytes()
    assert (found.out / "rtl" / "ridgeline_engine.v").read_bytes() == (built.out / "rtl" / "ridgeline_engine.v").read_bytes()
    again = verify(found.out)
    assert again.failure is None
    assert list(again.summary["simulated"]) == ["rtl", "hls"]


def test_verify(folder: Path) -> None:
    found = verify(folder, images=2)
    assert found.failure is None
    assert found.summary["backend"] == "hls"
    assert found.summary["cycles"]["simulated"] is None
    assert found.summary["values_compared"] == 2 * (5 * 36 + 5 * 9 + 3)


@pytest.mark.parametrize(
    ("old", "new"),
    [("sums[m] +=", "sums[m] -="), ("p.shift[m] - 1", "p.shift[m] - 2"), ("* f.ky_row", "* f.ky_row + 1"), ("code < f.low", "code < f.low + 9")],
)
def test_an_edit_of_the_kernel_is_found(folder: Path, old: str, new: str) -> None:
    path = folder / "hls" / "engine.cpp"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert verify(folder).failure is not None


def test_a_flipped_byte_of_the_program_is_found(folder: Path) -> None:
    path = folder / "program.bin"
    data = bytearray(path.read_bytes())
    data[0] ^= 0xFF
    path.write_bytes(data)
    found = verify(folder)
    assert found.failure is not None
    assert found.failure.startswith("layer 'conv' (Conv): image 0, index (")
    assert found.summary["first_wrong"]["layer"] == "conv"


def test_a_program_without_an_end(folder: Path) -> None:
    path = folder / "program.bin"
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(CheckFailedError, match="an instruction has an unknown opcode"):
        verify(folder)


def test_a_kernel_that_does_not_compile(folder: Path) -> None:
    path = folder / "hls" / "engine.cpp"
    path.write_text(path.read_text().replace("int32_t rest =", "int32_t other ="))
    with pytest.raises(CheckFailedError, match=r"the C\+\+ does not compile: .*engine.cpp:\d+:\d+: error: .rest."):
        verify(folder)


def test_missing_files(folder: Path) -> None:
    (folder / "hls" / "engine.cpp").unlink()
    with pytest.raises(InputError, match=r"engine\.cpp' is missing"):
        verify(folder)


def test_cycles_are_the_verilogs(folder: Path) -> None:
    with pytest.raises(InputError, match=r"holds C\+\+ and no Verilog: --wave and --stalls are for the cycles of Verilog"):
        verify(folder, Settings(stalls=Stalls(share=0.5)))


@pytest.mark.parametrize(("number", "dtype", "exact"), [("float32", np.float32, None), ("fixed16", np.int16, True)])
def test_other_formats(tmp_path: Path, number: FormatName, dtype: type, exact: bool | None) -> None:
    options = replace(tiny.write(tmp_path), backend="hls", device="zcu104", pins={"lanes_out": 5, "lanes_in": 3}, format=number)
    found = build(options)
    assert found.failure is None
    assert found.summary["format"] == number
    assert found.summary["bit_exact"] is exact
    assert found.summary["within_tolerance"] is True
    assert found.summary["values_compared"] == tiny.IMAGES * (5 * 36 + 5 * 9 + 3)
    assert found.summary["accuracy"]["hardware"] == found.summary["accuracy"]["float"]
    assert found.summary["sqnr_db"]["scores"] > 60
    header = (found.out / "hls" / "engine.h").read_text()
    size = np.dtype(dtype).itemsize
    assert found.summary["engine"]["activation_bytes"] == size * int(header.split("ACTIVATIONS = ")[1].split(";")[0])
    assert f"//     activation_bytes = {found.summary['engine']['activation_bytes']}" in header
    error = found.summary["simulated"]["hls"]["largest_error"]
    assert error is None if exact else 0 <= error < 1e-5
    outputs = np.load(found.out / "outputs.npz")
    assert outputs["scores"].dtype == outputs["image"].dtype == dtype
    done = subprocess.run(["make", "csim"], cwd=found.out / "hls", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verify(found.out).failure is None
    kernel = found.out / "hls" / "engine.cpp"
    kernel.write_text(kernel.read_text().replace("sums[m] +=", "sums[m] -="))
    assert verify(found.out).failure is not None


@pytest.mark.parametrize("number", ["float32", "fixed16"])
def test_a_table_is_refused_by_name(tmp_path: Path, number: FormatName) -> None:
    options = tiny.write(tmp_path)
    network = onnx.load(options.network)
    next(node for node in network.graph.node if node.name == "relu").op_type = "Sigmoid"
    onnx.save(network, options.network)
    message = rf"node 'conv' \(.*\): its function is a table, which {number} lacks; use --format int8"
    with pytest.raises(UnsupportedError, match=message):
        build(replace(options, backend="hls", device="zcu104", format=number, pins={}))


def test_a_board_whose_bursts_were_measured(tmp_path: Path) -> None:
    assert build(replace(tiny.write(tmp_path), backend="hls", device="ku060", format="float32", pins={})).failure is None


def test_a_format_that_the_device_cannot_hold(tmp_path: Path) -> None:
    options = replace(tiny.write(tmp_path), backend="hls", device="zcu104", format="float32", pins={"lanes_out": 64, "lanes_in": 64})
    message = "float32, counted in multiply-accumulates of 5 DSPs and elements of 4 bytes: the smallest engine .* needs 4,224 dsp but there are 345"
    with pytest.raises(DoesNotFitError, match=message):
        build(options)
    with pytest.raises(UnsupportedError, match="format 'float32' has no multiply-accumulate made of MULT18X18D blocks"):
        build(replace(options, device="ulx3s-85f", pins={}))
    with pytest.raises(InputError, match="--bus-bytes 2: float32 takes multiples of 4"):
        build(replace(options, pins={"bus_bytes": 2}))
    with pytest.raises(InputError, match="--bus-bytes 256: a port has at most 128 bytes"):
        build(replace(options, pins={"bus_bytes": 256}))
    with pytest.raises(InputError, match=r"activation_bytes is 4100; with 4x4 lanes and a bus of 16 bytes the .* takes multiples of 16"):
        build(replace(options, pins={"bus_bytes": 16, "activation_bytes": 4100, "lanes_out": 4, "lanes_in": 4}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend": "hls", "synth": True}, "--synth needs Verilog; give --backend rtl or both"),
        ({"backend": "hls", "wave": True}, "--wave needs Verilog; give --backend rtl or both"),
        ({"backend": "hls", "stalls": 0.5}, "--stalls needs Verilog; give --backend rtl or both"),
        ({"backend": "hls", "objective": "throughput"}, r"--objective throughput needs --backend rtl; the C\+\+ is of one engine"),
        ({"format": "float32"}, "--format float32 needs --backend hls; the Verilog computes in int8"),
        ({"backend": "both", "format": "fixed16"}, "--format fixed16 needs --backend hls; the Verilog computes in int8"),
        ({"backend": "both", "pins": {"lanes_out": 12}}, "lanes_out is 12; it must be a power of two in 4..64"),
        ({"backend": "hls", "pins": {"lanes_out": 1025}}, "lanes_out is 1025; it must be in 1..1024"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(replace(tiny.write(tmp_path), **changes))
    assert not (tmp_path / "out").exists()


def test_the_first_image_is_the_benchs(made: Built) -> None:
    outputs = np.load(made.out / "outputs.npz")
    golden = np.fromfile(made.out / "hls" / "golden.bin", np.int8)
    assert np.array_equal(golden[-3:], outputs["scores"][0])
