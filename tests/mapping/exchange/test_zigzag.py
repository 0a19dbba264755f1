"""ZigZag's mapping YAML, and ZigZag's rules, against what ZigZag 3.9.1 itself says of random mappings (tests/mapping/make_zigzag_cases.py)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.algorithm.layers import Layer
from ridgeline.algorithm.nest import Nest, parse
from ridgeline.errors import DoesNotFitError, InputError, UnsupportedError
from ridgeline.hardware.chip import Chip, read_chip
from ridgeline.hardware.zigzag import DIMENSIONS, read_zigzag
from ridgeline.mapping.estimate import Estimate, estimate
from ridgeline.mapping.exchange.zigzag import PRODUCT, is_zigzag, read_mappings, write_mappings
from ridgeline.mapping.loops import TIMELOOP, ZIGZAG, Conventions, Loop, LoopMapping

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "zigzag_cases.json").read_text())
TPU = read_chip("tpu-like")
EXACT = 1e-9  # of floats


def memory(size: int, costs: tuple[float, float], operands: str, *ports: tuple[str, int, str], served: bool = True) -> dict[str, Any]:
    return {
        "size": size, "r_cost": costs[0], "w_cost": costs[1], "operands": operands.split(), "served_dimensions": ["D1", "D2"] if served else [],
        "ports": [
            {"name": f"port_{number}", "type": kind, "bandwidth_min": bits, "bandwidth_max": bits,
             "allocation": [move.replace(":", ", ") for move in moves.split()]}
            for number, (kind, bits, moves) in enumerate(ports)
        ],
    }  # fmt: skip


def simple(operand: str, bits: int) -> tuple[tuple[str, int, str], tuple[str, int, str]]:
    return ("read", bits, f"{operand}:tl"), ("write", bits, f"{operand}:fh")


# The figures of ZigZag 3.9.1's eyeriss_like, written down anew.
EYERISS = {
    "name": "eyeriss_like",
    "memories": {
        "rf_64B_A": memory(512, (1.0, 1.5), "I1", *simple("I1", 8), served=False),
        "rf_64B_W": memory(512, (1.0, 1.5), "I2", *simple("I2", 8), served=False),
        "rf_16B": memory(128, (1.5, 2.0), "O", ("read", 24, "O:tl O:th"), ("write", 24, "O:fh O:fl"), served=False),
        "sram_8KB": memory(65_536, (10, 15), "O", ("read_write", 128, "O:fh O:tl O:fl O:th")),
        "sram_64KB": memory(524_288, (20, 25), "I2", *simple("I2", 128)),
        "sram_1M": memory(8_388_608, (100, 130), "I1 O", ("read_write", 384, "I1:fh I1:tl O:fh O:tl O:fl O:th")),
        "dram": memory(10**10, (1000, 1000), "I1 I2 O", ("read_write", 64, "I1:fh I1:tl I2:fh I2:tl O:fh O:tl O:fl O:th")),
    },
    "operational_array": {"unit_energy": 0.5, "unit_area": 1, "dimensions": ["D1", "D2"], "sizes": [14, 12]},
}


def layer(case: dict[str, Any], name: str) -> Layer:
    return Layer(name=name, operator=case["operator"], nest=nest(case), inputs=("a", "b"), output="c")


def nest(case: dict[str, Any]) -> Nest:
    dims, windows = case["dims"], {name: dict(pair) for name, pair in case["windows"].items()}
    if not windows:
        axes: dict[str, int] = {}
        for dimension, size in dims.items():
            axes[PRODUCT[dimension]] = axes.get(PRODUCT[dimension], 1) * size
        axes.pop("g", None)
        return parse("y c, c m -> y m", axes=axes, multiplies=True)
    axes = {DIMENSIONS[dimension]: size for dimension, size in dims.items()}
    factors = {"s": windows["IX"]["OX"], "d": windows["IX"]["FX"]}
    found = parse("n g c (y*s+r*d) (x*s+q*d), g m c r q -> n g m y x", axes=axes, factors=factors, multiplies=True)
    present = (dims["B"], dims["G"], dims["C"], case["present"]["IY"], case["present"]["IX"])
    return replace(found, inputs=(replace(found.inputs[0], present=present), found.inputs[1]))


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chip]:
    path = tmp_path_factory.mktemp("chips") / "eyeriss.yaml"
    path.write_bytes(msgspec.yaml.encode(EYERISS))
    return {"tpu_like": TPU, "eyeriss_like": read_zigzag(path)}


def written(folder: Path, entries: list[dict[str, Any]]) -> Path:
    path = folder / "mapping.yaml"
    path.write_bytes(msgspec.yaml.encode(entries))
    return path


def test_energy_and_cycles_equal_zigzags(chips: dict[str, Chip], tmp_path: Path) -> None:
    """Of the mappings that are loops over contiguous tiles. Cycles may be fewer by the lanes of the last results to leave, where an axis' lanes are
    spared."""
    outcomes: Counter[str] = Counter()
    for number, case in enumerate(CASES):
        chip, made = chips[case["accelerator"]], layer(case, f"layer{number}")
        entry = {"name": made.name, "spatial_mapping": case["spatial_mapping"], "temporal_ordering": case["temporal_ordering"]}
        try:
            (mapping,) = read_mappings(written(tmp_path, [entry]), [made], chip)
        except UnsupportedError as error:
            outcomes[str(error).partition(": ")[2].partition(":")[0]] += 1
            continue
        found = estimate(mapping, made.nest, chip, ZIGZAG)
        assert found.energy_pj == pytest.approx(case["energy_pj"], rel=EXACT), made.name
        spared = sum(chip.array[axis] for axis in chip.systolic_axes)
        assert case["cycles"] - spared <= found.cycles <= case["cycles"], made.name
        outcomes["equal"] += found.cycles == case["cycles"]
        outcomes["lanes spared"] += found.cycles < case["cycles"]
        again = read_mappings(_rewritten(tmp_path, made, mapping, chip), [made], chip)
        assert estimate(again[0], made.nest, chip, ZIGZAG) == found
    assert outcomes["equal"] + outcomes["lanes spared"] >= 0.75 * len(CASES), outcomes
    assert set(outcomes) <= {"equal", "lanes spared", "it cannot be written as loops over contiguous tiles"}


def _rewritten(folder: Path, made: Layer, mapping: LoopMapping, chip: Chip) -> Path:
    path = folder / "again.yaml"
    path.write_text(write_mappings([made], [mapping], chip))
    return path


CONV = parse("n c (y+r) (x+q), m c r q -> n m y x", axes={"n": 1, "m": 48, "c": 40, "y": 14, "x": 14, "r": 3, "q": 3}, multiplies=True)
TIMED = (("c", 2), ("y", 14), ("x", 14), ("r", 3), ("q", 3), ("m", 2))
ENTRY = {
    "name": "Conv", "spatial_mapping": {"D1": ["K, 32"], "D2": ["C, 32"]},
    "temporal_ordering": [["C", 2], ["OY", 14], ["OX", 14], ["FY", 3], ["FX", 3], ["K", 2]],
}  # fmt: skip
LAYER = Layer(name="conv", operator="Conv", nest=CONV, inputs=("a", "b"), output="c")


@settings(deadline=None, max_examples=60)
@given(order=st.permutations(TIMED), data=st.data())
def test_round_trip(order: list[tuple[str, int]], data: st.DataObject) -> None:
    """Any order of loops, on the levels as ZigZag allots them, comes back as it was."""
    import tempfile

    names = {axis: dimension for dimension, axis in DIMENSIONS.items()}
    lanes = {"D1": [f"K, {data.draw(st.sampled_from((24, 32)))}"], "D2": [f"C, {data.draw(st.sampled_from((20, 32)))}"]}
    entry = {**ENTRY, "spatial_mapping": lanes, "temporal_ordering": [[names[axis], size] for axis, size in order]}
    with tempfile.TemporaryDirectory() as folder:
        try:
            (mapping,) = read_mappings(written(Path(folder), [entry]), [LAYER], TPU)
        except UnsupportedError as error:
            if "contiguous" not in str(error):
                raise
            return
        assert read_mappings(_rewritten(Path(folder), LAYER, mapping, TPU), [LAYER], TPU) == (mapping,)
        assert estimate(mapping, CONV, TPU, ZIGZAG).steps == 2 * 14 * 14 * 3 * 3 * 2


def moved(**positions: int) -> LoopMapping:
    """K 32 x C 20 lanes and the loops of ENTRY, with some levels at other positions than ZigZag's."""
    loops = (
        Loop(axis="m", size=24, array="columns"), Loop(axis="m", size=2),
        *(Loop(axis=axis, size=size) for axis, size in (("q", 3), ("r", 3), ("x", 14), ("y", 14))),
        Loop(axis="c", size=20, array="rows"), Loop(axis="c", size=2),
    )  # fmt: skip
    levels = {"sram_input": 0, "sram_output": 0, "rf_output": 7, "rf_weight": 0} | positions
    return LoopMapping(
        loops=loops,
        positions={
            "input": {"dram": 0, "sram_2mb": levels["sram_input"]},
            "weight": {"dram": 0, "rf_128b": levels["rf_weight"]},
            "output": {"dram": 0, "sram_2mb": levels["sram_output"], "rf_2b": levels["rf_output"]},
        },
    )


