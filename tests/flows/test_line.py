"""Boards in a line, end to end: what is said, what is written, and that it computes what the whole network does."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.cli.command import run
from tests.flows import tiny

from ridgeline.algorithm.cut import crossing_bytes, sections
from ridgeline.algorithm.onnx.runtime import run as run_onnx
from ridgeline.backends.rtl import emit
from ridgeline.errors import CheckFailedError, DoesNotFitError, InputError
from ridgeline.explore.line import Explored, Line
from ridgeline.flows.design import Design, Predicted, read_json
from ridgeline.flows.explore import explore
from ridgeline.flows.line import Lined, explore_boards
from ridgeline.flows.line_folder import description, write_line
from ridgeline.flows.options import Options
from ridgeline.flows.progress import Silent
from ridgeline.flows.verify import verify
from ridgeline.hardware.device import read_device
from ridgeline.mapping import image, interpreter
from ridgeline.mapping.lower import lower
from ridgeline.system.line import Partition
from ridgeline.testing.graphs import random_network

LINK_GB_PER_S = 0.01
PINS = ["--lanes", "4x4", *(f"--{name.replace('_', '-')}={value}" for name, value in tiny.PINS.items() if not name.startswith("lanes"))]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Options:
    written = tiny.write(tmp_path_factory.mktemp("tiny"))
    return replace(written, device="ulx3s-85f:2,arty-a7-100t", link_gb_per_s=LINK_GB_PER_S)


@pytest.fixture(scope="module")
def lined(options: Options) -> Lined:
    return explore_boards(options, out=options.out)


def test_the_summary(lined: Lined, options: Options) -> None:
    found = lined.summary
    boards = found["boards"]
    assert json.loads((options.out / "summary.json").read_text()) == found
    assert [board["device"] for board in boards] == ["ulx3s-85f", "ulx3s-85f", "arty-a7-100t"]
    assert [board["layers"][0] for board in boards] == ["conv", "pool", "fc"]
    assert [board["link_bytes"] for board in boards] == [5 * 36, 5 * 9, None]
    assert [board["link_time_s"] for board in boards] == [5 * 36 / 1e7, 5 * 9 / 1e7, None]
    assert all(board["time_s"] == board["cycles"] / (board["clock_mhz"] * 1e6) for board in boards)
    assert all(board["engine"]["lanes_out"] == 4 and board["copies"] == 1 for board in boards)
    stages = [board["time_s"] for board in boards] + [board["link_time_s"] for board in boards[:-1]]
    assert found["latency_s"] == pytest.approx(sum(stages)) == pytest.approx(found["pipeline"]["fill_s"])
    assert found["throughput_images_per_s"] == 1 / max(stages) == pytest.approx(1 / found["pipeline"]["period_s"])
    assert found["bottleneck"] == f"link {stages.index(max(stages)) - 2}"
    assert found["gops"] == pytest.approx(2 * found["macs"] * found["throughput_images_per_s"] / 1e9)
    assert found["explored"]["searched"] + found["explored"]["pruned"] == found["explored"]["sections"]


def through_interpreters(lined: Lined, codes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The line's outputs of one image, each board's emitted program run by the interpreter on what the boards before it left in memory."""
    made: dict[str, np.ndarray] = {}
    for piece, choice in zip(lined.line.graphs, lined.line.designs, strict=True):
        program = lower(piece, choice.engine, choice.tilings)
        program.verify()
        memory = image.memory(program)
        for port in piece.inputs:
            given = port.to_tensor(codes[port.name], piece.tensors[port.tensor]) if port.name in codes else made[port.tensor][None]
            image.pack_input(program, memory, port.tensor, given[0])
        interpreter.run(program, memory)
        made |= {port.tensor: image.unpack(program, memory, port.tensor) for port in piece.outputs}
    return {port.name: port.to_array(made[port.tensor][None]) for port in lined.line.graphs[-1].outputs}


def test_the_boards_programs_give_goldens_output(lined: Lined, options: Options) -> None:
    """Against onnxruntime on the golden network of the same quantised network, uncut."""
    uncut = explore_boards(replace(options, device="ulx3s-85f", count=1), out=options.out.parent / "uncut")
    model = (options.out.parent / "uncut" / "board-1" / "golden.onnx").read_bytes()
    (port,) = uncut.line.graphs[0].inputs
    codes = {port.name: np.random.default_rng(5).integers(-128, 128, (1, *port.shape)).astype(np.int8)}
    found = through_interpreters(lined, codes)
    for name, expected in run_onnx(model, codes).items():
        assert found[name].tobytes() == expected.tobytes()


