"""ISLPED'16: the cut of a network over boards, with the uniform engine's times."""

from dataclasses import replace
from itertools import combinations, pairwise

import pytest

from ridgeline.algorithm.cut import crossing_bytes
from ridgeline.algorithm.zoo.table import ENTRIES
from ridgeline.errors import DoesNotFitError, InputError
from ridgeline.explore.uniform import Budget, Study, search, section_designs
from ridgeline.flows.source import read_model
from ridgeline.formats import ENGINE_FORMATS
from ridgeline.mapping.uniform import Memory
from ridgeline.papers.islped16 import Islped16
from ridgeline.papers.networks import alexnet, vgg16
from ridgeline.papers.paper import reproduce


def test_the_chains_are_the_zoos_networks() -> None:
    for name, chain in (("alexnet", alexnet(batch=2)), ("vgg16", vgg16(batch=2))):
        assert sum(layer.macs for layer in chain.layers) == 2 * ENTRIES[name].macs
        assert len(chain.layers) == len(chain.crossing)
    graph = read_model("alexnet").graph
    multiplying = [number for number, node in enumerate(graph.nodes) if graph.macs(node)]
    cuts = [*multiplying[1:], None]  # in front of the next layer that multiplies, behind the poolings
    assert [crossing_bytes(graph, cut) for cut in cuts[:-1] if cut is not None] == list(alexnet(batch=1).crossing[:-1])


def test_every_section_has_its_own_best_engine() -> None:
    layers = alexnet(batch=1).layers[2:6]
    budget = Budget(dsp_kind="DSP48E1", dsp=300, bram_18kb=700, clock_mhz=150, memory=Memory(gb_per_s=6))
    study = Study(layers=layers, format=ENGINE_FORMATS["fixed16"], budget=budget)
    designs = section_designs(study)
    assert set(designs) == set(combinations(range(5), 2))
    for (start, stop), design in designs.items():
        alone = search(replace(study, layers=layers[start:stop])).chosen
        assert design.time_s == pytest.approx(alone.time_s, rel=1e-9)


def test_the_cut_is_the_best_of_all() -> None:
    paper = Islped16(dsp=600, link_gb_per_s=0.05)
    chain = alexnet(batch=32)
    budget = Budget(dsp_kind="DSP48E1", dsp=600, bram_18kb=2940, clock_mhz=150, memory=Memory(gb_per_s=29.856))
    study = Study(layers=chain.layers, format=ENGINE_FORMATS["fixed16"], budget=budget)
    times = {place: design.time_s for place, design in section_designs(study).items()}
    links = [32 * 2 * values / 0.05e9 for values in chain.crossing]
    layers = len(chain.layers)
    for boards in (1, 2, 3, 4):
        slowest = []
        for cuts in combinations(range(1, layers), boards - 1):
            edges = (0, *cuts, layers)
            sections = [times[start, stop] for start, stop in pairwise(edges)]
            slowest.append(max(*sections, *(links[cut - 1] for cut in cuts), 0.0))
        assert paper.cut("AlexNet", chain, boards).time_s == pytest.approx(min(slowest), rel=1e-9)


def test_its_figures_are_shown_and_not_judged() -> None:
    found = reproduce("islped16")
    assert [row.holds for row in found.rows] == [None, None]
    assert [row.published for row in found.rows] == [825.6, 1280.3]
    assert all(row.note and row.error is not None for row in found.rows)
    row = next(iter(reproduce("islped16", networks="AlexNet", reduction="row").rows))
    assert row.ours > 2 * found.rows[0].ours


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alexnet_boards": 9}, "AlexNet has 8 layers and cannot lie on 9 boards; give 1 to 8"),
        ({"vgg16_boards": 0, "networks": "VGG16"}, "VGG16 has 16 layers and cannot lie on 0 boards"),
        ({"link_gb_per_s": 0.0}, "link_gb_per_s is 0 and clock_mhz 150; both must be above 0"),
        ({"batch": 0}, "batch is 0 and dsp 3,600"),
        ({"networks": "LeNet"}, "unknown network 'LeNet'"),
        ({"device": "vc708"}, "unknown device 'vc708'; did you mean"),
        ({"reduction": "rows"}, "unknown reduction 'rows'; did you mean 'row'?"),
    ],
)
def test_bad_parameters(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reproduce("islped16", **given)


def test_a_format_that_no_board_holds() -> None:
    with pytest.raises(DoesNotFitError, match="1 multiply-accumulate in float32 need 5 DSP48E1, but there are 4"):
        reproduce("islped16", format="float32", dsp=4)
