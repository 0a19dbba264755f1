"""ANT's tables, its networks against the zoo's, and what its figures say of each other."""

import pytest

from ridgeline.algorithm.zoo.table import ENTRIES
from ridgeline.errors import InputError
from ridgeline.papers.ant import Ant, layer_bits
from ridgeline.papers.ant_networks import NETWORKS
from ridgeline.papers.paper import Reproduction, reproduce

LAYERS = {"VGG16": 16, "ResNet18": 21, "ResNet50": 54, "InceptionV3": 95, "ViT": 49, "MNLI": 74, "CoLA": 74, "SST-2": 74}


@pytest.fixture(scope="module")
def study() -> Reproduction:
    return reproduce("ant")


def test_every_published_figure_holds(study: Reproduction) -> None:
    assert not study.failed
    assert len(study.rows) == 240
    assert all(row.holds for row in study.rows)
    digits = [row for row in study.rows if row.unit.startswith("of AdaFloat")]
    assert all(row.published is not None and abs(row.ours - row.published) <= 0.0050001 for row in digits)


def test_the_cycles_are_exact(study: Reproduction) -> None:
    exact = [row for row in study.rows if row.unit == "cycles"]
    assert len(exact) == 7
    assert all(row.ours == row.published for row in exact)


def test_adafloat_is_the_unit(study: Reproduction) -> None:
    ours = Ant(networks="ResNet18,SST-2", designs="ANT-OS").ours()
    for network in ("ResNet18", "SST-2", "mean"):
        assert ours[f"{network} on AdaFloat: time"] == 1
        assert sum(ours[f"{network} on AdaFloat: {part}"] for part in ("static", "DRAM", "buffers", "core")) == pytest.approx(1)


def test_the_networks_are_the_zoos() -> None:
    macs = {name: sum(work.macs for work in layers(1)) for name, layers in NETWORKS.items()}
    for name, entry in (("VGG16", "vgg16"), ("ResNet18", "resnet18"), ("ResNet50", "resnet50")):
        assert macs[name] == ENTRIES[entry].macs
    # the zoo counts the products of attention too: two of tokens x tokens x width a block; ViT's patches as well
    assert macs["CoLA"] - 768 * 2 == ENTRIES["bert-base"].macs - 12 * 2 * 128 * 128 * 768
    assert macs["ViT"] == ENTRIES["vit-b16"].macs - 12 * 2 * 197 * 197 * 768 - 196 * 768 * 768
    assert {name: len(layers(1)) for name, layers in NETWORKS.items()} == LAYERS


def test_inception_has_its_weights() -> None:
    """27,161,264 parameters (torchvision) without the auxiliary classifier's 3,326,696, with 7 for 1 x 7 and 7 x 1, and 3 for 1 x 3 and 3 x 1."""
    works = NETWORKS["InceptionV3"](1)
    weights = [work.in_channels * work.out_channels for work in works]
    area = [work.kernel**2 for work in works]
    for place, work in enumerate(works):
        if work.kernel == 7 or (work.kernel == 1 and work.width == 17 and work.in_channels < 768):
            area[place] = 7
        elif work.width == 8 and work.in_channels == work.out_channels == 384:
            area[place] = 3
    normalised = 2 * sum(work.out_channels for work in works[:-1])
    counted = sum(size * count for size, count in zip(area, weights, strict=True))
    assert counted + normalised + 1000 == 27_161_264 - 3_326_696


def test_lists_of_bits_are_within_the_networks() -> None:
    for name, layers in LAYERS.items():
        for design in ("ANT-OS", "BitFusion", "OLAccel"):
            bits = layer_bits(name, design, layers)
            assert set(bits) <= {4, 8}
            assert layer_bits(name, design, 1 << 10)[layers:] == (8 if design == "BitFusion" else 4,) * (1024 - layers)
    assert layer_bits("VGG16", "BiScaled", 2) == (6, 6)
    assert layer_bits("MNLI", "ANT-WS", 74) == layer_bits("MNLI", "ANT-OS", 74)


def test_more_memory_is_no_slower_and_other_studies_are_not_judged() -> None:
    base = reproduce("ant", networks="ResNet18", designs="ANT-OS")
    more = reproduce("ant", networks="ResNet18", designs="ANT-OS", dram_bits_per_cycle=4096)
    cycles = [next(row.ours for row in found.rows if row.quantity == "ResNet18 on ANT-OS: cycles") for found in (base, more)]
    assert cycles[1] <= cycles[0]
    assert {row.holds for row in (*base.rows, *more.rows)} == {None}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"networks": "VGG61"}, "unknown network 'VGG61'; did you mean 'VGG16'"),
        ({"networks": " ,"}, "networks ' ,' names none"),
        ({"designs": "Bitfusion"}, "unknown design 'Bitfusion'; did you mean 'BitFusion'"),
        ({"batch": 0}, r"batch is 0; it must be in 1\.\.65,536"),
        ({"outputs_kib": -1}, "outputs_kib is -1"),
    ],
)
def test_bad_parameters(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reproduce("ant", **given)
