"""The command line: what it prints where, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import refused, run
from tests.flows import tiny

from ridgeline.flows.build import Built, build
from ridgeline.hardware.device import DEVICES

PINS = [f"--{name.replace('_', '-')}={value}" for name, value in tiny.PINS.items() if not name.startswith("lanes")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    with tiny.compiling(tmp_path_factory):
        return build(tiny.write(tmp_path_factory.mktemp("tiny")))


def test_build_prints_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    options = tiny.write(tmp_path)
    words = ["build", options.network, "--data", options.data, "--device", "ulx3s-85f", "--out", options.out, "--lanes", "4x4", *PINS]
    with tiny.compiling(tmp_path_factory):
        status, out, err = run(capsys, *words, "--images", 2)
    assert (status, err) == (0, "")
    head = ["network     tiny on ulx3s-85f at 100 MHz", "engine      4 x 4 lanes, 2 depthwise taps, 8-byte bus", "bit-exact   yes: 456 values"]
    assert out.startswith("\n".join(head))
    assert out.rstrip().endswith(f"{options.out}/report.html")


def test_build_prints_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = tiny.write(tmp_path)
    words = ["build", options.network, "--device", "ulx3s-85f", "--out", options.out, "--lanes", "4x4", *PINS, "--images", 1, "--json"]
    status, out, err = run(capsys, *words)
    assert status == 0
    assert json.loads(out) == json.loads((options.out / "summary.json").read_text())
    assert err == "ridgeline: warning: no --data: calibrated and verified on seeded noise, so quality figures say nothing about real inputs\n"


def test_verify_says_yes_and_no(capsys: pytest.CaptureFixture[str], built: Built, tmp_path: Path) -> None:
    status, out, err = run(capsys, "verify", built.out)
    assert (status, err) == (0, "")
    assert out.startswith("bit-exact  yes: 912 values of 4 images against onnxruntime\n")
    status, out, err = run(capsys, "verify", built.out, "--json", "--images", 1)
    assert (status, err) == (0, "")
    assert json.loads(out)["values_compared"] == 228
    image = bytearray((built.out / "program.bin").read_bytes())
    image[0] ^= 0x40  # the first weight
    damaged = tmp_path / "damaged"
    subprocess.run(["cp", "-r", str(built.out), str(damaged)], check=True)
    (damaged / "program.bin").write_bytes(image)
    status, out, err = run(capsys, "verify", damaged, "--json")
    assert status == 1
    assert json.loads(out)["first_wrong"]["layer"] == "conv"
    assert err.startswith("ridgeline: layer 'conv' (Conv): image 0, index (0, ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("what", ["models", "devices", "operators", "resnet18", "ulx3s-85f", "Conv"])
def test_show(capsys: pytest.CaptureFixture[str], what: str) -> None:
    status, out, err = run(capsys, "show", what)
    assert (status, err) == (0, "")
    assert len(out.splitlines()) > 1
    status, out, _ = run(capsys, "show", what, "--json")
    assert status == 0
    assert isinstance(json.loads(out), dict)


def test_show_suggests_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "show", "resnet19") == "unknown name 'resnet19'; did you mean 'resnet18'?"


def test_bad_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "biuld") == "No such command 'biuld'. Did you mean 'build'?"
    status, out, err = run(capsys)
    assert (status, out, err.startswith("Usage: ridgeline")) == (2, "", True)
    assert refused(capsys, "build") == "Missing argument 'NETWORK'."
    assert refused(capsys, "build", "x.onnx").startswith("Missing option '--device'.")
    assert refused(capsys, "build", "x.onnx", "--device", "ulx3s-85f", "--frob").startswith("No such option '--frob'")


BAD_NETWORKS = {
    "missing": (None, "does not exist; give an ONNX file, or a name that `ridgeline show models` lists"),
    "empty": (b"", "ONNX"),
    "text": (b"hello, this is no network", "ONNX"),
    "cut": (tiny.model()[:300], "ONNX"),
}


@pytest.mark.parametrize("kind", BAD_NETWORKS)
def test_bad_networks(capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str) -> None:
    content, message = BAD_NETWORKS[kind]
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    said = refused(capsys, "build", path, "--device", "ulx3s-85f", "--out", tmp_path / "out")
    assert str(path) in said
    assert message in said
    assert not (tmp_path / "out").exists()


def test_names_that_nobody_knows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert refused(capsys, "build", "resnet19", "--device", "ulx3s-85f", "--out", out) == "unknown model 'resnet19'; did you mean 'resnet18'?"
    options = tiny.write(tmp_path)
    said = refused(capsys, "build", options.network, "--device", "ulx3s-85", "--out", out)
    assert said == "unknown device 'ulx3s-85'; did you mean 'ulx3s-85f'?"
    assert sorted(os.listdir(tmp_path)) == ["data.npz", "tiny.onnx"]


def test_bad_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = tiny.write(tmp_path)
    words = ["build", options.network, "--device", "ulx3s-85f", "--out", options.out]
    assert refused(capsys, *words, "--lanes", "many") == "lanes 'many' are not of the form OUTxIN, such as 16x16"
    assert "lanes_out is 12; it must be a power of two in 4..64" in refused(capsys, *words, "--lanes", "12x4")
    assert refused(capsys, *words, "--clock-mhz", "0.5") == "--clock-mhz is 0.5; it must be in 1..2000"
    assert "is no file; give an npz or npy file" in refused(capsys, *words, "--data", tmp_path / "none.npz")
    np.savez(tmp_path / "wrong.npz", images=np.zeros((1, 2, 6, 6)))
    assert "did you mean 'image'?" in refused(capsys, *words, "--data", tmp_path / "wrong.npz")
    assert "stalls: a share of nan of all cycles; it must be in 0..0.9" in refused(capsys, *words, "--stalls", "nan")
    assert "of which 1 to 512 can be simulated" in refused(capsys, *words, "--images", 100_000)
    assert not options.out.exists()


def test_a_board_with_too_little_memory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = tiny.write(tmp_path)
    board = tmp_path / "board.toml"
    board.write_text(re.sub(r"capacity_bytes = [\d_]+", "capacity_bytes = 4000", (DEVICES / "ulx3s-85f.toml").read_text()))
    said = refused(capsys, "build", options.network, "--data", options.data, "--device", board, "--out", options.out, "--lanes", "4x4", *PINS)
    assert re.search(r" need [\d,]+ bytes of DRAM but 'ulx3s-85f' has 4,000; choose a device with more memory$", said)
    assert not options.out.exists()


def test_nothing_fits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = tiny.write(tmp_path)
    said = refused(capsys, "build", options.network, "--data", options.data, "--device", "ulx3s-85f", "--out", options.out, "--max-dsp", 3)
    assert "DSP" in said.upper()
    assert " 3" in said
    assert not options.out.exists()


def test_a_missing_compiler(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tiny.write(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused(capsys, "build", options.network, "--device", "ulx3s-85f", "--out", options.out)
    assert said == "no C++ compiler (c++, g++ or clang++) is on the PATH; on Debian or Ubuntu install it: apt install g++"
    assert not options.out.exists()


def test_foreign_files_stay(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = tiny.write(tmp_path)
    said = refused(capsys, "build", options.network, "--device", "ulx3s-85f", "--out", tmp_path)
    assert said == f"output folder '{tmp_path}' holds files that Ridgeline did not make ('data.npz'); empty it or give another with --out"


ENDS = [(signal.SIGINT, 130, "ridgeline: interrupted; nothing was written\n"), (signal.SIGTERM, 143, "")]


@pytest.mark.parametrize(("number", "status", "said"), ENDS)
def test_an_interrupt_leaves_nothing(tmp_path: Path, number: int, status: int, said: str) -> None:
    options = tiny.write(tmp_path)
    command = [sys.executable, "-m", "ridgeline", "build", options.network, "--data", str(options.data), "--device", "ulx3s-85f"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}  # an empty one: the simulator must be compiled
    process = subprocess.Popen([*command, "--out", str(options.out)], stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*/golden.onnx")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (status, said)
    assert sorted(name for name in os.listdir(tmp_path) if name != "cache") == ["data.npz", "tiny.onnx"]


def test_help_imports_nothing_heavy() -> None:
    program = "import sys; from ridgeline.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "build" in said
    assert not [name for name in ("numpy", "onnx", "onnxruntime", "numba", "amaranth", "msgspec") if f"'{name}'" in said]


def test_explore_prints_the_front(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = tiny.write(tmp_path)
    words = ["explore", options.network, "--device", "ulx3s-85f", "--lanes", "4x4"]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    assert "network     tiny on ulx3s-85f at 100 MHz\nengine      lanes_out 4, lanes_in 4, " in out
    assert "designs that no other one beats in cycles, multipliers and block RAMs together (--json: all)\n" in out
    status, out, err = run(capsys, *words, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["pareto"]


INTERRUPTED_IMPORT = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from ridgeline.__main__ import main
main()
"""


def test_an_interrupt_before_the_command_line_is_there_says_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_IMPORT, "--help"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
