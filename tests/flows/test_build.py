"""From an ONNX file to a verified accelerator: a tiny network end to end."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tests.flows import tiny

from ridgeline.backends.rtl import emit
from ridgeline.errors import CheckFailedError, InputError
from ridgeline.flows import build as flow
from ridgeline.flows.build import Built, build
from ridgeline.flows.check import Checked, Settings
from ridgeline.tools.simulator import Stalls

KEYS = {
    "network", "device", "bit_exact", "images", "values_compared", "sqnr_db", "accuracy", "engine", "engine_macs_share", "host", "clock_mhz",
    "copies", "cycles", "throughput_images_per_s", "layers", "utilization", "explored", "resources", "fmax_mhz", "files",
    "backend", "format", "within_tolerance", "simulated",
}  # fmt: skip
LAYER_KEYS = {"name", "operator", "macs", "predicted_cycles", "simulated_cycles", "utilization", "bound"}


def test_every_value_equals_onnxruntime(built: Built) -> None:
    assert built.failure is None
    assert built.summary["bit_exact"] is True
    assert built.summary["images"] == tiny.IMAGES
    assert built.summary["values_compared"] == tiny.IMAGES * (5 * 36 + 5 * 9 + 3)
    outputs = np.load(built.out / "outputs.npz")
    assert sorted(outputs.files) == ["image", "scores"]
    golden = onnxruntime.InferenceSession(str(built.out / "golden.onnx"), providers=["CPUExecutionProvider"])
    (wanted,) = golden.run(["scores"], {"image": outputs["image"]})
    assert wanted.dtype == outputs["scores"].dtype == np.int8
    assert np.array_equal(wanted, outputs["scores"])
    assert len(np.unique(wanted)) > 3


def test_summary(built: Built) -> None:
    found = json.loads((built.out / "summary.json").read_text())
    assert found == built.summary
    assert set(found) == KEYS
    assert found["network"] == "tiny"
    assert found["device"] == "ulx3s-85f"
    assert found["engine"] == tiny.PINS
    assert found["engine_macs_share"] == 1.0
    assert found["host"] == []
    assert found["sqnr_db"]["scores"] > 20
    assert found["accuracy"]["golden"] == found["accuracy"]["hardware"]
    assert set(found["resources"]) == {"predicted", "synthesized"}
    assert found["resources"]["synthesized"] == dict.fromkeys(("dsp", "bram", "lut", "ff"))
    assert found["fmax_mhz"] is None
    assert {"legal", "evaluated", "pruned", "time_s"} <= set(found["explored"])
    assert set(found["files"]) == {"golden", "rtl", "hls", "program", "outputs", "report"}
    assert found["files"].pop("hls") is None
    for path in found["files"].values():
        assert (built.out / path).is_file()
    assert found["backend"] == "rtl"
    assert found["format"] == "int8"
    assert list(found["simulated"]) == ["rtl"]


def test_throughput_builds_several_engines(tmp_path: Path) -> None:
    built = build(replace(tiny.write(tmp_path), objective="throughput", images=1))
    found = built.summary
    assert built.failure is None
    assert found["copies"] > 1
    assert found["throughput_images_per_s"] == pytest.approx(found["copies"] * found["clock_mhz"] * 1e6 / found["cycles"]["simulated"])
    assert abs(found["cycles"]["error"]) < 0.05, "each engine is simulated with its share of the bandwidth"
    assert found["files"]["rtl"] == "rtl"
    assert f"parameter COPIES = {found['copies']}" in (built.out / "rtl" / "ridgeline_engines.v").read_text()


def test_layers_add_up(built: Built) -> None:
    layers, cycles = built.summary["layers"], built.summary["cycles"]
    assert [layer["name"] for layer in layers] == ["conv", "pool", "fc"]
    assert [layer["macs"] for layer in layers] == [5 * 36 * 18, 0, 3 * 45]
    assert all(set(layer) == LAYER_KEYS for layer in layers)
    assert all(layer["simulated_cycles"] > 0 for layer in layers)
    assert sum(layer["simulated_cycles"] for layer in layers) == pytest.approx(cycles["simulated"], abs=4)
    assert cycles["error"] == pytest.approx(cycles["predicted"] / cycles["simulated"] - 1)
    assert built.summary["utilization"] == pytest.approx(sum(layer["macs"] for layer in layers) / cycles["simulated"] / 16)


def test_the_same_input_gives_the_same_bytes(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ridgeline.backends.rtl.emit", emit)
    again = build(tiny.write(tmp_path))
    for name in ("golden.onnx", "program.bin", "design.json", "prediction.json", "outputs.npz", "rtl/ridgeline_engine.v"):
        assert (again.out / name).read_bytes() == (built.out / name).read_bytes()


def test_the_prediction_is_saved_before_the_simulator_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def stop(folder: Path, *_: object) -> dict[str, Checked]:
        seen.extend(sorted(os.listdir(folder)))
        raise CheckFailedError("stopped here")

    monkeypatch.setattr(flow, "simulate", stop)
    options = tiny.write(tmp_path)
    with pytest.raises(CheckFailedError, match="stopped here"):
        build(options)
    assert "prediction.json" in seen
    assert sorted(os.listdir(tmp_path)) == ["data.npz", "tiny.onnx"]


def test_random_stalls_change_no_value(built: Built, tmp_path: Path) -> None:
    found = build(replace(tiny.write(tmp_path), stalls=0.4, images=2))
    assert found.failure is None
    assert found.summary["images"] == 2
    assert found.summary["cycles"]["simulated"] > 1.05 * built.summary["cycles"]["simulated"]


def test_without_data_it_warns(tmp_path: Path) -> None:
    notes: list[str] = []

    class Notes:
        def step(self, text: str) -> None: ...

        def advance(self, done: int, total: int) -> None: ...

        def note(self, text: str) -> None:
            notes.append(text)

    found = build(replace(tiny.write(tmp_path), data=None, images=1), Notes())
    assert notes == ["no --data: calibrated and verified on seeded noise, so quality figures say nothing about real inputs"]
    assert found.summary["bit_exact"] is True
    assert found.summary["accuracy"] == {"float": None, "golden": None, "hardware": None}


def test_too_many_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--images is 5; the data holds 4 images, of which 1 to 4 can be simulated"):
        build(replace(tiny.write(tmp_path), images=5))


def test_a_waveform_and_stalls_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []

    def stop(folder: Path, inputs: object, work: Path, settings: Settings, progress: object) -> dict[str, Checked]:
        asked.append(settings)
        assert settings.wave == folder / "wave.vcd"
        raise CheckFailedError("stopped here")

    monkeypatch.setattr(flow, "simulate", stop)
    with pytest.raises(CheckFailedError, match="stopped here"):
        build(replace(tiny.write(tmp_path), wave=True, stalls=0.25, seed=9))
    assert asked[0].stalls == Stalls(share=0.25, seed=9)