def test_the_folder(lined: Lined, options: Options) -> None:
    described = json.loads((options.out / "line.json").read_text())
    assert [board["layers"] for board in described["boards"]] == [["conv"], ["pool"], ["fc"]]
    assert [link["bytes"] for link in described["links"]] == [180, 45]
    assert [[tensor["made_on"] for tensor in link["tensors"]] for link in described["links"]] == [[1], [2]]
    assert [board["relays"] for board in described["boards"]] == [[], [], []]
    assert described["links"][0]["tensors"][0]["name"] == described["boards"][0]["writes"][0] == described["boards"][1]["reads"][0]
    assert json.loads((options.out / "timeline.json").read_text())["traceEvents"]
    assert "board 1" in (options.out / "report.html").read_text()
    for number, choice in enumerate(lined.line.designs, start=1):
        folder = options.out / f"board-{number}"
        design = read_json(Design, folder / "design.json")
        assert design.engine["lanes_out"] == choice.engine.lanes_out
        assert read_json(Predicted, folder / "prediction.json").cycles == choice.cycles
        assert (folder / "rtl" / "ridgeline_engine.v").exists()
        program = lower(lined.line.graphs[number - 1], choice.engine, choice.tilings)
        assert (folder / "program.bin").read_bytes() == program.image()


def test_a_board_in_verilog(lined: Lined, options: Options, tmp_path_factory: pytest.TempPathFactory) -> None:
    with tiny.compiling(tmp_path_factory):
        found = verify(options.out / "board-2")
    assert found.failure is None
    assert found.summary["bit_exact"]
    assert found.summary["cycles"]["predicted"] == lined.line.designs[1].cycles


def test_the_same_again(lined: Lined, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files but for the search's seconds, which are no part of the designs."""
    monkeypatch.setattr("ridgeline.backends.rtl.emit", emit)
    explore_boards(options, out=tmp_path / "again")
    first = sorted(path.relative_to(options.out) for path in options.out.rglob("*") if path.is_file())
    assert first == sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file())
    for path in first:
        if path.name not in ("summary.json", "report.html", "outputs.npz"):
            assert (options.out / path).read_bytes() == (tmp_path / "again" / path).read_bytes(), path


def test_throughput_with_several_engines(options: Options) -> None:
    asked = replace(options, data=None, device="arty-a7-100t:2", link_gb_per_s=1.25, objective="throughput", pins={"lanes_out": 8, "lanes_in": 8})
    found = explore(asked)
    assert isinstance(found, Lined)
    boards = found.summary["boards"]
    assert max(board["copies"] for board in boards) > 1
    slowest = max(max(board["time_s"] / board["copies"] for board in boards), boards[0]["link_time_s"])
    assert found.summary["throughput_images_per_s"] == 1 / slowest
    assert found.summary["pipeline"]["period_s"] == pytest.approx(slowest)


def test_one_board_is_what_explore_finds(options: Options) -> None:
    alone = explore(replace(options, device="ulx3s-85f", link_gb_per_s=None, data=None))
    line = explore(replace(options, device="ulx3s-85f", link_gb_per_s=None, data=None, count=1))
    assert isinstance(alone.summary, dict)
    (board,) = line.summary["boards"]
    assert board["engine"] == alone.summary["engine"]
    assert board["cycles"] == alone.summary["cycles"]["predicted"]
    assert line.summary["throughput_images_per_s"] == pytest.approx(alone.summary["throughput_images_per_s"])