def test_a_mapping_that_zigzag_would_allot_otherwise() -> None:
    assert "temporal_ordering: [[C, 2], [OY, 14], [OX, 14], [FY, 3], [FX, 3], [K, 2]]" in write_mappings([LAYER], [moved()], TPU)
    with pytest.raises(
        UnsupportedError, match=r"layer 'conv' .*: level 'rf_128b' holds the weight over loops c 2 y 14 x 14 r 3 q 3, but ZigZag"
    ):
        write_mappings([LAYER], [moved(rf_weight=2)], TPU)
    with pytest.raises(UnsupportedError, match="operator Einsum; ZigZag reads Conv, QLinearConv, Gemm, MatMul"):
        write_mappings([replace(LAYER, operator="Einsum")], [moved()], TPU)
    long = replace(moved(), loops=tuple(replace(loop, size=15) if loop.axis == "x" else loop for loop in moved().loops))
    with pytest.raises(UnsupportedError, match="the loops in time over 'x' make 15 passes; with its lanes ZigZag asks for 14"):
        write_mappings([LAYER], [long], TPU)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"temporal_ordering": [["C", 2]]},
            "temporal_ordering: the loops in time over 'm' make 1 passes; with its lanes ZigZag asks for 2",
        ),
        ({"temporal_ordering": [["C", "many"]]}, r"temporal_ordering \['C', 'many'\] is no layer dimension"),
        ({"temporal_ordering": [["C"]]}, r"temporal_ordering \['C'\] is no layer dimension"),
        ({"temporal_ordering": [["C", "*"]]}, "leaves a size open, so that ZigZag would search"),
        ({"temporal_ordering": None}, "it has no temporal_ordering, so that ZigZag would search"),
        ({"spatial_mapping": {"D1": ["K, 32"]}}, "spatial_mapping has no 'D2', which ZigZag would choose"),
        ({"spatial_mapping": {"D1": ["K, 32"], "D9": ["C, 32"]}}, "spatial_mapping names 'D9'; the array of chip 'tpu-like' has D1, D2"),
        ({"spatial_mapping": {"D1": ["K 32"], "D2": ["C, 32"]}}, "spatial_mapping D1: 'K 32' is no layer dimension"),
        (
            {"spatial_mapping": {"D1": ["K, 32", "C, 2"], "D2": ["C, 32"]}},
            "spatial_mapping D1 makes 64, but 'columns' of chip 'tpu-like' has 32",
        ),
        ({"memory_operand_links": {"O": "O", "W": "I1", "I": "I2"}}, "memory_operand_links"),
        ({"name": "Gemm"}, "has no entry 'conv', 'Conv' or 'default'"),
        ({"weights": 3}, "Object contains unknown field `weights`"),
    ],
)
def test_bad_files(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, UnsupportedError), match=message) as caught:
        read_mappings(written(tmp_path, [{**ENTRY, **changed}]), [LAYER], TPU)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_layers_that_zigzag_reads_otherwise(tmp_path: Path) -> None:
    tall = replace(CONV, axes={**CONV.axes, "r": 5})
    with pytest.raises(UnsupportedError, match="a kernel, stride or dilation that is not square"):
        read_mappings(written(tmp_path, [ENTRY]), [replace(LAYER, nest=tall)], TPU)
    with pytest.raises(InputError, match="cannot be read"):
        read_mappings(tmp_path / "missing.yaml", [LAYER], TPU)


