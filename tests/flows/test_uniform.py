"""explore --engine uniform, on small networks."""

from pathlib import Path

import numpy as np
import pytest
from tests.flows import tiny

from ridgeline.algorithm import zoo
from ridgeline.errors import DoesNotFitError, InputError, UnsupportedError
from ridgeline.explore.uniform import layers_of
from ridgeline.flows.explore import explore
from ridgeline.flows.options import Options
from ridgeline.flows.source import read_model
from ridgeline.flows.uniform import ExploredUniform
from ridgeline.testing.graphs import random_layer_graph


def options(network: str, **given: object) -> Options:
    asked: dict[str, object] = {"network": network, "out": Path(), "device": "vc707", "engine": "uniform", "format": "float32", "clock_mhz": 100.0}
    return Options(**{**asked, **given})  # pyright: ignore[reportArgumentType]


def explored(network: str, **given: object) -> ExploredUniform:
    found = explore(options(network, **given))
    assert isinstance(found, ExploredUniform)
    return found


def test_what_is_shown() -> None:
    summary = explored("resnet8").summary
    chosen, layers = summary["chosen"], summary["per_layer"]
    assert set(chosen) == {"tm", "tn", "tr", "tc", "cycles", "gops", "bandwidth_gb_per_s", "dsp", "bram", "time_s"}
    assert chosen["cycles"] == sum(row["cycles"] for row in layers)
    assert chosen["dsp"] == 5 * chosen["tm"] * chosen["tn"] <= 2800
    assert chosen["bram"] <= 2060
    assert sum(row["macs"] for row in layers) == 12_501_632
    assert all(row["alone"]["cycles"] <= row["cycles"] or row["alone"]["gops"] >= row["gops"] for row in layers)
    assert summary["explored"]["points"] > 0
    front = [(point["cycles"], point["dsp"], point["bandwidth_gb_per_s"] * point["cycles"]) for point in summary["pareto"]]
    assert not any(all(a <= b for a, b in zip(one, other, strict=True)) for one in front for other in front if one != other)
    assert summary["sharing"]["input"] == {"tm": "irrelevant", "tn": "independent"}
    assert summary["sharing"]["output"] == {"tm": "independent", "tn": "irrelevant"}
    assert all(row["operations_per_byte"] == pytest.approx(2 * row["macs"] / sum(row["bytes"].values()), rel=1e-3) for row in layers)
    assert not {row["name"] for row in layers} & set(summary["not_counted"])


def test_lanes_are_pinned_and_caps_hold() -> None:
    chosen = explored("resnet8", pins={"lanes_out": 24, "lanes_in": 7}).summary["chosen"]
    assert (chosen["tm"], chosen["tn"]) == (24, 7)
    assert explored("resnet8", caps={"dsp": 500, "bram": 400}).summary["chosen"]["dsp"] <= 500
    with pytest.raises(DoesNotFitError, match="4,096 multiply-accumulates in float32 need 20,480 DSP48E1, but there are 2,800"):
        explored("resnet8", pins={"lanes_out": 64, "lanes_in": 64})


def test_kernel_rows_over_the_lanes_help_the_first_layer() -> None:
    channels, row, window = (
        next(iter(explored("resnet8", reduction=kind, pins={"lanes_out": 16, "lanes_in": 16}).summary["per_layer"]))["cycles"]
        for kind in ("channels", "row", "window")
    )
    assert channels > row > window


def test_a_batch_serves_the_fully_connected_layers(tmp_path: Path) -> None:
    network = tmp_path / "alexnet.onnx"
    network.write_bytes(zoo.reduced("alexnet").SerializeToString(deterministic=True))
    one, many = (explored(str(network), device="ku060", format="fixed16", batch=batch).summary for batch in (None, 32))
    dense = [next(row["gops"] for row in summary["per_layer"] if row["name"] == "fc6") for summary in (one, many)]
    assert dense[1] > 5 * dense[0]
    assert many["fully_connected"] == "weight-major"
    assert (one["batch"], many["batch"]) == (1, 32)


def test_ports_are_shared_out_to_whom_they_serve_best() -> None:
    plain, shared = (explored("resnet8", ports=ports, device="zcu102", format="int8", batch=4).summary for ports in (None, 3))
    assert plain["ports"] is None
    assert sum(shared["ports"].values()) == 3
    assert min(shared["ports"].values()) >= 1
    assert shared["chosen"]["time_s"] >= plain["chosen"]["time_s"] * (1 - 1e-9)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"device": "ulx3s-85f"}, UnsupportedError, "has no multiply-accumulate made of MULT18X18D blocks; such a device holds fixed16, int8"),
        ({"pins": {"taps": 1}}, InputError, "--taps pins the programmable engine; a uniform one has --lanes TMxTN"),
        ({"pins": {"lanes_out": 0, "lanes_in": 4}}, InputError, "--lanes: tm is 0; it must be 1 or more"),
        ({"batch": 1 << 17}, InputError, "--batch is 131,072; a uniform engine takes at most 65,536 images at a time"),
        ({"caps": {"lut": 5}}, InputError, "--max-lut: a uniform engine's LUTs are not modelled; cap dsp or bram"),
        ({"objective": "throughput"}, InputError, "--objective throughput is for the programmable engine"),
        ({"engine": "programmable"}, InputError, "--format float32 is for --engine uniform; the programmable engine works in int8"),
        ({"engine": "programmable", "format": "int8", "ports": 2}, InputError, "--ports 2 is for --engine uniform"),
        ({"caps": {"dsp": 4}}, DoesNotFitError, "1 multiply-accumulate in float32 need 5 DSP48E1, but there are 4"),
    ],
)  # fmt: skip
def test_bad_requests(given: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        explore(options("resnet8", **given))
    assert message in str(caught.value)


def test_layers_that_it_lacks(tmp_path: Path) -> None:
    network = read_model(tiny.write(tmp_path).network)
    layers, others = layers_of(network.graph, batch=3, weight_major=True)
    assert [(layer.name, layer.times) for layer in layers] == [("conv", 3), ("fc", 1)]
    assert layers[1].nest.macs == 3 * 3 * 45
    assert others == ("pool",)


def test_a_transposed_convolution_is_refused_by_name() -> None:
    graph = random_layer_graph(np.random.default_rng(0), "conv_transpose")
    with pytest.raises(UnsupportedError, match="the uniform engine runs convolutions and fully connected layers"):
        layers_of(graph, batch=1, weight_major=False)
