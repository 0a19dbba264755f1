"""Process nodes: every file reads, figures fall from node to node, and an SRAM's energy lies on a line through the published ones."""

import re
from math import log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.hardware.node import NODES, Node, node_names, read_node

FROM_OLD_TO_NEW = ("45nm", "28nm", "16nm", "7nm")


def test_the_nodes() -> None:
    assert set(node_names()) == set(FROM_OLD_TO_NEW)
    for name in node_names():
        node = read_node(name)
        assert (node.name, node.node_nm) == (name, int(name.removesuffix("nm")))
        for item in (node, node.register, node.wire, *node.arithmetic, *node.sram, *node.dram):
            assert len(item.source) > 20


@pytest.mark.parametrize(("old", "new"), [("45nm", "28nm"), ("28nm", "16nm"), ("16nm", "7nm")])
def test_figures_fall_from_node_to_node(old: str, new: str) -> None:
    before, after = read_node(old), read_node(new)
    for item in before.arithmetic:
        assert after.operation_pj(item.operation, item.format) < item.pj
    for capacity in (1, 100, 1000, 10**4, 10**5, 10**6, 10**7, 10**8):
        assert after.memory_pj_per_bit(capacity) < before.memory_pj_per_bit(capacity)
    assert after.wire.pj_per_bit_mm < before.wire.pj_per_bit_mm
    assert after.dram_pj_per_bit("ddr4") == before.dram_pj_per_bit("ddr4"), "no matter of the logic's node"


def test_published_figures() -> None:
    old, new = read_node("45nm"), read_node("7nm")
    assert (old.operation_pj("multiply", "int8"), old.operation_pj("add", "fp32")) == (0.2, 0.9)
    assert (new.operation_pj("multiply", "bf16"), new.operation_pj("add", "int8")) == (0.21, 0.007)
    assert old.mac_pj("int8", "int32") == pytest.approx(0.3)
    assert new.mac_pj("fp16", "fp32") == pytest.approx(0.72)
    assert [64 * old.memory_pj_per_bit(size) for size in (8192, 32_768, 1_048_576)] == pytest.approx([10, 20, 100])
    assert [64 * new.memory_pj_per_bit(size) for size in (8192, 32_768, 1_048_576)] == pytest.approx([7.5, 8.5, 14])


@pytest.mark.parametrize("name", ["28nm", "16nm"])
def test_figures_between_the_published_nodes(name: str) -> None:
    node, old, new = read_node(name), read_node("45nm"), read_node("7nm")
    share = log(45 / node.node_nm) / log(45 / 7)

    def between(first: float, last: float) -> object:
        return pytest.approx(first ** (1 - share) * last**share, rel=5e-3)

    for item in node.arithmetic:
        assert item.pj == between(old.operation_pj(item.operation, item.format), new.operation_pj(item.operation, item.format))
    for point in (node.register, *node.sram):
        assert point.pj_per_bit == between(old.memory_pj_per_bit(point.capacity_bytes), new.memory_pj_per_bit(point.capacity_bytes))


def test_a_memory_between_two_published_ones() -> None:
    node = read_node("45nm")
    assert 64 * node.memory_pj_per_bit(16_384) == pytest.approx((10 * 20) ** 0.5), "half way in logarithms"
    assert 64 * node.memory_pj_per_bit(32 * 1_048_576) == pytest.approx(500), "drawn on: five times for each 32-fold"
    assert node.memory_pj_per_bit(1) == node.memory_pj_per_bit(128) == node.register.pj_per_bit


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.sampled_from(FROM_OLD_TO_NEW))
def test_a_larger_memory_takes_no_less(one: int, other: int, name: str) -> None:
    node = read_node(name)
    small, large = (node.memory_pj_per_bit(size) for size in sorted((one, other)))
    assert node.register.pj_per_bit * (1 - 1e-12) <= small <= large * (1 + 1e-12)


def test_figures_that_are_not_there() -> None:
    node = read_node("45nm")
    with pytest.raises(InputError, match=re.escape("process node '45nm' has no figure for bf16 multiply; it has int8 add, int16 add, ")):
        node.operation_pj("multiply", "bf16")
    with pytest.raises(InputError, match=re.escape("process node '45nm' has no figure for lpddr4; it has ddr4, hbm2")):
        node.dram_pj_per_bit("lpddr4")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=re.escape("process node '45nm': a memory of 0 bytes; it must hold at least one")):
        node.memory_pj_per_bit(0)


def test_unknown_node() -> None:
    with pytest.raises(UnknownNameError, match=re.escape("unknown process node '45'; did you mean '45nm'?")):
        read_node("45")
    with pytest.raises(InputError, match=re.escape("process node file 'nowhere.toml' does not exist")):
        read_node("nowhere.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("node_nm = 45", "node_nm = 45\nvolt = 1", "Object contains unknown field `volt`"),
        ("pj_per_bit_mm = 0.121", "", "Object missing required field `pj_per_bit_mm` - at `$.wire`"),
        ("pj_per_bit_mm = 0.121", "pj_per_bit_mm = -1", "Expected `float` > 0.0 - at `$.wire.pj_per_bit_mm`"),
        ('"multiply", format = "int8"', '"multiply", format = "int4"', "Invalid enum value 'int4' - at `$.arithmetic[5].format`"),
        ('"multiply", format = "int8"', '"add", format = "int8"', "two figures for int8 add"),
        ('kind = "hbm2"', 'kind = "ddr4"', "two figures for dram ddr4"),
        ("capacity_bytes = 32_768", "capacity_bytes = 8_192", "memories of 8,192 and 8,192 bytes: capacity and pj_per_bit must rise"),
        ("pj_per_bit = 0.15625", "pj_per_bit = 0.01", "memories of 128 and 8,192 bytes: capacity and pj_per_bit must rise"),
        ("[register]", "[register", "is no TOML"),
    ],
)
def test_bad_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (NODES / "45nm.toml").read_text()
    assert text.count(old) == 1, old
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_node(path)
    assert str(caught.value).startswith(f"process node file '{path}'")
    assert "\n" not in str(caught.value)


def test_a_node_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((NODES / "45nm.toml").read_text().replace('"45nm"', '"mine"'))
    node: Node = read_node(path)
    assert node.name == "mine"
    assert read_node(str(path)) == node
