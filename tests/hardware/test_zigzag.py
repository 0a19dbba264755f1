"""ZigZag's accelerator and mapping YAML."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ridgeline.errors import InputError, UnsupportedError
from ridgeline.flows.map import MapOptions, map_network
from ridgeline.hardware.chip import CHIPS, read_chip
from ridgeline.hardware.zigzag import read_zigzag


def port(name: str, kind: str, most: int, moves: str, least: int | None = None) -> str:
    allocation = ", ".join(f'"{move.replace(":", ", ")}"' for move in moves.split())
    return f"{{name: {name}, type: {kind}, bandwidth_min: {least or most}, bandwidth_max: {most}, allocation: [{allocation}]}}"


def memory(name: str, size: int, costs: tuple[float, float], operands: str, served: str, ports: list[str]) -> str:
    fields = f"size: {size}, r_cost: {costs[0]}, w_cost: {costs[1]}, area: 0, latency: 1"
    return f"  {name}: {{{fields}, operands: [{operands}], served_dimensions: [{served}], ports: [{', '.join(ports)}]}}"


# The figures of ZigZag 3.9.1's tpu_like, written down anew.
MEMORIES = [
    memory("rf_128B", 1024, (0.095, 0.095), "I2", "", [port("r_port_1", "read", 8, "I2:tl"), port("w_port_1", "write", 8, "I2:fh")]),
    memory(
        "rf_2B", 16, (0.021, 0.021), "O", "",
        [port(f"{kind[0]}_port", kind, 16, f"O:{move}") for kind, move in (("read", "tl"), ("read", "th"), ("write", "fh"), ("write", "fl"))],
    ),
    memory(
        "sram_2MB", 16_777_216, (416.16, 378.4), "I1, O", "D1, D2",
        [port("r_port_1", "read", 2048, "I1:tl O:tl O:th", 64), port("w_port_1", "write", 2048, "I1:fh O:fh O:fl", 64)],
    ),
    memory(
        "dram", 10_000_000_000, (700, 750), "I1, I2, O", "D1, D2",
        [port("rw_port_1", "read_write", 64, "I1:fh I1:tl I2:fh I2:tl O:fh O:tl O:fl O:th")],
    ),
]  # fmt: skip
ARRAY = "operational_array: {unit_energy: 0.04, unit_area: 1, dimensions: [D1, D2], sizes: [32, 32], systolic_dimensions: [D1, D2]}"
TEXT = "\n".join(["name: tpu_like", "memories:", *MEMORIES, ARRAY]) + "\n"
MAPPING = '- name: default\n  spatial_mapping:\n    D1: ["K, 32"]\n    D2: ["C, 32"]\n  memory_operand_links: {O: O, W: I2, I: I1}\n'


def written(folder: Path, text: str = TEXT, mapping: str = MAPPING) -> tuple[Path, Path]:
    (folder / "chip.yaml").write_text(text)
    (folder / "mapping.yaml").write_text(mapping)
    return folder / "chip.yaml", folder / "mapping.yaml"


def test_tpu_like_is_the_catalogues(tmp_path: Path) -> None:
    """But for the names of the array's axes and the sources."""
    chip, known = read_zigzag(*written(tmp_path)), read_chip("tpu-like")
    assert (chip.name, chip.mac.pj, chip.widths, chip.clock_mhz) == (known.name, known.mac.pj, known.widths, known.clock_mhz)
    assert tuple(chip.array.values()) == tuple(known.array.values())
    assert len(chip.systolic_axes) == len(known.systolic_axes)
    assert list(chip.unroll.values()) == list(known.unroll.values())
    for ours, other in zip(chip.levels, known.levels, strict=True):
        assert len(ours.serves) == len(other.serves)
        assert msgspec.structs.replace(ours, serves=(), source="-") == msgspec.structs.replace(other, serves=(), source="-")


def test_both_map_a_network_alike(tmp_path: Path) -> None:
    chip, mapping = written(tmp_path)
    ours = map_network(MapOptions(network="ds-cnn", chip=str(chip), unrolling=mapping))
    known = map_network(MapOptions(network="ds-cnn", chip="tpu-like"))
    assert ours["total"]["cycles"] == known["total"]["cycles"]
    assert ours["total"]["energy_pj"] == pytest.approx(known["total"]["energy_pj"], rel=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: tpu_like", "name: tpu_like\nnodes: 3", "Object contains unknown field `nodes`"),
        ("r_cost: 700, ", "r_cost: -1, ", "Expected `float` >= 0.0"),
        ("size: 1024, ", "", "Object missing required field `size` - at `$.memories"),
        ("I1, fh", "I3, fh", "memory 'dram', port 'rw_port_1': allocation 'I3, fh' is no operand (I1, I2, O)"),
        ("I2, fh", "I2, fl", "port 'rw_port_1': allocation 'I2, fl' is no operand (I1, I2, O) and direction"),
        (", dimensions: [D1, D2]", ", dimensions: [D1]", "operational_array has 1 dimensions and 2 sizes"),
        ("operands: [I2], served_dimensions: []", "operands: [I2], served_dimensions: [D9]", "serves 'D9', but the array has axes D1, D2"),
        ("memories:", "memories: [", "chip.yaml"),
    ],
)
def test_bad_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError) as caught:
        read_zigzag(*written(tmp_path, TEXT.replace(old, new)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_chip_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="in-memory computing"):
        read_zigzag(*written(tmp_path, TEXT.replace("unit_area: 1", "unit_area: 1, is_imc: true")))
    with pytest.raises(UnsupportedError, match="memory 'dram' leaves its costs to CACTI"):
        read_zigzag(*written(tmp_path, TEXT.replace("r_cost: 700, w_cost: 750", "auto_cost_extraction: true")))
    with pytest.raises(InputError, match="has no entry 'default'"):
        read_zigzag(*written(tmp_path, mapping="- name: Conv\n"))
    with pytest.raises(InputError, match="spatial_mapping D1: 'Q, 32' is no layer dimension"):
        read_zigzag(*written(tmp_path, mapping=MAPPING.replace("K, 32", "Q, 32")))
    with pytest.raises(InputError, match=r"--unrolling 'x\.yaml' is for a chip in ZigZag's YAML"):
        map_network(MapOptions(network="ds-cnn", chip="tpu-like", unrolling=Path("x.yaml")))
    with pytest.raises(InputError, match="cannot be read"):
        read_zigzag(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"input read", "output read"', '"weight read", "output read"', "level 'sram_2mb': a port moves 'weight read'; it can move input fill"),
        ('moves = ["output drain"]', 'moves = ["output read"]', "level 'rf_2b': two ports move 'output read'"),
        ("bits_per_cycle = 16\nleast_bits = 16", "bits_per_cycle = 8\nleast_bits = 16", "a port's least_bits, 16, are above its bits_per_cycle, 8"),
        ('systolic_axes = ["columns"', 'systolic_axes = ["lanes"', "systolic_axes: the array has no axis 'lanes'; it has columns, rows"),
    ],
)
def test_ports_that_are_none(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (CHIPS / "tpu-like.toml").read_text()
    assert old in text
    (tmp_path / "chip.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_chip(tmp_path / "chip.toml")