def test_what_is_zigzags() -> None:
    assert is_zigzag([ENTRY])
    assert not is_zigzag({"mapping": []})
    assert not is_zigzag([{"target": "dram"}])


def costs(rules: Conventions) -> Estimate:
    return estimate(moved(), CONV, TPU, rules)


def test_latency_is_chosen_beside_the_counts() -> None:
    """Energies follow the counts, cycles the latency; the slowest of all is less than steps, stalls and both ends together."""
    exact, stalls, plain, theirs = map(costs, (TIMELOOP, replace(TIMELOOP, latency="stalls"), replace(ZIGZAG, latency="slowest"), ZIGZAG))
    assert exact.energy_by_level == stalls.energy_by_level
    assert plain.energy_by_level == theirs.energy_by_level
    assert theirs.cycles > plain.cycles >= theirs.steps
    assert stalls.cycles > stalls.steps == exact.steps


def test_a_tile_that_does_not_fit() -> None:
    with pytest.raises(DoesNotFitError, match="level 'rf_2b' of chip 'tpu-like', which holds 2"):
        estimate(moved(rf_output=4), CONV, TPU, ZIGZAG)


def test_a_chip_whose_tensors_stay_inside_has_no_form(tmp_path: Path) -> None:
    chip = msgspec.structs.replace(TPU, homes={"output": TPU.levels[1].name})
    made = layer(next(case for case in CASES if case["accelerator"] == "tpu_like"), "conv")
    path = written(tmp_path, [{"name": "conv", "spatial_mapping": {}, "temporal_ordering": []}])
    with pytest.raises(UnsupportedError, match=r"homes\.output is 'sram_2mb'; ZigZag's tensors begin and end at the outermost level"):
        read_mappings(path, [made], chip)
    with pytest.raises(UnsupportedError, match=r"layer 'conv' in ZigZag's mapping YAML: chip 'tpu-like': homes\.output is 'sram_2mb'"):
        write_mappings([made], [LoopMapping(loops=(), positions={})], chip)