def test_refusals(options: Options, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"network 'tiny' has 3 layers, fewer than the 4 boards; every board takes at least one"):
        explore(replace(options, data=None, device="ulx3s-85f:4"))
    with pytest.raises(InputError, match="--out is for boards in a line; `ridgeline build` makes the design of one board"):
        explore(replace(options, data=None, device="ulx3s-85f", link_gb_per_s=None), out=tmp_path / "out")
    with pytest.raises(InputError, match="--data is for boards in a line"):
        explore(replace(options, device="ulx3s-85f", link_gb_per_s=None))
    with pytest.raises(InputError, match="--data calibrates the designs that --out receives; give --out too"):
        explore_boards(options)
    with pytest.raises(InputError, match="--engine is uniform, but boards in a line take programmable alone; give one board for it"):
        explore(replace(options, data=None, engine="uniform"))
    with pytest.raises(DoesNotFitError, match=r"cannot be cut so that every section fits its board; layer 'conv' on 'ulx3s-85f': the"):
        explore_boards(replace(options, caps={"dsp": 3}), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(capsys: pytest.CaptureFixture[str], options: Options, tmp_path: Path) -> None:
    words = ["explore", options.network, "--device", "ulx3s-85f", "--count", 2, "--link-gb-per-s", 1.25, *PINS]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    assert out.startswith("network     tiny on 2 boards in a line, cut for latency\n")
    status, out, err = run(capsys, *words, "--json", "--out", tmp_path / "out")
    assert status == 0
    assert err == "ridgeline: warning: no --data: calibrated on seeded noise, so the designs say nothing about quality on real inputs\n"
    assert json.loads(out)["link_gb_per_s"] == 1.25
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for more, message in [
        (["--device", "ulx3s-85f:2,ulx3s-85", "--link-gb-per-s", 1], "unknown device 'ulx3s-85'; did you mean 'ulx3s-85f'?"),
        (["--device", "ulx3s-85f", "--count", 0], "--count is 0; it must be in 1..1,000"),
        (["--device", "ulx3s-85f", "--count", 2, "--link-gb-per-s", "nan"], "--link-gb-per-s is nan; it must be in 0.000001..1,000,000"),
        (["--device", "ulx3s-85f", "--count", 2, "--link-gb-per-s", 1, "--out", tmp_path / "mine"], f"output folder '{tmp_path / 'mine'}' holds"),
    ]:
        status, out, err = run(capsys, "explore", options.network, *more)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_a_wrong_board_is_found(lined: Lined, options: Options, tmp_path: Path) -> None:
    """The boards' golden networks are held against the whole one: here the last board is that of another network."""
    other = explore_boards(replace(options, data=None, seed=9))
    whole = explore_boards(replace(options, device="ulx3s-85f", count=1), out=tmp_path / "one").line.graphs[0]
    mixed = replace(other.line, graphs=(*lined.line.graphs[:2], other.line.graphs[2]))
    devices = [read_device(name) for name in ("ulx3s-85f", "ulx3s-85f", "arty-a7-100t")]
    codes = {port.name: np.random.default_rng(5).integers(-128, 128, (1, *port.shape)).astype(np.int8) for port in whole.inputs}
    values = {"codes": codes, "summary": lined.summary, "stages": (), "run": lined.run, "progress": Silent()}
    (tmp_path / "wrong").mkdir()
    with pytest.raises(CheckFailedError, match=r"output '.*' of the boards' golden networks has \d+ other values than that of the whole network"):
        write_line(tmp_path / "wrong", whole, mixed, devices, **values)


def test_a_tensor_that_a_board_passes_on() -> None:
    """conv1's result is summed on the third board: it crosses both links, and the second board only relays it."""
    graph = random_network(np.random.default_rng(14), blocks=4)
    stops = (3, 4, len(graph.nodes))
    line = Line(
        partition=Partition(stops=stops, time_s=1.0),
        graphs=sections(graph, stops),
        designs=(SimpleNamespace(copies=1),) * 3,
        link_bytes=tuple(crossing_bytes(graph, stop) for stop in stops[:-1]),
        explored=Explored(sections=1, searched=1, time_s=0.0),
    )
    found = description(graph, line, [read_device("vc709")] * 3, {"objective": "latency", "link_gb_per_s": 1.0})
    assert [board["relays"] for board in found["boards"]] == [[], ["conv1.out"], []]
    assert [board["writes"] for board in found["boards"]][:2] == [["conv1.out", "conv2.out"], ["conv3.out"]]
    assert [[tensor["name"] for tensor in link["tensors"]] for link in found["links"]] == [["conv1.out", "conv2.out"], ["conv1.out", "conv3.out"]]
    assert [link["bytes"] for link in found["links"]] == [sum(tensor["bytes"] for tensor in link["tensors"]) for link in found["links"]]
    assert [[tensor["made_on"] for tensor in link["tensors"]] for link in found["links"]] == [[1, 1], [1, 2]]
